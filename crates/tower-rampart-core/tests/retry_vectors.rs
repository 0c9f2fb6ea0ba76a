//! The kinds `retry` and `retry_budget` of the behaviour vectors, over the real ladder and budget with a manual clock.
#![cfg(not(loom))]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{path::Path, time::Duration};

use serde_json::Value;
use tower_rampart_core::{
    Class, ProviderClass, RequestInfo, Timestamp, Verdict,
    retry::{Attempts, Backoff, Budget, BudgetConfig, Config, Decision, Jitter, JitterKind},
};

fn vectors(kind: &str) -> Vec<Value> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let path = if Path::new(shared).exists() { shared } else { copy };
    let text = std::fs::read_to_string(path).expect("the vectors are part of the project");
    let document: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let all = document["vectors"].as_array().expect("a list of vectors");
    all.iter().filter(|it| it["kind"] == kind).cloned().collect()
}

fn millis(value: &Value) -> Duration {
    Duration::from_secs_f64(value.as_f64().expect("a number of milliseconds") / 1e3)
}

fn config(it: &Value) -> Config {
    let kind = match it["jitter"].as_str().expect("a kind of jitter") {
        "none" => JitterKind::None,
        "equal" => JitterKind::Equal,
        "full" => JitterKind::Full,
        other => panic!("unknown jitter {other}"),
    };
    let mut config = Config::default();
    config.max_attempts = 1 + u32::try_from(it["max_retries"].as_u64().unwrap()).unwrap();
    config.backoff = Backoff {
        base: millis(&it["base_ms"]),
        factor: it["multiplier"].as_f64().unwrap(),
        min: Duration::ZERO,
        max: millis(&it["max_ms"]),
    };
    config.jitter = Jitter { kind, ..Jitter::default() };
    config.check().expect("every vector is a valid configuration");
    config
}

fn verdict(outcome: &Value) -> Verdict {
    if outcome == "ok" {
        return Class::Success.into();
    }
    let word = outcome["class"].as_str().expect("a class");
    let class = ProviderClass::ALL.into_iter().find(|it| it.as_str() == word).expect("a known class");
    class.verdict(outcome.get("retry_after_ms").map(millis))
}

#[test]
fn ladder_walks_as_the_vectors_say() {
    let vectors = vectors("retry");
    assert_eq!(vectors.len(), 20);
    for vector in vectors {
        let name = &vector["name"];
        for seed in 0..20 {
            let mut attempts = Attempts::new(&config(&vector["config"]), seed);
            let deadline = vector["config"].get("deadline_ms").map(|it| Timestamp::ZERO.after(millis(it)));
            let outcomes = vector["outcomes"].as_array().unwrap();
            let (mut now, mut delays) = (Timestamp::ZERO, Vec::new());
            let result = loop {
                let outcome = outcomes.get(delays.len()).or(outcomes.last()).unwrap();
                match attempts.decide(&verdict(outcome), &RequestInfo::default(), now, deadline, None) {
                    Decision::Accept => break "ok",
                    Decision::Stop(_) => break "error",
                    Decision::Wait(wait, _) => {
                        now = now.after(wait);
                        delays.push(wait);
                    }
                }
            };
            let expect = &vector["expect"];
            assert_eq!(expect["result"], result, "{name}");
            assert_eq!(expect["attempts"], attempts.attempt(), "{name}");
            let bounds = expect["delays_ms"].as_array().unwrap();
            assert_eq!(bounds.len(), delays.len(), "{name}");
            for (bound, delay) in bounds.iter().zip(delays) {
                assert!(millis(&bound["min"]) <= delay && delay <= millis(&bound["max"]), "{name}: {delay:?}");
            }
        }
    }
}

#[test]
fn budget_pays_as_the_vectors_say() {
    let vectors = vectors("retry_budget");
    assert_eq!(vectors.len(), 1);
    for vector in vectors {
        let budget = Budget::new(BudgetConfig {
            min_per_second: vector["config"]["max_per_sec"].as_f64().unwrap(),
            ratio: vector["config"]["ratio"].as_f64().unwrap(),
            ..BudgetConfig::default()
        })
        .unwrap();
        for step in vector["steps"].as_array().unwrap() {
            let now = Timestamp::ZERO.after(millis(&step["at_ms"]));
            assert_eq!(step["allowed"], budget.try_withdraw(now).is_some(), "{}", vector["name"]);
        }
    }
}
