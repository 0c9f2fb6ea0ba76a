//! The registry with this crate's clock: counters, latencies and states of all operations. The numbers are `tower_rampart_core::registry`'s.

#[cfg(any(feature = "breaker", feature = "rate-limit", feature = "concurrency", feature = "throttle"))]
mod attach;
#[cfg(feature = "pipeline")]
mod operations;

use std::ops::Deref;

pub use tower_rampart_core::registry::{OperationSnapshot, Snapshot};
use tower_rampart_core::{InvalidConfig, registry::TooManyOperations};

use crate::clock;

/// The one place that every number comes from; clones are the same registry.
///
/// Hand it to each layer and to whatever looks at them. It derefs to `tower_rampart_core`'s registry: `snapshot()`,
/// `signals("name")`, `prometheus_text()`, `events()`, `on_event(..)`.
#[derive(Debug, Clone)]
pub struct Registry {
    core: tower_rampart_core::registry::Registry,
    #[cfg(feature = "pipeline")]
    operations: operations::Operations,
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
        clock::prepare();
        Self {
            core: tower_rampart_core::registry::Registry::with_clock(clock::now),
            #[cfg(feature = "pipeline")]
            operations: operations::Operations::default(),
        }
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
