//! The decision whether a call is sent again: one ladder of reasons to stop. The waits themselves come from [`Delays`].

use std::time::Duration;

use super::{Budget, Config, Delays, Methods, Withdrawal};
use crate::{Class, Now, RequestInfo, Timestamp, Verdict, clock::nanos};

/// What becomes of a call after an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// The answer is a success; there was nothing to decide.
    Accept,
    /// The answer is the last one, and goes to the caller as it is.
    Stop(StopReason),
    /// The call is sent again after this wait. The budget is paid and the attempt counted: whoever drops the call while it waits
    /// gives what was withdrawn back with [`Budget::refund`].
    Wait(Duration, Withdrawal),
}

/// Why a call was not sent again although its answer was no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// Another try would be answered the same.
    Class,
    /// The request may have been processed, and processing it twice would do harm.
    NotIdempotent,
    /// All attempts are made.
    Attempts,
    /// The wait would not end before the deadline, or the server's hint lies above `retry_after_max`.
    Deadline,
    /// Retries have used up what they may add to the load.
    Budget,
    /// The circuit is open.
    CircuitOpen,
    /// The caller dropped the call.
    Cancelled,
}

impl StopReason {
    /// All reasons, in the order in which the ladder asks, then those that only adapters meet.
    pub const ALL: [Self; 7] = [
        Self::Class,
        Self::NotIdempotent,
        Self::Attempts,
        Self::Deadline,
        Self::Budget,
        Self::CircuitOpen,
        Self::Cancelled,
    ];

    /// The word used in reports, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::NotIdempotent => "not_idempotent",
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::CircuitOpen => "circuit_open",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One call's walk through its attempts. It copies what it needs of the configuration, so that a reload never changes a call under way.
///
/// # Examples
/// ```
/// use tower_rampart_core::{Class, RequestInfo, Timestamp, retry::{Attempts, Config, Decision, StopReason}};
///
/// let mut attempts = Attempts::new(&Config::default(), 1);
/// let (request, now) = (RequestInfo::default(), Timestamp::ZERO);
/// let failed = Class::Transient.into();
/// assert!(matches!(attempts.decide(&failed, &request, now, None, None), Decision::Wait(..)));
/// assert!(matches!(attempts.decide(&failed, &request, now, None, None), Decision::Wait(..)));
/// assert_eq!(attempts.decide(&failed, &request, now, None, None), Decision::Stop(StopReason::Attempts));
/// assert_eq!(attempts.attempt(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Attempts {
    delays: Delays,
    /// In nanoseconds: eight bytes less of every call.
    retry_after_max: u64,
    attempt: u32,
    max: u32,
    methods: Methods,
    respect_retry_after: bool,
}

impl Attempts {
    /// The walk of a call whose first attempt counts as made. The same seed gives the same waits.
    pub fn new(config: &Config, seed: u64) -> Self {
        Self {
            delays: Delays::new(config.backoff, config.jitter, seed),
            retry_after_max: nanos(config.retry_after_max),
            attempt: 1,
            max: if config.enabled { config.max_attempts } else { 1 },
            methods: config.methods,
            respect_retry_after: config.respect_retry_after,
        }
    }

    /// The walk of a call that is made once, whatever comes of it.
    #[inline]
    pub fn once() -> Self {
        Self {
            delays: Delays::default(),
            retry_after_max: 0,
            attempt: 1,
            max: 1,
            methods: Methods::default(),
            respect_retry_after: false,
        }
    }

    /// A walk that has not begun, with the waits of another seed. Cheaper than a new one where the configuration stays the same.
    #[must_use]
    #[inline]
    pub fn seeded(&self, seed: u64) -> Self {
        Self { delays: self.delays.seeded(seed), ..*self }
    }

    /// The number of the present attempt, 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether sending this request twice does the same as sending it once, as the request says or the configuration widens.
    pub fn may_repeat(&self, request: &RequestInfo) -> bool {
        request.idempotent || self.methods.widened_to(request.method)
    }

    /// Whether a further attempt is possible at all, so that the request must be kept. False for a stage that is off.
    pub fn may_retry(&self) -> bool {
        self.attempt < self.max
    }

    /// Decides after an answer: class, idempotent or not processed, attempts left, deadline, budget, in this order.
    ///
    /// The clock is only read when all but time and budget speak for another attempt. A server's hint is taken from the class.
    /// A budget that is not given is not paid.
    #[inline]
    pub fn decide(
        &mut self,
        verdict: &Verdict,
        request: &RequestInfo,
        now: impl Now,
        deadline: Option<Timestamp>,
        budget: Option<&Budget>,
    ) -> Decision {
        if verdict.class == Class::Success && verdict.retry.is_none() {
            return Decision::Accept;
        }
        self.decide_with_hint(verdict, request, now, deadline, budget, verdict.class.retry_after())
    }

    /// Decides with a hint that the class does not carry, such as the wait named by a refusal of this suite's own rate limiter.
    #[inline(never)]
    #[expect(clippy::needless_pass_by_value, reason = "a timestamp or a closure, as everywhere a time is passed in")]
    pub fn decide_with_hint(
        &mut self,
        verdict: &Verdict,
        request: &RequestInfo,
        now: impl Now,
        deadline: Option<Timestamp>,
        budget: Option<&Budget>,
        hint: Option<Duration>,
    ) -> Decision {
        if !verdict.is_retryable() {
            return match verdict.class {
                Class::Success => Decision::Accept,
                _ => Decision::Stop(StopReason::Class),
            };
        }
        if !(verdict.unprocessed || self.may_repeat(request)) {
            return Decision::Stop(StopReason::NotIdempotent);
        }
        if !self.may_retry() {
            return Decision::Stop(StopReason::Attempts);
        }
        let hint = hint.filter(|hint| self.respect_retry_after && !hint.is_zero());
        if hint.is_some_and(|hint| nanos(hint) > self.retry_after_max) {
            return Decision::Stop(StopReason::Deadline);
        }
        let wait = self.wait(verdict.class, hint);
        let mut withdrawal = Withdrawal::default();
        if deadline.is_some() || budget.is_some() {
            let now = now.now();
            if deadline.is_some_and(|deadline| now.after(wait) >= deadline) {
                return Decision::Stop(StopReason::Deadline);
            }
            if let Some(budget) = budget {
                let Some(paid) = budget.try_withdraw(now) else { return Decision::Stop(StopReason::Budget) };
                withdrawal = paid;
            }
        }
        self.attempt += 1;
        Decision::Wait(wait, withdrawal)
    }

    fn wait(&mut self, class: Class, hint: Option<Duration>) -> Duration {
        match (hint, class) {
            (Some(hint), _) => {
                let backoff = self.delays.advance(1);
                hint.max(backoff).saturating_add(self.delays.spread(hint))
            }
            (None, Class::RateLimited { .. }) => self.delays.advance(2),
            (None, _) => self.delays.advance(1),
        }
    }
}
