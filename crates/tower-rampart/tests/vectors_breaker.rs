//! The `circuit_breaker` vectors over the layer, call by call in paused time. The same vectors over the machine alone are in the core's tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use common::{
    Backend, Fault, Gate, Reply, all_vectors, count, judge, knows, knows_vector, millis, near, settle, vectors,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tower::Layer;
use tower_rampart::{
    CircuitBreakerLayer, Class, ClassKind, Rejection,
    breaker::{Config, Matcher, Window},
    clock,
};

fn config(name: &str, given: &Value) -> Config {
    let mut config = Config::default();
    // What the vectors call excluded is what they configure to be so.
    config.exclude = vec![Matcher::Class(ClassKind::Unavailable)];
    for (field, value) in given.as_object().unwrap() {
        match field.as_str() {
            "failure_threshold" => config.failure_threshold = count(value),
            "success_threshold" => config.success_threshold = count(value),
            "half_open_max_concurrent" => config.half_open_max_calls = count(value),
            "minimum_calls" => config.minimum_calls = count(value),
            "window" => config.window = Window::Count { size: count(value) },
            "cooldown_ms" => config.recovery_timeout = millis(value),
            "failure_rate_threshold" => config.failure_rate_threshold = value.as_f64(),
            other => panic!("{name}: the test does not know `{other}`"),
        }
    }
    config
}

fn reply(word: &str) -> Reply {
    match word {
        "ok" => Reply::Ok,
        "transient" => Reply::transient(),
        "rate_limit" => Reply::rate_limited(None),
        "permanent" => Reply::permanent(),
        "excluded" => Reply::class(Class::Unavailable { retry_after: None }),
        other => panic!("the test does not know the outcome `{other}`"),
    }
}

type Running = (Gate, JoinHandle<Result<usize, Fault>>);

/// Makes a call whose answer the gate holds back, and checks whether it was admitted.
async fn begin<S>(service: &S, backend: &Backend, step: &Value, place: &str) -> Option<Running>
where
    S: tower::Service<u32, Response = usize, Error = Fault, Future: Send> + Clone + Send + 'static,
{
    let (gate, before) = (Gate::default(), backend.calls());
    backend.next(Reply::At(gate.clone()));
    let task = common::spawn(service, 0);
    settle().await;
    if backend.calls() > before {
        assert_eq!(step["expect"], "pass", "{place}: it was admitted");
        return Some((gate, task));
    }
    backend.become_one_that(Reply::Ok);
    assert_eq!(step["expect"], "reject", "{place}: it was refused");
    let Err(Fault::Refused(Rejection::CircuitOpen(refused))) = task.await.unwrap() else {
        panic!("{place}: neither admitted nor refused")
    };
    match step.get("retry_after_ms") {
        None => {}
        Some(Value::Null) => assert_eq!(refused.retry_after, None, "{place}"),
        Some(expected) => assert!(near(refused.retry_after.unwrap(), millis(expected)), "{place}: {refused:?}"),
    }
    None
}

async fn end((gate, task): Running, outcome: &str) {
    if outcome == "cancel" {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    } else {
        gate.open(reply(outcome));
        let _ = task.await.unwrap();
    }
}

async fn run(vector: &Value) {
    let name = knows_vector(vector, &["config", "steps"]);
    let layer =
        CircuitBreakerLayer::builder().config(config(&name, &vector["config"])).classifier(judge).build().unwrap();
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    let mut running: HashMap<&str, Running> = HashMap::new();
    let start = clock::now();
    for (number, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
        let place = format!("{name}, step {number}");
        knows(
            &place,
            step,
            &["at_ms", "call", "begin", "end", "outcome", "observe", "expect", "retry_after_ms", "state_after"],
        );
        tokio::time::sleep(start.after(millis(&step["at_ms"])).since(clock::now())).await;
        let word = |field: &str| step.get(field).and_then(Value::as_str);
        if let Some(outcome) = word("call") {
            if let Some(call) = begin(&service, &backend, step, &place).await {
                end(call, outcome).await;
            }
        } else if let Some(call) = word("begin") {
            running.extend(begin(&service, &backend, step, &place).await.map(|it| (call, it)));
        } else if let Some(call) = word("end") {
            end(running.remove(call).unwrap(), word("outcome").unwrap()).await;
        } else {
            assert_eq!(step["observe"], true, "{place}: a step that the test does not know");
        }
        assert_eq!(layer.handle().state().as_str(), step["state_after"], "{place}");
    }
    assert_eq!(backend.inflight(), running.len(), "{name}");
}

#[tokio::test(start_paused = true)]
async fn the_breaker_layer_behaves_as_every_vector_says() {
    let vectors = vectors("circuit_breaker");
    assert!(vectors.len() >= 16, "only {} vectors", vectors.len());
    for vector in &vectors {
        run(vector).await;
    }
}

#[test]
fn every_kind_of_vector_has_its_test_or_its_step() {
    let here = [
        "circuit_breaker",
        "retry",
        "rate_limiter",
        "backpressure",
        "fallback_chain",
        "pipeline",
        "cache",
        "load_balancer",
    ];
    let http = ["cache_key"];
    let looks = ["preflight", "signals"];
    let core = ["retry_budget", "adaptive_rate"];
    let later = ["classify", "rate_limit_headers", "stream"];
    for vector in all_vectors() {
        let kind = vector["kind"].as_str().unwrap();
        let known = [&here[..], &http, &looks, &core, &later].concat();
        assert!(known.contains(&kind), "{}: no test knows the kind `{kind}`", vector["name"]);
    }
}
