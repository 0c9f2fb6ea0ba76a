//! The layer and its builder: they own the limit.

use std::sync::Arc;

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, Stage, concurrency::Limiter, shadow::Switch};

use super::{ConcurrencyLimit, Config, Handle};
use crate::registry::Registry;

/// Applies a concurrency limit to services; see the [module](super).
#[derive(Debug, Clone)]
pub struct ConcurrencyLimitLayer {
    limiter: Arc<Limiter>,
    shadow: Arc<Switch>,
}

impl ConcurrencyLimitLayer {
    /// A limit of its own.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Self::builder().config(config).build()
    }

    /// A builder, for a name or a registry.
    pub fn builder() -> Builder {
        Builder { name: "default".to_owned(), config: Config::default(), registry: None }
    }

    /// A handle to the limit.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.limiter))
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

/// Refuses a limit that moves: this layer does not look at answers.
pub(super) fn stays(config: &Config) -> Result<(), InvalidConfig> {
    match config.adaptive {
        None => Ok(()),
        Some(adaptive) => {
            let expected = "absent: AdaptiveConcurrencyLayer and the pipeline move a limit";
            Err(InvalidConfig::new("concurrency.adaptive", adaptive.algorithm.as_str(), expected))
        }
    }
}

impl<S> Layer<S> for ConcurrencyLimitLayer {
    type Service = ConcurrencyLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ConcurrencyLimit::new(inner, Arc::clone(&self.limiter), Arc::clone(&self.shadow))
    }
}

/// Builds a [`ConcurrencyLimitLayer`].
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    config: Config,
    registry: Option<Registry>,
}

impl Builder {
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

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build(self) -> Result<ConcurrencyLimitLayer, InvalidConfig> {
        Ok(ConcurrencyLimitLayer { limiter: self.into_limiter(false)?, shadow: Arc::default() })
    }

    /// The limiter, which the registry knows from now on. `is_keyed`: it is that of all keys without a place.
    pub(super) fn into_limiter(self, is_keyed: bool) -> Result<Arc<Limiter>, InvalidConfig> {
        stays(&self.config)?;
        let limiter = Arc::new(Limiter::new(self.name.as_str(), self.config)?);
        if let Some(registry) = &self.registry {
            registry.attach(&self.name, |operation| {
                operation.set_keyed(Stage::Concurrency, is_keyed);
                operation.attach_concurrency_limiter(Arc::clone(&limiter));
            })?;
        }
        Ok(limiter)
    }
}
