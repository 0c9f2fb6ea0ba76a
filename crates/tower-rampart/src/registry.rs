//! The registry with this crate's clock: counters, latencies and states of all operations. The numbers are `tower_rampart_core::registry`'s.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

pub use tower_rampart_core::registry::{OperationSnapshot, Snapshot};
use tower_rampart_core::{
    InvalidConfig,
    registry::{Operation, TooManyOperations},
};

use crate::clock;
#[cfg(feature = "pipeline")]
use crate::pipeline::Machines;

/// The one place that every number comes from; clones are the same registry.
///
/// Hand it to each layer and to whatever looks at them. It derefs to `tower_rampart_core`'s registry: `snapshot()`,
/// `signals("name")`, `prometheus_text()`, `events()`, `on_event(..)`.
#[derive(Debug, Clone)]
pub struct Registry {
    core: tower_rampart_core::registry::Registry,
    #[cfg(feature = "pipeline")]
    machines: Arc<Mutex<HashMap<String, Arc<Machines>>>>,
}

/// Why an operation cannot be had from a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// It exists with another configuration.
    #[error(
        "operation `{operation}` exists with another configuration; it runs on {existing}, asked for was {requested}"
    )]
    Mismatch {
        /// Its name.
        operation: String,
        /// The configuration that it runs on.
        existing: String,
        /// The configuration that was asked for.
        requested: String,
    },
    /// The registry has no room for another.
    #[error(transparent)]
    TooMany(#[from] TooManyOperations),
    /// A value of its configuration is out of its range.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self {
            core: tower_rampart_core::registry::Registry::with_clock(clock::now),
            #[cfg(feature = "pipeline")]
            machines: Arc::default(),
        }
    }

    /// Gets or creates an operation and attaches a machine of a layer that is stacked by hand.
    pub(crate) fn attach(&self, name: &str, attach: impl FnOnce(&Operation)) -> Result<(), InvalidConfig> {
        let operation = self.core.operation(name).map_err(|error| {
            InvalidConfig::new("operation", name, format_args!("one of a bounded number ({error})"))
        })?;
        attach(&operation);
        Ok(())
    }

    /// The machines of an operation: those there are, if they run on this configuration, or new ones.
    #[cfg(feature = "pipeline")]
    pub(crate) fn machines(
        &self,
        name: &str,
        config: tower_rampart_config::OperationConfig,
        seed: Option<u64>,
    ) -> Result<Arc<Machines>, OperationError> {
        let mut all = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(machines) = all.get(name) {
            let existing = machines.config();
            if *existing == config {
                return Ok(Arc::clone(machines));
            }
            return Err(OperationError::Mismatch {
                operation: name.to_owned(),
                existing: existing.to_json().to_string(),
                requested: config.to_json().to_string(),
            });
        }
        let machines = Arc::new(Machines::new(self.core.operation(name)?, config, seed)?);
        all.insert(name.to_owned(), Arc::clone(&machines));
        Ok(machines)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Registry {
    type Target = tower_rampart_core::registry::Registry;

    fn deref(&self) -> &Self::Target {
        &self.core
    }
}
