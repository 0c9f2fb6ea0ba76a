//! A refusal as data: who refused, why, and how long to wait. The error enum that carries it to callers is `tower_rampart::Error`.

mod guards;
mod injected;
mod stage;
mod wording;

use std::{sync::Arc, time::Duration};

use self::wording::{Counting, PerKey, Wait};
pub use self::{
    guards::{Shed, Throttled},
    injected::Injected,
    stage::Stage,
};
use crate::{Class, Verdict, breaker::State, rate::Unit};

/// The name of an operation; cloning it allocates nothing.
pub type Name = Arc<str>;

/// A call that this suite ended without, or before, an answer from behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The circuit is open, or half open with all probe slots taken.
    #[error(transparent)]
    CircuitOpen(CircuitOpen),
    /// The rate limit is used up.
    #[error(transparent)]
    RateLimited(RateLimited),
    /// The concurrency limit and its queue are full, or the wait in the queue was too long.
    #[error(transparent)]
    Overloaded(Overloaded),
    /// An attempt or the whole call took too long.
    #[error(transparent)]
    Timeout(TimedOut),
    /// A chain of fallback services has no enabled member.
    #[error(transparent)]
    NoEnabledTargets(NoEnabledTargets),
    /// The service behind refuses too much, so that some calls are not made.
    #[error(transparent)]
    Throttled(Throttled),
    /// More important calls need the room that is left.
    #[error(transparent)]
    Shed(Shed),
    /// A fault was injected on purpose.
    #[error(transparent)]
    Injected(Injected),
}

/// The circuit breaker admits no call now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker{} of `{operation}` is {state}{}", PerKey(*.per_key), Wait(*.retry_after))]
#[non_exhaustive]
pub struct CircuitOpen {
    /// The operation whose breaker refused.
    pub operation: Name,
    /// The state in which it refused.
    pub state: State,
    /// When the next call is admitted; `None` if that depends on the outcome of others or on an operator.
    pub retry_after: Option<Duration>,
    /// Whether it is the breaker of one key among many. Which one is not said: it may be a secret of whoever calls.
    pub per_key: bool,
}

/// Why a rate limiter refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RateLimitReason {
    /// The quota is used up.
    Exceeded,
    /// The call would have had to wait longer than `max_wait` or the deadline allow.
    WaitTooLong,
    /// The call costs more than the burst, so that it can never be admitted.
    CostAboveBurst,
}

/// The rate limiter admits no call now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rate limit{} of `{operation}`{} {}{}", PerKey(*.per_key), Counting(*.unit), .reason.as_str(), Wait(*.retry_after))]
#[non_exhaustive]
pub struct RateLimited {
    /// The operation whose limiter refused.
    pub operation: Name,
    /// Why it refused.
    pub reason: RateLimitReason,
    /// When the call would be admitted; `None` if never.
    pub retry_after: Option<Duration>,
    /// The number of calls admitted at once after a pause: the limit that HTTP `RateLimit` fields state. [`u32::MAX`]: the limiter has no
    /// quota of its own.
    pub burst: u32,
    /// What the limiter counts.
    pub unit: Unit,
    /// Whether it is the limit of one key among many. Which one is not said.
    pub per_key: bool,
}

/// Why a concurrency limiter refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverloadReason {
    /// All permits are taken and the queue has no room.
    QueueFull,
    /// The call waited `queue_timeout` in the queue.
    QueueTimeout,
}

/// The concurrency limiter admits no call now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("concurrency limit{} of `{operation}` ({max_inflight} in flight) {}{}", PerKey(*.per_key), .reason.as_str(), Wait(*.retry_after))]
#[non_exhaustive]
pub struct Overloaded {
    /// The operation whose limiter refused.
    pub operation: Name,
    /// Why it refused.
    pub reason: OverloadReason,
    /// The limit at that moment.
    pub max_inflight: u32,
    /// A hint when to come back, where one is known.
    pub retry_after: Option<Duration>,
    /// Whether it is the limit of one key among many. Which one is not said.
    pub per_key: bool,
}

/// Which limit of time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// The time of one attempt.
    Attempt,
    /// The time of the whole call: `timeout.total`, or the deadline that came with the request.
    Total,
}

/// A limit of time ran out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{operation}` exceeded its {} timeout of {limit:?}", .kind.as_str())]
#[non_exhaustive]
pub struct TimedOut {
    /// The operation that took too long.
    pub operation: Name,
    /// Which limit ran out.
    pub kind: TimeoutKind,
    /// How long it was.
    pub limit: Duration,
}

/// No member of a chain of fallback services is enabled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no target of `{operation}` is enabled")]
#[non_exhaustive]
pub struct NoEnabledTargets {
    /// The operation whose chain is empty.
    pub operation: Name,
}

impl CircuitOpen {
    /// A refusal by the breaker of `operation` in `state`.
    pub fn new(operation: Name, state: State, retry_after: Option<Duration>) -> Self {
        Self { operation, state, retry_after, per_key: false }
    }

