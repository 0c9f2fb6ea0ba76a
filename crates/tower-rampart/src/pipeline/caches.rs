//! The caches of one operation, and how a change of the configuration reaches them. What is kept is the core's business, by which key `cache`'s.

use std::{
    any::Any,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use tower_rampart_core::{
    Timestamp,
    cache::{Bounded, Cache, Config, Stats},
    control::ConfigCell,
};

/// The caches of one operation: whatever they keep, they run on one configuration and count together.
pub struct Caches {
    config: Arc<ConfigCell<Config>>,
    stats: Arc<Stats>,
    attached: Mutex<Vec<Weak<dyn Bounded>>>,
    /// What the pipelines of a host share, however often they are built anew.
    shared: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Caches {
    /// None yet; they count into `stats`.
    pub(crate) fn new(config: Config, stats: &Arc<Stats>) -> Self {
        stats.set_on(config.enabled);
        let config = Arc::new(ConfigCell::new(config));
        Self { config, stats: Arc::clone(stats), attached: Mutex::default(), shared: OnceLock::new() }
    }

    /// Another cache.
    pub(crate) fn make<K, V>(&self) -> Arc<Cache<K, V>>
    where
        K: Eq + Hash + Clone + Send + 'static,
        V: Send + Sync + 'static,
    {
        let cache = Cache::with(Arc::clone(&self.config), Arc::clone(&self.stats));
        let bounded = Arc::clone(&cache) as Arc<dyn Bounded>;
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.retain(|it| it.strong_count() > 0);
        attached.push(Arc::downgrade(&bounded));
        cache
    }

    /// What `make` made when it was asked for first.
    #[cfg(feature = "http")]
    pub(crate) fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let shared = self.shared.get_or_init(|| Arc::new(make()));
        Arc::clone(shared).downcast().expect("one host asks, for one type")
    }

    /// Replaces the configuration of all, which was checked.
    pub(crate) fn reconfigure(&self, config: Config, now: Timestamp) {
        if self.config.with(|present| *present) == config {
            return;
        }
        self.config.store(config);
        self.stats.set_on(config.enabled);
        let attached: Vec<_> = {
            let attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
            attached.iter().filter_map(Weak::upgrade).collect()
        };
        for cache in attached {
            cache.fit(now);
        }
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches").field("stats", &self.stats).field("shared", &self.shared).finish_non_exhaustive()
    }
}
