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
