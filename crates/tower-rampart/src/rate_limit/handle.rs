//! The rate limit from outside.

use std::{sync::Arc, time::Duration};

use tower_rampart_core::{InvalidConfig, rate::RateLimiter};

use super::Config;
use crate::clock;

/// A handle to one rate limit; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Handle {
    limiter: Arc<RateLimiter>,
}

impl Handle {
    pub(crate) fn new(limiter: Arc<RateLimiter>) -> Self {
        Self { limiter }
    }

    /// The tokens that are there now.
    pub fn remaining(&self) -> f64 {
        self.limiter.remaining(clock::now())
    }

    /// The time until all tokens are there again.
    pub fn reset_after(&self) -> Duration {
        self.limiter.reset_after(clock::now())
    }

    /// Calls that wait for their turn.
    pub fn queued(&self) -> usize {
        self.limiter.queued()
    }

    /// The configuration that the limit runs on.
    pub fn config(&self) -> Config {
        self.limiter.config()
    }

    /// Replaces the configuration; a lower quota grants no burst, a higher one forgives no debt.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.limiter.reconfigure(config, clock::now())
    }
}
