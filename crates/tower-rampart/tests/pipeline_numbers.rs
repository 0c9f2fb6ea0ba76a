//! The registry's numbers after stories of all kinds: they balance, agree with what callers met, and metrics show one state of a circuit.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    Backend, Fault, Reply, assert_balanced, call, call_and_catch, judge, pass, refused_by, secs, settle, spawn,
};
use tower::Layer;
use tower_rampart::{
    Class, ClassKind, Error, PresetBuilder, Registry, ResilienceLayer, Stage, Verdict, breaker::State,
    pipeline::Custom, registry::OperationSnapshot,
};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

const DOCUMENT: &str = r#"{
    "retry": {"max_attempts": 2, "backoff": {"base": "100ms", "min": 0}},
    "timeout": {"attempt": "1s", "total": "3s"},
    "circuit_breaker": {"failure_threshold": 4, "recovery_timeout": "5s"},
    "rate_limit": {"requests_per_second": 20, "burst_size": 10},
    "concurrency": {"max_inflight": 3, "queue_size": 2, "queue_timeout": "500ms"}
}"#;

fn build(registry: &Registry, operation: &str, document: &str) -> ResilienceLayer<Custom<Judge>> {
    PresetBuilder::from_json(document)
        .unwrap()
        .operation(operation)
        .registry(registry)
        .seed(11)
        .classifier(judge as Judge)
        .build()
        .unwrap()
}

/// The states that the metrics show as the present one.
fn states_shown(registry: &Registry, operation: &str) -> Vec<String> {
    let prefix = format!("rampart_circuit_state{{operation=\"{operation}\",state=\"");
    let text = registry.prometheus_text();
    let samples = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    samples.filter_map(|sample| sample.strip_suffix("\"} 1")).map(str::to_owned).collect()
}

fn check(registry: &Registry, handle: &tower_rampart::OperationHandle) -> OperationSnapshot {
    let snapshot = handle.snapshot();
    assert_balanced(&snapshot);
    let state = handle.breaker().state();
    assert_eq!(states_shown(registry, handle.name()), [state.as_str()]);
    snapshot
}

/// What an operator does to a circuit.
type Switch = fn(&tower_rampart::breaker::Handle);

/// A small reproducible source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[derive(Default)]
struct Met {
    answered: u64,
    failed: u64,
    timed_out: u64,
    refused: [u64; 3],
}

