//! The layer and its builder: they own the throttle.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, shadow::Switch, throttle::Throttle};

use super::{ClientThrottle, Config, Handle, Shared};
use crate::{
    classify::{Auto, DefaultClassifier, Given, IntoClassifier},
    clock,
    registry::Registry,
};

/// Applies client throttling to services; see the [module](super).
pub struct ThrottleLayer<C = DefaultClassifier> {
    shared: Arc<Shared<C>>,
}

impl<M> ThrottleLayer<DefaultClassifier<M>> {
    /// A throttle of its own with the default classifier.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Builder::new().config(config).build()
    }
}

impl ThrottleLayer {
    /// A builder, for a name, a classifier, a seed or a registry.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<C> ThrottleLayer<C> {
    /// A handle to the throttle.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared.throttle))
    }

    /// Puts the layer in shadow, or makes it live: in shadow it evaluates, counts what it would have done, and refuses nothing. See
    /// [`shadow`](tower_rampart_core::shadow).
    #[must_use]
    pub fn shadow(self, on: bool) -> Self {
        self.shared.shadow.set(on);
        self
    }

    /// Whether the layer is in shadow, and what it would have done; can be switched while calls flow.
    pub fn shadow_switch(&self) -> &Switch {
        &self.shared.shadow
    }
}

impl<C> Clone for ThrottleLayer<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C> fmt::Debug for ThrottleLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleLayer").field("throttle", &self.shared.throttle).finish_non_exhaustive()
    }
}

impl<S, C> Layer<S> for ThrottleLayer<C> {
    type Service = ClientThrottle<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientThrottle::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`ThrottleLayer`].
#[derive(Debug, Clone)]
pub struct Builder<C = Auto> {
    name: String,
    config: Config,
    seed: Option<u64>,
    registry: Option<Registry>,
    classifier: C,
}

impl Builder {
    fn new() -> Self {
        Self { name: "default".to_owned(), config: Config::default(), seed: None, registry: None, classifier: Auto }
    }
}

impl<C> Builder<C> {
    /// The name in refusals and metrics. Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The configuration. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Makes chance reproducible. Default: from the system's randomness.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the throttle visible in `registry` under the builder's name.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify).
    pub fn classifier<C2>(self, classifier: C2) -> Builder<Given<C2>> {
        let Self { name, config, seed, registry, classifier: _ } = self;
        Builder { name, config, seed, registry, classifier: Given(classifier) }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build<C2>(self) -> Result<ThrottleLayer<C2>, InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        let throttle = Throttle::new(self.name.as_str(), self.config)?;
        let throttle = Arc::new(match self.seed {
            Some(seed) => throttle.with_seed(seed),
            None => throttle,
        });
        clock::prepare();
        if let Some(registry) = &self.registry {
            registry.attach(&self.name, |operation| operation.attach_throttle(Arc::clone(&throttle)))?;
        }
        let classifier = self.classifier.into_classifier();
        Ok(ThrottleLayer { shared: Arc::new(Shared { throttle, classifier, shadow: Switch::default() }) })
    }
}
