//! What a circuit breaker is told: plain data, ranges checked by [`Config::check`].

use std::time::Duration;

use crate::{
    ClassKind, Code, InvalidConfig, Outcome, Verdict,
    invalid::{DAY, MAX_COUNT, MIN},
};

/// What one sample of the breaker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One verdict per logical call, after its retries.
    #[default]
    Call,
    /// One verdict per attempt; an open circuit ends the retries.
    Attempt,
}

/// Over which calls rates are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last `size` outcomes, evicted one by one. 1 to 1 000 000.
    Count {
        /// How many outcomes.
        size: u32,
    },
    /// The outcomes of the last `size`, in [`Window::BUCKETS`] buckets. 1 ms to 24 h.
    Time {
        /// How long.
        size: Duration,
    },
}

impl Window {
    /// The number of buckets of a time window: an outcome leaves it between `size` and `size * 9/10` after it came.
    pub const BUCKETS: usize = 10;
}

/// How the half-open state is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HalfOpenPolicy {
    /// `success_threshold` successes close, the first failure reopens.
    #[default]
    FirstFailure,
    /// Decided by the failure rate once `half_open_max_calls` outcomes are in.
    Rate,
}

/// One entry of `monitor` or `exclude`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matcher {
    /// A class, by its word: `rate_limited`.
    Class(ClassKind),
    /// An HTTP status or a gRPC code.
    Code(Code),
}

impl Matcher {
    /// Whether it names this verdict.
    pub fn matches(&self, verdict: &Verdict) -> bool {
        match self {
            Self::Class(kind) => verdict.class.kind() == *kind,
            Self::Code(code) => verdict.code == Some(*code),
        }
    }
}

/// The configuration of one circuit breaker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// What one sample is. Default: the logical call.
    pub scope: Scope,
    /// Consecutive failures that open the circuit, 1 to 1 000 000. Default: 5.
    pub failure_threshold: u32,
    /// Failure rate of the window, above 0 to 1, at or above which the circuit opens. Default: off.
    pub failure_rate_threshold: Option<f64>,
    /// Outcomes before a rate counts, 1 to 1 000 000; a count window smaller than that counts when it is full. Default: 10.
    pub minimum_calls: u32,
    /// The window of the rates. Default: the last 100 outcomes.
    pub window: Window,
    /// From which duration on a call is slow, 1 ms to 24 h. Alone it only counts them. Default: off.
    pub slow_call_duration: Option<Duration>,
    /// Share of slow calls in the window, above 0 to 1, at or above which the circuit opens; needs `slow_call_duration`. Default: off.
    pub slow_call_rate_threshold: Option<f64>,
    /// How long the circuit stays open, 1 ms to 24 h. Default: 60 s.
    pub recovery_timeout: Duration,
    /// The most that `recovery_backoff` makes of it, at least `recovery_timeout`, up to 24 h. Default: 24 h.
    pub recovery_timeout_max: Duration,
    /// Factor on the recovery time for each failed round of probes, 1 to 100. Default: 1.
    pub recovery_backoff: f64,
    /// Random share by which the recovery time varies either way, 0 to 1. Default: 0.
    pub recovery_jitter: f64,
    /// Probes in flight at once while half open, 1 to 1 000 000. Default: 1.
    pub half_open_max_calls: u32,
    /// After this a probe that did not end has lost its slot, 1 ms to 24 h. Default: 60 s.
    pub half_open_max_wait: Duration,
    /// How the half-open state is left. Default: the first failure reopens.
    pub half_open_policy: HalfOpenPolicy,
    /// Successful probes that close the circuit, 1 to 1 000 000; may exceed `half_open_max_calls`. Default: 1.
    pub success_threshold: u32,
    /// Share of abandoned calls, above 0 to 1, from which on they count as failures, over at least `minimum_calls`. Default: 1.
    /// A call that was abandoned while others, admitted later, were answered is not one of them.
    pub abandoned_rate_threshold: f64,
    /// If not empty: only what is named here counts as a failure (whatever its class); other failures count as successes. Default: empty.
    pub monitor: Vec<Matcher>,
    /// What is named here counts neither way; wins over `monitor`. Default: empty.
    pub exclude: Vec<Matcher>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            scope: Scope::Call,
            failure_threshold: 5,
            failure_rate_threshold: None,
            minimum_calls: 10,
            window: Window::Count { size: 100 },
            slow_call_duration: None,
            slow_call_rate_threshold: None,
            recovery_timeout: Duration::from_secs(60),
            recovery_timeout_max: DAY,
            recovery_backoff: 1.0,
            recovery_jitter: 0.0,
            half_open_max_calls: 1,
            half_open_max_wait: Duration::from_secs(60),
            half_open_policy: HalfOpenPolicy::FirstFailure,
            success_threshold: 1,
            abandoned_rate_threshold: 1.0,
            monitor: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

