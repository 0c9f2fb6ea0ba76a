//! What the samples of traffic say, as a trace that `rampart simulate` replays: yesterday's load through tomorrow's configuration.
//!
//! The counters know how many calls ended in a span, how, and how long they took on average; they do not know each call. So the trace is made from this:
//!
//! | in the trace | from |
//! |---|---|
//! | how many calls there are, and when | all that ended between two looks, spread evenly between them |
//! | what a call meets | the classes of the answers in the same span, interleaved evenly; attempts that timed out are `timeout` |
//! | what a call that was refused or abandoned would have met | the same mixture, or that of the last span before it that had answers |
//! | how long an attempt takes | the mean of the answered calls of the last span in which nothing was retried, for waits between attempts are none of it |
//! | `reset`, `trip`, `force_open`, `force_close` | what operators did to the circuit |
//!
//! Answers that came after retries are traced as their last attempt alone. Methods, keys, costs, deadlines and hints of servers are not known. A reload is no
//! line, because the trace is there to be replayed through another configuration.

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use tower_rampart::{ClassKind, Timestamp};
use tower_rampart_core::{breaker::TransitionReason, rejection::Name};

use super::{
    record::{Detail, Record},
    traffic::Sample,
};

/// The most calls of a trace; the oldest are left out.
pub(super) const MOST_CALLS: u64 = 100_000;
/// The longest latency of a trace.
const LONGEST_MS: u128 = 24 * 60 * 60 * 1000;

/// What an attempt meets.
const WORDS: [&str; 7] = ["ok", "transient", "timeout", "rate_limited", "unavailable", "permanent", "ignored"];

/// How many calls met each of [`WORDS`].
type Mixture = [u64; WORDS.len()];

/// A trace, and how many calls it leaves out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) text: String,
    pub(super) lines: u64,
    pub(super) omitted: u64,
}

/// What is known of one operation up to a span.
#[derive(Default)]
struct Known {
    mixture: Mixture,
    latency: Duration,
}

/// The calls of one span.
struct Span<'a> {
    sample: &'a Sample,
    mixture: Mixture,
    latency: Duration,
}

impl Known {
    /// What the calls of a span met, as far as that is known or can be supposed.
    fn span<'a>(&mut self, sample: &'a Sample) -> Span<'a> {
        let counts = &sample.counts;
        let class = |it| counts.class(it);
        let (transient, ignored) = (class(ClassKind::Transient), class(ClassKind::Ignored));
        let timeouts = counts.timeouts.min(transient);
        let answered: Mixture = [
            class(ClassKind::Success),
            transient - timeouts,
            timeouts,
            class(ClassKind::RateLimited),
            class(ClassKind::Unavailable),
            class(ClassKind::Permanent),
            ignored,
        ];
        if total(&answered) > 0 {
            self.mixture = answered;
        }
        if self.latency.is_zero() || (counts.retries == 0 && !sample.latency.is_zero()) {
            self.latency = sample.latency;
        }
        let unknown = counts.rejected.saturating_add(counts.abandoned);
        let supposed = scaled(&self.mixture, unknown);
        let mixture = std::array::from_fn(|it| answered[it].saturating_add(supposed[it]));
        Span { sample, mixture, latency: self.latency }
    }
}

