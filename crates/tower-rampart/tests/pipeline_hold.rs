//! Answers that go on after their head: what a call holds stays with them, and its outcome is theirs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{future::Future, io, time::Duration};

use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_rampart::{
    Class, Error, Explain, PresetBuilder, Verdict,
    breaker::State,
    fallback::NoFallback,
    pipeline::{Custom, Held, OperationHandle, Report, ResilienceLayer},
    retry::Cloned,
};
use tower_rampart_config::{Capabilities, Capability};

/// An answer with room for what its call holds.
#[derive(Debug, Default)]
struct Answer {
    class: Option<Class>,
    held: Option<Held>,
}

/// Puts what is held into the answer.
#[derive(Debug, Clone)]
struct IntoAnswer;

impl Report<Answer, Error<io::Error>> for IntoAnswer {
    fn report(&self, _explain: Explain, _result: &mut Result<Answer, Error<io::Error>>) {}

    fn hold(&self, held: Held, result: &mut Result<Answer, Error<io::Error>>) -> Option<Held> {
        result.as_mut().expect("only answers are asked").held = Some(held);
        None
    }
}

type Judge = fn(Result<&Answer, &io::Error>) -> Class;
type Layered = ResilienceLayer<Custom<Judge>, Cloned, NoFallback, IntoAnswer>;

fn layer(more: &Value) -> Layered {
    let mut document = json!({
        "classify": {"outcome_at": "end_of_body"},
        "concurrency": {"max_inflight": 2},
        "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": 30},
        "retry": {"enabled": false},
        "timeout": {"attempt": "1s", "total": "20s"},
    });
    for (section, fields) in more.as_object().unwrap() {
        document[section] = fields.clone();
    }
    let judge: Judge = |result| result.ok().and_then(|answer| answer.class).unwrap_or(Class::Success);
    PresetBuilder::from_json(&document.to_string())
        .unwrap()
        .capabilities(Capabilities::function().without(Capability::Fallback).with(Capability::EndOfBody))
        .classifier(judge)
        .reporter(IntoAnswer)
        .build()
        .unwrap()
}

fn call(layer: &Layered, class: Option<Class>) -> impl Future<Output = Result<Answer, Error<io::Error>>> {
    layer.layer(tower::service_fn(move |(): ()| async move { Ok(Answer { class, held: None }) })).oneshot(())
}

/// Calls in flight, permits taken, successes, failures, abandoned.
fn numbers(handle: &OperationHandle) -> [u64; 5] {
    let seen = handle.snapshot();
    let permits = seen.concurrency.as_ref().unwrap().inflight;
    [seen.inflight, u64::from(permits), seen.success, seen.failure, seen.abandoned]
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_in_flight_until_it_has_ended() {
    for scope in ["call", "attempt"] {
        let layer = layer(&json!({"circuit_breaker": {"scope": scope, "failure_threshold": 1}}));
        let mut answer = call(&layer, None).await.unwrap();
        assert_eq!(numbers(&layer.handle()), [1, 1, 0, 0, 0], "{scope}");
        let held = answer.held.take().unwrap();
        assert_eq!(held.stall(), Some(Duration::from_secs(1)));
        assert!(held.deadline().is_some() && held.stated_deadline().is_none() && !held.is_decided());
        held.finish(&Verdict::new(Class::Success));
        assert_eq!(numbers(&layer.handle()), [0, 0, 1, 0, 0], "{scope}");
        assert_eq!(layer.handle().breaker().state(), State::Closed, "{scope}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_head_opens_the_circuit() {
    for scope in ["call", "attempt"] {
        let layer = layer(&json!({"circuit_breaker": {"scope": scope, "failure_threshold": 1}}));
        let held = call(&layer, None).await.unwrap().held.unwrap();
        held.finish(&Verdict::new(Class::Transient));
        assert_eq!(numbers(&layer.handle()), [0, 0, 0, 1, 0], "{scope}");
        assert_eq!(layer.handle().breaker().state(), State::Open, "{scope}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_dropped_is_abandoned() {
    let layer = layer(&json!({}));
    drop(call(&layer, None).await.unwrap());
    assert_eq!(numbers(&layer.handle()), [0, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_the_head_decides_stands_and_the_permit_stays_until_the_end() {
    let layer = layer(&json!({}));
    let answer = call(&layer, Some(Class::Transient)).await.unwrap();
    assert_eq!(layer.handle().breaker().state(), State::Open, "the circuit need not wait");
    assert_eq!(numbers(&layer.handle()), [1, 1, 0, 0, 0]);
    assert!(answer.held.as_ref().unwrap().is_decided());
    drop(answer);
    assert_eq!(numbers(&layer.handle()), [0, 0, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_lasts_until_the_end_of_its_answer() {
    let layer = layer(&json!({"circuit_breaker": {"failure_threshold": 1, "recovery_timeout": 10}}));
    call(&layer, Some(Class::Transient)).await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    let probe = call(&layer, None).await.unwrap();
    assert!(call(&layer, None).await.unwrap_err().is_circuit_open(), "the probe's slot is taken");
    probe.held.unwrap().finish(&Verdict::new(Class::Success));
    assert_eq!(layer.handle().breaker().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_an_answer_that_would_have_gone_on_ends_it() {
    let document = json!({
        "classify": {"outcome_at": "end_of_body"},
        "circuit_breaker": {"scope": "attempt", "failure_threshold": 3},
        "retry": {"max_attempts": 2, "backoff": {"base": 0, "min": 0}, "jitter": {"kind": "none"}},
    });
    let layer = PresetBuilder::from_json(&document.to_string())
        .unwrap()
        .capabilities(Capabilities::function().without(Capability::Fallback).with(Capability::EndOfBody))
        .classifier(|_: Result<&Answer, &io::Error>| Verdict::new(Class::Success).with_retry(true))
        .reporter(IntoAnswer)
        .build()
        .unwrap();
    let mut service = layer.layer(tower::service_fn(|(): ()| async { Ok::<_, io::Error>(Answer::default()) }));
    let answer = service.ready().await.unwrap().call(()).await.unwrap();
    let circuit = layer.handle().breaker().snapshot();
    assert_eq!((circuit.successful, circuit.total), (1, 1), "the first attempt has ended, the second goes on");
    drop(answer);
    let circuit = layer.handle().breaker().snapshot();
    assert_eq!((circuit.successful, circuit.abandoned), (1, 1));
}
