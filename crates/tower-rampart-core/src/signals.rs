//! What callers steer by: one coherent look at an operation, and whether a call would be admitted now. The full numbers are in
//! [`registry::OperationSnapshot`](crate::registry::OperationSnapshot).

use std::time::Duration;

use crate::{
    Stage, Timestamp,
    breaker::State,
    concurrency::Algorithm,
    rate::OnLimit,
    registry::{Operation, OperationSnapshot},
    rejection::Name,
};

/// When to come back to a concurrency limit that is reached: a hint, for nobody knows when a call will end.
const OVERLOAD_HINT: Duration = Duration::from_millis(100);

/// One coherent look at an operation.
///
/// | part | its health |
/// |---|---|
/// | circuit breaker | 1; 0.5 while half open; 0 while open or forced open |
/// | rate limiter | the share of the burst (in a fleet, of this process's part of it) that is left; 0 without one whole call; of calls and tokens the lower |
/// | concurrency limiter | the share of the permits that is free |
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Signals {
    /// The operation.
    pub operation: Name,
    /// The state of the circuit; `None` without a breaker, as for the parts below.
    pub circuit_state: Option<State>,
    /// Calls that hold a permit of the concurrency limiter; without one, calls in flight.
    pub current_inflight: u64,
    /// The concurrency limit as it is now.
    pub max_inflight: Option<u32>,
    /// What moves it; `None` if nothing does.
    pub concurrency_algorithm: Option<Algorithm>,
    /// Calls that wait for a permit or for their turn at the rate limiter.
    pub queue_depth: usize,
    /// Calls that the rate limiter would admit now, with the fraction that is already refilled; `None` too where calls are not limited.
    pub rate_remaining: Option<f64>,
    /// How long until the rate limiter has its whole burst again, or a pause is over.
    pub rate_reset: Option<Duration>,
    /// Whether the rate limit is held with a fleet now (`true`), or to this process's share of the fleet's; `None` if it is in none.
    pub rate_shared: Option<bool>,
    /// Tokens of a model API that the rate limiter would admit now.
    pub tokens_remaining: Option<f64>,
    /// The stages whose state is kept by key: what is said of them here, and of health, is that of all keys without a place, and says nothing of a key.
    pub by_key: Vec<Stage>,
    /// Retries that the budget would pay for now.
    pub retry_budget: Option<f64>,
    /// The latency that half of the calls do not exceed.
    pub p50: Duration,
    /// The latency that 95 % of the calls do not exceed.
    pub p95: Duration,
    /// The latency that 99 % of the calls do not exceed.
    pub p99: Duration,
    /// Successes among successes and failures, 0 to 1; 1 if there were none.
    pub success_rate: f64,
    /// Whether no circuit is open, a whole call is left in the rate limit, and a permit is free. Half open counts as healthy.
    pub is_healthy: bool,
    /// The mean health of the parts that there are, 0 to 1; 1 if there are none.
    pub health_score: f64,
    /// `1 - health_score`.
    pub pressure: f64,
    /// Whether faults and latency are injected on purpose now: what is seen here is then not the service's alone.
    pub is_chaotic: bool,
}

/// Whether a call would be admitted now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Preflight {
    /// Whether no stage would refuse it.
    pub passed: bool,
    /// All stages that would refuse it: circuit breaker, rate limit, concurrency, timeout.
    pub refusals: Vec<PreflightRefusal>,
    /// The stages whose state is kept by key: whether they would refuse the call depends on its key, and here stands what they would do with a key without a
    /// place.
    pub by_key: Vec<Stage>,
    /// Retries that the budget would pay for now. An empty budget refuses no first attempt.
    pub retry_budget: Option<f64>,
}

/// A stage that would refuse a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreflightRefusal {
    /// The stage.
    pub stage: Stage,
    /// When to come back; `None` where that is unknown.
    pub retry_after: Option<Duration>,
    /// Whether the same call may be admitted later: not one that costs more than the burst, nor one whose deadline has passed.
    pub retryable: bool,
}

