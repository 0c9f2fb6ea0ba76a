//! What the API says about an operation, wherever it says it: its numbers, how it stands, and where its configuration came from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart::{ResilienceConfig, registry::OperationSnapshot};
use tower_rampart_core::{
    Stage, breaker,
    registry::{ChaosSnapshot, HedgeSnapshot},
    signals::Signals,
};

use crate::{
    api::Api,
    moment::{Moment, Present, Seconds, millis},
    monitoring::Level,
    refusal::shown,
    stages::{Stages, words},
};

/// What was counted since the operation came to be, or since its counters were reset.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Metrics {
    /// Calls that were admitted; those in flight are among them, refused ones are not.
    pub(crate) total_calls: u64,
    pub(crate) successful_calls: u64,
    pub(crate) failed_calls: u64,
    /// Calls that a stage refused.
    pub(crate) rejected_calls: u64,
    /// Calls whose answer counts neither way.
    pub(crate) ignored_calls: u64,
    /// Calls that their caller dropped.
    pub(crate) abandoned_calls: u64,
    pub(crate) inflight: u64,
    /// Attempts that were sent, those that chaos struck included.
    pub(crate) attempts: u64,
    /// Attempts beyond the first of a call.
    pub(crate) retry_attempts: u64,
    /// Attempts for each call that reached the service behind.
    pub(crate) amplification: f64,
    /// Since the circuit came to be: circuits are not reset with the counters, nor are the two below.
    pub(crate) circuit_breaker_opens: u64,
    pub(crate) circuit_breaker_half_opens: u64,
    pub(crate) circuit_breaker_closes: u64,
    /// Successes among successes and failures, 0 to 1; 1 without any.
    pub(crate) success_rate: f64,
    /// Failures among successes and failures, 0 to 1; 0 without any.
    pub(crate) failure_rate: f64,
    pub(crate) last_failure: Option<Moment>,
    pub(crate) last_success: Option<Moment>,
    /// Calls that each stage refused.
    pub(crate) rejections: BTreeMap<&'static str, u64>,
    /// Calls that stages in shadow would have refused, by stage; those that would have refused none are not there.
    pub(crate) would_refuse: BTreeMap<&'static str, u64>,
    /// Calls that stages in shadow would have let wait.
    pub(crate) would_queue: BTreeMap<&'static str, u64>,
    /// Answered calls by class.
    pub(crate) classes: BTreeMap<&'static str, u64>,
    /// Limits of time that ran out, by kind.
    pub(crate) timeouts: BTreeMap<&'static str, u64>,
    /// Calls that retry gave up on, by reason.
    pub(crate) retry_stops: BTreeMap<&'static str, u64>,
    /// Calls that a fallback answered.
    pub(crate) fallbacks: u64,
    /// Copies of attempts that hedging sent; not among the attempts.
    pub(crate) hedges: Hedges,
    /// What was injected on purpose; null where chaos is off and has injected nothing. The calls that it struck are among those above.
    pub(crate) chaos: Option<Chaos>,
    pub(crate) queued_calls: u64,
    /// How the stages stand that not every operation has.
    pub(crate) stages: Stages,
    pub(crate) latency: Latency,
}

/// What came of the copies that hedging sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Hedges {
    pub(crate) begun: u64,
    /// Those whose answer was the attempt's.
    pub(crate) won: u64,
    pub(crate) failed: u64,
    /// Those that were dropped without an answer.
    pub(crate) abandoned: u64,
    /// Copies that were due and that the retry budget did not pay.
    pub(crate) unpaid: u64,
    /// How long an attempt may take now before a copy of it begins; null while hedging is off or knows too little.
    pub(crate) delay_ms: Option<f64>,
}

impl Hedges {
    fn of(it: &HedgeSnapshot) -> Self {
        let counts = it.counts;
        Self {
            begun: counts.begun,
            won: counts.won,
            failed: counts.failed,
            abandoned: counts.abandoned,
            unpaid: counts.unpaid,
            delay_ms: it.delay.map(millis),
        }
    }
}

