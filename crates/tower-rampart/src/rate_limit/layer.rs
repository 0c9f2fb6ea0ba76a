//! The layer and its builder: they own the limit.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, Stage, rate::RateLimiter, shadow::Switch};

use super::{Config, Handle, One, RateLimit, Shared};
use crate::{clock, registry::Registry};

/// Applies a rate limit to services; see the [module](super).
pub struct RateLimitLayer<W = One> {
    shared: Arc<Shared<W>>,
}

impl RateLimitLayer {
    /// A limit of its own; every request costs one token.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Self::builder().config(config).build()
    }

    /// A builder, for a name, costs or a registry.
    pub fn builder() -> Builder<One> {
        Builder { name: "default".to_owned(), config: Config::default(), registry: None, cost: One }
    }
}

impl<W> RateLimitLayer<W> {
    /// A handle to the limit.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared.limiter))
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

impl<W> Clone for RateLimitLayer<W> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<W> fmt::Debug for RateLimitLayer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("config", &self.shared.limiter.config()).finish_non_exhaustive()
    }
}

impl<S, W> Layer<S> for RateLimitLayer<W> {
    type Service = RateLimit<S, W>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`RateLimitLayer`].
#[derive(Debug, Clone)]
pub struct Builder<W> {
    name: String,
    config: Config,
    registry: Option<Registry>,
    cost: W,
}

impl<W> Builder<W> {
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

    /// Makes the limit visible in `registry` under the builder's name.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Weighs requests by `cost`: a closure from `&Req` to `u32`, or any [`Cost`](super::Cost). Default: one token each.
    pub fn cost<W2>(self, cost: W2) -> Builder<W2> {
        Builder { name: self.name, config: self.config, registry: self.registry, cost }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build(self) -> Result<RateLimitLayer<W>, InvalidConfig> {
        let (limiter, cost) = self.into_parts(false)?;
        Ok(RateLimitLayer { shared: Arc::new(Shared { limiter, cost, shadow: Switch::default() }) })
    }

    /// The limiter, which the registry knows from now on, and the costs. `is_keyed`: it is that of all keys without a place.
    pub(super) fn into_parts(self, is_keyed: bool) -> Result<(Arc<RateLimiter>, W), InvalidConfig> {
        let limiter = Arc::new(RateLimiter::new(self.name.as_str(), self.config)?);
        clock::prepare();
        if let Some(registry) = &self.registry {
            registry.attach(&self.name, |operation| {
                operation.set_keyed(Stage::RateLimit, is_keyed);
                operation.attach_rate_limiter(Arc::clone(&limiter));
            })?;
        }
        Ok((limiter, self.cost))
    }
}
