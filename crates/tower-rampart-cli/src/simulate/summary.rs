//! All calls of a replay in one line: how many ended how, and how long it took.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    nodes::Total,
    record::{End, is_zero, rounded},
};

/// Latencies below this are kept to the millisecond, those above to four digits: so that any number of calls takes bounded memory.
const EXACT_BELOW: u64 = 10_000;

/// What is printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) calls: u64,
    /// Calls that the service behind answered well.
    pub(crate) ok: u64,
    /// Calls that a stage refused.
    pub(crate) rejected: u64,
    pub(crate) attempts: u64,
    /// Attempts for each call that reached the service behind; 1 if none did.
    pub(crate) amplification: f64,
    /// Copies of attempts that hedging sent; not among the attempts.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) hedges: u64,
    pub(crate) opens: u64,
    /// Calls that ended well, a second of the trace from its first line to its last end.
    pub(crate) goodput_per_s: f64,
    /// Of the calls that an answer or a timeout ended, what the caller waited; `None` without any.
    pub(crate) p50_ms: Option<u64>,
    pub(crate) p99_ms: Option<u64>,
    /// What the nodes did together, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fleet: Option<Total>,
}

/// Counts the ends.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    calls: u64,
    ok: u64,
    rejected: u64,
    attempts: u64,
    reached: u64,
    hedges: u64,
    latencies: BTreeMap<u64, u64>,
    first_ms: Option<u64>,
    last_ms: u64,
}

impl Counter {
    /// Takes note of a line of the trace.
    pub(crate) fn saw(&mut self, at_ms: u64) {
        self.first_ms.get_or_insert(at_ms);
        self.last_ms = self.last_ms.max(at_ms);
    }

    pub(crate) fn count(&mut self, ended: &End) {
        self.calls += 1;
        self.ok += u64::from(ended.result == "ok");
        self.rejected += u64::from(ended.result == "rejected");
        self.attempts += u64::from(ended.attempts);
        self.reached += u64::from(ended.attempts > 0);
        self.hedges += u64::from(ended.hedges);
        self.last_ms = self.last_ms.max(ended.ended_ms);
        if !matches!(ended.result, "rejected" | "cancelled" | "panic") {
            *self.latencies.entry(rough(ended.ended_ms.saturating_sub(ended.at_ms))).or_default() += 1;
        }
    }

    pub(crate) fn summary(&self, opens: u64) -> Summary {
        let length_ms = self.last_ms.saturating_sub(self.first_ms.unwrap_or(self.last_ms));
        Summary {
            calls: self.calls,
            ok: self.ok,
            rejected: self.rejected,
            attempts: self.attempts,
            amplification: if self.reached == 0 { 1.0 } else { rounded(self.attempts as f64 / self.reached as f64) },
            hedges: self.hedges,
            opens,
            goodput_per_s: if length_ms == 0 { 0.0 } else { rounded(self.ok as f64 * 1000.0 / length_ms as f64) },
            p50_ms: self.percentile(50),
            p99_ms: self.percentile(99),
            fleet: None,
        }
    }

    /// The latency that so many percent do not exceed (nearest rank).
    fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.latencies.values().sum::<u64>() * percent).div_ceil(100);
        let mut below = 0;
        self.latencies
            .iter()
            .find(|(_, count)| {
                below += **count;
                below >= rank
            })
            .map(|(latency, _)| *latency)
    }
}

fn rough(ms: u64) -> u64 {
    let mut unit = 1;
    while ms / unit >= EXACT_BELOW {
        unit *= 10;
    }
    ms / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(result: &'static str, ended_ms: u64, attempts: u32) -> End {
        End {
            call: 0,
            at_ms: 0,
            node: None,
            ended_ms,
            admitted: attempts > 0,
            rejected_by: None,
            result,
            attempts,
            hedges: 0,
            copy: 0,
            delays_ms: Vec::new(),
            stopped_by: None,
            retry_after_ms: None,
            served_by: None,
            breaker: "closed",
            breaker_after: "closed",
        }
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank_among_answered_calls() {
        let mut counter = Counter::default();
        counter.saw(0);
        for ms in 1..=100 {
            counter.count(&ended("ok", ms, 1));
        }
        counter.count(&ended("rejected", 0, 0));
        counter.count(&ended("cancelled", 7000, 3));
        let summary = counter.summary(2);
        assert_eq!((summary.p50_ms, summary.p99_ms), (Some(50), Some(99)));
        assert_eq!((summary.calls, summary.ok, summary.rejected, summary.attempts), (102, 100, 1, 103));
        assert_eq!((summary.amplification, summary.goodput_per_s, summary.opens), (1.02, 14.286, 2));
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let summary = Counter::default().summary(0);
        assert_eq!((summary.amplification, summary.goodput_per_s, summary.p50_ms), (1.0, 0.0, None));
    }

    #[test]
    fn long_latencies_keep_four_digits() {
        assert_eq!([9_999, 10_001, 123_456].map(rough), [9_999, 10_000, 123_400]);
    }
}
