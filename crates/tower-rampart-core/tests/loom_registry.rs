//! What the registry's counters promise to a reader that looks while threads count:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_registry --target-dir target/loom`.
#![cfg(loom)]

mod interleavings;

use std::{sync::Arc, time::Duration};

use tower_rampart_core::{
    ClassKind, Outcome, Rejection, Stage, Timestamp,
    breaker::{Breaker, Config, State},
    registry::{Operation, Registry},
    rejection::CircuitOpen,
};

fn operation() -> Arc<Operation> {
    Registry::with_clock(|| Timestamp::ZERO).operation("a").unwrap()
}

fn call(operation: &Operation) {
    operation.started();
    operation.finished(Outcome::Success, ClassKind::Success, Duration::ZERO, Timestamp::ZERO);
}

fn refusals(operation: &Operation) -> u64 {
    operation.snapshot(Timestamp::ZERO).rejected.iter().map(|(_, count)| count).sum()
}

/// Saturation would hide an end that is seen before its start; therefore one more call is in flight all the time and must always be seen.
#[test]
fn an_end_is_never_seen_before_its_start() {
    interleavings::explore(Some(2), || {
        let operation = operation();
        operation.started();
        let other = Arc::clone(&operation);
        let caller = interleavings::spawn(move || call(&other));
        let inflight = operation.inflight();
        assert!((1..=2).contains(&inflight), "{inflight} in flight");
        caller.join().unwrap();
        assert_eq!(operation.inflight(), 1);
    });
}

#[test]
fn a_snapshot_balances_while_calls_end() {
    interleavings::explore(Some(2), || {
        let operation = operation();
        operation.started();
        let other = Arc::clone(&operation);
        let caller = interleavings::spawn(move || call(&other));
        let snapshot = operation.snapshot(Timestamp::ZERO);
        assert_eq!(snapshot.success + snapshot.inflight, snapshot.admitted);
        assert!((1..=2).contains(&snapshot.inflight), "{} in flight", snapshot.inflight);
        caller.join().unwrap();
    });
}

#[test]
fn no_call_is_lost_between_threads() {
    interleavings::explore(Some(2), || {
        let operation = operation();
        let other = Arc::clone(&operation);
        let caller = interleavings::spawn(move || call(&other));
        operation.started();
        operation.abandoned(Timestamp::ZERO);
        caller.join().unwrap();
        assert_eq!(operation.inflight(), 0);
    });
}

#[test]
fn threads_that_ask_for_one_name_get_one_operation_within_the_bound() {
    interleavings::explore(Some(2), || {
        let registry = Registry::with_capacity(|| Timestamp::ZERO, 2);
        registry.operation("first").unwrap();
        let other = registry.clone();
        let caller = interleavings::spawn(move || {
            let there = other.operation("a").unwrap();
            there.rejected(Stage::RateLimit);
            (there, other.operation("b").is_err())
        });
        let here = registry.operation("a").unwrap();
        here.rejected(Stage::RateLimit);
        let (there, refused) = caller.join().unwrap();
        assert!(Arc::ptr_eq(&here, &there) && refused);
        assert_eq!(registry.snapshot().operations.len(), 2);
        assert_eq!(refusals(&here), 2, "nothing is counted where nobody looks");
    });
}

#[test]
fn reset_under_a_call_keeps_the_balance() {
    interleavings::explore(Some(2), || {
        let registry = Registry::with_clock(|| Timestamp::ZERO);
        let operation = registry.operation("a").unwrap();
        operation.started();
        let other = Arc::clone(&operation);
        let caller = interleavings::spawn(move || call(&other));
        registry.reset_counters(Some("a"));
        let early = operation.snapshot(Timestamp::ZERO);
        assert_eq!(early.success + early.inflight, early.admitted);
        caller.join().unwrap();
        let late = operation.snapshot(Timestamp::ZERO);
        assert_eq!((late.success + 1, late.inflight), (late.admitted, 1));
        assert!(late.success >= early.success);
    });
}

#[test]
fn operation_removed_under_a_call_takes_its_call_along() {
    interleavings::explore(Some(2), || {
        let registry = Registry::with_clock(|| Timestamp::ZERO);
        let other = registry.clone();
        let caller = interleavings::spawn(move || {
            let operation = other.operation("a").unwrap();
            operation.started();
            operation.abandoned(Timestamp::ZERO);
            operation
        });
        let removed = registry.remove("a");
        let counted = caller.join().unwrap();
        // Either the call was never seen again with what was taken out, or its operation came after and is still there.
        match (removed, registry.get("a")) {
            (Some(removed), None) => assert!(Arc::ptr_eq(&removed, &counted)),
            (None, Some(present)) => assert!(Arc::ptr_eq(&present, &counted)),
            (removed, present) => assert!(removed.is_none() != present.is_none(), "in one place, not in both"),
        }
        assert_eq!((counted.inflight(), counted.snapshot(Timestamp::ZERO).admitted), (0, 1));
    });
}

#[test]
fn one_refusal_a_second_becomes_an_event_whoever_refuses() {
    interleavings::explore(Some(2), || {
        let registry = Registry::with_clock(|| Timestamp::ZERO);
        let operation = registry.operation("a").unwrap();
        let refuse = |operation: &Operation| {
            operation.rejected(Stage::CircuitBreaker);
            let refusal = Rejection::from(CircuitOpen::new("a".into(), State::Open, None));
            operation.sample_rejection(&refusal, Timestamp::ZERO);
        };
        let other = Arc::clone(&operation);
        let caller = interleavings::spawn(move || refuse(&other));
        refuse(&operation);
        caller.join().unwrap();
        assert_eq!(registry.events().len(), 1);
        assert_eq!(refusals(&operation), 2);
    });
}

#[test]
fn breaker_that_two_threads_attach_tells_each_transition_once() {
    interleavings::explore(Some(2), || {
        let registry = Registry::with_clock(|| Timestamp::ZERO);
        let breaker = Arc::new(Breaker::new("a", Config::default()).unwrap());
        let (other, shared) = (registry.clone(), Arc::clone(&breaker));
        let caller = interleavings::spawn(move || other.operation("a").unwrap().attach_breaker(shared));
        registry.watch(&breaker);
        caller.join().unwrap();
        breaker.trip(Timestamp::ZERO);
        assert_eq!(registry.events().len(), 1);
        assert!(registry.breakers().get("a").is_some_and(|it| Arc::ptr_eq(&it, &breaker)));
    });
}
