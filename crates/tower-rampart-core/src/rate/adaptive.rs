//! A rate that follows the errors of those who are admitted. It moves the quota of a [`RateLimiter`]; what a limiter does with a quota is its own business.

use std::time::Duration;

use super::RateLimiter;
use crate::{
    InvalidConfig, Timestamp,
    invalid::{DAY, MAX_COUNT, MIN},
};

/// How a rate moves. Rates are calls in a period, the period being that of the limiter's quota.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdaptiveConfig {
    /// What it begins at, from `min` to `max`. Default: 100.
    pub base: f64,
    /// The least that it becomes, above 0. Default: 10.
    pub min: f64,
    /// The most that it becomes, to 1 000 000. Default: 200.
    pub max: f64,
    /// The share of errors in a window above which the rate is reduced, 0 to 1. Exactly this share is not above it. Default: 0.1.
    pub error_threshold: f64,
    /// What the rate is multiplied by after a window with fewer errors, 1 to 10. Default: 1.1.
    pub recovery: f64,
    /// What the rate is multiplied by after a window with more errors, above 0 and at most 1. Default: 0.5.
    pub reduction: f64,
    /// How long outcomes are counted before they are looked at, 1 ms to 24 h. Default: 10 s.
    pub window: Duration,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self {
            base: 100.0,
            min: 10.0,
            max: 200.0,
            error_threshold: 0.1,
            recovery: 1.1,
            reduction: 0.5,
            window: Duration::from_secs(10),
        }
    }
}

impl AdaptiveConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        InvalidConfig::range("adaptive.min", self.min, f64::MIN_POSITIVE, MAX_COUNT.into())?;
        InvalidConfig::range("adaptive.max", self.max, self.min, MAX_COUNT.into())?;
        InvalidConfig::range("adaptive.base", self.base, self.min, self.max)?;
        InvalidConfig::range("adaptive.error_threshold", self.error_threshold, 0.0, 1.0)?;
        InvalidConfig::range("adaptive.recovery", self.recovery, 1.0, 10.0)?;
        InvalidConfig::range("adaptive.reduction", self.reduction, f64::MIN_POSITIVE, 1.0)?;
        InvalidConfig::duration("adaptive.window", self.window, MIN, DAY)
    }
}

/// A rate between its bounds: after each window of outcomes it is multiplied, down if too many were errors, else up.
/// The kin of AIMD whose increase is multiplicative too (Chiu and Jain call it MIMD).
///
/// A window begins with the first acquisition after the one before, and is judged by the first acquisition after its end, however late that comes; one in which
/// nothing ended changes nothing. The limiter keeps its tokens through a change: they are never more than they were.
///
/// It is driven from outside, by whoever acquires and sees how calls end; it has no field in the document, and no lock. No layer drives it: one that limits a rate
/// sees no answers. Nobody else may reconfigure the limiter's quota: the next [`AdaptiveRate::apply`] puts its own back.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tower_rampart_core::{Timestamp, rate::{AdaptiveConfig, AdaptiveRate, Config, RateLimiter}};
///
/// let limiter = RateLimiter::new("search", Config::per_second(100.0))?;
/// let mut rate = AdaptiveRate::new(AdaptiveConfig::default())?;
/// rate.apply(&limiter, Timestamp::ZERO)?;
/// for call in 0..100 {
///     let _ = limiter.try_acquire(1, Timestamp::ZERO);
///     rate.record(call % 5 == 0);
/// }
/// rate.apply(&limiter, Timestamp::ZERO.after(Duration::from_secs(10)))?;
/// assert_eq!(limiter.config().quota.limit, 50.0);
/// # Ok::<(), tower_rampart_core::InvalidConfig>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveRate {
    config: AdaptiveConfig,
    rate: f64,
    /// When the window is over; `None` before the first acquisition.
    ends: Option<Timestamp>,
    calls: u64,
    errors: u64,
}

impl AdaptiveRate {
    /// A rate that begins at its base.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn new(config: AdaptiveConfig) -> Result<Self, InvalidConfig> {
        config.check()?;
        Ok(Self { config, rate: config.base, ends: None, calls: 0, errors: 0 })
    }

    /// The rate as it is now.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Counts how a call ended.
    pub fn record(&mut self, is_error: bool) {
        self.calls += 1;
        self.errors += u64::from(is_error);
    }

    /// Looks, before an acquisition, whether a window is over. Gives the rate from now on.
    pub fn acquire(&mut self, now: Timestamp) -> f64 {
        if self.ends.is_some_and(|ends| now < ends) {
            return self.rate;
        }
        if self.ends.is_some() && self.calls > 0 {
            let is_above = self.errors as f64 / self.calls as f64 > self.config.error_threshold;
            let factor = if is_above { self.config.reduction } else { self.config.recovery };
            self.rate = (self.rate * factor).clamp(self.config.min, self.config.max);
            (self.calls, self.errors) = (0, 0);
        }
        self.ends = Some(now.after(self.config.window));
        self.rate
    }

    /// The same, and gives the limiter the rate as its quota if it has another, whoever gave it that. Its burst and everything else stay.
    ///
    /// # Errors
    /// If the limiter's configuration cannot have this quota: nothing has changed then.
    pub fn apply(&mut self, limiter: &RateLimiter, now: Timestamp) -> Result<(), InvalidConfig> {
        let rate = self.acquire(now);
        let mut config = limiter.config();
        if config.quota.limit.to_bits() == rate.to_bits() {
            return Ok(());
        }
        config.quota.limit = rate;
        limiter.reconfigure(config, now)
    }
}
