//! The `fallback_chain` and `pipeline` vectors: chains of services, and layers stacked in the order that a vector names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Backend, Fault, Reply, call, count, judge, knows, knows_vector, millis, pass, provider, spawn, vectors};
use serde_json::{Value, json};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_rampart::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, Error, FallbackLayer, PresetBuilder, RateLimitLayer, Registry,
    Rejection, RetryLayer, concurrency,
    fallback::{Chain, Target, Targets},
    rate_limit,
    rejection::{OverloadReason, Overloaded, RateLimited},
    retry,
};

fn reply(word: &str) -> Reply {
    match word {
        "ok" => Reply::Ok,
        "backpressure" => Reply::Refuse(Overloaded::new("a".into(), OverloadReason::QueueFull, 1, None).into()),
        "unclassified_timeout" => Reply::Elapse,
        class => Reply::Fail(provider(class, None)),
    }
}

fn attempts(most: u32) -> retry::Config {
    let mut config = retry::Config::default();
    config.max_attempts = most;
    config.backoff.base = std::time::Duration::ZERO;
    config
}

#[tokio::test(start_paused = true)]
async fn the_fallback_layer_walks_its_chain_as_every_vector_says() {
    let vectors = vectors("fallback_chain");
    assert_eq!(vectors.len(), 12);
    for vector in &vectors {
        let name = knows_vector(vector, &["config", "targets", "expect"]);
        knows(&name, &vector["config"], &["attempts_per_target"]);
        let most = vector["config"].get("attempts_per_target").map_or(1, count);
        let order = Arc::new(Mutex::new(Vec::<String>::new()));
        let mut targets = Vec::new();
        for (number, target) in vector["targets"].as_array().unwrap().iter().enumerate() {
            knows(&name, target, &["name", "outcomes", "enabled"]);
            let word = target["name"].as_str().unwrap().to_owned();
            let replies = target["outcomes"].as_array().unwrap().iter().map(|it| reply(it.as_str().unwrap()));
            let (order, noted) = (Arc::clone(&order), word.clone());
            let service = ServiceBuilder::new()
                .layer(RetryLayer::builder().config(attempts(most)).classifier(judge).build().unwrap())
                .map_request(move |request: u32| {
                    order.lock().unwrap().push(noted.clone());
                    request
                })
                .service(Backend::script(replies).counting_from(100 * number));
            let enabled = target.get("enabled").is_none_or(|it| it.as_bool().unwrap());
            targets.push(Target::new(word, service.boxed_clone()).enabled(enabled));
        }
        let layer = FallbackLayer::builder().services(Targets::new(targets)).classifier(judge).build();
        let result = call(&layer.layer(Chain::<usize, Fault>::new(&name)), 0).await;

        let order = order.lock().unwrap().clone();
        let mut tried = order.clone();
        tried.dedup();
        let expect = &vector["expect"];
        knows(&name, expect, &["success", "used", "tried", "calls", "hops", "error"]);
        assert_eq!(expect["success"], result.is_ok(), "{name}: {result:?}");
        let used = result.as_ref().ok().map(|answer| &vector["targets"][answer / 100]["name"]);
        assert_eq!(expect["used"], used.cloned().unwrap_or_default(), "{name}");
        assert_eq!(expect["tried"], json!(tried), "{name}");
        let hops: Vec<_> = tried.windows(2).collect();
        assert_eq!(expect["hops"], json!(hops), "{name}");
        let calls: serde_json::Map<String, Value> =
            tried.iter().map(|it| (it.clone(), json!(order.iter().filter(|noted| *noted == it).count()))).collect();
        assert_eq!(expect["calls"], Value::Object(calls), "{name}");
        match expect.get("error").and_then(Value::as_str) {
            None => {}
            Some("no_enabled_targets") => {
                assert!(matches!(result, Err(Fault::Refused(Rejection::NoEnabledTargets(_)))), "{name}: {result:?}");
            }
            Some(other) => panic!("{name}: the test does not know the error `{other}`"),
        }
    }
}

/// `breaker` in front of `limiter`.
async fn open_circuit(name: &str, config: &Value, expect: &Value) {
    knows(name, config, &["order", "breaker", "burst"]);
    knows(name, expect, &["upstream_calls", "tokens_spent", "result"]);
    let breaker = CircuitBreakerLayer::builder().classifier(judge).build().unwrap();
    let burst = count(&config["burst"]);
    let limiter = rate_limit::Config::per_second(1.0).with_burst(f64::from(burst)).unwrap();
    let limiter = RateLimitLayer::new(limiter).unwrap();
    let backend = Backend::new();
    let service = ServiceBuilder::new().layer(breaker.clone()).layer(limiter.clone()).service(backend.clone());
    assert_eq!(config["breaker"], "open");
    breaker.handle().trip();
    let result = call(&service, 0).await;
    assert_eq!(expect["result"], "circuit_open");
    assert!(matches!(result, Err(Fault::Refused(Rejection::CircuitOpen(_)))), "{name}: {result:?}");
    assert_eq!(expect["upstream_calls"], backend.calls(), "{name}");
    let spent = f64::from(burst) - limiter.handle().remaining();
    assert_eq!(expect["tokens_spent"].as_f64(), Some(spent), "{name}");
}

