//! The `preflight` and `signals` vectors: machines are brought into the state that a vector names by traffic, and then looked at.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Reply, call, count, judge, knows, knows_vector, millis, near, pass, settle, spawn, vectors};
use serde_json::{Map, Value, json};
use tower::Layer;
use tower_rampart::{
    Error, PresetBuilder, Registry, Rejection, Resilience, ResilienceConfig, ResilienceLayer, Stage, breaker::State,
    pipeline::Custom,
};

type Judge = fn(Result<&usize, &common::Fault>) -> tower_rampart::Verdict;

/// What a vector says of the machines.
struct Machines<'a> {
    given: &'a Value,
}

impl Machines<'_> {
    fn tokens(&self) -> Option<(f64, u32)> {
        let tokens = self.given.get("tokens")?.as_f64().unwrap();
        let burst = self.given.get("burst").or_else(|| self.given.get("max_tokens")).unwrap();
        Some((tokens, count(burst)))
    }

    fn rate(&self) -> f64 {
        self.given.get("rate_per_sec").map_or(1.0, |it| it.as_f64().unwrap())
    }

    fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("timeout".to_owned(), json!({"attempt": "off", "total": "off"}));
        let recovery = self.given.get("cooldown_remaining_ms").map_or(json!("60s"), |it| json!(format!("{it}ms")));
        document.insert(
            "circuit_breaker".to_owned(),
            json!({"enabled": self.given.get("breaker").is_some(), "recovery_timeout": recovery}),
        );
        if let Some((_, burst)) = self.tokens() {
            let limit = json!({"requests_per_second": self.rate(), "burst_size": burst});
            document.insert("rate_limit".to_owned(), limit);
        }
        // No limit is what a maximum of nothing means.
        if let Some(max) = self.given.get("max").filter(|it| **it != 0) {
            document.insert("concurrency".to_owned(), json!({"max_inflight": max}));
        }
        Value::Object(document)
    }

    /// Brings the machines into the state by traffic.
    async fn reach(&self, layer: &ResilienceLayer<Custom<Judge>>, backend: &Backend) {
        let service = layer.layer(backend.clone());
        backend.become_one_that(Reply::Hang);
        for _ in 0..self.given.get("inflight").map_or(0, count) {
            drop(spawn(&service, 0));
        }
        settle().await;
        backend.become_one_that(Reply::Ok);
        if let Some((tokens, burst)) = self.tokens() {
            // Full again, then emptied, then refilled to what the vector says.
            pass(std::time::Duration::from_secs_f64(f64::from(burst) / self.rate())).await;
            if tokens < f64::from(burst) {
                for _ in 0..burst {
                    call(&service, 0).await.unwrap();
                }
                pass(std::time::Duration::from_secs_f64(tokens / self.rate())).await;
            }
        }
        match self.given.get("breaker").map_or("closed", |it| it.as_str().unwrap()) {
            "closed" => {}
            "open" => layer.handle().breaker().trip(),
            other => panic!("the test does not know the state `{other}`"),
        }
    }
}

fn stage(component: &str) -> Stage {
    match component {
        "circuit_breaker" => Stage::CircuitBreaker,
        "rate_limiter" => Stage::RateLimit,
        "backpressure" => Stage::Concurrency,
        other => panic!("the test does not know the component `{other}`"),
    }
}

