//! What would be lost with a machine: asked where one of many is to make room. The rest of the machine is in `state`.

use super::{Machine, Phase, Tally, Timestamp, Window};

impl Machine {
    /// Whether it is closed and nothing is held against the service behind: no run of failed or abandoned calls, and none of them, nor a slow one, in the
    /// window.
    pub(in crate::breaker) fn is_pristine(&self, now: Timestamp) -> bool {
        let is_clean = |window: &Window| matches!(window.tally(now), Tally { failed: 0, slow: 0, abandoned: 0, .. });
        matches!(self.phase, Phase::Closed) && self.runs.down == 0 && self.window.as_deref().is_none_or(is_clean)
    }

    /// The probes of a half-open machine that are not back yet.
    pub(in crate::breaker) fn probes_out(&self, now: Timestamp) -> u32 {
        match &self.phase {
            Phase::HalfOpen(round) => round.probes.in_flight(now, self.config.half_open_max_wait),
            Phase::Closed | Phase::Open { .. } => 0,
        }
    }
}
