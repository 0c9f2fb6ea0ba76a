//! What all handlers share: the `Resilience` that traffic runs on, the limits of the API, and what it remembers.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tower_rampart::{Registry, Resilience};
use tower_rampart_core::control::ConfigCell;

use crate::{
    callers::{Callers, Validations},
    config::{AdminConfig, AdminError},
    exposition::{self, MetricsFormat, MetricsSource},
    forced::Forced,
    keys::Keys,
    moment::Present,
    monitoring::Monitor,
    performance::Benchmarks,
    redis::RedisSource,
};

/// Requests that are worked on at once, those among them that nobody waits for any more; the others wait, within their time.
const MOST_AT_ONCE: usize = 32;

/// What all handlers share; clones are the same.
#[derive(Clone)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    resilience: Resilience,
    keys: Arc<ConfigCell<Keys>>,
    body_limit: usize,
    timeout: Duration,
    callers: Callers,
    validations: Validations,
    forced: Forced,
    at_work: Arc<Semaphore>,
    started: Present,
    monitor: Monitor,
    benchmarks: Benchmarks,
    metrics: Option<MetricsSource>,
    redis: Option<RedisSource>,
}

impl Api {
    pub(crate) fn new(resilience: Resilience, config: AdminConfig) -> Result<Self, AdminError> {
        config.check()?;
        let monitor = config.monitor.unwrap_or_else(|| Monitor::new(&resilience));
        let inner = Inner {
            benchmarks: Benchmarks::new(&resilience, &monitor),
            monitor,
            resilience,
            body_limit: config.body_limit,
            timeout: config.timeout,
            callers: Callers::new(config.rate)?,
            validations: Validations::new(config.validations_per_minute, config.validations_per_hour),
            forced: Forced::default(),
            at_work: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            started: Present::read(),
            keys: config.ring.map_or_else(|| Arc::new(ConfigCell::new(config.keys)), |ring| ring.shared()),
            metrics: config.metrics,
            redis: config.redis,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn resilience(&self) -> &Resilience {
        &self.inner.resilience
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.inner.resilience.registry()
    }

    /// The keys that are known now.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.inner.keys.load()
    }

    /// How the fleet stands, where there is one.
    pub(crate) fn redis(&self) -> Option<&RedisSource> {
        self.inner.redis.as_ref()
    }

    /// The metrics of the registry and of the program around.
    pub(crate) fn metrics_text(&self, format: MetricsFormat) -> String {
        exposition::text(self.registry(), self.inner.metrics.as_ref(), format)
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.inner.body_limit
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.inner.callers
    }

    pub(crate) fn validations(&self) -> &Validations {
        &self.inner.validations
    }

    pub(crate) fn forced(&self) -> &Forced {
        &self.inner.forced
    }

    /// Held while a request is worked on.
    pub(crate) fn at_work(&self) -> &Arc<Semaphore> {
        &self.inner.at_work
    }

    pub(crate) fn monitor(&self) -> &Monitor {
        &self.inner.monitor
    }

    pub(crate) fn benchmarks(&self) -> &Benchmarks {
        &self.inner.benchmarks
    }

    /// When the API was made.
    pub(crate) fn started(&self) -> Present {
        self.inner.started
    }
}