impl Met {
    fn note(&mut self, result: Result<usize, Error<Fault>>) {
        match result {
            Ok(_) => self.answered += 1,
            Err(Error::Inner(_)) => self.failed += 1,
            Err(Error::Timeout(_)) => self.timed_out += 1,
            Err(Error::CircuitOpen(_)) => self.refused[0] += 1,
            Err(Error::RateLimited(_)) => self.refused[1] += 1,
            Err(Error::Overloaded(_)) => self.refused[2] += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_balance_and_agree_with_what_callers_met_after_any_story() {
    let mut seen = [0; 8];
    for seed in 0..10 {
        let registry = Registry::new();
        let layer = build(&registry, "story", DOCUMENT);
        let (backend, handle) = (Backend::new(), layer.handle());
        let service = layer.layer(backend.clone());
        let (mut dice, mut met, mut dropped, mut panicked) = (Dice(seed), Met::default(), 0_u64, 0_u64);
        let mut running = Vec::new();
        for step in 0..400 {
            backend.become_one_that(match dice.roll(12) {
                0..=4 => Reply::Ok,
                5 => Reply::Ok.after(secs(2)),
                6 => Reply::transient().after(common::ms(300)),
                7 | 8 => Reply::transient(),
                9 => Reply::permanent(),
                10 => Reply::Hang,
                _ => Reply::class(Class::Ignored),
            });
            match dice.roll(8) {
                0..=3 => running.push(spawn(&service, 0)),
                4 if !running.is_empty() => {
                    let at = usize::try_from(dice.roll(running.len() as u64)).unwrap();
                    let task = running.swap_remove(at);
                    task.abort();
                    match task.await {
                        Ok(result) => met.note(result),
                        Err(error) => {
                            assert!(error.is_cancelled());
                            dropped += 1;
                        }
                    }
                }
                5 => {
                    backend.become_one_that(Reply::Panic);
                    let before = backend.calls();
                    let task = spawn(&service, 0);
                    settle().await;
                    if backend.calls() > before && task.is_finished() {
                        assert!(task.await.unwrap_err().is_panic());
                        panicked += 1;
                    } else {
                        running.push(task);
                    }
                }
                _ => pass(common::ms(dice.roll(400))).await,
            }
            settle().await;
            assert_balanced(&handle.snapshot());
            if step % 20 == 0 {
                check(&registry, &handle);
            }
        }
        for task in running {
            match task.await {
                Ok(result) => met.note(result),
                Err(error) => {
                    assert!(error.is_panic());
                    panicked += 1;
                }
            }
        }
        settle().await;
        let end = check(&registry, &handle);
        assert_eq!((end.inflight, backend.inflight()), (0, 0), "seed {seed}");
        assert_eq!(end.success, met.answered + class(&end, ClassKind::Permanent), "seed {seed}");
        let stages = [Stage::CircuitBreaker, Stage::RateLimit, Stage::Concurrency];
        assert_eq!(stages.map(|stage| refused_by(&end, stage)), met.refused, "seed {seed}");
        assert!(end.abandoned <= dropped, "seed {seed}");
        let in_queues = refused_by(&end, Stage::Timeout);
        let blamed = end.failure + end.ignored + class(&end, ClassKind::Permanent) + in_queues;
        assert_eq!(blamed, met.failed + met.timed_out + panicked, "seed {seed}");
        assert_eq!(end.attempts, backend.calls() as u64, "seed {seed}");
        assert_eq!(end.retries, end.attempts - end.admitted, "seed {seed}");
        let signals = handle.signals();
        assert_eq!((signals.current_inflight, signals.queue_depth), (0, 0), "seed {seed}");
        assert!((0.0..=1.0).contains(&signals.pressure), "seed {seed}");
        let [open, limited, full] = met.refused;
        let all = [met.answered, met.failed, met.timed_out, open, limited, full, dropped, panicked];
        seen.iter_mut().zip(all).for_each(|(seen, more)| *seen += more);
    }
    assert!(seen.iter().all(|it| *it > 0), "every ending was met: {seen:?}");
}

fn class(snapshot: &OperationSnapshot, kind: ClassKind) -> u64 {
    snapshot.classes.iter().find(|(it, _)| *it == kind).unwrap().1
}

#[tokio::test(start_paused = true)]
async fn metrics_show_exactly_one_state_of_a_circuit_through_its_whole_life() {
    let registry = Registry::new();
    let layer =
        build(&registry, "life", r#"{"retry_attempts": 1, "circuit_breaker_threshold": 1, "recovery_timeout": 10}"#);
    let (backend, handle) = (Backend::always(Reply::transient()), layer.handle());
    let service = layer.layer(backend.clone());
    let shown = || states_shown(&registry, "life");
    assert_eq!(shown(), ["closed"]);
    assert!(call(&service, 0).await.is_err());
    assert_eq!(shown(), ["open"]);
    pass(secs(10)).await;
    assert_eq!(shown(), ["half_open"]);
    backend.become_one_that(Reply::Ok);
    assert!(call(&service, 0).await.is_ok());
    assert_eq!(shown(), ["closed"]);
    let by_hand: [(Switch, State); 5] = [
        (|it| it.force_open(), State::ForcedOpen),
        (|it| it.force_close(), State::ForcedClosed),
        (|it| it.disable(), State::Disabled),
        (|it| it.metrics_only(), State::MetricsOnly),
        (|it| it.reset(), State::Closed),
    ];
    for (switch, state) in by_hand {
        switch(&handle.breaker());
        assert_eq!(shown(), [state.as_str()]);
    }
    let breaker = handle.snapshot().breaker.unwrap();
    assert_eq!((breaker.opens, breaker.half_opens), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_backend_is_a_failure_and_leaves_nothing_held() {
    let registry = Registry::new();
    let layer = build(&registry, "panics", DOCUMENT);
    let service = layer.layer(Backend::always(Reply::Panic));
    for _ in 0..3 {
        call_and_catch(&service, 0).await;
    }
    let snapshot = check(&registry, &layer.handle());
    assert_eq!((snapshot.failure, snapshot.inflight, snapshot.breaker.unwrap().failed), (3, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn operations_of_one_registry_are_counted_apart() {
    let registry = Registry::new();
    let (one, other) = (build(&registry, "one", DOCUMENT), build(&registry, "other", DOCUMENT));
    assert!(call(&one.layer(Backend::new()), 0).await.is_ok());
    other.handle().breaker().trip();
    assert!(call(&other.layer(Backend::new()), 0).await.is_err());
    let snapshot = registry.snapshot();
    let names: Vec<_> = snapshot.operations.iter().map(|it| &*it.operation).collect();
    assert_eq!(names, ["one", "other"]);
    assert_eq!((snapshot.operations[0].admitted, snapshot.operations[1].admitted), (1, 0));
    assert_eq!(
        (states_shown(&registry, "one"), states_shown(&registry, "other")),
        (vec!["closed".to_owned()], vec!["open".to_owned()])
    );
    assert!(registry.signals("one").unwrap().is_healthy && !registry.signals("other").unwrap().is_healthy);
    assert!(registry.signals("unknown").is_none());
}
