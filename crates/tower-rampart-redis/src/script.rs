//! The scripts: what is asked of Redis, and what it answers about a limit, once that can be true. They themselves are `rate.lua` and `hint.lua`.

use std::time::Duration;

use redis::Script;

use crate::{
    connection::Connection,
    hint::MOST_NODES,
    mode::{Fault, Reason},
    units::Units,
};

/// The most that can be owed, in units.
const MOST_DEBT: u64 = 1 << 52;
/// The longest wait that is believed: until the largest debt is worked off, and a bucket besides.
const LONGEST: u64 = 1 << 53;
/// The time until which every request is still awaited: used before the server's clock is known.
const ALWAYS: u64 = 1 << 53;

/// The scripts of a fleet.
#[derive(Debug)]
pub(crate) struct Scripts {
    rate: Script,
    hint: Script,
}

/// A point of the server's clock, in microseconds, and what was owed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: u64,
    pub(crate) debt: u64,
    pub(crate) units: Units,
}

/// A request about one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) units: Units,
    /// Tokens to pay for.
    pub(crate) owed: u64,
    /// Tokens for calls to come.
    pub(crate) wanted: u64,
    /// None rather than fewer than these.
    pub(crate) least: u64,
    /// Tokens that nobody needed, and how long they were held.
    pub(crate) returned: (u64, Duration),
    pub(crate) seen: Option<Seen>,
    /// When nobody waits for the answer any more, by the server's clock.
    pub(crate) until: Option<u64>,
}

/// A word about one circuit.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    /// Those of the nodes that live, and of those that are open.
    pub(crate) keys: [String; 2],
    pub(crate) node: &'a str,
    pub(crate) is_open: bool,
    /// How long it counts.
    pub(crate) lasting: Duration,
    pub(crate) channel: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) until: Option<u64>,
}

/// What Redis answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) granted: u64,
    pub(crate) free: u64,
    /// Until there is a token, or the least that was asked for.
    pub(crate) wait: Duration,
    pub(crate) seen: Seen,
}

impl Request {
    pub(crate) fn new(units: Units) -> Self {
        Self { units, owed: 0, wanted: 0, least: 0, returned: (0, Duration::ZERO), seen: None, until: None }
    }
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self { rate: Script::new(include_str!("rate.lua")), hint: Script::new(include_str!("hint.lua")) }
    }

    /// Says how one circuit stands, and asks what others say of it.
    pub(crate) async fn hint(&self, connection: &mut Connection, question: &Question<'_>) -> Result<Vec<i64>, Fault> {
        let [nodes, open] = &question.keys;
        let mut call = self.hint.key(nodes);
        call.key(open)
            .arg(question.node)
            .arg(u8::from(question.is_open))
            .arg(u64::try_from(question.lasting.as_millis()).unwrap_or(LONGEST))
            .arg(MOST_NODES)
            .arg(question.channel)
            .arg(question.operation)
            .arg(question.until.unwrap_or(ALWAYS));
        Ok(call.invoke_async(connection.server()?).await?)
    }

    /// Asks about one limit.
    pub(crate) async fn ask(&self, connection: &mut Connection, key: &str, request: &Request) -> Result<Answer, Fault> {
        let Request { units, owed, wanted, least, returned, seen, until } = request;
        // What was seen under another quota is in other units.
        let seen = seen.filter(|it| it.units == *units);
        let arguments = [
            units.scale,
            units.interval,
            units.burst,
            *owed,
            *wanted,
            *least,
            returned.0,
            u64::try_from(returned.1.as_micros()).unwrap_or(LONGEST).min(LONGEST),
            seen.map_or(0, |it| it.at),
            seen.map_or(0, |it| it.debt),
            until.unwrap_or(ALWAYS),
        ];
        let answer = connection.rate(&self.rate, key, &arguments).await?;
        read(&answer, request)
    }
}

/// Takes nothing for an answer that cannot be one.
fn read(answer: &[i64], request: &Request) -> Result<Answer, Fault> {
    let nonsense = || Fault::new(Reason::Nonsense, Reason::Nonsense.as_str());
    let &[granted, free, wait, at, debt] = answer else { return Err(nonsense()) };
    if granted == -1 {
        return Err(Fault::new(Reason::Timeout, "the request came too late"));
    }
    let numbers = [granted, free, wait, at, debt].map(|it| u64::try_from(it).ok());
    let [Some(granted), Some(free), Some(wait), Some(at), Some(debt)] = numbers else { return Err(nonsense()) };
    let possible = granted <= request.wanted
        && (granted == 0 || granted >= request.least)
        && free <= request.units.burst
        && wait <= LONGEST
        && at > 0
        && at < ALWAYS
        && debt <= MOST_DEBT;
    if !possible {
        return Err(nonsense());
    }
    let seen = Seen { at, debt, units: request.units };
    Ok(Answer { granted, free, wait: Duration::from_micros(wait), seen })
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::rate::Config;

    use super::*;

    fn request() -> Request {
        Request { wanted: 10, least: 2, ..Request::new(Units::of(&Config::per_second(100.0))) }
    }

    #[test]
    fn answers_that_can_be_true_are_read() {
        let answer = read(&[10, 90, 0, 1_700_000_000_000_000, 5], &request()).expect("it can be");
        assert_eq!((answer.granted, answer.free, answer.wait, answer.seen.debt), (10, 90, Duration::ZERO, 5));
    }

    #[test]
    fn answers_that_cannot_be_true_are_nonsense() {
        let at = 1_700_000_000_000_000;
        let too_much = i64::try_from(MOST_DEBT).expect("it is below 2^53") + 1;
        let wrong: [&[i64]; 9] = [
            &[],
            &[1, 2, 3],
            &[11, 0, 0, at, 0],
            &[1, 0, 0, at, 0],
            &[-2, 0, 0, at, 0],
            &[0, 101, 0, at, 0],
            &[0, 0, i64::MAX, at, 0],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, at, too_much],
        ];
        for answer in wrong {
            let fault = read(answer, &request()).expect_err("it cannot be");
            assert_eq!(fault.reason, Reason::Nonsense, "{answer:?}");
        }
    }
}
