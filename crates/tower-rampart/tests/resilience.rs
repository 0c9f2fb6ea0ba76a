//! Plain async functions through the orchestrator: one document, many operations, whatever error a function has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use common::{Backend, Fault, Reply, assert_balanced, judge, ms, near, pass, refusal, secs, timed};
use tower_rampart::{
    BoxError, BoxedError, Class, Error, Preset, PresetBuilder, Registry, Rejection, Resilience, ResilienceConfig,
    Verdict, breaker::State,
};

#[tokio::test(start_paused = true)]
async fn operations_of_one_preset_behave_as_their_strategies_say() {
    let resilience = Resilience::from(Preset::Production);
    for (operation, attempts, least, most) in [
        // 4, 4, 8 and 16 seconds, and up to 2 of jitter on each.
        ("summarize", 5, secs(32), secs(40)),
        // 1 second, and up to 2 of jitter.
        ("sentiment", 2, secs(1), secs(3)),
        // 2, 2 and up to 2 of jitter on each.
        ("key_points", 3, secs(4), secs(8)),
    ] {
        let backend = Backend::always(Reply::transient());
        let (took, result) = timed(resilience.operation(operation).run(|| backend.run())).await;
        assert!(matches!(result, Err(Error::Inner(_))), "{operation}: {result:?}");
        assert_eq!(backend.calls(), attempts, "{operation}");
        assert!(took >= least && took <= most + ms(10), "{operation}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn overrides_in_one_document_reach_their_operations_alone() {
    let document = r#"{
        "retry_attempts": 3,
        "retry": {"jitter": {"kind": "none"}},
        "operation_overrides": {"once": {"retry_attempts": 1}, "patient": "critical"}
    }"#;
    let resilience = Resilience::from_json(document).unwrap();
    for (operation, attempts) in [("once", 1), ("patient", 7), ("anything else", 3), ("", 3)] {
        let backend = Backend::always(Reply::transient());
        assert!(resilience.operation(operation).run(|| backend.run()).await.is_err());
        assert_eq!(backend.calls(), attempts, "{operation}");
    }
    assert_eq!(*resilience.operation("anything else").handle().config(), resilience.config().base());
}

#[tokio::test(start_paused = true)]
async fn functions_may_fail_with_typed_or_with_boxed_errors_and_share_one_circuit() {
    let resilience =
        Resilience::from_json(r#"{"retry_attempts": 1, "circuit_breaker_threshold": 2, "recovery_timeout": 10}"#)
            .unwrap();
    let operation = resilience.operation("any");
    let typed: Result<(), Error<io::Error>> =
        operation.run(|| async { Err(io::Error::from(io::ErrorKind::ConnectionReset)) }).await;
    assert!(matches!(typed, Err(Error::Inner(error)) if error.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(operation.handle().breaker().state(), State::Closed);
    let untyped: Result<(), Error<BoxedError>> =
        operation.run(|| async { Err::<(), BoxError>("no route".into()) }).await;
    assert!(matches!(untyped, Err(Error::Inner(error)) if error.to_string() == "no route"));
    assert_eq!(operation.handle().breaker().state(), State::Open, "both counted in the same circuit");
    let refused = refusal(operation.run(|| async { Ok::<_, BoxError>(()) }).await);
    assert!(matches!(refused, Rejection::CircuitOpen(_)) && refused.operation() == "any");
    pass(secs(10)).await;
    assert_eq!(operation.run(|| async { Ok::<_, io::Error>("short") }).await.unwrap(), "short");
    assert_eq!(operation.handle().breaker().state(), State::Closed);
    assert_balanced(&operation.handle().snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_function_runs_once_for_each_attempt_and_its_permanent_errors_once() {
    let resilience = Resilience::from_preset("simple").unwrap();
    let operation = resilience.operation("read");
    let calls = AtomicU32::new(0);
    let flaky = || async {
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(io::Error::from(io::ErrorKind::TimedOut)),
            call => Ok(call),
        }
    };
    assert_eq!(operation.run(flaky).await.unwrap(), 2);
    let calls = AtomicU32::new(0);
    let missing = || async {
        calls.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(io::Error::from(io::ErrorKind::NotFound))
    };
    assert!(operation.run(missing).await.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_of_the_callers_own_judges_errors_and_answers() {
    let resilience = Resilience::from_json(r#"{"retry_attempts": 3, "jitter_enabled": false}"#).unwrap();
    let operation = resilience.operation("judged");
    let backend = Backend::always(Reply::permanent());
    let result = operation.run_classified(judge, || backend.run()).await;
    assert!(matches!(result, Err(Error::Inner(fault)) if fault.call() == 1), "what is permanent is not retried");

    let by_answer = |result: Result<&usize, &Fault>| -> Verdict {
        match result {
            Ok(answer) if *answer < 2 => Class::Transient.into(),
            _ => Class::Success.into(),
        }
    };
    let backend = Backend::new();
    assert_eq!(operation.run_classified(by_answer, || backend.run()).await, Ok(2));

    // A type that is no error at all.
    let by_word = |result: Result<&u8, &&str>| -> Verdict {
        if result == Err(&"busy") { Class::Transient.into() } else { Class::Permanent.into() }
    };
    let calls = AtomicU32::new(0);
    let busy = || async {
        calls.fetch_add(1, Ordering::Relaxed);
        Err::<u8, _>("busy")
    };
    assert_eq!(operation.run_classified(by_word, busy).await, Err(Error::Inner("busy")));
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn many_names_are_bounded_and_those_beyond_share_one_operation() {
    let resilience = Resilience::from(Preset::Production);
    for number in 0..Resilience::MAX_OPERATIONS + 500 {
        let operation = resilience.operation(&format!("user-{number}"));
        assert!(operation.run(|| async { Ok::<_, io::Error>(()) }).await.is_ok());
    }
    let names = resilience.registry().operations().len();
    assert!(names <= Resilience::MAX_OPERATIONS + 1, "{names} operations");
    assert_eq!(resilience.operation("yet another").handle().name(), "other");
    assert!(resilience.operation("other").handle().snapshot().success >= 500);
    let configured = resilience.operation("summarize").handle();
    assert_eq!(configured.name(), "summarize", "those that are configured are never crowded out");
}

#[tokio::test(start_paused = true)]
async fn clones_and_look_ups_are_the_same_operation() {
    let resilience = Resilience::from_json(r#"{"rate_limit": {"requests_per_minute": 1, "burst_size": 1}}"#).unwrap();
    let (one, clone) = (resilience.operation("a"), resilience.clone().operation("a"));
    assert!(one.run(|| async { Ok::<_, io::Error>(()) }).await.is_ok());
    for other in [clone, one.clone(), resilience.operation("a")] {
        let refused = refusal(other.run(|| async { Ok::<_, io::Error>(()) }).await);
        assert!(near(refused.retry_after().unwrap(), secs(60)), "{refused}");
    }
    assert!(resilience.operation("b").run(|| async { Ok::<_, io::Error>(()) }).await.is_ok(), "b has its own limit");
    assert!(!resilience.preflight("a").check().passed);
}

#[tokio::test(start_paused = true)]
async fn the_orchestrator_and_the_layers_of_one_registry_share_an_operation() {
    let registry = Registry::new();
    let config = ResilienceConfig::from_preset(Preset::Simple);
    let resilience = Resilience::new(config.clone(), &registry).unwrap();
    let operation = resilience.operation("search");
    let layer =
        PresetBuilder::from_config(config).operation("search").registry(&registry).classifier(judge).build().unwrap();
    layer.handle().breaker().force_open();
    assert!(operation.run(|| async { Ok::<_, io::Error>(()) }).await.is_err_and(|it| it.is_circuit_open()));
    assert_eq!(registry.snapshot().operations.iter().filter(|it| &*it.operation == "search").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_is_abandoned_and_gives_everything_back() {
    let resilience = Resilience::from_json(r#"{"concurrency": {"max_inflight": 1}}"#).unwrap();
    let operation = resilience.operation("slow");
    for _ in 0..5 {
        let hanging = operation.run(std::future::pending::<Result<(), io::Error>>);
        assert!(tokio::time::timeout(secs(1), hanging).await.is_err());
    }
    let snapshot = operation.handle().snapshot();
    assert_eq!((snapshot.abandoned, snapshot.inflight), (5, 0));
    assert_balanced(&snapshot);
}

/// An error of a client that has a circuit of its own.
#[derive(Debug, thiserror::Error)]
#[error("not sent")]
struct NotSent(#[source] Rejection);

#[tokio::test(start_paused = true)]
async fn a_refusal_among_the_sources_of_a_functions_error_is_no_failure() {
    let resilience = Resilience::from(Preset::Simple);
    let operation = resilience.operation("outer");
    let calls = AtomicU32::new(0);
    for _ in 0..20 {
        let not_sent = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            let open = tower_rampart::rejection::CircuitOpen::new("inner".into(), State::Open, None);
            Err::<(), _>(NotSent(open.into()))
        };
        assert!(matches!(operation.run(not_sent).await, Err(Error::Inner(NotSent(_)))));
    }
    let snapshot = operation.handle().snapshot();
    assert_eq!((snapshot.ignored, snapshot.failure, calls.load(Ordering::Relaxed)), (20, 0, 20));
    assert_eq!(operation.handle().breaker().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_run_can_be_moved_to_a_task_of_its_own() {
    let operation = Resilience::from(Preset::Simple).operation("spawned");
    let backend = Backend::script([Reply::transient(), Reply::Ok]);
    let task = tokio::spawn(async move { operation.run(|| backend.run()).await });
    assert_eq!(task.await.unwrap(), Ok(2));
}
