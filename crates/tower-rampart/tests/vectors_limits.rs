//! The `rate_limiter` and `backpressure` vectors over the layers, with waiting calls on tasks of their own in paused time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{
    Backend, Fault, Gate, Reply, call, count, knows, knows_vector, millis, near, settle, spawn, timed, vectors,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tower::{Layer, ServiceBuilder};
use tower_rampart::{
    ConcurrencyLimitLayer, RateLimitLayer, Rejection, ResilienceLayer, TimeoutLayer, clock, concurrency,
    rate_limit::{Algorithm, Config, OnLimit, Quota},
};

fn bucket(name: &str, config: &Value, expect: &Value) -> Option<Config> {
    if let Some(rps) = config.get("from_rps") {
        knows(name, config, &["from_rps", "burst_factor"]);
        knows(name, expect, &["burst", "initial"]);
        let built = Config::from_rps(rps.as_f64().unwrap(), config["burst_factor"].as_f64().unwrap());
        let layer = RateLimitLayer::new(built).unwrap();
        assert_eq!(expect["burst"], layer.handle().config().burst_size, "{name}");
        assert_eq!(expect["initial"].as_f64(), Some(layer.handle().remaining()), "{name}");
        return None;
    }
    knows(name, config, &["rate_per_sec", "burst"]);
    let (rate, burst) = (config["rate_per_sec"].as_f64().unwrap(), config["burst"].as_f64().unwrap());
    if let Ok(config) = Config::per_second(rate).with_burst(burst) {
        assert!(expect.is_null(), "{name}");
        return Some(config);
    }
    knows(name, expect, &["config_error"]);
    assert_eq!(expect["config_error"], true, "{name}");
    let document = format!(r#"{{"rate_limit": {{"requests_per_second": {rate}, "burst_size": {burst}}}}}"#);
    let error = ResilienceLayer::<tower_rampart::classify::DefaultClassifier>::from_json(&document);
    assert!(error.unwrap_err().to_string().contains("rate_limit.burst_size"), "{name}");
    None
}

fn window(name: &str, config: &Value) -> Config {
    knows(name, config, &["limit", "window_ms"]);
    let limit = config["limit"].as_f64().unwrap();
    let mut built = Config::with_quota(Quota { limit, period: millis(&config["window_ms"]) });
    built.algorithm = Algorithm::SlidingWindow;
    built
}

/// Whether a call was admitted, and how long it waited or would have to.
type Answer = (bool, Option<Duration>);

async fn run(name: &str, steps: &Value, mut config: Config) {
    let steps = steps.as_array().unwrap();
    let op = &steps[0]["op"];
    config.on_limit = match op.as_str().unwrap() {
        "try" => OnLimit::Reject,
        "acquire" => OnLimit::Wait,
        other => panic!("{name}: the test does not know the operation `{other}`"),
    };
    let layer = RateLimitLayer::builder().config(config).cost(|cost: &u32| *cost).build().unwrap();
    let service = layer.layer(Backend::new());
    let start = clock::now();
    let mut answers: Vec<JoinHandle<Answer>> = Vec::new();
    for step in steps {
        knows(name, step, &["at_ms", "op", "cost", "expect"]);
        assert_eq!(step["op"], *op, "{name}: one layer either refuses or lets wait");
        tokio::time::sleep(start.after(millis(&step["at_ms"])).since(clock::now())).await;
        let (service, cost) = (service.clone(), count(&step["cost"]));
        answers.push(tokio::spawn(async move {
            let (took, result) = timed(call(&service, cost)).await;
            match result {
                Ok(_) => (true, Some(took)),
                Err(Fault::Refused(Rejection::RateLimited(refused))) => {
                    assert!(took.is_zero(), "a refusal comes at once");
                    (false, refused.retry_after)
                }
                Err(other) => panic!("{other}"),
            }
        }));
        settle().await;
    }
    for (step, answer) in steps.iter().zip(answers) {
        knows(name, &step["expect"], &["allowed", "wait_ms"]);
        let (admitted, wait) = answer.await.unwrap();
        assert_eq!(step["expect"]["allowed"], admitted, "{name}: {step}");
        match step["expect"].get("wait_ms") {
            None => {}
            Some(Value::Null) => assert_eq!(wait, None, "{name}: {step}"),
            Some(expected) => assert!(near(wait.unwrap(), millis(expected)), "{name}: {wait:?}, {step}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_layer_behaves_as_every_vector_says() {
    let vectors = vectors("rate_limiter");
    assert_eq!(vectors.len(), 18);
    for vector in &vectors {
        let name = knows_vector(vector, &["algorithm", "config", "steps", "expect"]);
        match vector["algorithm"].as_str().unwrap() {
            "token_bucket" => {
                for algorithm in [Algorithm::TokenBucket, Algorithm::Gcra] {
                    if let Some(mut config) = bucket(&name, &vector["config"], &vector["expect"]) {
                        config.algorithm = algorithm;
                        run(&name, &vector["steps"], config).await;
                    }
                }
            }
            // What the weighted estimate of a counter admits here, the exact log admits too.
            "sliding_window_log" | "sliding_window_counter" => {
                run(&name, &vector["steps"], window(&name, &vector["config"])).await;
            }
            other => panic!("{name}: the test does not know the algorithm `{other}`"),
        }
    }
}

struct Call {
    name: String,
    began: tower_rampart::Timestamp,
    gate: Gate,
    task: JoinHandle<Result<usize, Fault>>,
}

fn concurrency(name: &str, given: &Value) -> concurrency::Config {
    knows(name, given, &["max_concurrent", "queue_timeout_ms"]);
    let mut config = concurrency::Config::new(count(&given["max_concurrent"]));
    // The vectors know no bound of the queue.
    config.queue_size = 1000;
    config.queue_timeout = given.get("queue_timeout_ms").map(millis);
    config
}

/// The time after which the operation itself times out, if it does.
fn operation_timeout(steps: &[Value]) -> Option<Duration> {
    let end = steps.iter().find(|it| it.get("op_timeout").is_some())?;
    let begin = steps.iter().find(|it| it.get("begin") == Some(&end["op_timeout"])).unwrap();
    millis(&end["at_ms"]).checked_sub(millis(&begin["at_ms"]))
}

#[tokio::test(start_paused = true)]
async fn the_concurrency_layer_behaves_as_every_vector_says() {
    let vectors = vectors("backpressure");
    assert_eq!(vectors.len(), 5);
    for vector in &vectors {
        let name = knows_vector(vector, &["config", "steps", "expect"]);
        let steps = vector["steps"].as_array().unwrap();
        let limit = ConcurrencyLimitLayer::new(concurrency(&name, &vector["config"])).unwrap();
        let mut inside = tower_rampart::timeout::Config::default();
        inside.attempt = operation_timeout(steps);
        let backend = Backend::new();
        let service = ServiceBuilder::new()
            .layer(limit.clone())
            .layer(TimeoutLayer::new(inside).unwrap())
            .service(backend.clone());
        let (start, mut calls, mut inflight) = (clock::now(), Vec::<Call>::new(), Vec::new());
        for step in steps {
            knows(&name, step, &["at_ms", "begin", "end", "cancel", "op_timeout"]);
            tokio::time::sleep(start.after(millis(&step["at_ms"])).since(clock::now())).await;
            let word = |field: &str| step.get(field).and_then(Value::as_str);
            let of = |call: &str, calls: &[Call]| calls.iter().position(|it| it.name == call).unwrap();
            if let Some(call) = word("begin") {
                let gate = Gate::default();
                // The queue is first come, first served: the calls reach the backend in the order in which they begin.
                backend.then_next(Reply::At(gate.clone()));
                let number = u32::try_from(calls.len()).unwrap();
                let task = spawn(&service, number);
                calls.push(Call { name: call.to_owned(), began: clock::now(), gate, task });
            } else if let Some(call) = word("end") {
                calls[of(call, &calls)].gate.open(Reply::Ok);
            } else if let Some(call) = word("cancel") {
                calls[of(call, &calls)].task.abort();
            }
            settle().await;
            inflight.push(limit.handle().inflight());
        }
        let expect = &vector["expect"];
        knows(&name, expect, &["inflight_after", "results"]);
        let expected: Vec<u32> = expect["inflight_after"].as_array().unwrap().iter().map(count).collect();
        assert_eq!(inflight, expected, "{name}");
        for (call, expected) in expect["results"].as_object().unwrap() {
            let number = calls.iter().position(|it| it.name == *call).unwrap();
            let reached = backend.reached_by(u32::try_from(number).unwrap()).unwrap();
            let wait = reached.since(calls[number].began);
            assert!(near(wait, millis(&expected[1])), "{name}, {call}: {wait:?}");
            match expected[0].as_str().unwrap() {
                "granted" => {}
                "op_timeout" => {
                    let result = (&mut calls[number].task).await.unwrap();
                    assert!(matches!(result, Err(Fault::Refused(Rejection::Timeout(_)))), "{name}: {result:?}");
                }
                other => panic!("{name}: the test does not know the result `{other}`"),
            }
        }
        for call in calls {
            call.task.abort();
        }
    }
}