impl From<&OperationSnapshot> for Signals {
    fn from(it: &OperationSnapshot) -> Self {
        let circuit_state = it.breaker.as_ref().map(|breaker| breaker.state);
        let circuit = circuit_state.map(|state| match state {
            State::Closed | State::ForcedClosed | State::Disabled | State::MetricsOnly => 1.0,
            State::HalfOpen => 0.5,
            State::Open | State::ForcedOpen => 0.0,
        });
        let rate = it.rate.map(|rate| it.tokens.map_or(1.0, |tokens| tokens.health()).min(rate.health()));
        let concurrency = it.concurrency.map(|concurrency| concurrency.health());
        // What only evaluates says nothing of what becomes of calls.
        let live = |stage, health: Option<f64>| health.filter(|_| !it.shadow.has(stage));
        let parts =
            [live(Stage::CircuitBreaker, circuit), live(Stage::RateLimit, rate), live(Stage::Concurrency, concurrency)];
        let present = parts.iter().flatten().count();
        let health_score = if present == 0 { 1.0 } else { parts.iter().flatten().sum::<f64>() / present as f64 };
        Self {
            operation: Name::clone(&it.operation),
            circuit_state,
            current_inflight: it.concurrency.map_or(it.inflight, |concurrency| u64::from(concurrency.inflight)),
            max_inflight: it.concurrency.map(|concurrency| concurrency.max_inflight),
            concurrency_algorithm: it.concurrency.and_then(|concurrency| concurrency.algorithm),
            queue_depth: it.concurrency.map_or(0, |concurrency| concurrency.queued)
                + it.rate.map_or(0, |rate| rate.queued)
                + it.tokens.map_or(0, |tokens| tokens.queued),
            rate_remaining: it.rate.filter(|rate| rate.burst < u32::MAX).map(|rate| rate.remaining),
            rate_reset: it.rate.map(|rate| rate.reset_after),
            rate_shared: it.rate.and_then(|rate| rate.shared),
            tokens_remaining: it.tokens.map(|tokens| tokens.remaining),
            by_key: it.by_key.clone(),
            retry_budget: it.retry_budget,
            p50: it.latency.p50,
            p95: it.latency.p95,
            p99: it.latency.p99,
            success_rate: it.success_rate,
            is_healthy: parts.iter().flatten().all(|health| *health > 0.0),
            health_score,
            pressure: 1.0 - health_score,
            is_chaotic: it.chaos.is_some_and(|chaos| chaos.enabled),
        }
    }
}

impl PreflightRefusal {
    fn new(stage: Stage, retry_after: Option<Duration>, retryable: bool) -> Self {
        Self { stage, retry_after, retryable }
    }
}

impl Operation {
    /// What callers steer by.
    pub fn signals(&self, now: Timestamp) -> Signals {
        Signals::from(&self.snapshot(now))
    }

    /// Whether a call of `cost` that must end by `deadline` would be admitted `now`: advice, which takes no token, permit or probe slot.
    ///
    /// A call that would only have to wait is not refused, if the stage lets calls wait and the wait is within its bounds and the deadline.
    pub fn preflight(&self, now: Timestamp, cost: u32, deadline: Option<Timestamp>) -> Preflight {
        let parts = self.parts();
        let fits = |wait: Duration| deadline.is_none_or(|deadline| now.after(wait) < deadline);
        let mut refusals = Vec::new();
        let is_live = |stage| !parts.shadow.has(stage);
        let breaker = parts.running_breaker().filter(|_| is_live(Stage::CircuitBreaker));
        if let Some(Err(refused)) = breaker.map(|it| it.peek(now)) {
            refusals.push(PreflightRefusal::new(Stage::CircuitBreaker, refused.retry_after, true));
        }
        let exceeded = [(parts.running_rate(), cost), (parts.running_tokens(), 1)]
            .into_iter()
            .filter(|_| is_live(Stage::RateLimit))
            .filter_map(|(limiter, cost)| limiter.and_then(|it| Some((it, it.peek(cost, now).err()?))))
            // Who has to wait for both waits for the later one; never is later than any.
            .max_by_key(|(_, exceeded)| exceeded.retry_after.unwrap_or(Duration::MAX));
        if let Some((limiter, exceeded)) = exceeded {
            let config = limiter.config();
            let waits = config.on_limit == OnLimit::Wait;
            let may_wait = |wait| waits && fits(wait) && config.max_wait.is_none_or(|max| wait <= max);
            if !exceeded.retry_after.is_some_and(may_wait) {
                let (retry_after, retryable) = (exceeded.retry_after, exceeded.retry_after.is_some());
                refusals.push(PreflightRefusal::new(Stage::RateLimit, retry_after, retryable));
            }
        }
        if is_live(Stage::Concurrency) && parts.is_overloaded() {
            refusals.push(PreflightRefusal::new(Stage::Concurrency, Some(OVERLOAD_HINT), true));
        }
        if !fits(Duration::ZERO) {
            refusals.push(PreflightRefusal::new(Stage::Timeout, None, false));
        }
        Preflight {
            passed: refusals.is_empty(),
            refusals,
            by_key: parts.by_key(),
            retry_budget: parts.read_budget(now),
        }
    }
}
