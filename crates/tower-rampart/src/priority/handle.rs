//! The shares and the limit from outside.

use std::sync::Arc;

use tower_rampart_core::{InvalidConfig, concurrency::Limiter, control::ConfigCell};

use super::Config;
use crate::concurrency;

/// A handle to one limit and its shares; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Handle {
    limiter: Arc<Limiter>,
    config: Arc<ConfigCell<Config>>,
}

impl Handle {
    pub(crate) fn new(limiter: Arc<Limiter>, config: Arc<ConfigCell<Config>>) -> Self {
        Self { limiter, config }
    }

    /// The limit.
    pub fn limit(&self) -> concurrency::Handle {
        concurrency::Handle::new(Arc::clone(&self.limiter))
    }

    /// The shares that new calls meet.
    pub fn config(&self) -> Config {
        self.config.with(|config| *config)
    }

    /// Replaces the shares; who is in flight or waits stays.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old shares stay.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        config.check()?;
        self.config.store(config);
        Ok(())
    }
}
