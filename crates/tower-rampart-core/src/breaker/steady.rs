//! Successes that are counted beside the machine, while they can open nothing: how the shell takes them. When that is so is decided in `state/steady`.

use super::{Breaker, Permit, shared::Core};
use crate::{
    Now, Outcome,
    sync::{MutexGuard, lock},
};

impl Breaker {
    /// Takes a harmless outcome of a closed circuit with a time window.
    #[inline(never)]
    #[expect(clippy::needless_pass_by_value, reason = "a time or a closure, given at the place of the call")]
    pub(super) fn record_steady(&self, permit: Permit, outcome: Outcome, now: impl Now) {
        if outcome == Outcome::Ignored {
            self.counters.end(outcome);
            return;
        }
        let now = now.now();
        if now >= self.until() || !self.counters.steady_success(permit.generation()) {
            self.record_locked(permit, outcome, None, now);
        }
    }

    /// The machine, with every success that was only counted so far.
    pub(super) fn settled(&self) -> MutexGuard<'_, Core> {
        let mut core = lock(&self.core);
        let count = self.counters.take_steady(core.machine.generation());
        core.machine.take_successes(count);
        core
    }
}
