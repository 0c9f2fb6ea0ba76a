//! What a change of the configuration comes to, or why it was refused.

use std::{io, path::PathBuf, sync::Arc};

use tower_rampart_config::{Change, ConfigError};

use super::{Override, OverrideId};

/// A change that was made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reloaded {
    /// What became different for calls, overrides included; empty if nothing did.
    pub changes: Vec<Change>,
    /// The tag of the configuration that runs now.
    pub etag: Arc<str>,
    /// The overrides that do not fit over what lies below them now; they are gone.
    pub dropped: Vec<DroppedOverride>,
    /// The number of a document that is in force for a time, by which it can be taken back before.
    pub override_id: Option<OverrideId>,
}

/// An override that a change left no room for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DroppedOverride {
    /// The override.
    pub what: Override,
    /// What would have been wrong with the configuration.
    pub reason: String,
}

/// Why the configuration stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The document or the override is wrong, or asks for what the host cannot serve; the message lists every violation.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It asks for a stage that a pipeline of an operation cannot serve.
    #[error("a pipeline of `{operation}` cannot serve it: {error}")]
    Unsupported {
        /// The operation.
        operation: String,
        /// The stage and the missing capability, at its path.
        #[source]
        error: ConfigError,
    },
    /// Somebody else was faster: the configuration is not the one that the change was meant for.
    #[error("the configuration has changed: it has the tag {present}, asked for was {expected}")]
    EtagMismatch {
        /// The tag that the change was meant for.
        expected: String,
        /// The tag of the configuration that runs.
        present: Arc<str>,
    },
    /// There is no such override, or no longer.
    #[error("there is no override {0}")]
    UnknownOverride(OverrideId),
    /// There are too many overrides already.
    #[error("there are {max} overrides, and no more can be")]
    TooManyOverrides {
        /// The bound.
        max: usize,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// No file was named, by `RESILIENCE_CONFIG_FILE` or for watching.
    #[error("no configuration file was named")]
    NoFile,
}