/// What was injected on purpose.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Chaos {
    /// Whether it goes on.
    pub(crate) enabled: bool,
    /// Attempts that latency was added to.
    pub(crate) latencies: u64,
    /// Attempts that failed without being sent.
    pub(crate) faults: u64,
}

impl From<ChaosSnapshot> for Chaos {
    fn from(it: ChaosSnapshot) -> Self {
        Self { enabled: it.enabled, latencies: it.counts.latencies, faults: it.counts.faults }
    }
}

/// Of answered calls, in milliseconds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// The stages that did so at all.
fn by_stage(counts: &[(Stage, u64)]) -> BTreeMap<&'static str, u64> {
    counts.iter().filter(|(_, count)| *count > 0).map(|(stage, count)| (stage.as_str(), *count)).collect()
}

impl Metrics {
    pub(crate) fn of(it: &OperationSnapshot, present: Present) -> Self {
        let changes = |of: fn(&breaker::Snapshot) -> u64| it.breaker.as_ref().map_or(0, of);
        Self {
            total_calls: it.admitted,
            successful_calls: it.success,
            failed_calls: it.failure,
            rejected_calls: it.rejections(),
            ignored_calls: it.ignored,
            abandoned_calls: it.abandoned,
            inflight: it.inflight,
            attempts: it.attempts,
            retry_attempts: it.retries,
            amplification: it.amplification,
            circuit_breaker_opens: changes(|breaker| breaker.opens),
            circuit_breaker_half_opens: changes(|breaker| breaker.half_opens),
            circuit_breaker_closes: changes(|breaker| breaker.closes),
            success_rate: it.success_rate,
            failure_rate: it.failure_rate,
            last_failure: it.last_failure.map(|at| present.of(at)),
            last_success: it.last_success.map(|at| present.of(at)),
            rejections: it.rejected.iter().map(|(stage, count)| (stage.as_str(), *count)).collect(),
            would_refuse: by_stage(&it.would_refuse),
            would_queue: by_stage(&it.would_queue),
            classes: it.classes.iter().map(|(class, count)| (class.as_str(), *count)).collect(),
            timeouts: it.timeouts.iter().map(|(kind, count)| (kind.as_str(), *count)).collect(),
            retry_stops: it.stopped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
            fallbacks: it.fallbacks,
            hedges: Hedges::of(&it.hedges),
            chaos: it.chaos.map(Chaos::from),
            queued_calls: it.queued_calls,
            stages: Stages::of(it),
            latency: Latency {
                count: it.latency.count,
                mean_ms: millis(it.latency.mean),
                p50_ms: millis(it.latency.p50),
                p95_ms: millis(it.latency.p95),
                p99_ms: millis(it.latency.p99),
                max_ms: millis(it.latency.max),
            },
        }
    }
}

/// How an operation stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OperationSummary {
    /// The state of its circuit; none while that stage is off, as for the limits below.
    pub(crate) circuit_state: Option<&'static str>,
    pub(crate) is_healthy: bool,
    /// 0 to 1; 1 is as good as it can be.
    pub(crate) health_score: f64,
    /// Whether latency and faults are injected on purpose now.
    pub(crate) is_chaotic: bool,
    /// Counts as in the metrics: what happened lately is the difference of two looks.
    pub(crate) total_calls: u64,
    pub(crate) successful_calls: u64,
    pub(crate) failed_calls: u64,
    pub(crate) rejected_calls: u64,
    pub(crate) success_rate: f64,
    pub(crate) inflight: u64,
    pub(crate) max_inflight: Option<u32>,
    pub(crate) queue_depth: usize,
    /// Calls that the rate limit would admit now.
    pub(crate) rate_remaining: Option<f64>,
    /// How long until the rate limit is as full as it gets.
    pub(crate) rate_reset_seconds: Option<Seconds>,
    /// The stages whose state is kept by key: what is said of them here is that of all keys without a place. See /keys.
    pub(crate) by_key: Vec<&'static str>,
    pub(crate) amplification: f64,
    /// Calls that were answered, of which the latencies are.
    pub(crate) answered_calls: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) last_failure: Option<Moment>,
}

