//! Races on one breaker, explored by loom without a bound on preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_breaker --target-dir target/loom`
#![cfg(loom)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use loom::thread;
use tower_rampart_core::{
    Outcome, Timestamp,
    breaker::{Breaker, Config, State, Transition},
};

const START: Timestamp = Timestamp::ZERO;
const RECOVERED: Timestamp = Timestamp::from_millis(100);

fn config(failure_threshold: u32) -> Config {
    let mut config = Config::default();
    config.failure_threshold = failure_threshold;
    config.recovery_timeout = Duration::from_millis(100);
    config
}

fn call(breaker: &Breaker, outcome: Outcome, now: Timestamp) {
    if let Ok(permit) = breaker.try_acquire(now) {
        breaker.record(permit, outcome, None, now);
    }
}

/// Runs `other` on a second thread beside `this`.
fn race(breaker: &Arc<Breaker>, this: impl FnOnce(&Breaker), other: impl FnOnce(&Breaker) + Send + 'static) {
    let shared = Arc::clone(breaker);
    let thread = thread::spawn(move || other(&shared));
    this(breaker);
    thread.join().expect("the other thread made no wrong step");
}

#[test]
fn racing_threads_get_no_more_probes_than_there_are_slots() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("probes", config(1)).unwrap());
        breaker.trip(START);
        let admitted = Arc::new(Mutex::new(Vec::new()));
        let acquire = |admitted: Arc<Mutex<Vec<_>>>| {
            move |breaker: &Breaker| {
                // Not inside the lock, which loom does not know.
                let permit = breaker.try_acquire(RECOVERED);
                admitted.lock().unwrap().extend(permit.ok());
            }
        };
        race(&breaker, acquire(Arc::clone(&admitted)), acquire(Arc::clone(&admitted)));
        let mut admitted = admitted.lock().unwrap();
        assert_eq!(admitted.len(), 1);
        assert_eq!(breaker.snapshot(RECOVERED).rejected, 1);
        breaker.record(admitted.pop().unwrap(), Outcome::Success, None, RECOVERED);
        assert_eq!(breaker.state(RECOVERED), State::Closed);
    });
}

#[test]
fn success_racing_failures_loses_no_run_and_strands_none() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("run", config(2)).unwrap());
        race(
            &breaker,
            |it| {
                call(it, Outcome::Failure, START);
                call(it, Outcome::Failure, START);
            },
            |it| call(it, Outcome::Success, START),
        );
        let snapshot = breaker.snapshot(START);
        match snapshot.state {
            // The success came first, last or was refused.
            State::Open => assert_eq!(snapshot.failed, 2),
            // It came between the two.
            State::Closed => {
                assert_eq!(snapshot.consecutive_failures, 1);
                call(&breaker, Outcome::Failure, START);
                assert_eq!(breaker.state(START), State::Open, "the run goes on");
            }
            state => panic!("{state}"),
        }
        assert_eq!(snapshot.total + snapshot.rejected, 3);
    });
}

#[test]
fn success_after_a_race_ends_the_run() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("clean", config(2)).unwrap());
        race(&breaker, |it| call(it, Outcome::Failure, START), |it| call(it, Outcome::Success, START));
        call(&breaker, Outcome::Success, START);
        assert_eq!(breaker.snapshot(START).consecutive_failures, 0);
        call(&breaker, Outcome::Failure, START);
        assert_eq!(breaker.state(START), State::Closed);
        let snapshot = breaker.snapshot(START);
        assert_eq!((snapshot.successful, snapshot.failed), (2, 2));
    });
}

#[test]
fn outcome_racing_a_reset_never_outlives_it() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("reset", config(1)).unwrap());
        let permit = breaker.try_acquire(START).unwrap();
        race(&breaker, |it| it.record(permit, Outcome::Failure, None, START), |it| it.reset(START));
        let snapshot = breaker.snapshot(START);
        assert_eq!((snapshot.state, snapshot.failed, snapshot.consecutive_failures), (State::Closed, 1, 0));
        assert_eq!(snapshot.opens, snapshot.closes);
        call(&breaker, Outcome::Success, START);
        assert_eq!(breaker.snapshot(START).successful, 1);
    });
}

#[test]
fn outcomes_racing_a_reconfiguration_are_kept() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("reload", config(3)).unwrap());
        call(&breaker, Outcome::Failure, START);
        let mut windowed = config(3);
        windowed.failure_rate_threshold = Some(1.0);
        race(&breaker, |it| call(it, Outcome::Failure, START), move |it| it.reconfigure(windowed, START).unwrap());
        assert_eq!(breaker.config().failure_rate_threshold, Some(1.0));
        assert_eq!(breaker.snapshot(START).consecutive_failures, 2);
        call(&breaker, Outcome::Failure, START);
        assert_eq!(breaker.state(START), State::Open);
    });
}

#[test]
fn success_after_a_reconfiguration_feeds_the_new_window() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("feed", config(9)).unwrap());
        let mut windowed = config(9);
        windowed.failure_rate_threshold = Some(0.5);
        race(
            &breaker,
            |it| call(it, Outcome::Success, START),
            move |it| {
                it.reconfigure(windowed, START).unwrap();
                call(it, Outcome::Success, START);
            },
        );
        let snapshot = breaker.snapshot(START);
        assert_eq!((snapshot.successful, snapshot.success_rate), (2, 1.0));
    });
}

#[test]
fn dropped_probes_give_every_slot_back() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("balance", config(1)).unwrap());
        breaker.trip(START);
        let probe = |it: &Breaker| call(it, Outcome::Abandoned, RECOVERED);
        race(&breaker, probe, probe);
        let _slot = breaker.try_acquire(RECOVERED).unwrap();
        assert!(breaker.try_acquire(RECOVERED).is_err());
        let snapshot = breaker.snapshot(RECOVERED);
        assert_eq!(snapshot.abandoned + snapshot.rejected, 3);
    });
}

#[test]
fn observers_see_racing_transitions_as_one_chain() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new("chain", config(1)).unwrap());
        // Loom's own, so that the other thread may run before it is locked.
        let seen = Arc::new(loom::sync::Mutex::new(Vec::<Transition>::new()));
        let log = Arc::clone(&seen);
        breaker.on_transition(move |it| {
            log.lock().unwrap().push(it.clone());
        });
        race(
            &breaker,
            |it| it.trip(START),
            |it| {
                it.force_open(START);
                it.reset(START);
            },
        );
        let seen = seen.lock().unwrap();
        let mut state = State::Closed;
        for transition in seen.iter() {
            assert_eq!(transition.from, state);
            state = transition.to;
        }
        assert_eq!(state, breaker.state(START));
        assert_eq!(seen.len() as u64, breaker.snapshot(START).state_changes);
    });
}
