//! What is said about a call, an observation and a reload, one line each. The summary of all calls is in `summary`.

use std::time::Duration;

use serde::Serialize;
use tower_rampart::{OperationConfig, pipeline::OperationHandle, registry::OperationSnapshot};
use tower_rampart_config::{ConfigError, Violation};
use tower_rampart_core::signals::Signals;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct End {
    /// The line that began it, from zero.
    pub(crate) call: u64,
    pub(crate) at_ms: u64,
    /// The node that it came to, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<usize>,
    pub(crate) ended_ms: u64,
    pub(crate) admitted: bool,
    pub(crate) rejected_by: Option<&'static str>,
    pub(crate) result: &'static str,
    pub(crate) attempts: u32,
    /// Copies of attempts that hedging sent.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) hedges: u32,
    /// Which copy of the last attempt answered; 0 is the first.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) copy: u32,
    pub(crate) delays_ms: Vec<u64>,
    pub(crate) stopped_by: Option<&'static str>,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) served_by: Option<&'static str>,
    pub(crate) breaker: &'static str,
    pub(crate) breaker_after: &'static str,
}

impl End {
    /// Whether the caller met something else than in `other`; only later is not something else.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        (self.result, self.rejected_by, self.served_by) != (other.result, other.rejected_by, other.served_by)
    }
}

/// How it stands with everything at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Observed {
    observe: u64,
    /// Which node, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<usize>,
    breaker: &'static str,
    retry_after_ms: Option<u64>,
    consecutive_failures: u32,
    inflight: u64,
    queued: usize,
    current_inflight: u64,
    queue_depth: usize,
    /// The concurrency limit as it is now, where there is one.
    max_inflight: Option<u32>,
    rate_remaining: Option<f64>,
    retry_budget: Option<f64>,
    totals: Totals,
}

/// What was counted so far, attempts of calls in flight excepted.
#[derive(Debug, Serialize)]
struct Totals {
    admitted: u64,
    success: u64,
    failure: u64,
    ignored: u64,
    abandoned: u64,
    rejected: u64,
    attempts: u64,
    retries: u64,
    fallbacks: u64,
    opens: u64,
    /// What stages in shadow would have refused and let wait.
    would_refuse: u64,
    would_queue: u64,
    /// Attempts that chaos held up, and that it let fail.
    #[serde(skip_serializing_if = "is_zero")]
    injected_latencies: u64,
    #[serde(skip_serializing_if = "is_zero")]
    injected_faults: u64,
}

impl Observed {
    pub(crate) fn new(at_ms: u64, node: Option<usize>, handle: &OperationHandle) -> Self {
        let (circuit, counted) = (handle.breaker().snapshot(), handle.snapshot());
        let signals = Signals::from(&counted);
        Self {
            observe: at_ms,
            node,
            breaker: circuit.state.as_str(),
            retry_after_ms: circuit.retry_after.map(millis),
            consecutive_failures: circuit.consecutive_failures,
            inflight: counted.inflight,
            queued: signals.queue_depth,
            current_inflight: signals.current_inflight,
            queue_depth: signals.queue_depth,
            max_inflight: signals.max_inflight,
            rate_remaining: signals.rate_remaining.map(rounded),
            retry_budget: signals.retry_budget.map(rounded),
            totals: Totals::new(&counted, circuit.opens),
        }
    }
}

impl Totals {
    fn new(counted: &OperationSnapshot, opens: u64) -> Self {
        Self {
            admitted: counted.admitted,
            success: counted.success,
            failure: counted.failure,
            ignored: counted.ignored,
            abandoned: counted.abandoned,
            rejected: counted.rejections(),
            attempts: counted.attempts,
            retries: counted.retries,
            fallbacks: counted.fallbacks,
            opens,
            would_refuse: counted.would_refuse.iter().map(|(_, count)| count).sum(),
            would_queue: counted.would_queue.iter().map(|(_, count)| count).sum(),
            injected_latencies: counted.chaos.map_or(0, |it| it.counts.latencies),
            injected_faults: counted.chaos.map_or(0, |it| it.counts.faults),
        }
    }
}

/// A reload that changed nothing, because its document is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Refused<'a> {
    pub(crate) error: &'static str,
    /// The line, from zero.
    pub(crate) reload: u64,
    pub(crate) at_ms: u64,
    /// Which of two configurations it was to be laid over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<&'a str>,
    pub(crate) violations: &'a [Violation],
}

impl<'a> Refused<'a> {
    pub(crate) fn new(reload: u64, at_ms: u64, error: &'a ConfigError) -> Self {
        let message = "the document is refused; nothing has changed";
        Self { error: message, reload, at_ms, config: None, violations: error.violations() }
    }
}

/// Whether the configuration has an answer of its own where the service has none.
pub(crate) fn has_fallback(config: &OperationConfig) -> bool {
    let answer = &config.fallback_answer;
    !answer.targets.is_empty() || answer.status.is_some() || answer.body.is_some()
}

pub(crate) fn is_zero<N: Copy + Into<u64>>(number: &N) -> bool {
    (*number).into() == 0
}

/// Milliseconds, rounded up.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Three digits after the point: what the arithmetic of floats leaves behind says nothing.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        assert_eq!(millis(Duration::from_micros(2001)), 3);
        assert_eq!(millis(Duration::from_millis(2)), 2);
        assert_eq!(millis(Duration::ZERO), 0);
    }
}
