//! A trace, line by line: never more than one line of it is held. What the lines do is in `replay`.

use std::{io::BufRead, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;
use tower_rampart_core::classify::Method;

use super::word::Word;
use crate::failure::Failure;

/// The longest line: a document of 64 KiB, written with escapes, and what stands around it.
const MAX_LINE: u64 = 256 * 1024;
/// The last moment of a trace: a year.
const MAX_AT_MS: u64 = 366 * 24 * 60 * 60 * 1000;
/// The longest latency, hint and deadline: a day, as in a document.
const MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// The largest cost and the most servers, as the largest count of a document.
const MAX_COST: u32 = 1_000_000;

/// One line of a trace.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from zero, all lines of the file.
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
    pub(crate) op: Op,
}

/// What a line does.
#[derive(Debug)]
pub(crate) enum Op {
    Call(Script),
    /// Drops the call that this line began.
    Cancel(u64),
    Reset,
    Trip,
    ForceOpen,
    ForceClose,
    /// How many servers there are from now on, and how long they take.
    Backend(Option<u32>, Option<Duration>),
    /// A document, as it stands in the trace.
    Reload(Box<RawValue>),
    /// The node, where there are several.
    Observe(Option<u32>),
}

impl Op {
    /// What somebody does to the pipeline, as a word; `None` where nobody does.
    pub(crate) const fn mark(&self) -> Option<&'static str> {
        match self {
            Self::Call(_) | Self::Cancel(_) | Self::Observe(_) => None,
            Self::Reset => Some("reset"),
            Self::Trip => Some("trip"),
            Self::ForceOpen => Some("force_open"),
            Self::ForceClose => Some("force_close"),
            Self::Reload(_) => Some("reload"),
            Self::Backend(..) => Some("backend"),
        }
    }
}

/// What a call asks for and what its attempts meet.
#[derive(Debug)]
pub(crate) struct Script {
    outcomes: Vec<Word>,
    latency_ms: Vec<u64>,
    hedge_latency_ms: Vec<u64>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) time_left: Option<Duration>,
    pub(crate) cost: u32,
    pub(crate) method: Method,
    /// Whether whoever makes the call makes it again if it fails.
    pub(crate) is_retried: bool,
    /// Stands for whatever `per_key` names, and for what a cache keeps answers by; a call without one passes the cache.
    pub(crate) key: Option<Box<str>>,
    /// Which node it comes to; else one by chance.
    pub(crate) node: Option<u32>,
}

impl Script {
    /// What attempt `index`, from zero, meets, and after how long if the line says so; the last value repeats.
    pub(crate) fn attempt(&self, index: usize) -> (Word, Option<Duration>) {
        let outcome = self.outcomes.get(index).or(self.outcomes.last()).copied().unwrap_or(Word::Ok);
        let latency = self.latency_ms.get(index).or(self.latency_ms.last()).copied();
        (outcome, latency.map(Duration::from_millis))
    }

    /// After how long hedge `number`, from one, of an attempt is answered where the trace says so; the last value repeats. What it meets is what its attempt does.
    pub(crate) fn hedge(&self, number: usize) -> Option<Duration> {
        let latency = self.hedge_latency_ms.get(number.saturating_sub(1)).or(self.hedge_latency_ms.last());
        latency.copied().map(Duration::from_millis)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    at_ms: u64,
    op: Operation,
    outcomes: Option<Vec<Word>>,
    latency_ms: Option<Vec<u64>>,
    hedge_latency_ms: Option<Vec<u64>>,
    retry_after_ms: Option<u64>,
    deadline_ms: Option<u64>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    cost: Option<u32>,
    method: Option<String>,
    retried: Option<bool>,
    call: Option<u64>,
    servers: Option<u32>,
    node: Option<u32>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Call,
    Cancel,
    Reset,
    Trip,
    ForceOpen,
    ForceClose,
    Reload,
    Backend,
    Observe,
}

/// Reads the lines of a trace.
pub(crate) struct Reader<R> {
    source: R,
    origin: String,
    buffer: Vec<u8>,
    next: u64,
    at_ms: u64,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(source: R, origin: String) -> Self {
        Self { source, origin, buffer: Vec::new(), next: 0, at_ms: 0 }
    }

    /// The next line that is not blank.
    ///
    /// # Errors
    /// Says which line is none, counted from one as editors do, and why.
    pub(crate) fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            self.buffer.clear();
            let mut limited = std::io::Read::take(&mut self.source, MAX_LINE + 1);
            let length = limited
                .read_until(b'\n', &mut self.buffer)
                .map_err(|error| Failure::new(format!("cannot read {}: {error}", self.origin)))?;
            if length == 0 {
                return Ok(None);
            }
            let number = self.next;
            self.next += 1;
            if self.buffer.len() as u64 > MAX_LINE {
                return Err(self.refuse(number, &format!("the line has more than {MAX_LINE} bytes")));
            }
            if self.buffer.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let (at_ms, op) =
                parse(&self.buffer, number, self.at_ms).map_err(|message| self.refuse(number, &message))?;
            self.at_ms = at_ms;
            return Ok(Some(Line { number, at_ms, op }));
        }
    }

    /// What is wrong with a line.
    pub(crate) fn refuse(&self, number: u64, message: &str) -> Failure {
        Failure::new(format!("{}: line {}: {message}", self.origin, number + 1))
    }
}

