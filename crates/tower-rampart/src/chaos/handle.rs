//! The chaos from outside.

use std::sync::Arc;

use tower_rampart_core::InvalidConfig;

use super::{Config, Counts, Shared};

/// A handle to one chaos; clones are handles to the same.
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
        self.shared.chaos.config()
    }

    /// Replaces the configuration for new calls. Another seed begins at its beginning; the same one goes on.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.shared.chaos.reconfigure(config)
    }

    /// How often something was injected.
    pub fn counts(&self) -> Counts {
        self.shared.chaos.counts()
    }
}
