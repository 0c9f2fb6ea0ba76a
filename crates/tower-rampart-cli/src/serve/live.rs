//! The configuration that traffic runs on, and the pipelines that were built from it: replaced together or not at all. Where documents come from is in
//! `source`.

use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use tower_rampart::{
    Registry, Resilience, ResilienceConfig,
    reload::{ChangeBy, ReloadError},
};
use tower_rampart_core::{
    control::ConfigCell,
    event::{Event, EventKind},
    rejection::Name,
};

use super::{
    counters::Counters,
    document::capabilities,
    operations::{Operation, Operations, OperationsError, StandbyNumbers},
    target::Target,
    upstream::Upstream,
};

/// What the gateway runs on.
#[derive(Debug)]
pub(crate) struct Live {
    resilience: Resilience,
    upstream: Upstream,
    fallbacks: Vec<Target>,
    counters: Arc<Counters>,
    operations: ConfigCell<Operations>,
    /// Held for a whole change, so that the pipelines that are stored last are those of the configuration that was.
    numbers: Mutex<StandbyNumbers>,
}

impl Live {
    /// Builds the pipelines of a configuration. `fallbacks` are tried before those that the configuration has.
    ///
    /// # Errors
    /// If the configuration asks for what a gateway cannot do.
    pub(crate) fn new(
        config: ResilienceConfig,
        registry: &Registry,
        upstream: Upstream,
        fallbacks: Vec<Target>,
        counters: Arc<Counters>,
    ) -> Result<Self, OperationsError> {
        Operations::check(&config)?;
        let resilience = Resilience::for_host(config, registry, capabilities())?;
        let mut numbers = StandbyNumbers::default();
        let operations = Operations::new(&resilience, &upstream, &fallbacks, &mut numbers)?;
        let (operations, numbers) = (ConfigCell::new(operations), Mutex::new(numbers));
        Ok(Self { resilience, upstream, fallbacks, counters, operations, numbers })
    }

    /// The operation of a request, as it is now. The request keeps it, whatever is reloaded meanwhile.
    pub(crate) fn operation_of(&self, request: &Parts) -> Operation {
        self.operations.with(|it| it.of(request).clone())
    }

    /// Replaces the document: circuits, windows, tokens, permits and budgets stay, requests in flight end on the pipelines they began with.
    ///
    /// # Errors
    /// If the document cannot be served. Then nothing has changed, and observers have been told.
    pub(crate) fn reload(&self, document: ResilienceConfig, by: &ChangeBy) -> Result<(), OperationsError> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        // What the library cannot know of a gateway, before anything is changed.
        Operations::check(&document).inspect_err(|error| self.refuse(error.to_string()))?;
        Operations::check_room(&document, &self.fallbacks, &mut numbers, self.resilience.registry())
            .inspect_err(|error| self.refuse(error.to_string()))?;
        let before = self.resilience.document();
        self.resilience.reload(document, by)?;
        match Operations::new(&self.resilience, &self.upstream, &self.fallbacks, &mut numbers) {
            Ok(operations) => {
                self.operations.store(operations);
                self.counters.reload_applied();
                Ok(())
            }
            // Others have taken the registry's room meanwhile.
            Err(error) => {
                self.resilience.reload(before, by)?;
                self.refuse(error.to_string());
                Err(error)
            }
        }
    }

    /// Tells observers of a document that was refused before it came here.
    pub(crate) fn refuse(&self, reason: impl Into<Arc<str>>) {
        let registry = self.resilience.registry();
        let kind = EventKind::ReloadRefused { reason: reason.into() };
        registry.emit(&Event::new(registry.now(), Name::from("configuration"), kind));
    }
}

impl From<ReloadError> for OperationsError {
    fn from(error: ReloadError) -> Self {
        Self::Build(error.into())
    }
}
