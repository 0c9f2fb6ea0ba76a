//! Every field of the document that the pipeline runs on, at start and after `reconfigure`: the same traffic meets something else.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test fails by panicking")]

mod caches;
#[cfg(feature = "chaos")]
mod chaos;
#[path = "../common/mod.rs"]
mod common;
mod fields;
mod limits;
mod traffic;

use common::{Backend, Reply, call, pass, secs, settle, spawn, timed};
use fields::{Layer, ROWS, Row, build, config};
use tower::Layer as _;
use tower_rampart::{breaker::State, retry::JitterKind};

/// What traffic meets under `document`.
async fn at_start(row: &Row, document: &str) -> String {
    (row.traffic)(build(document)).await
}

/// What traffic meets under `document` when the pipeline was started with another.
async fn after_reload(row: &Row, started: &str, document: &str) -> String {
    let layer = build(started);
    layer.handle().reconfigure(config(document)).unwrap();
    (row.traffic)(layer).await
}

#[tokio::test(start_paused = true)]
async fn each_field_changes_what_traffic_meets_at_start_and_after_reconfigure() {
    for row in ROWS {
        let [one, other] = row.values;
        let at = |value: &str| format!("{} = {value}", row.field);
        let documents = [row.document(one), row.document(other)];
        for (value, document, sees) in [(one, &documents[0], row.sees[0]), (other, &documents[1], row.sees[1])] {
            assert_eq!(at_start(row, document).await, sees, "{}, at start", at(value));
        }
        assert_eq!(after_reload(row, &documents[0], &documents[1]).await, row.sees[1], "{}, reconfigured", at(other));
        assert_eq!(after_reload(row, &documents[1], &documents[0]).await, row.sees[0], "{}, reconfigured", at(one));
        assert_ne!(row.sees[0], row.sees[1], "{}: the values must differ in what they do", row.field);
    }
}

#[test]
fn every_field_that_the_pipeline_runs_on_is_in_the_table() {
    // The pipeline of functions does not run on these: HTTP hosts do.
    let mut elsewhere = vec!["http.", "classify."];
    if !cfg!(feature = "chaos") {
        elsewhere.push("chaos.");
    }
    let read_by_hosts = [
        "fallback.targets",
        // HTTP hosts read headers: tests/http_guards.rs.
        "priority.header",
        // As well: tests/http_nested.rs.
        "nested_retry.header",
        "fallback.status",
        "fallback.body",
        // HTTP hosts have keys: tests/http_keys.rs.
        "circuit_breaker.per_key",
        "rate_limit.per_key",
        "rate_limit.max_keys",
        "rate_limit.key_limits",
        "circuit_breaker.max_keys",
        "concurrency.per_key",
        "concurrency.max_keys",
        // HTTP hosts follow the headers.
        "rate_limit.learn_from_headers",
        // Answers of HTTP hosts have sizes and headers: tests/cache/http.rs.
        "cache.max_bytes",
        "cache.max_body_bytes",
        "cache.key_headers",
        "cache.model_api",
        "cache.ignore_fields",
        // Set by the strategy's numbers, each of which has a row.
        "default_strategy",
    ];
    for field in tower_rampart_config::fields().filter(|it| it.in_operations) {
        let covered = ROWS.iter().any(|row| row.field == field.path);
        let excused = elsewhere.iter().any(|it| field.path.starts_with(it)) || read_by_hosts.contains(&field.path);
        assert!(covered != excused, "{}: in the table {covered}, excused {excused}", field.path);
    }
    for row in ROWS {
        let known = tower_rampart_config::fields().any(|it| it.path == row.field);
        assert!(known, "{} is no field", row.field);
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_refused_changes_nothing() {
    let layer: Layer = build("{}");
    let before = layer.handle().config();
    let mut bad = (*before).clone();
    bad.retry.max_attempts = 9;
    bad.concurrency.enabled = true;
    bad.circuit_breaker.failure_threshold = 0;
    let error = layer.handle().reconfigure(bad).unwrap_err();
    assert!(error.to_string().contains("circuit_breaker.failure_threshold"), "{error}");
    assert_eq!(layer.handle().config(), before);
    assert_eq!(traffic::waits(layer.clone()).await, "1000 1000");
    assert_eq!(layer.handle().breaker().config().failure_threshold, before.circuit_breaker.failure_threshold);
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_end_under_the_old_configuration() {
    let layer = build(r#"{"timeout": {"attempt": "10s"}, "retry": {"max_attempts": 2}}"#);
    let backend = Backend::always(Reply::Hang);
    let running = spawn(&layer.layer(backend.clone()), 0);
    settle().await;
    layer.handle().reconfigure(config(r#"{"timeout": {"attempt": "1s"}, "retry": {"max_attempts": 1}}"#)).unwrap();
    let (took, result) = timed(running).await;
    assert!(result.unwrap().is_err());
    assert_eq!((took, backend.calls()), (secs(21), 2), "two attempts of 10 s and the wait between them");
}

#[tokio::test(start_paused = true)]
async fn reconfiguring_keeps_the_circuits_state_the_tokens_and_the_permits() {
    let document = |threshold: u32| {
        format!(
            r#"{{"retry": {{"max_attempts": 1}}, "circuit_breaker": {{"failure_threshold": {threshold}}},
            "rate_limit": {{"requests_per_minute": 1, "burst_size": 6}}, "concurrency": {{"max_inflight": 2}}}}"#
        )
    };
    let layer = build(&document(3));
    let backend = Backend::always(Reply::Hang);
    let service = layer.layer(backend.clone());
    let held = spawn(&service, 0);
    settle().await;
    backend.become_one_that(Reply::transient());
    for _ in 0..2 {
        assert!(call(&service, 0).await.is_err());
    }
    let before = layer.handle().signals();
    layer.handle().reconfigure(config(&document(4))).unwrap();
    let after = layer.handle().signals();
    assert_eq!((after.rate_remaining, after.current_inflight), (before.rate_remaining, 1));
    assert_eq!(layer.handle().breaker().snapshot().consecutive_failures, 2, "the run of failures goes on");
    for _ in 0..2 {
        assert_eq!(layer.handle().breaker().state(), State::Closed);
        assert!(call(&service, 0).await.is_err());
    }
    assert_eq!(layer.handle().breaker().state(), State::Open);
    layer.handle().reconfigure(config(&document(100))).unwrap();
    assert_eq!(layer.handle().breaker().state(), State::Open, "a new threshold does not close it");
    held.abort();
    pass(secs(1)).await;
    assert_eq!(layer.handle().signals().current_inflight, 0, "the permit of before is given back to the same limit");
    assert_eq!(layer.handle().config().retry.jitter.kind, JitterKind::None);
}
