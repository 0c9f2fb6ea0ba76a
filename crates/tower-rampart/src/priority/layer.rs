//! The layer and its builder: they own the limit and its shares.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, concurrency::Limiter, control::ConfigCell, shadow::Switch};

use super::{Config, Handle, PriorityLimit, Shared};
use crate::{concurrency, registry::Registry};

/// Applies a concurrency limit to services whose room is shared out by importance; see the [module](super).
pub struct PriorityLayer<P> {
    shared: Arc<Shared<P>>,
}

impl<P> PriorityLayer<P> {
    /// A limit of its own with the default shares; `classes` says how important a request is: a closure from `&Req` to [`Priority`](super::Priority).
    ///
    /// # Errors
    /// Names the field of `limit` that is out of its range.
    pub fn new(limit: concurrency::Config, classes: P) -> Result<Self, InvalidConfig> {
        Self::builder(classes).limit(limit).build()
    }

    /// A builder, for shares, a name or a registry.
    pub fn builder(classes: P) -> Builder<P> {
        let (config, limit) = (Config::default(), concurrency::Config::default());
        Builder { name: "default".to_owned(), config, limit, registry: None, classes }
    }

    /// A handle to the limit and its shares.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared.limiter), Arc::clone(&self.shared.config))
    }

    /// Puts the shares in shadow, or makes them live: in shadow calls beyond them are counted and treated as the most important are. The limit stays live. See
    /// [`shadow`](tower_rampart_core::shadow).
    #[must_use]
    pub fn shadow(self, on: bool) -> Self {
        self.shared.shadow.set(on);
        self
    }

    /// Whether the shares are in shadow, and what they would have done; can be switched while calls flow.
    pub fn shadow_switch(&self) -> &Switch {
        &self.shared.shadow
    }
}

impl<P> Clone for PriorityLayer<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P> fmt::Debug for PriorityLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriorityLayer").field("limiter", &self.shared.limiter).finish_non_exhaustive()
    }
}

impl<S, P> Layer<S> for PriorityLayer<P> {
    type Service = PriorityLimit<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        PriorityLimit::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`PriorityLayer`].
#[derive(Clone)]
pub struct Builder<P> {
    name: String,
    config: Config,
    limit: concurrency::Config,
    registry: Option<Registry>,
    classes: P,
}

impl<P> Builder<P> {
    /// The name in refusals and metrics. Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The shares. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The limit whose room is shared out. Default: [`concurrency::Config::default`].
    pub fn limit(mut self, limit: concurrency::Config) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the limit visible in `registry` under the builder's name.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build(self) -> Result<PriorityLayer<P>, InvalidConfig> {
        self.config.check()?;
        let limiter = Arc::new(Limiter::new(self.name.as_str(), self.limit)?);
        if let Some(registry) = &self.registry {
            registry.attach(&self.name, |operation| operation.attach_concurrency_limiter(Arc::clone(&limiter)))?;
        }
        let config = Arc::new(ConfigCell::new(self.config));
        let shared = Shared { limiter, config, classes: self.classes, shadow: Switch::default() };
        Ok(PriorityLayer { shared: Arc::new(shared) })
    }
}

impl<P> fmt::Debug for Builder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("priority::Builder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
