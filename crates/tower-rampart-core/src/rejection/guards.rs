//! The refusals of the throttle and of shedding by priority. Those of the stages that are usually on stand beside the enum that holds them all.

use super::{Name, Rejection, wording::PerKey};
use crate::priority::Priority;

/// A call was not made, by chance, because the service behind refuses too many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{operation}` is throttled: {percent} % of the calls are not made while the service behind refuses most of them"
)]
#[non_exhaustive]
pub struct Throttled {
    /// The operation whose throttle refused.
    pub operation: Name,
    /// How many of a hundred calls are not made now, 1 to 100. The next call may be one that is: there is no time to wait for.
    pub percent: u8,
}

/// A call was shed: what is left of the concurrency limit is for more important ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("concurrency limit{} of `{operation}` ({max_inflight} in flight) has no room left for {priority} calls", PerKey(*.per_key))]
#[non_exhaustive]
pub struct Shed {
    /// The operation whose limit it is.
    pub operation: Name,
    /// The class of the call.
    pub priority: Priority,
    /// The limit at that moment, of all classes.
    pub max_inflight: u32,
    /// Whether it is the limit of one key among many. Which one is not said.
    pub per_key: bool,
}

impl Throttled {
    /// A refusal by the throttle of `operation`, which does not make `percent` of a hundred calls.
    pub fn new(operation: Name, percent: u8) -> Self {
        Self { operation, percent }
    }
}

impl Shed {
    /// A refusal of a call of `priority` by the limit of `operation`.
    pub fn new(operation: Name, priority: Priority, max_inflight: u32) -> Self {
        Self { operation, priority, max_inflight, per_key: false }
    }

    /// Says that it is the limit of one key among many.
    #[must_use]
    pub fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }
}

impl From<Throttled> for Rejection {
    fn from(it: Throttled) -> Self {
        Self::Throttled(it)
    }
}

impl From<Shed> for Rejection {
    fn from(it: Shed) -> Self {
        Self::Shed(it)
    }
}
