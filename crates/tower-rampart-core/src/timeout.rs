//! What the timeouts are told; there is no machine, only arithmetic on deadlines.

use std::time::Duration;

use crate::{
    InvalidConfig, Timestamp,
    invalid::{DAY, MIN},
};

/// The configuration of the timeouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How long one attempt may take, 1 ms to 24 h. Default: no limit.
    pub attempt: Option<Duration>,
    /// How long the whole call may take, its retries and waits included, 1 ms to 24 h. Default: no limit.
    pub total: Option<Duration>,
}

impl Config {
    /// A limit for each attempt.
    pub const fn attempt(limit: Duration) -> Self {
        Self { attempt: Some(limit), total: None }
    }

    /// A limit for the whole call.
    pub const fn total(limit: Duration) -> Self {
        Self { attempt: None, total: Some(limit) }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        for (field, value) in [("timeout.attempt", self.attempt), ("timeout.total", self.total)] {
            if let Some(value) = value {
                InvalidConfig::duration(field, value, MIN, DAY)?;
            }
        }
        Ok(())
    }

    /// When a call that begins `now` and itself allows `time_left` must have ended.
    pub fn deadline(&self, now: Timestamp, time_left: Option<Duration>) -> Option<Timestamp> {
        let limit = match (self.total, time_left) {
            (Some(total), Some(left)) => total.min(left),
            (Some(limit), None) | (None, Some(limit)) => limit,
            (None, None) => return None,
        };
        Some(now.after(limit))
    }
}
