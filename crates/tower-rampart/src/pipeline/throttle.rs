//! How a call asks the throttle, and what it tells it. What else a call holds is in `call`.

use std::mem;

use tower_rampart_core::{Rejection, Stage, Timestamp, Verdict, shadow::WouldBe, throttle::is_accepted};

use super::call::Call;
use crate::clock;

impl<J, K, A, R> Call<J, K, A, R> {
    /// Asks the throttle whether the call is made at all.
    #[inline(never)]
    pub(super) fn enter_throttle(&self, now: Timestamp) -> Result<(), Rejection> {
        let throttle = &self.shared.machines.throttle;
        let Err(refused) = throttle.ask(now) else { return Ok(()) };
        if self.shadows(Stage::Throttle) {
            self.would(Stage::Throttle, WouldBe::Refused);
            return Ok(());
        }
        throttle.count_refusal(now);
        Err(refused.refusal(throttle.name()).into())
    }

    /// Tells the throttle what came of a call that was made, once: of the service's own answer, not of a fallback's.
    #[inline(never)]
    pub(super) fn judge_throttle(&mut self, verdict: &Verdict) {
        if mem::take(&mut self.settings.throttle)
            && self.explain.attempts > 0
            && let Some(accepted) = is_accepted(verdict)
        {
            self.shared.machines.throttle.record(accepted, clock::now());
        }
    }
}
