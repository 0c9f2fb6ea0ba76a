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

/// What a limiter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Calls, each by its cost.
    #[default]
    Requests,
    /// Tokens of a model API.
    Tokens,
}

impl Unit {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }

    /// The most in a period, and at once.
    const fn most(self) -> u32 {
        match self {
            Self::Requests => MAX_COUNT,
            Self::Tokens => MAX_TOKENS,
        }
    }
}

/// The most tokens of a model API a minute.
const MAX_TOKENS: u32 = 1_000_000_000;

/// How many calls in what time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Calls per period, above 0 to 1 000 000 (tokens: to 1 000 000 000); fractions are allowed. Infinity: [`Quota::UNLIMITED`].
    pub limit: f64,
    /// The period, 1 ms to 24 h.
    pub period: Duration,
}

impl Quota {
    /// No quota of its own: only a pause holds calls up, see [`RateLimiter::learn`](super::RateLimiter::learn).
    ///
    /// Strictly it admits a billion calls a second, whatever the algorithm.
    pub const UNLIMITED: Self = Self { limit: f64::INFINITY, period: Duration::from_secs(1) };

    /// Whether it is [`Quota::UNLIMITED`].
    pub const fn is_unlimited(self) -> bool {
        self.limit == f64::INFINITY
    }
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
    /// What it counts, which its ranges depend on. Default: requests.
    pub unit: Unit,
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
            unit: Unit::Requests,
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
            _ if self.quota.is_unlimited() => u32::MAX,
            Algorithm::Gcra | Algorithm::TokenBucket => self.burst_size,
            Algorithm::FixedWindow | Algorithm::SlidingWindow => self.quota.limit.ceil() as u32,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let most = self.unit.most();
        if !self.quota.is_unlimited() {
            positive("rate_limit.limit", self.quota.limit, most)?;
        }
        InvalidConfig::duration("rate_limit.period", self.quota.period, MIN, DAY)?;
        InvalidConfig::range("rate_limit.burst_size", self.burst_size, 1, most)?;
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

/// What the rate limit of a model API has beside its requests: a quota of tokens, and whether it follows what the provider says.
///
/// # Examples
/// ```
/// use tower_rampart_core::rate::{Config, ModelConfig};
///
/// let mut model = ModelConfig::default();
/// model.tokens_per_minute = Some(90_000.0);
/// let tokens = model.tokens(&Config::per_second(10.0)).expect("there is a quota of tokens");
/// assert_eq!(tokens.burst_size, 90_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Tokens a minute, above 0 to 1 000 000 000; refilled evenly, and at most those of one minute at once. Default: none.
    pub tokens_per_minute: Option<f64>,
    /// Whether both limits follow the rate-limit headers of answers. Default: no.
    pub learn_from_headers: bool,
}

impl ModelConfig {
    /// The configuration of the limiter of tokens beside that of `requests`, whose scope, waiting and switch it shares; `None` without
    /// a quota of tokens.
    pub fn tokens(&self, requests: &Config) -> Option<Config> {
        let limit = self.tokens_per_minute?;
        Some(Config {
            unit: Unit::Tokens,
            algorithm: Algorithm::Gcra,
            quota: Quota { limit, period: Duration::from_secs(60) },
            burst_size: (limit.ceil() as u32).clamp(1, MAX_TOKENS),
            ..*requests
        })
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        match self.tokens_per_minute {
            Some(limit) => positive("rate_limit.tokens_per_minute", limit, MAX_TOKENS),
            None => Ok(()),
        }
    }
}

fn positive(field: &'static str, value: f64, most: u32) -> Result<(), InvalidConfig> {
    if value > 0.0 && value <= f64::from(most) {
        return Ok(());
    }
    Err(InvalidConfig::new(field, value, format_args!("above 0 and at most {most}")))
}
