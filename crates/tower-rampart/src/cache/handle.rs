//! The cache from outside.

use std::{fmt, hash::Hash, sync::Arc};

use tower_rampart_core::{
    InvalidConfig,
    cache::{Cache, CacheSnapshot},
};

use super::Config;
use crate::clock;

/// A handle to one cache; clones are handles to the same.
pub struct Handle<K, V> {
    cache: Arc<Cache<K, V>>,
}

impl<K: Eq + Hash + Clone, V> Handle<K, V> {
    pub(super) const fn new(cache: Arc<Cache<K, V>>) -> Self {
        Self { cache }
    }

    /// The configuration that new calls run on.
    pub fn config(&self) -> Config {
        self.cache.config()
    }

    /// Replaces the configuration, for answers that are kept already too; one that is off keeps none.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.cache.reconfigure(config, clock::now())
    }

    /// What was counted.
    pub fn stats(&self) -> CacheSnapshot {
        self.cache.stats().read()
    }

    /// Lets go every answer.
    pub fn clear(&self) {
        self.cache.clear();
    }
}

impl<K, V> Clone for Handle<K, V> {
    fn clone(&self) -> Self {
        Self { cache: Arc::clone(&self.cache) }
    }
}

impl<K, V> fmt::Debug for Handle<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("cache::Handle").field("cache", &self.cache).finish()
    }
}
