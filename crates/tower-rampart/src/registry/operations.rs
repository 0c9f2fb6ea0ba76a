//! The operations of pipelines: layers of one operation and registry share their machines.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tower_rampart_config::{Capabilities, OperationConfig};

use super::{OperationError, Registry};
use crate::pipeline::Machines;

pub(super) type Operations = Arc<Mutex<HashMap<String, Arc<Machines>>>>;

impl Registry {
    /// Takes out an operation that nobody uses any more: no layer, service, handle or call of it is left. Its series leave the metrics, and what it knew
    /// is forgotten. Says whether it is gone. Meant for whoever keeps a bounded number of pipelines by key.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart::{Preset, PresetBuilder, Registry, ResilienceLayer};
    ///
    /// # fn main() -> Result<(), tower_rampart::BuildError> {
    /// let registry = Registry::new();
    /// let layer: ResilienceLayer =
    ///     PresetBuilder::new(Preset::Production).operation("tenant-7").registry(&registry).build()?;
    /// assert!(!registry.retire("tenant-7"));
    /// drop(layer);
    /// assert!(registry.retire("tenant-7"));
    /// assert!(registry.get("tenant-7").is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn retire(&self, operation: &str) -> bool {
        // Held to the end: whoever does not have the machines yet gets them from here.
        let mut all = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let is_used = all.get(operation).is_none_or(|machines| Arc::strong_count(machines) > 1);
        if !is_used {
            all.remove(operation);
            self.core.remove(operation);
        }
        !is_used
    }

    /// The machines of an operation: those there are, if they run on this configuration, or new ones. A pipeline that can serve `capabilities` is
    /// built on them.
    pub(crate) fn machines(
        &self,
        name: &str,
        config: OperationConfig,
        seed: Option<u64>,
        capabilities: Capabilities,
    ) -> Result<Arc<Machines>, OperationError> {
        let mut all = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(machines) = all.get(name) {
            let existing = machines.config();
            if *existing == config {
                machines.narrow(capabilities);
                return Ok(Arc::clone(machines));
            }
            return Err(OperationError::Mismatch {
                operation: name.to_owned(),
                existing: existing.to_json().to_string(),
                requested: config.to_json().to_string(),
            });
        }
        let machines = Arc::new(Machines::new(self.core.operation(name)?, config, seed)?);
        machines.narrow(capabilities);
        all.insert(name.to_owned(), Arc::clone(&machines));
        Ok(machines)
    }

    /// The machines of an operation, if there are any.
    pub(crate) fn existing(&self, name: &str) -> Option<Arc<Machines>> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