/// `retry` around `backpressure`.
async fn permit_in_backoff(name: &str, config: &Value, expect: &Value) {
    knows(name, config, &["order", "max_concurrent", "max_retries", "base_ms"]);
    knows(name, expect, &["other_call_granted_during_backoff"]);
    let mut retries = retry::Config::default();
    retries.max_attempts = count(&config["max_retries"]) + 1;
    retries.backoff.base = millis(&config["base_ms"]);
    retries.jitter.kind = retry::JitterKind::None;
    let limit = ConcurrencyLimitLayer::new(concurrency::Config::new(count(&config["max_concurrent"]))).unwrap();
    let backend = Backend::script([Reply::transient(), Reply::Ok]);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::builder().config(retries).classifier(judge).build().unwrap())
        .layer(limit.clone())
        .service(backend.clone());
    let first = spawn(&service, 1);
    pass(retries.backoff.base / 2).await;
    assert_eq!((backend.calls(), limit.handle().inflight()), (1, 0), "{name}: it waits without a permit");
    let granted = call(&service, 2).await.is_ok();
    assert_eq!(expect["other_call_granted_during_backoff"], granted, "{name}");
    assert_eq!(first.await.unwrap(), Ok(3), "{name}");
}

/// Pipelines with a breaker each.
async fn own_breakers(name: &str, config: &Value, expect: &Value) {
    knows(name, config, &["targets", "failure_threshold", "a", "b", "calls"]);
    knows(name, expect, &["results", "upstream_calls", "breaker_a", "breaker_b"]);
    assert_eq!(config["targets"], json!(["a", "b"]), "{name}");
    let registry = Registry::new();
    let document = json!({
        "circuit_breaker": {"failure_threshold": config["failure_threshold"]},
        "retry": {"max_attempts": 1},
    });
    let pipeline = |target: &str| {
        PresetBuilder::from_json(&document.to_string()).unwrap().operation(target).registry(&registry).classifier(judge)
    };
    let backend = |target: &str| Backend::always(reply(config[target].as_str().unwrap()));
    let (a, b) = (backend("a"), backend("b"));
    let b_layer = pipeline("b").build().unwrap();
    let a_layer = pipeline("a").fallback_services([b_layer.layer(b.clone())]).build().unwrap();
    let service = a_layer.layer(a.clone());
    for number in 0..count(&config["calls"]) {
        let result: Result<usize, Error<Fault>> = call(&service, number).await;
        let word = if result.is_ok() { "ok" } else { "error" };
        assert_eq!(expect["results"][number as usize], word, "{name}: {result:?}");
    }
    assert_eq!(expect["upstream_calls"], json!({"a": a.calls(), "b": b.calls()}), "{name}");
    assert_eq!(expect["breaker_a"], a_layer.handle().breaker().state().as_str(), "{name}");
    assert_eq!(expect["breaker_b"], b_layer.handle().breaker().state().as_str(), "{name}");
}

#[tokio::test(start_paused = true)]
async fn stacks_behave_as_every_pipeline_vector_says() {
    let vectors = vectors("pipeline");
    assert_eq!(vectors.len(), 3);
    for vector in &vectors {
        let name = knows_vector(vector, &["config", "expect"]);
        let (config, expect) = (&vector["config"], &vector["expect"]);
        let order: Vec<&str> = config
            .get("order")
            .map_or(Vec::new(), |it| it.as_array().unwrap().iter().filter_map(Value::as_str).collect());
        match order[..] {
            ["breaker", "limiter"] => open_circuit(&name, config, expect).await,
            ["retry", "backpressure"] => permit_in_backoff(&name, config, expect).await,
            [] => own_breakers(&name, config, expect).await,
            _ => panic!("{name}: the test does not know the order {order:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rate_limited_targets_of_a_chain_fall_back_like_any_refusal() {
    let refused = RateLimited::new("a".into(), tower_rampart::rejection::RateLimitReason::Exceeded, None, 1).into();
    let (a, b) = (Backend::always(Reply::Refuse(refused)), Backend::new().counting_from(100));
    let layer = FallbackLayer::builder().services([b]).classifier(judge).build();
    assert_eq!(call(&layer.layer(a), 0).await, Ok(101));
}