    /// Says that it is the breaker of one key among many.
    #[must_use]
    pub fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }
}

impl RateLimited {
    /// A refusal by the limiter of `operation`, which counts requests.
    pub fn new(operation: Name, reason: RateLimitReason, retry_after: Option<Duration>, burst: u32) -> Self {
        Self { operation, reason, retry_after, burst, unit: Unit::Requests, per_key: false }
    }

    /// Says that it is the limit of one key among many.
    #[must_use]
    pub fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }

    /// Says what the limiter counts.
    #[must_use]
    pub fn counting(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

impl Overloaded {
    /// A refusal by the concurrency limiter of `operation`.
    pub fn new(operation: Name, reason: OverloadReason, max_inflight: u32, retry_after: Option<Duration>) -> Self {
        Self { operation, reason, max_inflight, retry_after, per_key: false }
    }

    /// Says that it is the limit of one key among many.
    #[must_use]
    pub fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }
}

impl TimedOut {
    /// A timeout of `operation` after `limit`.
    pub fn new(operation: Name, kind: TimeoutKind, limit: Duration) -> Self {
        Self { operation, kind, limit }
    }
}

impl NoEnabledTargets {
    /// The empty chain of `operation`.
    pub fn new(operation: Name) -> Self {
        Self { operation }
    }
}

impl Rejection {
    /// The operation that refused.
    pub fn operation(&self) -> &str {
        match self {
            Self::CircuitOpen(it) => &it.operation,
            Self::RateLimited(it) => &it.operation,
            Self::Overloaded(it) => &it.operation,
            Self::Timeout(it) => &it.operation,
            Self::NoEnabledTargets(it) => &it.operation,
            Self::Throttled(it) => &it.operation,
            Self::Shed(it) => &it.operation,
            Self::Injected(it) => &it.operation,
        }
    }

    /// The stage that refused.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::CircuitOpen(_) => Stage::CircuitBreaker,
            Self::RateLimited(_) => Stage::RateLimit,
            Self::Overloaded(_) => Stage::Concurrency,
            Self::Timeout(_) => Stage::Timeout,
            Self::NoEnabledTargets(_) => Stage::Fallback,
            Self::Throttled(_) => Stage::Throttle,
            Self::Shed(_) => Stage::Priority,
            Self::Injected(_) => Stage::Chaos,
        }
    }

    /// When to come back, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen(it) => it.retry_after,
            Self::RateLimited(it) => it.retry_after,
            Self::Overloaded(it) => it.retry_after,
            Self::Timeout(_) | Self::NoEnabledTargets(_) | Self::Throttled(_) | Self::Shed(_) | Self::Injected(_) => {
                None
            }
        }
    }

    /// What the stages further out make of this.
    ///
    /// A timeout is a failure of what is behind, and so is an injected fault, which stands for one; every other refusal is this suite's own and [`Class::Ignored`]. A refused
    /// rate limit asks to be retried when the tokens are there (the retry ladder may wait for it), an open circuit does not.
    /// All of them may fall back.
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Timeout(_) | Self::Injected(_) => Verdict::new(Class::Transient),
            Self::RateLimited(it) => {
                let verdict = Verdict::new(Class::Ignored).with_fallback(true).not_processed();
                match it.retry_after {
                    Some(_) => verdict.with_retry(true),
                    None => verdict.with_retry(false),
                }
            }
            Self::CircuitOpen(_)
            | Self::Overloaded(_)
            | Self::NoEnabledTargets(_)
            | Self::Throttled(_)
            | Self::Shed(_) => Verdict::new(Class::Ignored).with_retry(false).with_fallback(true).not_processed(),
        }
    }
}

impl From<CircuitOpen> for Rejection {
    fn from(it: CircuitOpen) -> Self {
        Self::CircuitOpen(it)
    }
}

impl From<RateLimited> for Rejection {
    fn from(it: RateLimited) -> Self {
        Self::RateLimited(it)
    }
}

impl From<Overloaded> for Rejection {
    fn from(it: Overloaded) -> Self {
        Self::Overloaded(it)
    }
}

impl From<TimedOut> for Rejection {
    fn from(it: TimedOut) -> Self {
        Self::Timeout(it)
    }
}

impl From<NoEnabledTargets> for Rejection {
    fn from(it: NoEnabledTargets) -> Self {
        Self::NoEnabledTargets(it)
    }
}

impl RateLimitReason {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exceeded => "is used up",
            Self::WaitTooLong => "would need too long a wait",
            Self::CostAboveBurst => "can never admit a call that costs more than the burst",
        }
    }
}

impl OverloadReason {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "is reached and the queue is full",
            Self::QueueTimeout => "was not free within the queue timeout",
        }
    }
}

impl TimeoutKind {
    /// Both kinds, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Attempt, Self::Total];

    /// The word used in messages and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Total => "total",
        }
    }
}