impl OperationSummary {
    pub(crate) fn of(it: &OperationSnapshot, present: Present) -> Self {
        let signals = Signals::from(it);
        Self {
            circuit_state: signals.circuit_state.map(breaker::State::as_str),
            is_healthy: signals.is_healthy,
            health_score: signals.health_score,
            is_chaotic: signals.is_chaotic,
            total_calls: it.admitted,
            successful_calls: it.success,
            failed_calls: it.failure,
            rejected_calls: it.rejections(),
            success_rate: it.success_rate,
            inflight: signals.current_inflight,
            max_inflight: signals.max_inflight,
            queue_depth: signals.queue_depth,
            rate_remaining: signals.rate_remaining,
            rate_reset_seconds: signals.rate_reset.map(Seconds),
            by_key: words(&signals.by_key),
            amplification: it.amplification,
            answered_calls: it.latency.count,
            mean_ms: millis(it.latency.mean),
            p50_ms: millis(it.latency.p50),
            p95_ms: millis(it.latency.p95),
            p99_ms: millis(it.latency.p99),
            last_failure: it.last_failure.map(|at| present.of(at)),
        }
    }
}

/// How all operations stand, by name.
pub(crate) fn summaries(all: &[OperationSnapshot], present: Present) -> BTreeMap<String, OperationSummary> {
    all.iter().map(|it| (it.operation.to_string(), OperationSummary::of(it, present))).collect()
}

/// What all operations counted together.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Performance {
    pub(crate) total_calls: u64,
    pub(crate) successful_calls: u64,
    pub(crate) failed_calls: u64,
    pub(crate) retry_attempts: u64,
    /// Successes among successes and failures, 0 to 1; 1 without any.
    pub(crate) success_rate: f64,
}

impl Performance {
    pub(crate) fn of(all: &[OperationSnapshot]) -> Self {
        let sum = |of: fn(&OperationSnapshot) -> u64| all.iter().map(of).sum::<u64>();
        let (successful_calls, failed_calls) = (sum(|it| it.success), sum(|it| it.failure));
        let judged = successful_calls + failed_calls;
        Self {
            total_calls: sum(|it| it.admitted),
            successful_calls,
            failed_calls,
            retry_attempts: sum(|it| it.retries),
            success_rate: if judged == 0 { 1.0 } else { successful_calls as f64 / judged as f64 },
        }
    }
}

/// Where the value of each field came from: of an operation, or of all that are not configured by name.
pub(crate) fn provenance(config: &ResilienceConfig, operation: Option<&str>) -> BTreeMap<String, String> {
    // No operation can be named by nothing.
    let all = config.provenance(operation.unwrap_or_default());
    all.into_iter().map(|(path, source)| (path, source.to_string())).collect()
}

/// That latency and faults are injected on purpose, if they are, so that nobody looks for their reason elsewhere.
pub(crate) fn chaos_notice(all: &[OperationSnapshot]) -> Option<String> {
    let mut chaotic = all.iter().filter(|it| it.chaos.is_some_and(|chaos| chaos.enabled));
    let first = shown(&chaotic.next()?.operation);
    let others = match chaotic.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("Chaos is on in '{first}'{others}: latency and faults may be injected on purpose"))
}

/// What an operator should look at, the latest first: what the monitor found to hold.
pub(crate) fn alerts(api: &Api) -> Vec<String> {
    api.monitor().active_alerts(Level::Warning).into_iter().map(|it| it.description).collect()
}