fn parse(text: &[u8], number: u64, earliest: u64) -> Result<(u64, Op), String> {
    let raw: Raw<'_> = serde_json::from_slice(text).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        format!("{message} (column {})", error.column())
    })?;
    if raw.at_ms < earliest {
        return Err(format!("at_ms goes back from {earliest} to {}", raw.at_ms));
    }
    at_most("at_ms", Some(raw.at_ms), MAX_AT_MS)?;
    only_its_own(&raw)?;
    let at_ms = raw.at_ms;
    let op = match raw.op {
        Operation::Call => Op::Call(script(raw)?),
        Operation::Cancel => match raw.call {
            Some(call) if call < number => Op::Cancel(call),
            Some(call) => return Err(format!("call {call} does not lie before this line, which is {number}")),
            None => return Err("cancel needs call: the line that began it, from zero".to_owned()),
        },
        Operation::Reset => Op::Reset,
        Operation::Trip => Op::Trip,
        Operation::ForceOpen => Op::ForceOpen,
        Operation::ForceClose => Op::ForceClose,
        Operation::Reload => Op::Reload(raw.config.ok_or("reload needs config: a document")?.to_owned()),
        Operation::Backend => backend(&raw)?,
        Operation::Observe => Op::Observe(raw.node),
    };
    Ok((at_ms, op))
}

/// Refuses fields that would be read and do nothing.
fn only_its_own(raw: &Raw<'_>) -> Result<(), String> {
    let is_call = raw.op == Operation::Call;
    let is_backend = raw.op == Operation::Backend;
    let fields = [
        ("outcomes", raw.outcomes.is_some(), is_call),
        ("latency_ms", raw.latency_ms.is_some(), is_call || is_backend),
        ("hedge_latency_ms", raw.hedge_latency_ms.is_some(), is_call),
        ("retry_after_ms", raw.retry_after_ms.is_some(), is_call),
        ("deadline_ms", raw.deadline_ms.is_some(), is_call),
        ("key", raw.key.is_some(), is_call),
        ("cost", raw.cost.is_some(), is_call),
        ("method", raw.method.is_some(), is_call),
        ("retried", raw.retried.is_some(), is_call),
        ("call", raw.call.is_some(), raw.op == Operation::Cancel),
        ("servers", raw.servers.is_some(), is_backend),
        ("node", raw.node.is_some(), is_call || raw.op == Operation::Observe),
        ("config", raw.config.is_some(), raw.op == Operation::Reload),
    ];
    match fields.iter().find(|(_, given, taken)| *given && !taken) {
        Some((field, ..)) => Err(format!("this op has no {field}")),
        None => Ok(()),
    }
}

fn backend(raw: &Raw<'_>) -> Result<Op, String> {
    let latency = match raw.latency_ms.as_deref() {
        None => None,
        Some([latency]) => Some(*latency),
        Some(_) => return Err("backend has one latency_ms".to_owned()),
    };
    at_most("latency_ms", latency, MAX_MS)?;
    match raw.servers {
        Some(servers) if !(1..=MAX_COST).contains(&servers) => {
            Err(format!("servers must be between 1 and {MAX_COST} (got {servers})"))
        }
        None if latency.is_none() => Err("backend needs servers or latency_ms".to_owned()),
        servers => Ok(Op::Backend(servers, latency.map(Duration::from_millis))),
    }
}

fn script(raw: Raw<'_>) -> Result<Script, String> {
    let outcomes = raw.outcomes.filter(|it| !it.is_empty()).ok_or("a call needs outcomes, at least one")?;
    let latency_ms = raw.latency_ms.unwrap_or_default();
    at_most("latency_ms", latency_ms.iter().copied().max(), MAX_MS)?;
    let hedge_latency_ms = raw.hedge_latency_ms.unwrap_or_default();
    at_most("hedge_latency_ms", hedge_latency_ms.iter().copied().max(), MAX_MS)?;
    at_most("retry_after_ms", raw.retry_after_ms, MAX_MS)?;
    at_most("deadline_ms", raw.deadline_ms, MAX_MS)?;
    let cost = raw.cost.unwrap_or(1);
    if !(1..=MAX_COST).contains(&cost) {
        return Err(format!("cost must be between 1 and {MAX_COST} (got {cost})"));
    }
    let key =
        raw.key.map(|it| serde_json::from_str(it.get()).map_err(|_| "key must be a string".to_owned())).transpose()?;
    Ok(Script {
        outcomes,
        latency_ms,
        hedge_latency_ms,
        retry_after: raw.retry_after_ms.map(Duration::from_millis),
        time_left: raw.deadline_ms.map(Duration::from_millis),
        cost,
        method: method(raw.method.as_deref().unwrap_or("GET"))?,
        is_retried: raw.retried.unwrap_or(false),
        key,
        node: raw.node,
    })
}

