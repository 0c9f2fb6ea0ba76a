//! The timeout from outside.

use std::sync::Arc;

use tower_rampart_core::InvalidConfig;

use super::{Config, Shared};

/// A handle to one timeout; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The configuration that new calls run on.
    pub fn config(&self) -> Config {
        self.shared.config.with(|config| *config)
    }

    /// Replaces the configuration for calls that were not waited for yet.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        config.check()?;
        self.shared.config.store(config);
        Ok(())
    }
}
