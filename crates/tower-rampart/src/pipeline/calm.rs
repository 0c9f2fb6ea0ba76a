//! What stands for `chaos` where the feature is off: nothing befalls any attempt, and no host can serve the stage.

use tower_rampart_config::{Capabilities, Capability};
use tower_rampart_core::{Rejection, Timestamp};

use super::call::Call;

/// What befalls no attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affliction {
    pub(super) until: Timestamp,
}

/// What this build can serve of what a host says that it can.
pub(crate) const fn possible(capabilities: Capabilities) -> Capabilities {
    capabilities.without(Capability::Chaos)
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Nothing befalls the attempt that is about to be sent.
    #[inline(always)]
    #[expect(clippy::inline_always, clippy::unused_self, reason = "it stands for the stage, and costs nothing")]
    pub(super) const fn affliction(&self) -> Option<Affliction> {
        None
    }

    /// The attempt is sent.
    #[expect(clippy::unused_self, reason = "it stands for the stage")]
    pub(super) const fn afflicted(&self, _affliction: Affliction) -> Option<Rejection> {
        None
    }
}
