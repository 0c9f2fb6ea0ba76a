//! What the tests of the breaker share.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_rampart_core::{
    Outcome, Timestamp,
    breaker::{Breaker, Config, TransitionReason},
};

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Three failures open it, for 100 ms.
pub(crate) fn config(adjust: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    config.failure_threshold = 3;
    config.recovery_timeout = ms(100);
    adjust(&mut config);
    config
}

pub(crate) fn breaker(adjust: impl FnOnce(&mut Config)) -> Breaker {
    Breaker::new("test", config(adjust)).expect("a valid configuration").with_seed(1)
}

pub(crate) fn call(breaker: &Breaker, outcome: Outcome, millis: u64) {
    let permit = breaker.try_acquire(at(millis)).expect("admitted");
    breaker.record(permit, outcome, None, at(millis));
}

pub(crate) fn calls(breaker: &Breaker, outcomes: &[Outcome]) {
    for outcome in outcomes {
        call(breaker, *outcome, 0);
    }
}

/// The reasons of the transitions that a breaker makes from now on.
pub(crate) fn reasons(breaker: &Breaker) -> Arc<Mutex<Vec<TransitionReason>>> {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reasons);
    breaker.on_transition(move |it| seen.lock().expect("no test panics in here").push(it.reason));
    reasons
}
