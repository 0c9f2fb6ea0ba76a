//! What a retry stage is told: plain data, ranges checked by [`Config::check`].

use std::time::Duration;

use crate::{
    InvalidConfig,
    classify::Method,
    invalid::{DAY, MAX_COUNT, MIN},
};

/// The growth of the wait between attempts: before retry `n` it is `clamp(base * factor^(n-1), min, max)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first wait, 0 to 24 h. Default: 1 s.
    pub base: Duration,
    /// The growth from one wait to the next, a finite number of at least 1. Default: 2.
    pub factor: f64,
    /// The shortest wait, 0 to 24 h. Default: 0.
    pub min: Duration,
    /// The longest wait, at least `min`, up to 24 h. Default: 60 s.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), factor: 2.0, min: Duration::ZERO, max: Duration::from_secs(60) }
    }
}

/// How chance enters the wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JitterKind {
    /// Not at all.
    None,
    /// Uniform between 0 and the wait.
    #[default]
    Full,
    /// Uniform between half the wait and the wait.
    Equal,
    /// Uniform between `base` and three times the last wait, capped at `max`.
    Decorrelated,
    /// The wait plus uniform between 0 and `jitter.max`, added after the cap.
    Additive,
}

/// The chance in the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter {
    /// How it enters. Default: full.
    pub kind: JitterKind,
    /// The most that additive jitter adds, 0 to 24 h. Default: 2 s.
    pub max: Duration,
}

impl Default for Jitter {
    fn default() -> Self {
        Self { kind: JitterKind::Full, max: Duration::from_secs(2) }
    }
}

/// Which requests may be sent again by their method. Requests known to be idempotent, and those provably not processed, always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Methods {
    /// GET, HEAD, OPTIONS, TRACE, PUT and DELETE.
    #[default]
    Idempotent,
    /// All of them.
    All,
    /// The idempotent ones and those of this set, see [`Methods::also`].
    Also(u16),
}

impl Methods {
    /// The idempotent methods and `methods`.
    pub fn also(methods: impl IntoIterator<Item = Method>) -> Self {
        Self::Also(methods.into_iter().fold(0, |set, method| set | (1 << method as u16)))
    }

    /// Whether a request of this method may be sent again although it is not idempotent.
    pub fn widened_to(self, method: Option<Method>) -> bool {
        match (self, method) {
            (Self::All, _) => true,
            (Self::Also(set), Some(method)) => set & (1 << method as u16) != 0,
            (Self::Idempotent, _) | (Self::Also(_), None) => false,
        }
    }
}

/// The retry budget: what retries may add to the load (after Finagle and gRPC's retry throttling).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Whether retries pay. Default: true.
    pub enabled: bool,
    /// What each first attempt deposits, 0 to 1. Default: 0.2.
    pub ratio: f64,
    /// Retries a second that are paid for by time alone, 0 to 1 000 000: the bucket starts with this, and time refills it up to this. Default: 10.
    pub min_per_second: f64,
    /// The most that the bucket holds, 1 to 1 000 000. Default: 100.
    pub capacity: f64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { enabled: true, ratio: 0.2, min_per_second: 10.0, capacity: 100.0 }
    }
}

impl BudgetConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let max = f64::from(MAX_COUNT);
        InvalidConfig::range("retry.budget.ratio", self.ratio, 0.0, 1.0)?;
        InvalidConfig::range("retry.budget.min_per_second", self.min_per_second, 0.0, max)?;
        InvalidConfig::range("retry.budget.capacity", self.capacity, 1.0, max)
    }
}

/// The configuration of a retry stage.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// The most attempts of one call, the first included, 1 to 1 000 000. Default: 3.
    pub max_attempts: u32,
    /// The growth of the wait.
    pub backoff: Backoff,
    /// The chance in the wait.
    pub jitter: Jitter,
    /// Which requests may be sent again. Default: idempotent ones.
    pub methods: Methods,
    /// Whether a server's hint when to come back lengthens the wait. Default: true.
    pub respect_retry_after: bool,
    /// A hint above this ends the call with the last answer, 1 ms to 24 h. Default: 60 s.
    pub retry_after_max: Duration,
    /// The retry budget.
    pub budget: BudgetConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            max_attempts: 3,
            backoff: Backoff::default(),
            jitter: Jitter::default(),
            methods: Methods::Idempotent,
            respect_retry_after: true,
            retry_after_max: Duration::from_secs(60),
            budget: BudgetConfig::default(),
        }
    }
}

impl Config {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        InvalidConfig::range("retry.max_attempts", self.max_attempts, 1, MAX_COUNT)?;
        InvalidConfig::duration("retry.backoff.base", self.backoff.base, Duration::ZERO, DAY)?;
        if !(self.backoff.factor.is_finite() && self.backoff.factor >= 1.0) {
            return Err(InvalidConfig::new(
                "retry.backoff.factor",
                self.backoff.factor,
                "a finite number of at least 1",
            ));
        }
        InvalidConfig::duration("retry.backoff.min", self.backoff.min, Duration::ZERO, DAY)?;
        InvalidConfig::duration("retry.backoff.max", self.backoff.max, self.backoff.min, DAY)?;
        InvalidConfig::duration("retry.jitter.max", self.jitter.max, Duration::ZERO, DAY)?;
        InvalidConfig::duration("retry.retry_after_max", self.retry_after_max, MIN, DAY)?;
        self.budget.check()
    }
}
