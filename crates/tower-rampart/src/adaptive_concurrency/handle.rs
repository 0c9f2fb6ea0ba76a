//! A limit that moves, from outside.

use std::sync::Arc;

use tower_rampart_core::{InvalidConfig, concurrency::Limiter};

use super::Config;

/// A handle to the limit; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Handle {
    limiter: Arc<Limiter>,
}

impl Handle {
    pub(crate) fn new(limiter: Arc<Limiter>) -> Self {
        Self { limiter }
    }

    /// The limit as it is now.
    pub fn max_inflight(&self) -> u32 {
        self.limiter.max_inflight()
    }

    /// The calls in flight; more than the limit for a while after it was lowered.
    pub fn inflight(&self) -> u32 {
        self.limiter.inflight()
    }

    /// The calls that wait for a permit.
    pub fn queued(&self) -> usize {
        self.limiter.queued()
    }

    /// The configuration that the limit runs on.
    pub fn config(&self) -> Config {
        self.limiter.config()
    }

    /// Replaces the configuration; permits that are out stay out, and the limit stays where it is unless `max_inflight` is another. Without `adaptive` it is
    /// `max_inflight` from now on.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.limiter.reconfigure(config)
    }
}
