//! The circuit from outside: its state and what an operator does with it.

use std::sync::Arc;

use tower_rampart_core::{InvalidConfig, breaker::Breaker};

use super::{Config, Snapshot, State, Transition};
use crate::clock;

/// A handle to one circuit; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Handle {
    breaker: Arc<Breaker>,
}

impl Handle {
    pub(crate) fn new(breaker: Arc<Breaker>) -> Self {
        Self { breaker }
    }

    /// The name of the circuit.
    pub fn name(&self) -> &str {
        self.breaker.name()
    }

    /// The present state; half open as soon as the recovery time has passed.
    pub fn state(&self) -> State {
        self.breaker.state(clock::now())
    }

    /// Says at each moment whether the circuit lets calls through: for `Target::healthy_while` of a fallback and whoever else chooses by it.
    pub fn health(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let breaker = Arc::clone(&self.breaker);
        move || breaker.peek(clock::now()).is_ok()
    }

    /// The state, the totals and the rates.
    pub fn snapshot(&self) -> Snapshot {
        self.breaker.snapshot(clock::now())
    }

    /// The configuration that the circuit runs on.
    pub fn config(&self) -> Arc<Config> {
        self.breaker.config()
    }

    /// Replaces the configuration; state, window and probes stay.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.breaker.reconfigure(config, clock::now())
    }

    /// Closes the circuit and empties its window.
    pub fn reset(&self) {
        self.breaker.reset(clock::now());
    }

    /// Opens the circuit as if a rule had: it recovers by itself.
    pub fn trip(&self) {
        self.breaker.trip(clock::now());
    }

    /// Refuses all calls until told otherwise.
    pub fn force_open(&self) {
        self.breaker.force_open(clock::now());
    }

    /// Admits all calls until told otherwise; outcomes are counted.
    pub fn force_close(&self) {
        self.breaker.force_close(clock::now());
    }

    /// Admits all calls and counts nothing until told otherwise.
    pub fn disable(&self) {
        self.breaker.disable(clock::now());
    }

    /// Admits all calls, judges them, and reports the transitions that it would have made.
    pub fn metrics_only(&self) {
        self.breaker.metrics_only(clock::now());
    }

    /// Calls `observer` after each transition, outside of any lock. A panic of it harms nothing.
    pub fn on_transition(&self, observer: impl Fn(&Transition) + Send + Sync + 'static) {
        self.breaker.on_transition(observer);
    }
}
