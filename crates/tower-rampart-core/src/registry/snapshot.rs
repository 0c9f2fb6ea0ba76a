//! What was counted, as plain data; `signals` condenses it for callers, `prometheus.rs` prints it for scrapers.

use std::time::Duration;

use super::{
    counters::Totals,
    histogram::Latencies,
    parts::{ConcurrencySnapshot, Parts, RateSnapshot},
};
use crate::{
    ClassKind, Outcome, ProviderClass, Stage, Timestamp, breaker,
    cache::CacheSnapshot,
    chaos, hedge,
    priority::{Priority, Shares},
    rejection::{Name, TimeoutKind},
    retry::StopReason,
    shadow::Stages,
    throttle::ThrottleSnapshot,
};

/// Everything that a registry knows at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The moment, by the clock of the registry.
    pub at: Timestamp,
    /// All operations, by name.
    pub operations: Vec<OperationSnapshot>,
    /// All named circuit breakers, by name, those of operations among them.
    pub breakers: Vec<(Name, breaker::Snapshot)>,
}

/// The latencies of the calls that were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencySnapshot {
    /// How many latencies.
    pub count: u64,
    /// Their mean; exact.
    pub mean: Duration,
    /// The latency that half of them do not exceed, within 6.25 % (or 512 ns, if that is more).
    pub p50: Duration,
    /// The latency that 95 % of them do not exceed, within the same.
    pub p95: Duration,
    /// The latency that 99 % of them do not exceed, within the same.
    pub p99: Duration,
    /// The largest; exact.
    pub max: Duration,
}

/// The copies of attempts that hedging sent beside the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HedgeSnapshot {
    /// How many, and what came of them.
    pub counts: hedge::Counts,
    /// How long an attempt may take now before a copy of it begins; `None` if the stage is off, or knows too few latencies.
    pub delay: Option<Duration>,
}

/// Faults and latency that were injected on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChaosSnapshot {
    /// Whether it goes on.
    pub enabled: bool,
    /// How often, of either.
    pub counts: chaos::Counts,
}

/// What one operation counted since it came to be, or since its counters were reset.
///
/// `success + failure + ignored + abandoned + inflight == admitted`, and every rate lies in 0 to 1, however many threads count meanwhile.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OperationSnapshot {
    /// The operation.
    pub operation: Name,
    /// Calls that started.
    pub admitted: u64,
    /// Calls that have not ended yet.
    pub inflight: u64,
    /// Calls that ended well.
    pub success: u64,
    /// Calls that failed.
    pub failure: u64,
    /// Calls whose answer counts neither way.
    pub ignored: u64,
    /// Calls that their caller dropped.
    pub abandoned: u64,
    /// Answered calls by class, in the order of [`ClassKind::ALL`].
    pub classes: Vec<(ClassKind, u64)>,
    /// Calls that a stage refused, in the order of [`Stage::ALL`].
    pub rejected: Vec<(Stage, u64)>,
    /// Attempts that were sent, those that chaos struck included.
    pub attempts: u64,
    /// Attempts beyond the first of a call that retry made.
    pub retries: u64,
    /// Attempts for each call that reached the service behind, at least 1; 1 if none did.
    pub amplification: f64,
    /// Calls that retry gave up on, by reason, in the order of [`StopReason::ALL`].
    pub stopped: Vec<(StopReason, u64)>,
    /// Timeouts by kind, in the order of [`TimeoutKind::ALL`].
    pub timeouts: Vec<(TimeoutKind, u64)>,
    /// Calls that a fallback answered.
    pub fallbacks: u64,
    /// Calls that waited in a queue.
    pub queued_calls: u64,
    /// How long they waited together.
    pub queue_time: Duration,
    /// What was injected on purpose; `None` while chaos is off and has injected nothing.
    pub chaos: Option<ChaosSnapshot>,
    /// The copies of attempts that hedging sent.
    pub hedges: HedgeSnapshot,
    /// Errors that a model API answered attempts with, by class, in the order of [`ProviderClass::ALL`].
    pub provider_errors: Vec<(ProviderClass, u64)>,
    /// Calls that were shed, by their class, in the order of [`Priority::ALL`].
    pub shed: Vec<(Priority, u64)>,
    /// Calls that stages in shadow would have refused, in the order of [`Stage::ALL`].
    pub would_refuse: Vec<(Stage, u64)>,
    /// Calls that stages in shadow would have let wait, in the order of [`Stage::ALL`].
    pub would_queue: Vec<(Stage, u64)>,
    /// The stages that are in shadow now.
    pub shadow: Stages,
    /// The share of the room that each class of calls may take; `None` where classes are not told apart.
    pub priority: Option<Shares>,
    /// The stages whose state is kept by key now, in the order of [`Stage::ALL`]: what is said of them here is that of all keys without a place.
    pub by_key: Vec<Stage>,
    /// The latencies of the answered calls.
    pub latency: LatencySnapshot,
    /// Successes among successes and failures, 0 to 1; 1 if there were none.
    pub success_rate: f64,
    /// Failures among successes and failures, 0 to 1; 0 if there were none.
    pub failure_rate: f64,
    /// When the last call ended well.
    pub last_success: Option<Timestamp>,
    /// When the last call failed.
    pub last_failure: Option<Timestamp>,
    /// When the last call was dropped by its caller.
    pub last_abandoned: Option<Timestamp>,
    /// The circuit breaker; `None` if there is none or its stage is off, as below.
    pub breaker: Option<breaker::Snapshot>,
    /// The rate limiter.
    pub rate: Option<RateSnapshot>,
    /// The limiter of the tokens of a model API.
    pub tokens: Option<RateSnapshot>,
    /// The concurrency limiter.
    pub concurrency: Option<ConcurrencySnapshot>,
    /// Retries that the budget would pay for now.
    pub retry_budget: Option<f64>,
    /// The caches; `None` if the stage is off and never counted anything.
    pub cache: Option<CacheSnapshot>,
    /// The throttle.
    pub throttle: Option<ThrottleSnapshot>,
}

