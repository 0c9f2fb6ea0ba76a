//! Why a pipeline cannot be built. What a call comes to is the crate's `Error`.

use tower_rampart_config::ConfigError;
use tower_rampart_core::InvalidConfig;

use crate::{registry::OperationError, reload::ReloadError};

/// Why a pipeline cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The preset, the document or the environment is wrong; the message lists every violation.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value given in code is out of its range.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
    /// The registry has this operation with another configuration, or has no room for another.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The overrides given in code cannot be laid over a live configuration.
    #[error(transparent)]
    Reload(#[from] ReloadError),
}
