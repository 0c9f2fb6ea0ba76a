//! The fallback from outside.

use std::{fmt, sync::Arc};

use super::{Config, Shared};

/// A handle to one fallback; clones are handles to the same.
pub struct Handle<A, C, K> {
    shared: Arc<Shared<A, C, K>>,
}

impl<A, C, K> Handle<A, C, K> {
    pub(crate) fn new(shared: Arc<Shared<A, C, K>>) -> Self {
        Self { shared }
    }

    /// The configuration that new calls run on.
    pub fn config(&self) -> Config {
        self.shared.config.with(|config| *config)
    }

    /// Replaces the configuration for new calls.
    pub fn reconfigure(&self, config: Config) {
        self.shared.config.store(config);
    }
}

impl<A, C, K> Clone for Handle<A, C, K> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl<A, C, K> fmt::Debug for Handle<A, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("fallback::Handle").field("config", &self.config()).finish_non_exhaustive()
    }
}
