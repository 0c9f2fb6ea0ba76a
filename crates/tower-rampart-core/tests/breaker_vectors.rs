//! The `circuit_breaker` vectors of `behaviour.json` over the real breaker; what they leave open is in `breaker_states.rs`.

#![expect(clippy::panic, reason = "a vector that is not understood must not pass")]

use std::{collections::HashMap, fs, time::Duration};

use serde_json::Value;
use tower_rampart_core::{
    Class, ClassKind, Outcome, Timestamp, Verdict,
    breaker::{Breaker, Config, Matcher, Permit, Window},
};

/// What a retry hint may be off by.
const TOLERANCE: Duration = Duration::from_millis(2);

fn vectors() -> Vec<Value> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let text = fs::read_to_string(shared).or_else(|_| fs::read_to_string(own)).expect("the vectors are there");
    let document: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let vectors = document["vectors"].as_array().expect("a list of vectors");
    vectors.iter().filter(|it| it["kind"] == "circuit_breaker").cloned().collect()
}

fn config(given: &Value) -> Config {
    let mut config = Config::default();
    // What the vectors call excluded is what they configure to be so.
    config.exclude = vec![Matcher::Class(ClassKind::Unavailable)];
    for (field, value) in given.as_object().expect("a configuration") {
        let count = || u32::try_from(value.as_u64().expect("a count")).expect("a small count");
        match field.as_str() {
            "failure_threshold" => config.failure_threshold = count(),
            "success_threshold" => config.success_threshold = count(),
            "half_open_max_concurrent" => config.half_open_max_calls = count(),
            "minimum_calls" => config.minimum_calls = count(),
            "window" => config.window = Window::Count { size: count() },
            "cooldown_ms" => config.recovery_timeout = Duration::from_millis(count().into()),
            "failure_rate_threshold" => config.failure_rate_threshold = value.as_f64(),
            other => panic!("the vectors have a field that is not mapped: {other}"),
        }
    }
    config
}

fn outcome(breaker: &Breaker, word: &str) -> Outcome {
    let class = match word {
        "ok" => Class::Success,
        "transient" => Class::Transient,
        "rate_limit" => Class::RateLimited { retry_after: None },
        "permanent" => Class::Permanent,
        "excluded" => Class::Unavailable { retry_after: None },
        "cancel" => return Outcome::Abandoned,
        other => panic!("the vectors have an outcome that is not mapped: {other}"),
    };
    breaker.outcome(&Verdict::new(class))
}

/// Asks for a permit as the step says, and checks the answer.
fn begin(breaker: &Breaker, step: &Value, now: Timestamp, place: &str) -> Option<Permit> {
    match breaker.try_acquire(now) {
        Ok(permit) => {
            assert_eq!(step["expect"], "pass", "{place}: admitted");
            Some(permit)
        }
        Err(refused) => {
            assert_eq!(step["expect"], "reject", "{place}: {refused:?}");
            let wait = refused.retry_after;
            match step.get("retry_after_ms") {
                None => {}
                Some(Value::Null) => assert_eq!(wait, None, "{place}"),
                Some(expected) => {
                    let expected = Duration::from_millis(expected.as_u64().expect("milliseconds"));
                    let wait = wait.expect("a refusal that says when to come back");
                    assert!(wait.abs_diff(expected) <= TOLERANCE, "{place}: {wait:?} instead of {expected:?}");
                }
            }
            None
        }
    }
}

fn run(vector: &Value) {
    let name = vector["name"].as_str().expect("a name");
    let breaker = Breaker::new(name, config(&vector["config"])).expect("a valid configuration");
    let mut calls: HashMap<String, Permit> = HashMap::new();
    for (number, step) in vector["steps"].as_array().expect("steps").iter().enumerate() {
        let place = format!("{name}, step {number}");
        let now = Timestamp::from_millis(step["at_ms"].as_u64().expect("a time"));
        let word = |field: &str| step.get(field).and_then(Value::as_str);
        if let Some(outcome_word) = word("call") {
            if let Some(permit) = begin(&breaker, step, now, &place) {
                breaker.record(permit, outcome(&breaker, outcome_word), None, now);
            }
        } else if let Some(call) = word("begin") {
            if let Some(permit) = begin(&breaker, step, now, &place) {
                calls.insert(call.to_owned(), permit);
            }
        } else if let Some(call) = word("end") {
            let permit = calls.remove(call).expect("a call that began");
            let ended = outcome(&breaker, word("outcome").expect("an outcome"));
            breaker.record(permit, ended, None, now);
        } else {
            assert_eq!(step["observe"], true, "{place}: a step that is not mapped");
        }
        assert_eq!(breaker.state(now).as_str(), step["state_after"], "{place}");
        assert_eq!(breaker.snapshot(now).state, breaker.state(now), "{place}");
    }
}

#[test]
fn breaker_behaves_as_every_vector_says() {
    let vectors = vectors();
    assert!(vectors.len() >= 16, "only {} vectors", vectors.len());
    for vector in &vectors {
        run(vector);
    }
}
