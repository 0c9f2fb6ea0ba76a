//! Shadow mode: which stages only evaluate what they would do, and refuse nothing. The stages themselves do not know of it: who asks them does.
//!
//! A stage in shadow is asked as if it were live. What it admits holds what a live stage would give out (a permit, a token, a probe's slot). What it refuses,
//! or would let wait, is counted and goes on at once, holding nothing; its outcome is not told to the stage. The state therefore moves by what a live stage
//! would have let through, as if those that it refuses had not come: an open circuit becomes half open when its time is over, and its probes close it.
//!
//! | stage | counted as a refusal | counted as a wait |
//! |---|---|---|
//! | circuit breaker | calls (attempts, by its scope) while it is open, or half open with all probes out | |
//! | rate limit | calls without tokens | those that might have waited for them: no queue is kept, so a queue that would have grown until it refused is not seen |
//! | concurrency | calls that find all permits taken and no room in the queue | those that find room in it; as no one stands in it, that is all of them |
//! | timeout | attempts that took longer than a limit of the configuration; deadlines that requests state stay in force | |
//! | throttle, priority | calls that the stage would have refused | |
//!
//! # Examples
//! ```
//! use tower_rampart_core::{Stage, shadow::{Config, Stages}};
//!
//! let mut config = Config::default();
//! assert!(config.shadowed().is_empty());
//! config.enabled = true;
//! config.stages = Stages::NONE.with(Stage::RateLimit);
//! assert!(config.shadowed().has(Stage::RateLimit) && !config.shadowed().has(Stage::CircuitBreaker));
//! ```

use std::fmt;

use crate::{
    Stage,
    sync::{AtomicBool, AtomicU64, Ordering},
};

/// A set of stages.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Stages(u16);

impl Stages {
    /// No stage.
    pub const NONE: Self = Self(0);

    /// The stages that refuse calls, and so can be put in shadow.
    pub const REFUSING: [Stage; 6] =
        [Stage::CircuitBreaker, Stage::RateLimit, Stage::Concurrency, Stage::Timeout, Stage::Throttle, Stage::Priority];

    /// All stages that refuse calls.
    pub const ALL: Self = {
        let mut all = Self::NONE;
        let mut at = 0;
        while at < Self::REFUSING.len() {
            all = all.with(Self::REFUSING[at]);
            at += 1;
        }
        all
    };

    /// The set with another stage.
    #[must_use]
    pub const fn with(self, stage: Stage) -> Self {
        Self(self.0 | 1 << stage as u16)
    }

    /// Whether a stage is in it.
    #[inline]
    pub const fn has(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u16) != 0
    }

    /// Whether no stage is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The stages in it.
    pub fn iter(self) -> impl Iterator<Item = Stage> {
        Stage::ALL.into_iter().filter(move |it| self.has(*it))
    }
}

impl FromIterator<Stage> for Stages {
    fn from_iter<I: IntoIterator<Item = Stage>>(stages: I) -> Self {
        stages.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Stage::as_str)).finish()
    }
}

/// Which stages of an operation are in shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Whether any is. Default: no.
    pub enabled: bool,
    /// Which are. Default: all that refuse calls.
    pub stages: Stages,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: false, stages: Stages::ALL }
    }
}

impl Config {
    /// The stages that are in shadow now.
    pub const fn shadowed(&self) -> Stages {
        if self.enabled { self.stages } else { Stages::NONE }
    }
}

/// What a stage in shadow would have done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WouldBe {
    /// It would have refused it.
    Refused,
    /// It would have let it wait.
    Queued,
}

/// Whether a single layer is in shadow, and what it would have done: for layers that stand alone, where no document says so.
///
/// # Examples
/// ```
/// use tower_rampart_core::shadow::{Switch, WouldBe};
///
/// let shadow = Switch::new(true);
/// if shadow.is_on() {
///     shadow.count(WouldBe::Refused);
/// }
/// assert_eq!((shadow.refusals(), shadow.waits()), (1, 0));
/// ```
#[derive(Debug, Default)]
pub struct Switch {
    on: AtomicBool,
    refusals: AtomicU64,
    waits: AtomicU64,
}

impl Switch {
    /// On or off, with nothing counted.
    pub fn new(on: bool) -> Self {
        Self { on: AtomicBool::new(on), refusals: AtomicU64::new(0), waits: AtomicU64::new(0) }
    }

    /// Whether the layer is in shadow.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Puts the layer in shadow, or makes it live.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Counts what would have become of a call.
    pub fn count(&self, would_be: WouldBe) {
        match would_be {
            WouldBe::Refused => &self.refusals,
            WouldBe::Queued => &self.waits,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    /// Calls that would have been refused.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Calls that would have waited.
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_a_bit_of_its_own() {
        for stage in Stage::ALL {
            assert_eq!(Stages::NONE.with(stage).iter().collect::<Vec<_>>(), [stage]);
        }
        assert_eq!(Stages::ALL, Stages::REFUSING.into_iter().collect());
        assert_eq!(format!("{:?}", Stages::NONE.with(Stage::Timeout)), r#"{"timeout"}"#);
    }

    #[test]
    fn nothing_is_in_shadow_until_it_is_switched_on() {
        let mut config = Config::default();
        assert_eq!(config.shadowed(), Stages::NONE);
        config.enabled = true;
        assert_eq!(config.shadowed(), Stages::ALL);
    }

    #[test]
    fn layer_is_in_shadow_as_long_as_its_switch_is_on() {
        let switch = Switch::new(true);
        assert!(switch.is_on());
        switch.set(false);
        assert!(!switch.is_on() && !Switch::new(false).is_on());
    }
}
