//! Races on one breaker, explored by loom without a bound on preemptions. Many breakers by name are in `loom_control.rs`.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_breaker --target-dir target/loom`
#![cfg(loom)]

mod interleavings;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

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
    let thread = interleavings::spawn(move || other(&shared));
    this(breaker);
    thread.join().expect("the other thread made no wrong step");
}

#[test]
fn racing_threads_get_no_more_probes_than_there_are_slots() {
    interleavings::explore(None, || {
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
    interleavings::explore(None, || {
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
    interleavings::explore(None, || {
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
    interleavings::explore(None, || {
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
    interleavings::explore(None, || {
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
    interleavings::explore(None, || {
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
    interleavings::explore(None, || {
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
    interleavings::explore(None, || {
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

#[test]
fn probes_that_disagree_decide_their_round_once() {
    interleavings::explore(None, || {
        let mut config = config(1);
        config.half_open_max_calls = 2;
        let breaker = Arc::new(Breaker::new("round", config).unwrap());
        breaker.trip(START);
        let good = breaker.try_acquire(RECOVERED).unwrap();
        let bad = breaker.try_acquire(RECOVERED).unwrap();
        race(
            &breaker,
            |it| it.record(good, Outcome::Success, None, RECOVERED),
            |it| it.record(bad, Outcome::Failure, None, RECOVERED),
        );
        // Whoever comes second is of a round that is over, and changes nothing.
        let snapshot = breaker.snapshot(RECOVERED);
        let (opens, closes, failed_run) = match snapshot.state {
            State::Closed => (1, 1, 0),
            State::Open => (2, 0, 1),
            state => panic!("{state}"),
        };
        assert_eq!((snapshot.opens, snapshot.half_opens, snapshot.closes), (opens, 1, closes));
        assert_eq!((snapshot.successful, snapshot.failed, snapshot.consecutive_failures), (1, 1, failed_run));
    });
}

#[test]
fn admission_racing_a_reset_strands_no_slot() {
    interleavings::explore(None, || {
        let breaker = Arc::new(Breaker::new("slot", config(1)).unwrap());
        breaker.trip(START);
        race(&breaker, |it| call(it, Outcome::Failure, RECOVERED), |it| it.reset(RECOVERED));
        // Of the probe's generation or of the closed one: after the reset the failure opened it, before it did not.
        let snapshot = breaker.snapshot(RECOVERED);
        assert_eq!((snapshot.failed, snapshot.rejected), (1, 0));
        breaker.trip(RECOVERED);
        let again = RECOVERED.after(Duration::from_millis(100));
        call(&breaker, Outcome::Success, again);
        assert_eq!(breaker.state(again), State::Closed);
    });
}

#[test]
fn after_it_was_forced_open_nobody_is_admitted_and_no_outcome_changes_that() {
    interleavings::explore(None, || {
        let breaker = Arc::new(Breaker::new("forced", config(1)).unwrap());
        let permit = breaker.try_acquire(START).unwrap();
        race(
            &breaker,
            |it| {
                it.force_open(START);
                assert!(it.try_acquire(START).is_err());
            },
            |it| {
                it.record(permit, Outcome::Failure, None, START);
                call(it, Outcome::Success, START);
            },
        );
        assert_eq!(breaker.state(RECOVERED), State::ForcedOpen);
        assert!(breaker.peek(RECOVERED).is_err());
        let snapshot = breaker.snapshot(RECOVERED);
        assert_eq!(snapshot.total + snapshot.rejected, 3);
    });
}

#[test]
fn racing_commands_leave_the_state_of_the_last_one() {
    for (one, another) in [
        (Breaker::force_open as fn(&Breaker, Timestamp), Breaker::force_close as fn(&Breaker, Timestamp)),
        (Breaker::disable, Breaker::metrics_only),
        (Breaker::trip, Breaker::force_close),
    ] {
        interleavings::explore(None, move || {
            let breaker = Arc::new(Breaker::new("commands", config(1)).unwrap());
            let last = Arc::new(loom::sync::Mutex::new(None));
            let log = Arc::clone(&last);
            breaker.on_transition(move |it| *log.lock().unwrap() = Some(it.to));
            race(&breaker, |it| one(it, START), move |it| another(it, START));
            // The word that calls go by, the machine behind it and what was told agree.
            let state = breaker.snapshot(START).state;
            assert_eq!((breaker.state(START), *last.lock().unwrap()), (state, Some(state)));
            assert_ne!(state, State::Closed);
            assert_eq!(breaker.try_acquire(START).is_ok(), !matches!(state, State::Open | State::ForcedOpen));
        });
    }
}

#[test]
fn outcomes_racing_a_breaker_that_is_switched_off_change_nothing_behind_its_back() {
    interleavings::explore(None, || {
        let breaker = Arc::new(Breaker::new("off", config(1)).unwrap());
        let mut off = config(1);
        off.enabled = false;
        race(&breaker, |it| call(it, Outcome::Failure, START), move |it| it.reconfigure(off, START).unwrap());
        assert_eq!(breaker.state(START), State::Disabled);
        assert!(breaker.try_acquire(START).is_ok(), "it admits whatever came before");
        breaker.reconfigure(config(1), START).unwrap();
        let snapshot = breaker.snapshot(START);
        // A call that was let by uncounted left nothing; one that was counted opened it.
        let expected = if snapshot.failed == 1 { State::Open } else { State::Closed };
        assert_eq!((snapshot.state, snapshot.total), (expected, snapshot.failed));
    });
}