impl Span<'_> {
    fn calls(&self) -> u64 {
        total(&self.mixture)
    }

    /// The lines of all calls but the first `skipped`.
    fn lines(&self, skipped: u64, lines: &mut Vec<(Timestamp, Line)>) {
        let (calls, mut told) = (self.calls(), [0_u64; WORDS.len()]);
        let length = u128::from(self.sample.to.as_nanos().saturating_sub(self.sample.from.as_nanos()));
        for index in 0..calls {
            // Whoever lies furthest behind its share is next.
            let behind = |it: usize| {
                let due = u128::from(self.mixture[it]) * u128::from(index + 1);
                i128::try_from(due).unwrap_or(i128::MAX) - i128::from(told[it]) * i128::from(calls)
            };
            let word = (0..WORDS.len()).rev().max_by_key(|it| behind(*it)).unwrap_or(0);
            told[word] += 1;
            if index >= skipped {
                let into = length * u128::from(2 * index + 1) / u128::from(2 * calls);
                let at = self.sample.from.as_nanos().saturating_add(u64::try_from(into).unwrap_or(u64::MAX));
                lines.push((Timestamp::from_nanos(at), Line::Call { word: WORDS[word], latency: self.latency }));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Line {
    Call { word: &'static str, latency: Duration },
    Action(&'static str),
}

/// The trace of one operation, or of all of them as if they were one.
pub(super) fn trace(samples: &[Arc<Sample>], records: &[Arc<Record>], operation: Option<&str>) -> Trace {
    let mut known: HashMap<&Name, Known> = HashMap::new();
    let wanted = |name: &str| operation.is_none_or(|it| it == name);
    let spans: Vec<Span<'_>> = samples
        .iter()
        .filter(|it| wanted(&it.operation))
        .map(|it| known.entry(&it.operation).or_default().span(it))
        .collect();
    let all = spans.iter().fold(0, |sum: u64, it| sum.saturating_add(it.calls()));
    let omitted = all.saturating_sub(MOST_CALLS);
    let mut lines = Vec::new();
    let mut skip = omitted;
    for span in &spans {
        let skipped = skip.min(span.calls());
        skip -= skipped;
        if skipped < span.calls() {
            span.lines(skipped, &mut lines);
        }
    }
    // What operators did stands as it was done; before the first call that is not left out, it would be about calls that are.
    let from = if omitted == 0 { Timestamp::ZERO } else { lines.iter().map(|it| it.0).min().unwrap_or_default() };
    for record in records {
        if record.operation.as_deref().is_some_and(wanted)
            && record.moment.at >= from
            && let Some(action) = action(&record.detail)
        {
            lines.push((record.moment.at, Line::Action(action)));
        }
    }
    lines.sort_by_key(|it| it.0);
    Trace { lines: lines.len() as u64, text: text(&lines), omitted }
}

fn action(detail: &Detail) -> Option<&'static str> {
    let Detail::Transition { reason, would_be: false, .. } = detail else { return None };
    match reason {
        TransitionReason::Reset => Some("reset"),
        TransitionReason::Tripped => Some("trip"),
        TransitionReason::ForcedOpen => Some("force_open"),
        TransitionReason::ForcedClosed => Some("force_close"),
        _ => None,
    }
}

fn text(lines: &[(Timestamp, Line)]) -> String {
    let began = lines.first().map_or(Timestamp::ZERO, |it| it.0);
    let mut text = String::with_capacity(lines.len() * 72);
    for (at, line) in lines {
        let at_ms = at.since(began).as_millis();
        let written = match line {
            Line::Call { word, latency } => {
                // Rounded up, so that what took any time takes some.
                let latency_ms = latency.as_nanos().div_ceil(1_000_000).min(LONGEST_MS);
                writeln!(text, r#"{{"at_ms":{at_ms},"op":"call","outcomes":["{word}"],"latency_ms":[{latency_ms}]}}"#)
            }
            Line::Action(action) => writeln!(text, r#"{{"at_ms":{at_ms},"op":"{action}"}}"#),
        };
        written.expect("a string takes whatever is written");
    }
    text
}

fn total(mixture: &Mixture) -> u64 {
    mixture.iter().fold(0, |sum, it| sum.saturating_add(*it))
}

/// So many calls in the same proportions, the remainder to the largest; calls of which nothing is known succeed.
fn scaled(mixture: &Mixture, calls: u64) -> Mixture {
    let all = total(mixture);
    if all == 0 {
        return std::array::from_fn(|it| if it == 0 { calls } else { 0 });
    }
    let part = |it: u64| u64::try_from(u128::from(it) * u128::from(calls) / u128::from(all)).unwrap_or(u64::MAX);
    let mut scaled: Mixture = mixture.map(part);
    let rest = calls.saturating_sub(total(&scaled));
    if let Some(largest) = (0..WORDS.len()).max_by_key(|it| mixture[*it]) {
        scaled[largest] += rest;
    }
    scaled
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::breaker::State;

    use super::{
        super::{clock::Moment, record::RecordKind, traffic::Counts},
        *,
    };

    fn sample(operation: &str, (from, to): (u64, u64), counts: Counts) -> Arc<Sample> {
        let [from, to] = [from, to].map(Timestamp::from_millis);
        Arc::new(Sample { operation: operation.into(), from, to, counts, latency: Duration::from_micros(4500) })
    }

    fn counts(success: u64, transient: u64, ignored: u64, rejected: u64) -> Counts {
        Counts { classes: [success, transient, 0, 0, 0, ignored], rejected, ..Counts::default() }
    }

    fn words(trace: &Trace) -> Vec<String> {
        let word = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            value["outcomes"][0].as_str().or(value["op"].as_str()).expect("a word").to_owned()
        };
        trace.text.lines().map(word).collect()
    }

    #[test]
    fn calls_are_spread_over_their_span_and_outcomes_over_the_calls() {
        let trace = trace(&[sample("a", (1000, 2000), counts(3, 1, 0, 0))], &[], None);
        assert_eq!(words(&trace), ["ok", "ok", "transient", "ok"]);
        let first = r#"{"at_ms":0,"op":"call","outcomes":["ok"],"latency_ms":[5]}"#;
        assert_eq!(trace.text.lines().next(), Some(first));
        assert!(trace.text.lines().nth(3).expect("four").contains(r#""at_ms":750"#), "{}", trace.text);
        assert_eq!((trace.lines, trace.omitted), (4, 0));
    }

    #[test]
    fn refused_calls_would_have_met_what_the_others_met_last() {
        let samples = [
            sample("a", (0, 1000), counts(0, 2, 0, 0)),
            sample("a", (1000, 2000), counts(0, 0, 0, 3)),
            sample("a", (2000, 3000), counts(2, 0, 0, 1)),
        ];
        let trace = trace(&samples, &[], None);
        assert_eq!(words(&trace), [["transient"; 5].as_slice(), ["ok"; 3].as_slice()].concat());
    }

    #[test]
    fn attempts_that_timed_out_never_answer() {
        let counts = Counts { timeouts: 1, ..counts(0, 2, 0, 0) };
        let trace = trace(&[sample("a", (0, 10), counts)], &[], None);
        let mut words = words(&trace);
        words.sort_unstable();
        assert_eq!(words, ["timeout", "transient"]);
    }

    #[test]
    fn waits_between_attempts_are_no_latency() {
        let slow = Counts { retries: 3, ..counts(0, 3, 0, 0) };
        let mut second = Sample::clone(&sample("a", (10, 20), slow));
        second.latency = Duration::from_secs(30);
        let trace = trace(&[sample("a", (0, 10), counts(1, 0, 0, 0)), Arc::new(second)], &[], None);
        assert!(trace.text.lines().all(|it| it.contains(r#""latency_ms":[5]"#)), "{}", trace.text);
    }

    #[test]
    fn what_operators_did_to_the_circuit_is_part_of_it_and_the_rest_is_not() {
        let done = |millis, name: &str, reason| {
            let moment = Moment { at: Timestamp::from_millis(millis), date: jiff::Timestamp::UNIX_EPOCH };
            let detail = Detail::Transition { from: State::Closed, to: State::Open, reason, would_be: false };
            Arc::new(Record::new(moment, RecordKind::Transition, 1.0, detail).operation(name))
        };
        let records = [
            done(0, "a", TransitionReason::ForcedOpen),
            done(500, "a", TransitionReason::ConsecutiveFailures),
            done(900, "b", TransitionReason::Tripped),
            done(1000, "a", TransitionReason::Reset),
        ];
        let samples = [sample("a", (0, 1000), counts(1, 0, 0, 0)), sample("b", (0, 1000), counts(5, 0, 0, 0))];
        assert_eq!(words(&trace(&samples, &records, Some("a"))), ["force_open", "ok", "reset"]);
        assert_eq!(words(&trace(&samples, &records, None)).len(), 9);
    }

    #[test]
    fn longest_trace_leaves_out_the_oldest_calls() {
        let samples = [
            sample("a", (0, 1000), counts(MOST_CALLS, 0, 0, 0)),
            sample("a", (1000, 2000), counts(0, MOST_CALLS / 2, 0, 0)),
        ];
        let trace = trace(&samples, &[], None);
        assert_eq!((trace.lines, trace.omitted), (MOST_CALLS, MOST_CALLS / 2));
        assert!(
            trace.text.starts_with(r#"{"at_ms":0,"#) && trace.text.ends_with("[\"transient\"],\"latency_ms\":[5]}\n")
        );
    }
}
