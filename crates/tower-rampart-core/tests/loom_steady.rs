//! Races of successes that a time window takes later with whatever changes the machine meanwhile. The other races of one breaker are in `loom_breaker.rs`.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_steady --target-dir target/loom`
#![cfg(loom)]

mod interleavings;

use std::{sync::Arc, time::Duration};

use tower_rampart_core::{
    Outcome, Timestamp,
    breaker::{Breaker, Config, State, Window},
};

const START: Timestamp = Timestamp::ZERO;
/// In the next bucket.
const NEXT: Timestamp = Timestamp::from_millis(1000);

/// Opens at the share of failures `rate` of at least `minimum` calls in ten seconds.
fn config(rate: f64, minimum: u32) -> Config {
    let mut config = Config::default();
    config.failure_threshold = 100;
    config.failure_rate_threshold = Some(rate);
    config.minimum_calls = minimum;
    config.window = Window::Time { size: Duration::from_secs(10) };
    config
}

/// A breaker that has seen one success, so that the next ones are only counted.
fn steady(rate: f64, minimum: u32) -> Arc<Breaker> {
    let breaker = Arc::new(Breaker::new("steady", config(rate, minimum)).unwrap());
    call(&breaker, Outcome::Success, START);
    breaker
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
fn successes_of_two_threads_are_all_in_the_window() {
    interleavings::explore(None, || {
        let breaker = steady(0.3, 4);
        let success = |it: &Breaker| call(it, Outcome::Success, START);
        race(&breaker, success, success);
        call(&breaker, Outcome::Failure, START);
        let snapshot = breaker.snapshot(START);
        assert_eq!((snapshot.successful, snapshot.failure_rate), (3, 0.25));
    });
}

#[test]
fn success_beside_a_failure_is_in_the_window_and_opens_what_it_completes() {
    interleavings::explore(None, || {
        // One failure of three is a third, and the third call completes the minimum, whoever makes it.
        let breaker = steady(0.3, 3);
        race(&breaker, |it| call(it, Outcome::Success, START), |it| call(it, Outcome::Failure, START));
        let before = breaker.snapshot(START);
        if before.state == State::Closed {
            // The success was only counted, as nothing had failed when it looked; the next outcome finds it.
            assert!((before.failure_rate - 1.0 / 3.0).abs() < 1e-9, "{}", before.failure_rate);
            call(&breaker, Outcome::Failure, START);
        }
        assert_eq!(breaker.state(START), State::Open);
    });
}

#[test]
fn success_of_before_a_reset_is_no_part_of_what_comes_after() {
    interleavings::explore(None, || {
        let breaker = steady(0.5, 2);
        let permit = breaker.try_acquire(START).unwrap();
        race(&breaker, |it| it.record(permit, Outcome::Success, None, START), |it| it.reset(START));
        call(&breaker, Outcome::Failure, START);
        let snapshot = breaker.snapshot(START);
        assert_eq!((snapshot.state, snapshot.failure_rate), (State::Closed, 1.0), "the failure is alone in the window");
        assert_eq!(snapshot.successful, 2);
    });
}

#[test]
fn success_racing_an_opening_changes_nothing_of_it() {
    interleavings::explore(None, || {
        let breaker = steady(0.5, 2);
        let permit = breaker.try_acquire(START).unwrap();
        race(&breaker, |it| it.record(permit, Outcome::Success, None, START), |it| it.trip(START));
        assert_eq!(breaker.state(START), State::Open);
        let until = START.after(breaker.config().recovery_timeout);
        assert_eq!(breaker.retry_after(START), Some(breaker.config().recovery_timeout));
        call(&breaker, Outcome::Success, until);
        let snapshot = breaker.snapshot(until);
        assert_eq!((snapshot.state, snapshot.successful), (State::Closed, 3));
        call(&breaker, Outcome::Failure, until);
        assert_eq!(breaker.snapshot(until).failure_rate, 1.0);
    });
}

#[test]
fn call_racing_the_first_probe_is_never_told_to_wait_longer_than_the_recovery() {
    interleavings::explore(None, || {
        // Buckets of ten minutes, which outlast the recovery.
        let mut long = config(0.5, 2);
        long.window = Window::Time { size: Duration::from_secs(6000) };
        let breaker = Arc::new(Breaker::new("boundary", long).unwrap());
        call(&breaker, Outcome::Success, START);
        breaker.trip(START);
        let until = START.after(breaker.config().recovery_timeout);
        let ask = move |it: &Breaker| {
            if let Err(refused) = it.try_acquire(until) {
                assert_eq!(refused.retry_after, None, "the recovery is over: {refused:?}");
            }
        };
        race(&breaker, ask, ask);
        assert_eq!(breaker.state(until), State::HalfOpen);
    });
}

#[test]
fn success_racing_a_reload_is_kept() {
    interleavings::explore(None, || {
        let breaker = steady(0.9, 9);
        let narrower = config(0.8, 9);
        race(&breaker, |it| call(it, Outcome::Success, START), move |it| it.reconfigure(narrower, START).unwrap());
        call(&breaker, Outcome::Failure, START);
        let rate = breaker.snapshot(START).failure_rate;
        assert!((rate - 1.0 / 3.0).abs() < 1e-9, "{rate}");
    });
}

#[test]
fn successes_on_both_sides_of_a_buckets_end_are_in_a_bucket_each() {
    interleavings::explore(None, || {
        let breaker = steady(0.9, 9);
        race(&breaker, |it| call(it, Outcome::Success, START), |it| call(it, Outcome::Success, NEXT));
        // When the first bucket has left the window, one success or two are there: the thread that still had the old time may come last.
        let later = Timestamp::from_millis(10_500);
        call(&breaker, Outcome::Failure, later);
        let rate = breaker.snapshot(later).failure_rate;
        assert!([0.5, 1.0 / 3.0].iter().any(|it| (rate - it).abs() < 1e-9), "{rate}");
        assert_eq!(breaker.snapshot(later).successful, 3);
    });
}
