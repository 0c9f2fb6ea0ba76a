//! The layer and its builder.

use std::{sync::Arc, time::Duration};

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, control::ConfigCell, shadow::Switch};

use super::{Config, Handle, Shared, Timeout};

/// Applies a timeout to services; see the [module](super).
#[derive(Debug, Clone)]
pub struct TimeoutLayer {
    shared: Arc<Shared>,
}

impl TimeoutLayer {
    /// A timeout; where `config` has both limits the shorter one acts.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Self::builder().config(config).build()
    }

    /// A limit for one attempt, 1 ms to 24 h.
    ///
    /// # Errors
    /// If `limit` is out of its range.
    pub fn attempt(limit: Duration) -> Result<Self, InvalidConfig> {
        Self::new(Config::attempt(limit))
    }

    /// A limit for a whole call, 1 ms to 24 h.
    ///
    /// # Errors
    /// If `limit` is out of its range.
    pub fn total(limit: Duration) -> Result<Self, InvalidConfig> {
        Self::new(Config::total(limit))
    }

    /// A builder, for a name.
    pub fn builder() -> Builder {
        Builder { name: "default".to_owned(), config: Config::default() }
    }

    /// A handle to the timeout.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
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

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`TimeoutLayer`].
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

    /// The configuration. Default: no limit.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build(self) -> Result<TimeoutLayer, InvalidConfig> {
        self.config.check()?;
        let shared = Shared { name: self.name.into(), config: ConfigCell::new(self.config), shadow: Switch::default() };
        Ok(TimeoutLayer { shared: Arc::new(shared) })
    }
}
