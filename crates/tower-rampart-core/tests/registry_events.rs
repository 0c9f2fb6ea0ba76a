//! Events: transitions reach the ring and the observers once, refusals are sampled, nothing here keeps anything alive.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests; a failure there is a failed test")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_rampart_core::{
    Rejection, Stage, Timestamp,
    breaker::{self, Breaker, State},
    event::EventKind,
    registry::Registry,
    rejection::CircuitOpen,
};

fn registry() -> Registry {
    Registry::with_clock(|| Timestamp::from_millis(1_000))
}

fn breaker() -> Arc<Breaker> {
    Arc::new(Breaker::new("circuit", breaker::Config::default()).unwrap())
}

fn refusal() -> Rejection {
    CircuitOpen::new("a".into(), State::Open, None).into()
}

#[test]
fn a_transition_is_one_event_however_many_operations_share_the_breaker() {
    let registry = registry();
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    registry.on_event(move |event| list.lock().unwrap().push(event.clone()));
    let breaker = breaker();
    registry.operation("a").unwrap().attach_breaker(Arc::clone(&breaker));
    registry.operation("b").unwrap().attach_breaker(Arc::clone(&breaker));
    registry.watch(&breaker);
    breaker.trip(Timestamp::from_millis(5));
    let events = registry.events();
    assert_eq!(events.len(), 1);
    assert_eq!((&*events[0].operation, events[0].at), ("circuit", Timestamp::from_millis(5)));
    let EventKind::Transition { from, to, would_be, .. } = events[0].kind else { panic!("{events:?}") };
    assert_eq!((from, to, would_be), (State::Closed, State::Open, false));
    assert_eq!(events[0].to_string(), "`circuit`: circuit closed -> open (tripped)");
    assert_eq!(*told.lock().unwrap(), events);
}

#[test]
fn an_attached_breaker_is_found_by_its_name() {
    let registry = registry();
    let breaker = breaker();
    registry.operation("a").unwrap().attach_breaker(Arc::clone(&breaker));
    assert!(Arc::ptr_eq(&registry.breakers().get("circuit").unwrap(), &breaker));
    assert_eq!(registry.snapshot().breakers.len(), 1);
}

#[test]
fn a_breaker_outlives_its_registry() {
    let breaker = breaker();
    let registry = registry();
    registry.operation("a").unwrap().attach_breaker(Arc::clone(&breaker));
    drop(registry);
    assert_eq!(Arc::strong_count(&breaker), 1);
    breaker.trip(Timestamp::ZERO);
    assert_eq!(breaker.state(Timestamp::ZERO), State::Open);
}

#[test]
fn refusals_are_sampled_once_a_second_and_the_others_are_counted() {
    let registry = registry();
    let operation = registry.operation("a").unwrap();
    let start = Timestamp::from_millis(10_000);
    for millis in [0, 1, 999, 1_000, 1_500, 3_000] {
        operation.rejected(Stage::CircuitBreaker);
        operation.sample_rejection(&refusal(), start.after(Duration::from_millis(millis)));
    }
    let events = registry.events();
    let suppressed: Vec<_> = events
        .iter()
        .map(|it| match &it.kind {
            EventKind::Rejected { suppressed, rejection } => {
                assert_eq!(*rejection, refusal());
                *suppressed
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(suppressed, [0, 2, 1]);
    assert_eq!(events[1].to_string(), "`a`: call refused: circuit breaker of `a` is open (and 2 more before)");
}

#[test]
fn a_reset_of_the_counters_is_an_event_of_each_operation() {
    let registry = registry();
    registry.operation("a").unwrap();
    registry.operation("b").unwrap();
    registry.reset_counters(None);
    let events: Vec<_> = registry.events().iter().map(ToString::to_string).collect();
    assert_eq!(events, ["`a`: counters reset", "`b`: counters reset"]);
}

#[test]
fn the_number_of_kept_events_can_be_changed() {
    let registry = registry();
    registry.operation("a").unwrap();
    registry.keep_events(2);
    (0..5).for_each(|_| registry.reset_counters(None));
    assert_eq!(registry.events().len(), 2);
}
