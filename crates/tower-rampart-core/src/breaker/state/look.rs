//! What the shell of a breaker reads of its machine. Nothing here changes it; what it does is in `state`.

use std::sync::Arc;

use super::{Machine, Phase};
use crate::{
    Timestamp,
    breaker::{Config, transition::Changes, window::Tally},
};

impl Machine {
    /// Whether it is half open with probes under way.
    pub(in crate::breaker) fn is_probing(&self, now: Timestamp) -> bool {
        matches!(&self.phase, Phase::HalfOpen(round) if round.probes.in_flight(now, self.config.half_open_max_wait) > 0)
    }

    pub(in crate::breaker) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub(in crate::breaker) fn changes(&self) -> Changes {
        self.changes
    }

    pub(in crate::breaker) fn failed_run(&self) -> u32 {
        self.runs.failed
    }

    pub(in crate::breaker) fn last_failure(&self) -> Option<Timestamp> {
        self.last_failure
    }

    pub(in crate::breaker) fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    /// What the window holds, if a rule needs one.
    pub(in crate::breaker) fn tally(&self, now: Timestamp) -> Option<Tally> {
        self.window.as_ref().map(|window| window.tally(now))
    }
}
