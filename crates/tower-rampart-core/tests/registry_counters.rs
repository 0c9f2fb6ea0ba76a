//! Properties of the registry's counters: they balance, whatever happens in which thread (semantics, invariants 2, 3 and 20).
#![cfg(not(loom))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use tower_rampart_core::{
    ClassKind, Outcome, Stage, Timestamp,
    registry::{Operation, OperationSnapshot, Registry},
    rejection::TimeoutKind,
    retry::StopReason,
};

fn registry() -> Registry {
    Registry::with_clock(|| Timestamp::from_millis(1_000))
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Finish(Outcome, ClassKind, u64),
    Abandon,
    Reject(Stage),
    Attempts(u32),
    Retry,
    Stop(StopReason),
    TimeOut(TimeoutKind),
    FallBack,
    Queue(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    let class = prop::sample::select(ClassKind::ALL.to_vec());
    prop_oneof![
        4 => Just(Step::Start),
        4 => (outcome, class, any::<u64>()).prop_map(|(outcome, class, nanos)| Step::Finish(outcome, class, nanos)),
        1 => Just(Step::Abandon),
        1 => prop::sample::select(Stage::ALL.to_vec()).prop_map(Step::Reject),
        1 => (0_u32..5).prop_map(Step::Attempts),
        1 => Just(Step::Retry),
        1 => prop::sample::select(StopReason::ALL.to_vec()).prop_map(Step::Stop),
        1 => prop::sample::select(TimeoutKind::ALL.to_vec()).prop_map(Step::TimeOut),
        1 => Just(Step::FallBack),
        1 => (0_u64..1_000).prop_map(Step::Queue),
    ]
}

/// Runs the steps as one caller would: nothing ends that did not start. Gives back what is still in flight.
fn run(operation: &Operation, steps: &[Step]) -> u64 {
    let mut inflight = 0;
    for step in steps {
        let at = Timestamp::from_nanos(7);
        match *step {
            Step::Start => {
                operation.started();
                inflight += 1;
            }
            Step::Finish(outcome, class, nanos) if inflight > 0 => {
                operation.finished(outcome, class, Duration::from_nanos(nanos), at);
                inflight -= 1;
            }
            Step::Abandon if inflight > 0 => {
                operation.abandoned(at);
                inflight -= 1;
            }
            Step::Finish(..) | Step::Abandon => {}
            Step::Reject(stage) => operation.rejected(stage),
            Step::Attempts(attempts) => operation.attempts(attempts),
            Step::Retry => operation.retried(),
            Step::Stop(reason) => operation.stopped(reason),
            Step::TimeOut(kind) => operation.timed_out(kind),
            Step::FallBack => operation.fell_back(),
            Step::Queue(nanos) => operation.queued_for(Duration::from_nanos(nanos)),
        }
    }
    inflight
}

fn ended(it: &OperationSnapshot) -> u64 {
    it.success + it.failure + it.ignored + it.abandoned
}

fn check(it: &OperationSnapshot) {
    assert_eq!(ended(it) + it.inflight, it.admitted, "{it:?}");
    for rate in [it.success_rate, it.failure_rate] {
        assert!((0.0..=1.0).contains(&rate), "{it:?}");
    }
    assert!(it.amplification >= 1.0 && it.amplification.is_finite(), "{it:?}");
}

fn count(steps: &[Vec<Step>], which: impl Fn(&Step) -> u64) -> u64 {
    steps.iter().flatten().map(which).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counters_balance_across_threads(steps in prop::collection::vec(prop::collection::vec(step(), 0..60), 1..5)) {
        let registry = registry();
        let operation = registry.operation("a").unwrap();
        let done = AtomicBool::new(false);
        let inflight: u64 = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    check(&operation.snapshot(registry.now()));
                    std::thread::yield_now();
                }
            });
            let workers: Vec<_> = steps.iter().map(|steps| scope.spawn(|| run(&operation, steps))).collect();
            let inflight = workers.into_iter().map(|it| it.join().unwrap()).sum();
            done.store(true, Ordering::Relaxed);
            inflight
        });
        let snapshot = operation.snapshot(registry.now());
        check(&snapshot);
        prop_assert_eq!(snapshot.inflight, inflight);
        prop_assert_eq!(operation.inflight(), inflight);
        prop_assert_eq!(snapshot.admitted, count(&steps, |it| u64::from(matches!(it, Step::Start))));
        prop_assert_eq!(snapshot.rejections(), count(&steps, |it| u64::from(matches!(it, Step::Reject(_)))));
        prop_assert_eq!(snapshot.retries, count(&steps, |it| u64::from(matches!(it, Step::Retry))));
        prop_assert_eq!(snapshot.fallbacks, count(&steps, |it| u64::from(matches!(it, Step::FallBack))));
        let attempts = |it: &Step| if let Step::Attempts(attempts) = it { u64::from(*attempts) } else { 0 };
        prop_assert_eq!(snapshot.attempts, count(&steps, attempts));
        let queue_time = |it: &Step| if let Step::Queue(nanos) = it { *nanos } else { 0 };
        prop_assert_eq!(snapshot.queue_time, Duration::from_nanos(count(&steps, queue_time)));
        for (kind, counted) in &snapshot.timeouts {
            prop_assert_eq!(*counted, count(&steps, |it| u64::from(matches!(it, Step::TimeOut(of) if of == kind))));
        }
        for (reason, counted) in &snapshot.stopped {
            prop_assert_eq!(*counted, count(&steps, |it| u64::from(matches!(it, Step::Stop(of) if of == reason))));
        }
        let classes: u64 = snapshot.classes.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(classes + snapshot.abandoned, ended(&snapshot));
        let ignored = snapshot.classes.iter().find(|(class, _)| *class == ClassKind::Ignored).unwrap().1;
        prop_assert_eq!(snapshot.latency.count, classes - ignored);
    }

    #[test]
    fn a_reset_starts_from_zero_and_balances(
        before in prop::collection::vec(step(), 0..60),
        after in prop::collection::vec(step(), 0..60),
    ) {
        let registry = registry();
        let operation = registry.operation("a").unwrap();
        let inflight = run(&operation, &before);
        registry.reset_counters(Some("a"));
        let snapshot = operation.snapshot(registry.now());
        check(&snapshot);
        prop_assert_eq!((ended(&snapshot), snapshot.inflight), (0, inflight));
        prop_assert_eq!((snapshot.attempts, snapshot.rejections(), snapshot.latency.count), (0, 0, 0));
        prop_assert_eq!(snapshot.latency.max, Duration::ZERO);
        let more = run(&operation, &after);
        let snapshot = operation.snapshot(registry.now());
        check(&snapshot);
        prop_assert_eq!(snapshot.inflight, inflight + more);
    }
}

