//! What a rate limiter is told: plain data, ranges checked by [`Config::check`].

use std::time::Duration;

pub use crate::breaker::Scope;
use crate::{
    InvalidConfig,
    invalid::{DAY, MAX_COUNT, MIN},
};

/// The algorithm of a rate limiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The generic cell rate algorithm: smooth, exact, one word of state.
    #[default]
    Gcra,
    /// A token bucket that starts full.
    TokenBucket,
    /// A counter that starts anew each period. Admits up to twice the limit around the edge of two periods.
    FixedWindow,
    /// A log of the admissions of the last period: never more than the limit in any period.
    SlidingWindow,
}

/// How many calls in what time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Calls per period, above 0 to 1 000 000; fractions are allowed.
    pub limit: f64,
    /// The period, 1 ms to 24 h.
    pub period: Duration,
}

/// What happens to a call that is not admitted at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnLimit {
    /// It is refused, with the exact wait.
    #[default]
    Reject,
    /// It waits for its turn, first come first served, if that is within `max_wait` and its deadline.
    Wait,
}

/// The configuration of a rate limiter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// What takes a token. Default: the logical call.
    pub scope: Scope,
    /// The algorithm. Default: GCRA.
    pub algorithm: Algorithm,
    /// The quota. Default: 100 a second.
    pub quota: Quota,
    /// Calls admitted at once after a pause (GCRA and token bucket), 1 to 1 000 000. Default: the calls of one second, at least 1.
    ///
    /// The windows need no burst: they admit up to `ceil(quota.limit)` at once.
    pub burst_size: u32,
    /// What happens to a call that is not admitted at once. Default: it is refused.
    pub on_limit: OnLimit,
    /// The longest wait, 0 to 24 h. Default: none; the deadline of the call bounds it.
    pub max_wait: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self::per_second(100.0)
    }
}

impl Config {
    /// `limit` calls a second, with the burst of one second.
    pub fn per_second(limit: f64) -> Self {
        Self::with_quota(Quota { limit, period: Duration::from_secs(1) })
    }

    /// A quota with the burst of one second.
    pub fn with_quota(quota: Quota) -> Self {
        Self {
            enabled: true,
            scope: Scope::Call,
            algorithm: Algorithm::Gcra,
            quota,
            burst_size: default_burst(quota),
            on_limit: OnLimit::Reject,
            max_wait: None,
        }
    }

    /// `rps` calls a second, with a burst of that times `burst_factor`, rounded up, at least 1.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_core::rate::Config;
    ///
    /// assert_eq!(Config::from_rps(10.0, 1.5).burst_size, 15);
    /// assert_eq!(Config::from_rps(0.5, 1.5).burst_size, 1);
    /// ```
    pub fn from_rps(rps: f64, burst_factor: f64) -> Self {
        // What is a whole number but for the error of the product stays one.
        let burst = (rps * burst_factor - 1e-9).ceil();
        Self { burst_size: (burst as u32).clamp(1, MAX_COUNT), ..Self::per_second(rps) }
    }

    /// The same with a burst given as a number.
    ///
    /// # Errors
    /// The burst must be a whole number between 1 and 1 000 000: with less than one token no call would ever pass.
    pub fn with_burst(self, burst: f64) -> Result<Self, InvalidConfig> {
        InvalidConfig::range("rate_limit.burst_size", burst, 1.0, f64::from(MAX_COUNT))?;
        if burst.fract() != 0.0 {
            return Err(InvalidConfig::new("rate_limit.burst_size", burst, "a whole number"));
        }
        Ok(Self { burst_size: burst as u32, ..self })
    }

    /// The most calls that are admitted at the same moment.
    pub fn most_at_once(&self) -> u32 {
        match self.algorithm {
            Algorithm::Gcra | Algorithm::TokenBucket => self.burst_size,
            Algorithm::FixedWindow | Algorithm::SlidingWindow => self.quota.limit.ceil() as u32,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let limit = self.quota.limit;
        if !(limit > 0.0 && limit <= f64::from(MAX_COUNT)) {
            return Err(InvalidConfig::new("rate_limit.limit", limit, format_args!("above 0 and at most {MAX_COUNT}")));
        }
        InvalidConfig::duration("rate_limit.period", self.quota.period, MIN, DAY)?;
        InvalidConfig::range("rate_limit.burst_size", self.burst_size, 1, MAX_COUNT)?;
        match self.max_wait {
            Some(wait) => InvalidConfig::duration("rate_limit.max_wait", wait, Duration::ZERO, DAY),
            None => Ok(()),
        }
    }
}

/// The burst that a quota has when none is given: the calls of one second, rounded up, at least 1.
pub fn default_burst(quota: Quota) -> u32 {
    let per_second = quota.limit / quota.period.as_secs_f64();
    (per_second.ceil() as u32).clamp(1, MAX_COUNT)
}
