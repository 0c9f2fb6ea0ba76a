//! The layer and its builder: they own the limit.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, concurrency::Limiter};

use super::{AdaptiveConcurrency, Config, Handle, Sampled, Shared};
use crate::{
    classify::{Auto, DefaultClassifier, Given, IntoClassifier},
    clock,
    concurrency::ConcurrencyLimit,
    registry::Registry,
};

/// Applies a concurrency limit that moves to services; see the [module](super).
pub struct AdaptiveConcurrencyLayer<C = DefaultClassifier> {
    shared: Arc<Shared<C>>,
}

impl<M> AdaptiveConcurrencyLayer<DefaultClassifier<M>> {
    /// A limit of its own with the default classifier.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Builder::new().config(config).build()
    }
}

impl AdaptiveConcurrencyLayer {
    /// A builder, for a name, a classifier, a timeout or a registry.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<C> AdaptiveConcurrencyLayer<C> {
    /// A handle to the limit.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared.limiter))
    }
}

impl<C> Clone for AdaptiveConcurrencyLayer<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C> fmt::Debug for AdaptiveConcurrencyLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveConcurrencyLayer").field("limiter", &self.shared.limiter).finish_non_exhaustive()
    }
}

impl<S, C> Layer<S> for AdaptiveConcurrencyLayer<C> {
    type Service = AdaptiveConcurrency<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let limiter = Arc::clone(&self.shared.limiter);
        ConcurrencyLimit::new(Sampled::new(inner, Arc::clone(&self.shared)), limiter, Arc::default())
    }
}

/// Builds an [`AdaptiveConcurrencyLayer`].
#[derive(Debug, Clone)]
pub struct Builder<C = Auto> {
    name: String,
    config: Config,
    registry: Option<Registry>,
    timeout: Option<Duration>,
    classifier: C,
}

impl Builder {
    fn new() -> Self {
        Self { name: "default".to_owned(), config: Config::default(), registry: None, timeout: None, classifier: Auto }
    }
}

impl<C> Builder<C> {
    /// The name in refusals and metrics. Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The configuration. Without `adaptive` the limit stays at `max_inflight` until it is reconfigured. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Makes the limit visible in `registry` under the builder's name.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Counts a call as dropped that took so long, however it ended, given up by its caller included. Best a little less than the timeout that stands
    /// outside of this layer and gives calls up. 1 ms to 24 h. Default: none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify).
    pub fn classifier<C2>(self, classifier: C2) -> Builder<Given<C2>> {
        let Self { name, config, registry, timeout, .. } = self;
        Builder { name, config, registry, timeout, classifier: Given(classifier) }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range, or `timeout`.
    pub fn build<C2>(self) -> Result<AdaptiveConcurrencyLayer<C2>, InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        if let Some(timeout) = self.timeout {
            InvalidConfig::duration("timeout", timeout, Duration::from_millis(1), Duration::from_secs(24 * 60 * 60))?;
        }
        let limiter = Arc::new(Limiter::new(self.name.as_str(), self.config)?);
        clock::prepare();
        if let Some(registry) = &self.registry {
            registry.attach(&self.name, |operation| operation.attach_concurrency_limiter(Arc::clone(&limiter)))?;
        }
        let classifier = self.classifier.into_classifier();
        Ok(AdaptiveConcurrencyLayer { shared: Arc::new(Shared { limiter, classifier, timeout: self.timeout }) })
    }
}
