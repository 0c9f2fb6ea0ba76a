//! The `retry` vectors, through the layer and again through the whole pipeline: attempts, result and the waits measured in paused time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Backend, Fault, Reply, call, count, judge, knows, knows_vector, millis, ms, provider, vectors};
use serde_json::{Value, json};
use tower::Layer;
use tower_rampart::{
    Classify, Error, PresetBuilder, RequestInfo, RetryLayer, Verdict,
    retry::{Backoff, Config, Jitter, JitterKind},
};

/// What is left of a vector's time, told by the request.
#[derive(Clone)]
struct WithDeadline(Option<Duration>);

impl Classify<u32, usize, Fault> for WithDeadline {
    fn request(&self, _request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.time_left = self.0;
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&usize, &Fault>) -> Verdict {
        judge(result)
    }
}

struct Given {
    config: Config,
    deadline: Option<Duration>,
}

fn jitter(word: &str) -> JitterKind {
    match word {
        "none" => JitterKind::None,
        "full" => JitterKind::Full,
        "equal" => JitterKind::Equal,
        other => panic!("the test does not know the jitter `{other}`"),
    }
}

fn given(name: &str, config: &Value) -> Given {
    let fields = ["max_retries", "base_ms", "max_ms", "multiplier", "jitter", "deadline_ms"];
    knows(name, config, &fields);
    let mut built = Config::default();
    built.max_attempts = count(&config["max_retries"]) + 1;
    built.backoff = Backoff {
        base: millis(&config["base_ms"]),
        factor: config["multiplier"].as_f64().unwrap(),
        min: Duration::ZERO,
        max: millis(&config["max_ms"]),
    };
    built.jitter = Jitter { kind: jitter(config["jitter"].as_str().unwrap()), ..Jitter::default() };
    Given { config: built, deadline: config.get("deadline_ms").map(millis) }
}

fn backend(name: &str, outcomes: &Value) -> Backend {
    Backend::script(outcomes.as_array().unwrap().iter().map(|outcome| {
        if outcome == "ok" {
            return Reply::Ok;
        }
        knows(name, outcome, &["class", "retry_after_ms"]);
        Reply::Fail(provider(outcome["class"].as_str().unwrap(), outcome.get("retry_after_ms").map(millis)))
    }))
}

fn check(name: &str, expect: &Value, backend: &Backend, is_ok: bool) {
    knows(name, expect, &["attempts", "result", "delays_ms"]);
    assert_eq!(expect["attempts"], backend.calls(), "{name}");
    assert_eq!(expect["result"], if is_ok { "ok" } else { "error" }, "{name}");
    let delays = expect["delays_ms"].as_array().unwrap();
    let gaps = backend.gaps();
    assert_eq!(gaps.len(), delays.len(), "{name}: {gaps:?}");
    for (gap, bounds) in gaps.into_iter().zip(delays) {
        knows(name, bounds, &["min", "max"]);
        let (min, max) = (millis(&bounds["min"]), millis(&bounds["max"]));
        assert!(gap + ms(2) >= min && gap <= max + ms(2), "{name}: {gap:?} instead of {min:?} to {max:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_retry_layer_behaves_as_every_vector_says() {
    let vectors = vectors("retry");
    assert_eq!(vectors.len(), 20);
    for vector in &vectors {
        let name = knows_vector(vector, &["config", "outcomes", "expect"]);
        let Given { config, deadline } = given(&name, &vector["config"]);
        let layer = RetryLayer::builder().config(config).classifier(WithDeadline(deadline)).seed(1).build().unwrap();
        let backend = backend(&name, &vector["outcomes"]);
        let result = call(&layer.layer(backend.clone()), 0).await;
        if let Err(error) = &result {
            assert_eq!(error.call(), backend.calls(), "{name}: the last error comes back");
        }
        check(&name, &vector["expect"], &backend, result.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn the_pipeline_retries_as_every_vector_says() {
    for vector in &vectors("retry") {
        let name = knows_vector(vector, &["config", "outcomes", "expect"]);
        let Given { config, deadline } = given(&name, &vector["config"]);
        let document = json!({
            "retry": {
                "max_attempts": config.max_attempts,
                "backoff": {
                    "base": config.backoff.base.as_secs_f64(),
                    "factor": config.backoff.factor,
                    "min": 0,
                    "max": config.backoff.max.as_secs_f64(),
                },
                "jitter": {"kind": vector["config"]["jitter"]},
            },
            "timeout": {"total": deadline.map_or(json!("off"), |it| json!(it.as_secs_f64()))},
        });
        let layer = PresetBuilder::from_json(&document.to_string()).unwrap().classifier(judge).seed(1).build().unwrap();
        let backend = backend(&name, &vector["outcomes"]);
        let result = call(&layer.layer(backend.clone()), 0).await;
        if let Err(Error::Inner(error)) = &result {
            assert_eq!(error.call(), backend.calls(), "{name}: the last error comes back");
        }
        check(&name, &vector["expect"], &backend, result.is_ok());
        assert!(matches!(result, Ok(_) | Err(Error::Inner(_))), "{name}: {result:?}");
    }
}
