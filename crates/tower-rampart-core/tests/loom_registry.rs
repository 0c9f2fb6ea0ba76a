//! What the registry's counters promise to a reader that looks while threads count:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_registry --target-dir target/loom`.
#![cfg(loom)]

use std::{sync::Arc, time::Duration};

use loom::thread;
use tower_rampart_core::{
    ClassKind, Outcome, Timestamp,
    registry::{Operation, Registry},
};

fn operation() -> Arc<Operation> {
    Registry::with_clock(|| Timestamp::ZERO).operation("a").unwrap()
}

fn call(operation: &Operation) {
    operation.started();
    operation.finished(Outcome::Success, ClassKind::Success, Duration::ZERO, Timestamp::ZERO);
}

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(body);
}

/// Saturation would hide an end that is seen before its start; therefore one more call is in flight all the time and must always be seen.
#[test]
fn an_end_is_never_seen_before_its_start() {
    model(|| {
        let operation = operation();
        operation.started();
        let other = Arc::clone(&operation);
        let caller = thread::spawn(move || call(&other));
        let inflight = operation.inflight();
        assert!((1..=2).contains(&inflight), "{inflight} in flight");
        caller.join().unwrap();
        assert_eq!(operation.inflight(), 1);
    });
}

#[test]
fn a_snapshot_balances_while_calls_end() {
    model(|| {
        let operation = operation();
        operation.started();
        let other = Arc::clone(&operation);
        let caller = thread::spawn(move || call(&other));
        let snapshot = operation.snapshot(Timestamp::ZERO);
        assert_eq!(snapshot.success + snapshot.inflight, snapshot.admitted);
        assert!((1..=2).contains(&snapshot.inflight), "{} in flight", snapshot.inflight);
        caller.join().unwrap();
    });
}

#[test]
fn no_call_is_lost_between_threads() {
    model(|| {
        let operation = operation();
        let other = Arc::clone(&operation);
        let caller = thread::spawn(move || call(&other));
        operation.started();
        operation.abandoned(Timestamp::ZERO);
        caller.join().unwrap();
        assert_eq!(operation.inflight(), 0);
    });
}
