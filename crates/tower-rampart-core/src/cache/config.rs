//! What a cache is told: plain data, ranges checked by [`Config::check`].

use std::time::Duration;

use crate::{
    InvalidConfig,
    invalid::{DAY, MAX_COUNT, MIN},
};

/// The most bytes that `max_bytes` can be: 1 GB.
const MOST_BYTES: u32 = 1_000_000_000;

/// The configuration of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// How long an answer is fresh, 1 ms to 24 h. Default: 60 s. A shorter one holds for answers that are kept already; a longer one does not.
    pub ttl: Duration,
    /// The most answers that are kept, 1 to 1 000 000. Default: 1000.
    pub max_entries: u32,
    /// The most bytes of answers that are kept, 1 to 1 000 000 000, where answers have a size: those of HTTP hosts. Default: 64 MiB.
    pub max_bytes: u32,
    /// How long after its time an answer may stand in for a fault, 0 to 24 h. Default: 0, never.
    pub stale_if_error: Duration,
    /// How long a call waits for the answer that another is fetching, 0 to 24 h; then it goes on by itself. Default: 5 s. Zero: none waits.
    pub max_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: Duration::from_secs(60),
            max_entries: 1000,
            max_bytes: 64 * 1024 * 1024,
            stale_if_error: Duration::ZERO,
            max_wait: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Answers that are fresh for `ttl`.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, ..Self::default() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        InvalidConfig::duration("cache.ttl", self.ttl, MIN, DAY)?;
        InvalidConfig::range("cache.max_entries", self.max_entries, 1, MAX_COUNT)?;
        InvalidConfig::range("cache.max_bytes", self.max_bytes, 1, MOST_BYTES)?;
        InvalidConfig::duration("cache.stale_if_error", self.stale_if_error, Duration::ZERO, DAY)?;
        InvalidConfig::duration("cache.max_wait", self.max_wait, Duration::ZERO, DAY)
    }
}