impl OperationSnapshot {
    /// Calls that any stage refused.
    pub fn rejections(&self) -> u64 {
        self.rejected.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn new(name: &Name, totals: &Totals, latencies: &Latencies, parts: &Parts, now: Timestamp) -> Self {
        let (success, failure) = (totals.outcome(Outcome::Success), totals.outcome(Outcome::Failure));
        let failure_rate = breaker::rate(failure, success + failure);
        Self {
            operation: Name::clone(name),
            admitted: totals.started,
            inflight: totals.inflight(),
            success,
            failure,
            ignored: totals.outcome(Outcome::Ignored),
            abandoned: totals.abandoned,
            classes: ClassKind::ALL.map(|it| (it, totals.class(it))).to_vec(),
            rejected: Stage::ALL.map(|it| (it, totals.rejected[it as usize])).to_vec(),
            attempts: totals.attempts(),
            retries: totals.retries,
            amplification: if totals.reached == 0 { 1.0 } else { totals.attempts() as f64 / totals.reached as f64 },
            stopped: StopReason::ALL.map(|it| (it, totals.stops[it as usize])).to_vec(),
            timeouts: TimeoutKind::ALL.map(|it| (it, totals.timeouts[it as usize])).to_vec(),
            fallbacks: totals.fallbacks,
            queued_calls: totals.queued,
            queue_time: Duration::from_nanos(totals.queue_time),
            chaos: (parts.is_chaotic() || totals.chaos != chaos::Counts::default())
                .then(|| ChaosSnapshot { enabled: parts.is_chaotic(), counts: totals.chaos }),
            hedges: HedgeSnapshot { counts: totals.hedges, delay: parts.read_hedge_delay(now) },
            provider_errors: ProviderClass::ALL.map(|it| (it, totals.provider_errors[it as usize])).to_vec(),
            shed: Priority::ALL.map(|it| (it, totals.shed[it as usize])).to_vec(),
            would_refuse: Stage::ALL.map(|it| (it, totals.would_refuse[it as usize])).to_vec(),
            would_queue: Stage::ALL.map(|it| (it, totals.would_queue[it as usize])).to_vec(),
            shadow: parts.shadow,
            priority: parts.priority,
            by_key: parts.by_key(),
            latency: LatencySnapshot::new(totals, latencies),
            success_rate: 1.0 - failure_rate,
            failure_rate,
            last_success: totals.last_success,
            last_failure: totals.last_failure,
            last_abandoned: totals.last_abandoned,
            breaker: parts.read_breaker(now),
            rate: parts.read_rate(now),
            tokens: parts.read_tokens(now),
            concurrency: parts.read_concurrency(),
            retry_budget: parts.read_budget(now),
            cache: None,
            throttle: parts.read_throttle(now),
        }
    }
}

impl LatencySnapshot {
    pub(super) fn new(totals: &Totals, latencies: &Latencies) -> Self {
        let count = latencies.count();
        let max = latencies.max();
        Self {
            count,
            // The sum and the count are read one after the other: what came in between must not lift the mean above the maximum.
            mean: Duration::from_nanos(totals.latency_sum / count.max(1)).min(max),
            p50: latencies.quantile(0.5),
            p95: latencies.quantile(0.95),
            p99: latencies.quantile(0.99),
            max,
        }
    }
}
