//! The layer and its builder.

use std::sync::Arc;

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, chaos::Chaos};

use super::{ChaosService, Config, Handle, Shared};

/// Applies chaos to services; see the [module](super).
#[derive(Debug, Clone)]
pub struct ChaosLayer {
    shared: Arc<Shared>,
}

impl ChaosLayer {
    /// Chaos as configured.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Self::builder().config(config).build()
    }

    /// A builder, for a name.
    pub fn builder() -> Builder {
        Builder { name: "default".to_owned(), config: Config::default() }
    }

    /// A handle to the chaos.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }
}

impl<S> Layer<S> for ChaosLayer {
    type Service = ChaosService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ChaosService::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`ChaosLayer`].
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    config: Config,
}

impl Builder {
    /// The name in errors. Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The configuration. Default: nothing is injected.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build(self) -> Result<ChaosLayer, InvalidConfig> {
        let shared = Shared { name: self.name.into(), chaos: Chaos::new(self.config)? };
        Ok(ChaosLayer { shared: Arc::new(shared) })
    }
}
