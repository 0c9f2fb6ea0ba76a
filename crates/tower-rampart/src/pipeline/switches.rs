//! How calls find out that a stage was switched on or off between the moment they took their settings and the moment they are admitted.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use tower_rampart_config::OperationConfig;
use tower_rampart_core::{Outcome, retry::Attempts};

use super::{Machines, call::Call, settings::CallSettings};

/// How often the stages of an operation were switched.
///
/// A stage goes off after the settings say so and after it was counted here. Whoever finds it off though its settings say that it is on, and then
/// looks here, therefore sees another count.
#[derive(Debug, Default)]
pub(crate) struct Switches(AtomicU32);

impl Switches {
    /// Counts what a new configuration switches, before the stages that it has off are.
    pub(super) fn count(&self, before: &OperationConfig, after: &OperationConfig) {
        let on = |config: &OperationConfig| {
            let tokens = config.model_limits.tokens_per_minute.is_some();
            let limits =
                (config.rate_limit.enabled, tokens, config.concurrency.enabled, config.circuit_breaker.enabled);
            (limits, config.throttle.enabled)
        };
        if on(before) != on(after) {
            self.0.fetch_add(1, Ordering::Release);
        }
        fence(Ordering::Release);
    }
}

/// What a call takes when it begins: the count first, so that what is switched in between only makes it look twice.
#[inline]
pub(super) fn taken(machines: &Machines) -> (u32, CallSettings, Attempts) {
    let switches = machines.switches.0.load(Ordering::Acquire);
    let seed = machines.seeds.next();
    machines.settings.with(|live| (switches, live.call, live.attempts.seeded(seed)))
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Whether a stage was switched since the call took its settings, so that the stages it asked may be of two configurations. Not asked of a call that
    /// was admitted.
    pub(super) fn is_between(&self) -> bool {
        fence(Ordering::Acquire);
        let present = self.shared.machines.switches.0.load(Ordering::Relaxed);
        !self.started && !self.is_admitted && self.switches != present
    }

    /// The call is admitted, whatever is switched until it is made.
    pub(super) fn admit(&mut self) {
        self.is_admitted = true;
    }

    /// Gives everything back and begins anew under the present settings; only the fallback stays, because what it needs was kept at the beginning.
    #[cold]
    pub(super) fn renew(&mut self) {
        self.leave_circuit(Outcome::Ignored, None);
        self.release();
        let (switches, settings, attempts) = taken(&self.shared.machines);
        self.switches = switches;
        self.settings = CallSettings { fallback: self.settings.fallback, ..settings };
        self.drop_keys();
        self.attempts = attempts;
        self.deadline = settings.timeout.deadline(self.began, self.info.time_left);
    }
}
