//! The layer and its builder: they own the circuit.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, Stage, breaker::Breaker, shadow::Switch};

use super::{CircuitBreaker, Config, Handle, Shared};
use crate::{
    classify::{Auto, DefaultClassifier, Given, IntoClassifier},
    clock,
    registry::Registry,
};

/// Applies a circuit breaker to services; see the [module](super).
pub struct CircuitBreakerLayer<C = DefaultClassifier> {
    shared: Arc<Shared<C>>,
    shadow: Arc<Switch>,
}

impl<M> CircuitBreakerLayer<DefaultClassifier<M>> {
    /// A circuit of its own with the default classifier.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Builder::new().config(config).build()
    }
}

impl CircuitBreakerLayer {
    /// A builder, for a name, a classifier or a registry.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<C> CircuitBreakerLayer<C> {
    /// A handle to the circuit: its state, and what an operator does with it.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared.breaker))
    }

    /// Puts the layer in shadow, or makes it live: in shadow it evaluates, counts what it would have done, and refuses nothing. See
    /// [`shadow`](tower_rampart_core::shadow).
    #[must_use]
    pub fn shadow(self, on: bool) -> Self {
        self.shadow.set(on);
        self
    }

    /// Whether the layer is in shadow, and what it would have done; can be switched while calls flow.
    pub fn shadow_switch(&self) -> &Switch {
        &self.shadow
    }
}

impl<C> Clone for CircuitBreakerLayer<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), shadow: Arc::clone(&self.shadow) }
    }
}

impl<C> fmt::Debug for CircuitBreakerLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer").field("name", self.shared.breaker.name()).finish_non_exhaustive()
    }
}

impl<S, C> Layer<S> for CircuitBreakerLayer<C> {
    type Service = CircuitBreaker<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreaker::new(inner, Arc::clone(&self.shared), Arc::clone(&self.shadow))
    }
}

/// Builds a [`CircuitBreakerLayer`].
#[derive(Debug, Clone)]
pub struct Builder<C = Auto> {
    name: String,
    config: Config,
    registry: Option<Registry>,
    classifier: C,
}

impl Builder {
    fn new() -> Self {
        Self { name: "default".to_owned(), config: Config::default(), registry: None, classifier: Auto }
    }
}

impl<C> Builder<C> {
    /// The name in refusals, events and metrics. Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The configuration. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Makes the circuit visible in `registry` under the builder's name.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify).
    pub fn classifier<C2>(self, classifier: C2) -> Builder<Given<C2>> {
        Builder { name: self.name, config: self.config, registry: self.registry, classifier: Given(classifier) }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build<C2>(self) -> Result<CircuitBreakerLayer<C2>, InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        let (breaker, classifier) = self.into_parts(false)?;
        let shared = Arc::new(Shared { breaker, classifier, per_key: false });
        Ok(CircuitBreakerLayer { shared, shadow: Arc::default() })
    }

    /// The circuit, which the registry knows from now on, and the classifier. `is_keyed`: it is that of all keys without a place.
    pub(super) fn into_parts<C2>(self, is_keyed: bool) -> Result<(Arc<Breaker>, C2), InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        let breaker = Arc::new(Breaker::new(self.name.as_str(), self.config)?);
        clock::prepare();
        if let Some(registry) = &self.registry {
            registry.attach(&self.name, |operation| {
                operation.set_keyed(Stage::CircuitBreaker, is_keyed);
                operation.attach_breaker(Arc::clone(&breaker));
            })?;
        }
        Ok((breaker, self.classifier.into_classifier()))
    }
}
