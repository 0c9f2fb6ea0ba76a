//! A fault that was injected on purpose. When one is, the core's `chaos` draws.

use super::{Name, Rejection};

/// A fault was injected on purpose: the attempt was not sent, and nothing is wrong with the service behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chaos of `{operation}` injected a fault on purpose")]
#[non_exhaustive]
pub struct Injected {
    /// The operation whose chaos it was.
    pub operation: Name,
}

impl Injected {
    /// A fault injected into a call of `operation`.
    pub fn new(operation: Name) -> Self {
        Self { operation }
    }
}

impl From<Injected> for Rejection {
    fn from(it: Injected) -> Self {
        Self::Injected(it)
    }
}
