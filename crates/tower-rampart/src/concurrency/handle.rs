//! The concurrency limit from outside.

use std::sync::Arc;

use tower_rampart_core::{InvalidConfig, concurrency::Limiter};

use super::{Config, layer::stays};

/// A handle to one concurrency limit; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Handle {
    limiter: Arc<Limiter>,
}

impl Handle {
    pub(crate) fn new(limiter: Arc<Limiter>) -> Self {
        Self { limiter }
    }

    /// Calls in flight.
    pub fn inflight(&self) -> u32 {
        self.limiter.inflight()
    }

    /// Calls that wait for a permit.
    pub fn queued(&self) -> usize {
        self.limiter.queued()
    }

    /// The configuration that the limit runs on.
    pub fn config(&self) -> Config {
        self.limiter.config()
    }

    /// Replaces the configuration; permits that are out stay out, and waiting calls get what becomes free.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        stays(&config)?;
        self.limiter.reconfigure(config)
    }
}