impl Config {
    /// Checks every range, and that no rule is given without what it needs.
    ///
    /// # Errors
    /// Names the first field that is out of its range or stands alone.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let rate = |field, value: Option<f64>| match value {
            Some(value) if !(value > 0.0 && value <= 1.0) => {
                Err(InvalidConfig::new(field, value, "above 0 and at most 1"))
            }
            _ => Ok(()),
        };
        InvalidConfig::range("circuit_breaker.failure_threshold", self.failure_threshold, 1, MAX_COUNT)?;
        rate("circuit_breaker.failure_rate_threshold", self.failure_rate_threshold)?;
        InvalidConfig::range("circuit_breaker.minimum_calls", self.minimum_calls, 1, MAX_COUNT)?;
        match self.window {
            Window::Count { size } => InvalidConfig::range("circuit_breaker.window.size", size, 1, MAX_COUNT)?,
            Window::Time { size } => InvalidConfig::duration("circuit_breaker.window.size", size, MIN, DAY)?,
        }
        if let Some(slow) = self.slow_call_duration {
            InvalidConfig::duration("circuit_breaker.slow_call_duration", slow, MIN, DAY)?;
        }
        rate("circuit_breaker.slow_call_rate_threshold", self.slow_call_rate_threshold)?;
        if let (Some(threshold), None) = (self.slow_call_rate_threshold, self.slow_call_duration) {
            let expected = "beside circuit_breaker.slow_call_duration, without which no call is slow";
            return Err(InvalidConfig::new("circuit_breaker.slow_call_rate_threshold", threshold, expected));
        }
        InvalidConfig::duration("circuit_breaker.recovery_timeout", self.recovery_timeout, MIN, DAY)?;
        InvalidConfig::duration(
            "circuit_breaker.recovery_timeout_max",
            self.recovery_timeout_max,
            self.recovery_timeout,
            DAY,
        )?;
        InvalidConfig::range("circuit_breaker.recovery_backoff", self.recovery_backoff, 1.0, 100.0)?;
        InvalidConfig::range("circuit_breaker.recovery_jitter", self.recovery_jitter, 0.0, 1.0)?;
        InvalidConfig::range("circuit_breaker.half_open_max_calls", self.half_open_max_calls, 1, MAX_COUNT)?;
        InvalidConfig::duration("circuit_breaker.half_open_max_wait", self.half_open_max_wait, MIN, DAY)?;
        InvalidConfig::range("circuit_breaker.success_threshold", self.success_threshold, 1, MAX_COUNT)?;
        rate("circuit_breaker.abandoned_rate_threshold", Some(self.abandoned_rate_threshold))
    }

    /// How the breaker counts an answer.
    pub fn outcome(&self, verdict: &Verdict) -> Outcome {
        if verdict.class.kind() == ClassKind::Ignored || self.exclude.iter().any(|it| it.matches(verdict)) {
            return Outcome::Ignored;
        }
        if self.monitor.is_empty() {
            return plain_outcome(verdict.class.kind());
        }
        if self.monitor.iter().any(|it| it.matches(verdict)) { Outcome::Failure } else { Outcome::Success }
    }

    /// Outcomes that a rate needs: a count window that holds fewer is evaluated when it is full.
    pub(super) fn effective_minimum_calls(&self) -> u32 {
        match self.window {
            Window::Count { size } => self.minimum_calls.min(size),
            Window::Time { .. } => self.minimum_calls,
        }
    }

    /// Whether any rule looks at the window; without one, a success has nothing to tell the machine.
    pub(super) fn is_windowed(&self) -> bool {
        self.failure_rate_threshold.is_some()
            || self.slow_call_rate_threshold.is_some()
            || self.abandoned_rate_threshold < 1.0
    }
}

/// How a breaker counts a class if its configuration names none.
pub(super) const fn plain_outcome(kind: ClassKind) -> Outcome {
    match kind {
        ClassKind::Ignored => Outcome::Ignored,
        _ if kind.is_retryable() => Outcome::Failure,
        _ => Outcome::Success,
    }
}
