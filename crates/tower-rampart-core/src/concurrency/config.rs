//! What a concurrency limiter is told: plain data, ranges checked by [`Config::check`].

use std::time::Duration;

use super::Adaptive;
use crate::{
    InvalidConfig,
    invalid::{DAY, MAX_COUNT},
};

/// The configuration of a concurrency limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// Calls in flight at once, 1 to 1 000 000; where the limit moves, what it begins at. Default: 100.
    pub max_inflight: u32,
    /// Calls that may wait for a permit, 0 to 1 000 000. Default: 0, refuse at once.
    pub queue_size: u32,
    /// How long a call may wait for a permit, 0 to 24 h. Default: none; the deadline of the call bounds it.
    pub queue_timeout: Option<Duration>,
    /// What moves the limit, beginning at `max_inflight`. Default: nothing.
    pub adaptive: Option<Adaptive>,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, max_inflight: 100, queue_size: 0, queue_timeout: None, adaptive: None }
    }
}

impl Config {
    /// At most `max_inflight` calls at once, without a queue.
    pub fn new(max_inflight: u32) -> Self {
        Self { max_inflight, ..Self::default() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        InvalidConfig::range("concurrency.max_inflight", self.max_inflight, 1, MAX_COUNT)?;
        InvalidConfig::range("concurrency.queue_size", self.queue_size, 0, MAX_COUNT)?;
        if let Some(wait) = self.queue_timeout {
            InvalidConfig::duration("concurrency.queue_timeout", wait, Duration::ZERO, DAY)?;
        }
        self.adaptive.map_or(Ok(()), |it| it.check())
    }
}