fn at_most(field: &str, value: Option<u64>, most: u64) -> Result<(), String> {
    match value {
        Some(value) if value > most => Err(format!("{field} must be at most {most} (got {value})")),
        _ => Ok(()),
    }
}

fn method(name: &str) -> Result<Method, String> {
    Ok(match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "POST" => Method::Post,
        "PATCH" => Method::Patch,
        other if !other.is_empty() && other.bytes().all(|it| it.is_ascii_uppercase() || b"-_".contains(&it)) => {
            Method::Other
        }
        _ => return Err("method must be an HTTP method in capitals".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Line>, String> {
        let mut reader = Reader::new(text.as_bytes(), "trace".to_owned());
        let mut lines = Vec::new();
        while let Some(line) = reader.next().map_err(|failure| failure.to_string())? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn lines_are_counted_from_zero_and_blank_ones_as_well() {
        let lines = read("{\"at_ms\":0,\"op\":\"trip\"}\n\n{\"at_ms\":5,\"op\":\"observe\"}").expect("a trace");
        assert_eq!(lines.iter().map(|it| (it.number, it.at_ms)).collect::<Vec<_>>(), [(0, 0), (2, 5)]);
    }

    #[test]
    fn last_outcome_and_last_latency_repeat() {
        let text = r#"{"at_ms":0,"op":"call","outcomes":["transient","ok"],"latency_ms":[20,5]}"#;
        let Op::Call(script) = read(text).expect("a trace").remove(0).op else { unreachable!("it is a call") };
        let met: Vec<_> = (0..3).map(|index| script.attempt(index)).collect();
        let ms = |it| Some(Duration::from_millis(it));
        assert_eq!(met, [(Word::Transient, ms(20)), (Word::Ok, ms(5)), (Word::Ok, ms(5))]);
    }

    #[test]
    fn bad_lines_are_refused_with_their_number() {
        let call = r#"{"at_ms":9,"op":"call","outcomes":["ok"]}"#;
        for (line, words) in [
            ("{", "EOF"),
            (r#"{"at_ms":1,"op":"observe"}"#, "goes back"),
            (r#"{"at_ms":9,"op":"dance"}"#, "unknown variant"),
            (r#"{"at_ms":9,"op":"observe","colour":1}"#, "unknown field"),
            (r#"{"at_ms":9,"op":"observe","cost":1}"#, "this op has no cost"),
            (r#"{"at_ms":9,"op":"call"}"#, "needs outcomes"),
            (r#"{"at_ms":9,"op":"call","outcomes":[]}"#, "needs outcomes"),
            (r#"{"at_ms":9,"op":"call","outcomes":["ok"],"cost":0}"#, "cost must be between"),
            (r#"{"at_ms":9,"op":"call","outcomes":["ok"],"key":7}"#, "key must be a string"),
            (r#"{"at_ms":9,"op":"observe","retried":true}"#, "this op has no retried"),
            (r#"{"at_ms":9,"op":"call","outcomes":["ok"],"retried":1}"#, "invalid type"),
            (r#"{"at_ms":9,"op":"call","outcomes":["ok"],"method":"get"}"#, "in capitals"),
            (r#"{"at_ms":9,"op":"call","outcomes":["ok"],"latency_ms":[86400001]}"#, "latency_ms must be at most"),
            (r#"{"at_ms":9,"op":"call","outcomes":["ok"],"hedge_latency_ms":[86400001]}"#, "hedge_latency_ms must be"),
            (r#"{"at_ms":9,"op":"cancel"}"#, "needs call"),
            (r#"{"at_ms":9,"op":"cancel","call":1}"#, "does not lie before"),
            (r#"{"at_ms":9,"op":"backend"}"#, "needs servers or latency_ms"),
            (r#"{"at_ms":9,"op":"backend","servers":0}"#, "servers must be between"),
            (r#"{"at_ms":9,"op":"backend","latency_ms":[1,2]}"#, "one latency_ms"),
            (r#"{"at_ms":9,"op":"call","outcomes":["ok"],"servers":5}"#, "this op has no servers"),
            (r#"{"at_ms":9,"op":"reload"}"#, "needs config"),
            (r#"{"at_ms":99999999999999,"op":"observe"}"#, "at_ms must be at most"),
            (r#"{"at_ms":-1,"op":"observe"}"#, "invalid value"),
        ] {
            let error = read(&format!("{call}\n{line}\n")).expect_err(line);
            assert!(error.starts_with("rampart: trace: line 2: ") && error.contains(words), "{error}");
        }
    }

    #[test]
    fn lines_have_a_bounded_length() {
        let text = format!("{{\"at_ms\":0,\"op\":\"call\",\"outcomes\":[\"ok\"],\"key\":\"{}\"}}", "x".repeat(300_000));
        assert!(read(&text).expect_err("too long").contains("more than 262144 bytes"));
    }
}
