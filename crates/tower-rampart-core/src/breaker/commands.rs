//! What operators and reloads tell a breaker; what calls ask of it is in `shared`.

use std::sync::Arc;

use super::{Breaker, Config, TransitionReason, audience::Audience, state::Machine, transition::Change};
use crate::{InvalidConfig, Timestamp, sync::lock};

impl Breaker {
    /// Closes it, whatever the state, and forgets windows, runs and grown recovery times. Totals stay.
    pub fn reset(&self, now: Timestamp) {
        let mut core = lock(&self.core);
        let change = core.machine.reset();
        core.successes_before = self.counters.successful();
        let followers = core.audience.as_deref().map(Audience::followers);
        self.publish(core, change, now);
        followers.iter().flat_map(|it| it.iter()).for_each(|follower| follower(now));
    }

    /// Calls `follower` after each [`reset`](Self::reset), outside of any lock: for circuits that are kept by key beside this one, and closed with it.
    pub fn on_reset(&self, follower: impl Fn(Timestamp) + Send + Sync + 'static) {
        lock(&self.core).audience.get_or_insert_default().follow(Arc::new(follower));
    }

    /// Opens it as if a rule had held, whatever the state, so that it recovers by itself; if it is open, its recovery time begins anew.
    pub fn trip(&self, now: Timestamp) {
        self.command(now, |machine| machine.trip(TransitionReason::Tripped, None, now));
    }

    /// Refuses every call until another command comes.
    pub fn force_open(&self, now: Timestamp) {
        self.command(now, Machine::force_open);
    }

    /// Admits and counts every call, whatever fails, until another command comes.
    pub fn force_close(&self, now: Timestamp) {
        self.command(now, Machine::force_close);
    }

    /// Admits every call and counts none, until another command comes.
    pub fn disable(&self, now: Timestamp) {
        self.command(now, Machine::disable);
    }

    /// Admits, counts and judges every call without refusing any: observers are told what would have been, until another command comes.
    pub fn metrics_only(&self, now: Timestamp) {
        self.command(now, Machine::metrics_only);
    }

    /// Goes on under another configuration: state, runs, totals, the present recovery time and the probes in flight are kept.
    ///
    /// The window is kept with what fits: a smaller count window has the newest outcomes, a time window those that are young enough; between the two kinds
    /// the shares are carried over, into a time window as if they had happened now. A window that no rule needed before starts empty.
    /// The new rules are evaluated with the next outcome, the new recovery time applies from the next opening on.
    ///
    /// # Errors
    /// Names the first field out of its range; nothing has changed then.
    pub fn reconfigure(&self, config: Config, now: Timestamp) -> Result<(), InvalidConfig> {
        if self.reconfigure_untold(config, now)? {
            self.tell();
        }
        Ok(())
    }

    /// Does the same for callers that hold locks which observers may want: if the answer is `true`, they have to [`tell`](Self::tell) once they
    /// hold none, and nobody else will.
    ///
    /// # Errors
    /// Names the first field out of its range; nothing has changed then.
    pub fn reconfigure_untold(&self, config: Config, now: Timestamp) -> Result<bool, InvalidConfig> {
        config.check()?;
        let mut core = self.settled();
        self.config.store(config);
        let change = core.machine.reconfigure(self.config.load(), now);
        Ok(self.keep(&mut core, change, now))
    }

    /// Tells the observers what [`reconfigure_untold`](Self::reconfigure_untold) kept for them.
    pub fn tell(&self) {
        self.deliver(lock(&self.core));
    }

    fn command(&self, now: Timestamp, command: impl FnOnce(&mut Machine) -> Option<Change>) {
        let mut core = self.settled();
        let change = command(&mut core.machine);
        self.publish(core, change, now);
    }
}
