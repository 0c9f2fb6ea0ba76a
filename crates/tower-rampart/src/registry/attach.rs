//! Puts the machines of layers that are stacked by hand into the registry.

use tower_rampart_core::{InvalidConfig, registry::Operation};

use super::Registry;

impl Registry {
    /// Gets or creates an operation and attaches a machine to it.
    pub(crate) fn attach(&self, name: &str, attach: impl FnOnce(&Operation)) -> Result<(), InvalidConfig> {
        let full = |error| InvalidConfig::new("operation", name, format_args!("one of a bounded number ({error})"));
        attach(&*self.core.operation(name).map_err(full)?);
        Ok(())
    }
}
