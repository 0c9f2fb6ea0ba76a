//! The pipelines that traffic runs on: checked and built anew before each change of the configuration, wherever it comes from, and replaced together or not
//! at all. Files are followed in `source`, the management API is mounted in `admin`.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::request::Parts;
use tower_rampart::{
    Registry, Resilience, ResilienceConfig,
    reload::{Host, Next, Ready, ReloadError},
};
use tower_rampart_config::ConfigError;
use tower_rampart_core::control::ConfigCell;

use super::{
    operations::{Operation, Operations, StandbyNumbers},
    target::Target,
    upstream::Upstream,
};

/// What the gateway runs on.
#[derive(Debug)]
pub(crate) struct Live {
    upstream: Upstream,
    fallbacks: Vec<Target>,
    registry: Registry,
    /// Empty only until the first configuration was made ready for.
    operations: OnceLock<ConfigCell<Operations>>,
    numbers: Mutex<StandbyNumbers>,
}

impl Live {
    /// Builds the pipelines of a configuration, and is asked before each change of it. `fallbacks` are tried before those that the configuration has.
    ///
    /// # Errors
    /// If the configuration asks for what a gateway cannot do.
    pub(crate) fn attach(
        resilience: &Resilience,
        upstream: Upstream,
        fallbacks: Vec<Target>,
    ) -> Result<Arc<Self>, ReloadError> {
        let registry = resilience.registry().clone();
        let (operations, numbers) = (OnceLock::new(), Mutex::default());
        let live = Arc::new(Self { upstream, fallbacks, registry, operations, numbers });
        resilience.attach_host(Arc::clone(&live) as Arc<dyn Host>)?;
        Ok(live)
    }

    /// The operation of a request, as it is now. The request keeps it, whatever is reloaded meanwhile: it ends on the pipeline that it began with.
    pub(crate) fn operation_of(&self, request: &Parts) -> Operation {
        let operations = self.operations.get().expect("attaching made ready for the first configuration");
        operations.with(|it| it.of(request).clone())
    }

    fn numbers(&self) -> MutexGuard<'_, StandbyNumbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Live {
    fn check(&self, config: &ResilienceConfig) -> Result<(), ConfigError> {
        Operations::check(config, &self.fallbacks, &self.numbers(), &self.registry)
    }

    fn prepare(self: Arc<Self>, next: &Next) -> Result<Ready, ConfigError> {
        let operations = Operations::new(next, &self.upstream, &self.fallbacks, &mut self.numbers())?;
        Ok(Box::new(move || match self.operations.get() {
            Some(cell) => cell.store(operations),
            // Changes are made one after another, so nobody else was first.
            None => drop(self.operations.set(ConfigCell::new(operations))),
        }))
    }
}
