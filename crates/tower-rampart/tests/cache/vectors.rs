//! The vectors of the kinds `cache` and `cache_key`, step by step in paused time.

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tower::Layer;
use tower_rampart::{CacheLayer, PresetBuilder, breaker::State, cache::Config, clock};

use crate::common::{
    Backend, Fault, Reply, call, count, judge, knows, knows_vector, millis, ms, pass, settle, spawn, vectors,
};

/// The number that stands for a key.
fn request(key: &Value) -> u32 {
    key.as_str().unwrap().bytes().fold(0, |number, byte| number * 256 + u32::from(byte))
}

fn config(name: &str, given: &Value) -> Config {
    let mut config = Config::default();
    for (field, value) in given.as_object().unwrap() {
        match field.as_str() {
            "ttl_ms" => config.ttl = millis(value),
            "max_entries" => config.max_entries = count(value),
            other => panic!("{name}: the test does not know `{other}`"),
        }
    }
    config
}

const FLIGHT: Duration = ms(20);

async fn run(vector: &Value) {
    let name = knows_vector(vector, &["config", "steps"]);
    let builder = CacheLayer::builder(|request: &u32| Some(*request)).config(config(&name, &vector["config"]));
    let layer = builder.classifier(judge).build().unwrap();
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    let mut running: Vec<JoinHandle<Result<usize, Fault>>> = Vec::new();
    let start = clock::now();
    for (number, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
        let place = format!("{name}, step {number}");
        let fields = ["at_ms", "set", "get", "hit", "miss_begin", "callers", "cancel_leader"];
        knows(&place, step, &[&fields[..], &["backend_calls", "backend_calls_at_most", "served"]].concat());
        tokio::time::sleep(start.after(millis(&step["at_ms"])).since(clock::now())).await;
        settle().await;
        let before = backend.calls();
        if let Some(key) = step.get("set") {
            call(&service, request(key)).await.unwrap();
            assert_eq!(backend.calls(), before + 1, "{place}: it was not there");
        } else if let Some(key) = step.get("get") {
            // What is looked for and not there must not be put in.
            backend.next(Reply::permanent());
            let hit = call(&service, request(key)).await.is_ok();
            assert_eq!(Value::from(hit), step["hit"], "{place}");
            backend.become_one_that(Reply::Ok);
        } else if let Some(key) = step.get("miss_begin") {
            backend.become_one_that(Reply::Ok.after(FLIGHT));
            for _ in 0..count(&step["callers"]) {
                running.push(spawn(&service, request(key)));
                settle().await;
            }
        } else if step.get("cancel_leader").is_some() {
            running.remove(0).abort();
        } else {
            let mut served = 0;
            for call in running.drain(..) {
                assert!(call.is_finished(), "{place}: it still waits");
                served += u32::from(call.await.unwrap().is_ok());
            }
            assert_eq!(served, count(&step["served"]), "{place}");
            match (step.get("backend_calls"), step.get("backend_calls_at_most")) {
                (Some(exactly), None) => assert_eq!(backend.calls(), count(exactly) as usize, "{place}"),
                (None, Some(at_most)) => assert!(backend.calls() <= count(at_most) as usize, "{place}"),
                _ => panic!("{place}: a step that the test does not know"),
            }
        }
    }
    assert_eq!(backend.inflight(), 0, "{name}");
}

/// The one that needs a circuit behind the cache.
async fn run_half_open(vector: &Value) {
    let name = knows_vector(vector, &["config", "steps"]);
    let document = r#"{"cache": {}, "retry": {"enabled": false}, "circuit_breaker": {"half_open_max_calls": 1, "recovery_timeout": "1s"}}"#;
    let layer = PresetBuilder::from_json(document)
        .unwrap()
        .classifier(judge)
        .cache(|request: &u32| Some(*request))
        .build()
        .unwrap();
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    let steps = vector["steps"].as_array().unwrap();
    for step in steps {
        call(&service, request(&step["get"])).await.unwrap();
    }
    layer.handle().breaker().trip();
    pass(Duration::from_secs(1)).await;
    let called = backend.calls();
    for step in steps {
        knows(&name, step, &["at_ms", "get", "hit", "probe_slots_free"]);
        assert_eq!(layer.handle().breaker().state(), State::HalfOpen, "{name}");
        assert!(call(&service, request(&step["get"])).await.is_ok());
        assert_eq!(Value::from(backend.calls() == called), step["hit"], "{name}");
        assert_eq!(count(&step["probe_slots_free"]), 1);
        assert_eq!(layer.handle().breaker().state(), State::HalfOpen, "{name}: nothing was decided");
    }
    let probe = call(&service, 1).await;
    assert!(probe.is_ok() && backend.calls() == called + 1, "{name}: the slot is free");
}

#[tokio::test(start_paused = true)]
async fn the_cache_behaves_as_every_vector_says() {
    let vectors = vectors("cache");
    assert!(vectors.len() >= 5, "only {} vectors", vectors.len());
    for vector in &vectors {
        if vector["config"].get("breaker").is_some() {
            run_half_open(vector).await;
        } else {
            run(vector).await;
        }
    }
}

#[cfg(feature = "http")]
#[test]
fn requests_to_a_model_api_have_the_keys_that_every_vector_says() {
    use tower_rampart::http::cache::canonical_request;

    let vectors = vectors("cache_key");
    assert!(vectors.len() >= 6, "only {} vectors", vectors.len());
    let ignored = tower_rampart_config::HttpCacheConfig::default().ignore_fields;
    for vector in &vectors {
        let name = knows_vector(vector, &["a", "b", "expect"]);
        knows(&name, &vector["expect"], &["same_key"]);
        let key = |request: &Value| canonical_request(request.to_string().as_bytes(), &ignored).unwrap().text;
        assert_eq!(Value::from(key(&vector["a"]) == key(&vector["b"])), vector["expect"]["same_key"], "{name}");
    }
}