#[test]
fn amplification_is_attempts_for_each_call_that_reached_the_service() {
    let operation = registry().operation("a").unwrap();
    assert!((operation.snapshot(Timestamp::ZERO).amplification - 1.0).abs() < f64::EPSILON);
    for attempts in [1, 3, 0, 2] {
        operation.attempts(attempts);
    }
    let snapshot = operation.snapshot(Timestamp::ZERO);
    assert_eq!(snapshot.attempts, 6);
    assert!((snapshot.amplification - 2.0).abs() < f64::EPSILON);
}

#[test]
fn refusals_of_this_suite_have_no_latency() {
    let operation = registry().operation("a").unwrap();
    operation.started();
    operation.finished(Outcome::Ignored, ClassKind::Ignored, Duration::from_secs(1), Timestamp::ZERO);
    operation.started();
    operation.finished(Outcome::Ignored, ClassKind::RateLimited, Duration::from_secs(2), Timestamp::ZERO);
    let snapshot = operation.snapshot(Timestamp::ZERO);
    assert_eq!((snapshot.ignored, snapshot.latency.count, snapshot.latency.mean), (2, 1, Duration::from_secs(2)));
}

#[test]
fn the_last_ends_are_remembered_by_kind() {
    let operation = registry().operation("a").unwrap();
    let at = Timestamp::from_millis;
    (0..3).for_each(|_| operation.started());
    operation.finished(Outcome::Success, ClassKind::Success, Duration::ZERO, at(1));
    operation.finished(Outcome::Failure, ClassKind::Transient, Duration::ZERO, at(2));
    operation.abandoned(at(3));
    let snapshot = operation.snapshot(at(4));
    assert_eq!(
        [snapshot.last_success, snapshot.last_failure, snapshot.last_abandoned],
        [Some(at(1)), Some(at(2)), Some(at(3))]
    );
}

#[test]
fn operations_are_bounded_and_looking_makes_none() {
    let registry = Registry::with_capacity(|| Timestamp::ZERO, 2);
    assert!(registry.get("a").is_none() && registry.signals("a").is_none());
    registry.reset_counters(Some("a"));
    assert!(registry.operations().is_empty() && registry.events().is_empty());
    let first = registry.operation("b").unwrap();
    registry.operation("a").unwrap();
    let refused = registry.operation("c").unwrap_err();
    assert_eq!(refused.to_string(), "the registry holds 2 operations and takes no more: `c` is not among them");
    assert!(Arc::ptr_eq(&first, &registry.operation("b").unwrap()));
    assert_eq!(registry.operations().iter().map(|it| it.name().to_string()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn operation_that_was_taken_out_makes_room_and_its_name_begins_anew() {
    let registry = Registry::with_capacity(|| Timestamp::ZERO, 1);
    let old = registry.operation("a").unwrap();
    old.started();
    assert!(registry.remove("a").is_some_and(|it| Arc::ptr_eq(&it, &old)));
    assert!(registry.remove("a").is_none() && registry.operation("b").is_ok());
    assert!(!registry.prometheus_text().contains("operation=\"a\""));
    assert!(registry.remove("b").is_some());
    assert_eq!(registry.operation("a").unwrap().snapshot(Timestamp::ZERO).inflight, 0);
    old.abandoned(Timestamp::ZERO);
}

#[test]
fn clones_share_one_registry() {
    let registry = registry();
    registry.clone().operation("a").unwrap().started();
    assert_eq!(registry.snapshot().operations[0].inflight, 1);
}