#[tokio::test(start_paused = true)]
async fn preflight_answers_as_every_vector_says() {
    let vectors = vectors("preflight");
    assert_eq!(vectors.len(), 5);
    for vector in &vectors {
        let name = knows_vector(vector, &["components", "expect"]);
        let machines = Machines { given: &vector["components"] };
        let fields =
            ["breaker", "cooldown_remaining_ms", "tokens", "burst", "rate_per_sec", "inflight", "max", "concurrent"];
        knows(&name, machines.given, &fields);
        let config = ResilienceConfig::from_json(&machines.document().to_string()).unwrap();
        let registry = Registry::new();
        // The orchestrator and the layer of the same operation share its machines.
        let resilience = Resilience::new(config.clone(), &registry).unwrap();
        let _ = resilience.operation("op");
        let layer = PresetBuilder::from_config(config)
            .operation("op")
            .registry(&registry)
            .classifier(judge as Judge)
            .build()
            .unwrap();
        machines.reach(&layer, &Backend::new()).await;
        let expect = &vector["expect"];
        knows(&name, expect, &["passed", "errors", "permit", "tokens_after", "passed_count"]);
        if let Some(passed) = expect.get("passed_count") {
            let held: Vec<_> =
                (0..count(&machines.given["concurrent"])).map(|_| resilience.preflight("op").acquire()).collect();
            let admitted = held.iter().filter(|it| it.is_ok()).count();
            assert_eq!(*passed, admitted, "{name}");
            drop(held);
            assert!(resilience.preflight("op").check().passed, "{name}: what was taken is given back");
            continue;
        }
        for check in [layer.preflight().check(), resilience.preflight("op").check()] {
            assert_eq!(expect["passed"], check.passed, "{name}");
            let errors = expect["errors"].as_array().unwrap();
            assert_eq!(check.refusals.len(), errors.len(), "{name}: {check:?}");
            for (refusal, error) in check.refusals.iter().zip(errors) {
                knows(&name, error, &["component", "retryable", "retry_after_ms"]);
                assert_eq!(refusal.stage, stage(error["component"].as_str().unwrap()), "{name}");
                assert_eq!(error["retryable"], refusal.retryable, "{name}");
                assert!(near(refusal.retry_after.unwrap(), millis(&error["retry_after_ms"])), "{name}: {refusal:?}");
            }
        }
        let before = registry.signals("op").unwrap();
        let acquired = resilience.preflight("op").acquire();
        assert_eq!(expect["passed"], acquired.is_ok(), "{name}");
        if let Err(refused) = &acquired {
            let error = &expect["errors"][0];
            assert_eq!(refused.stage(), stage(error["component"].as_str().unwrap()), "{name}");
            if let Some(wait) = refused.retry_after() {
                assert!(near(wait, millis(&error["retry_after_ms"])), "{name}: {refused}");
            } else {
                assert!(matches!(refused, Rejection::Overloaded(_)), "{name}: nobody knows when a call will end");
            }
            if let Some(tokens) = expect.get("tokens_after") {
                assert_eq!(tokens.as_f64(), registry.signals("op").unwrap().rate_remaining, "{name}");
            }
        }
        if let Ok(admission) = acquired {
            assert_eq!(expect["permit"], true, "{name}");
            let during = registry.signals("op").unwrap();
            assert_eq!(during.current_inflight, before.current_inflight + 1, "{name}");
            let answer = admission.run(|| async { Ok::<_, std::io::Error>(7) }).await;
            assert!(matches!(answer, Ok(7)), "{name}");
        }
        let after = registry.signals("op").unwrap();
        assert_eq!(after.current_inflight, before.current_inflight, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn signals_say_what_every_vector_says() {
    let vectors = vectors("signals");
    assert_eq!(vectors.len(), 5);
    for vector in &vectors {
        let name = knows_vector(vector, &["input", "expect"]);
        let machines = Machines { given: &vector["input"] };
        knows(&name, machines.given, &["breaker", "tokens", "max_tokens", "inflight", "max"]);
        let registry = Registry::new();
        let layer = PresetBuilder::from_json(&machines.document().to_string())
            .unwrap()
            .operation("op")
            .registry(&registry)
            .classifier(judge as Judge)
            .build()
            .unwrap();
        machines.reach(&layer, &Backend::new()).await;
        let signals = registry.signals("op").unwrap();
        let expect = &vector["expect"];
        knows(&name, expect, &["is_healthy", "health_score"]);
        assert_eq!(expect["is_healthy"], signals.is_healthy, "{name}: {signals:?}");
        if let Some(score) = expect.get("health_score") {
            assert!((score.as_f64().unwrap() - signals.health_score).abs() < 5e-5, "{name}: {signals:?}");
        }
        assert!((signals.health_score + signals.pressure - 1.0).abs() < 1e-9, "{name}");
        assert_eq!(signals.current_inflight, u64::from(machines.given.get("inflight").map_or(0, count)), "{name}");
        assert_eq!(signals.rate_remaining.is_some(), machines.given.get("tokens").is_some(), "{name}");
        assert_eq!(signals.circuit_state.is_some(), machines.given.get("breaker").is_some(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_admission_that_is_dropped_gives_everything_back_and_one_that_is_used_counts_once() {
    let document = r#"{"rate_limit": {"requests_per_second": 1, "burst_size": 1}, "concurrency": {"max_inflight": 1}}"#;
    let resilience = Resilience::from_json(document).unwrap();
    let preflight = resilience.preflight("op");
    drop(preflight.acquire().unwrap());
    assert!(preflight.check().passed);
    let admission = preflight.acquire().unwrap();
    assert!(!preflight.check().passed);
    let result = admission.run(|| async { Err::<(), _>(std::io::Error::other("down")) }).await;
    assert!(matches!(result, Err(Error::Inner(_))), "{result:?}");
    let snapshot = resilience.operation("op").handle().snapshot();
    common::assert_balanced(&snapshot);
    assert_eq!((snapshot.admitted, snapshot.failure, snapshot.breaker.unwrap().failed), (1, 1, 1));
    assert_eq!(resilience.operation("op").handle().breaker().state(), State::Closed);
}
