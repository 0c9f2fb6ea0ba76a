//! How attempts are struck on purpose; without the feature `chaos`, `calm` stands here. What is drawn is core's business.

use tower_rampart_config::Capabilities;
use tower_rampart_core::{
    Rejection, Timestamp,
    rejection::{Injected, TimeoutKind},
};

use super::call::Call;
use crate::clock;

/// What befalls an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affliction {
    /// Until when it is held up.
    pub(super) until: Timestamp,
    is_fault: bool,
}

/// What this build can serve of what a host says that it can.
pub(crate) const fn possible(capabilities: Capabilities) -> Capabilities {
    capabilities
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Draws for the attempt that is about to be sent.
    #[inline]
    pub(super) fn affliction(&self) -> Option<Affliction> {
        if self.settings.chaos { self.drawn_affliction() } else { None }
    }

    #[cold]
    fn drawn_affliction(&self) -> Option<Affliction> {
        let injection = self.shared.machines.chaos.draw();
        let strikes = injection.fault || injection.latency.is_some();
        strikes.then(|| Affliction {
            until: injection.latency.map_or(Timestamp::ZERO, |latency| clock::now().after(latency)),
            is_fault: injection.fault,
        })
    }

    /// The latency, or the attempt's time before it, is over: `None` if the attempt is sent after all.
    #[cold]
    pub(super) fn afflicted(&self, affliction: Affliction) -> Option<Rejection> {
        if self.attempt_until.is_some_and(|(ends, _)| ends < affliction.until) {
            return Some(self.timed_out(self.attempt_until.map_or(TimeoutKind::Attempt, |(_, kind)| kind)));
        }
        affliction.is_fault.then(|| Injected::new(self.name()).into())
    }
}
