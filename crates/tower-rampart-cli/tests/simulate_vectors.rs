//! The vectors of behaviour through `rampart simulate`: each becomes a document and a trace, and what is printed is what the vector says.
//!
//! What a trace cannot say is named here and checked elsewhere: `retry_conflict_retried` (a class that is permanent and retried all the same), and
//! `tb_from_rps_*` (a burst derived by a factor, which documents do not have).

#![expect(clippy::panic, reason = "what only tests call may fail as tests do")]

mod simulate_support;

use serde_json::{Map, Value, json};
use simulate_support::{call, file, op, rampart, simulate, with};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");

fn vectors(kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(SHARED).or_else(|_| std::fs::read_to_string(COPY)).expect("the vectors");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all["vectors"].as_array().expect("vectors").iter().filter(|it| it["kind"] == kind).cloned().collect()
}

fn ms(value: &Value) -> Value {
    json!(value.as_f64().expect("milliseconds") / 1000.0)
}

fn time(value: &Value) -> u64 {
    value.as_u64().expect("milliseconds")
}

fn near(found: &Value, expected: &Value, place: &str) {
    match (found.as_u64(), expected.as_f64()) {
        (Some(found), Some(expected)) => assert!((found as f64 - expected).abs() <= 2.0, "{place}: {found}"),
        _ => assert_eq!(found, expected, "{place}"),
    }
}

fn circuit(name: &str, config: &Value) -> Value {
    let mut circuit = Map::new();
    for (field, value) in config.as_object().expect("a configuration") {
        let (field, value) = match field.as_str() {
            "cooldown_ms" => ("recovery_timeout", ms(value)),
            "half_open_max_concurrent" => ("half_open_max_calls", value.clone()),
            "window" => ("window", json!({"type": "count", "size": value})),
            "failure_threshold" | "success_threshold" | "failure_rate_threshold" | "minimum_calls" => {
                (field.as_str(), value.clone())
            }
            other => panic!("{name}: the test does not know `{other}`"),
        };
        circuit.insert(field.to_owned(), value);
    }
    json!({"circuit_breaker": circuit, "retry": {"enabled": false}, "timeout": {"attempt": "off", "total": "off"}})
}

#[test]
fn circuits_behave_as_every_vector_says() {
    let vectors = vectors("circuit_breaker");
    assert_eq!(vectors.len(), 16);
    for vector in &vectors {
        let name = vector["name"].as_str().expect("a name");
        let steps = vector["steps"].as_array().expect("steps");
        let (mut lines, mut calls) = (Vec::new(), Vec::new());
        for (number, step) in steps.iter().enumerate() {
            let at = time(&step["at_ms"]);
            if let Some(outcome) = step.get("call") {
                calls.push((lines.len(), number));
                lines.push(call(at, &[outcome.as_str().expect("a word")]));
            } else if let Some(begun) = step.get("begin") {
                let end = steps.iter().find(|it| it.get("end") == Some(begun));
                let outcome = end.map_or("ok", |it| it["outcome"].as_str().expect("a word"));
                let latency = end.map_or(0, |it| time(&it["at_ms"]) - at);
                calls.push((lines.len(), number));
                lines.push(with(call(at, &[outcome]), json!({"latency_ms": [latency]})));
            } else {
                assert!(step.get("end").is_some() || step["observe"] == true, "{name}: {step}");
            }
            lines.push(op(at, "observe"));
        }
        let replayed = simulate(&circuit(name, &vector["config"]), &lines);
        let states = replayed.observations();
        for (step, observed) in steps.iter().zip(&states) {
            assert_eq!(observed["breaker"], step["state_after"], "{name}: {step}");
        }
        assert_eq!(states.len(), steps.len(), "{name}");
        for (line, number) in calls {
            let (step, ended) = (&steps[number], replayed.call(line));
            let place = format!("{name}, step {number}: {ended}");
            assert_eq!(ended["admitted"], step["expect"] == "pass", "{place}");
            if step["expect"] == "reject" {
                assert_eq!(ended["rejected_by"], "circuit_breaker", "{place}");
                near(&ended["retry_after_ms"], &step["retry_after_ms"], &place);
            }
        }
    }
}

/// The word for a class of a provider's errors; `None` where there is none.
fn word(class: &str) -> Option<&'static str> {
    Some(match class {
        "server_error" => "transient",
        "rate_limited" => "rate_limited",
        "overloaded" => "unavailable",
        "cancelled" => "ignored",
        "invalid_request" | "not_found" | "request_too_large" | "permission_denied" => "permanent",
        "conflict" => return None,
        other => panic!("the test does not know the class `{other}`"),
    })
}

#[test]
fn retries_behave_as_every_vector_says() {
    let vectors = vectors("retry");
    assert_eq!(vectors.len(), 20);
    let mut unsaid = Vec::new();
    for vector in &vectors {
        let (name, given, expect) = (vector["name"].as_str().expect("a name"), &vector["config"], &vector["expect"]);
        let outcomes = vector["outcomes"].as_array().expect("outcomes");
        let words: Option<Vec<&str>> = outcomes
            .iter()
            .map(|it| if it == "ok" { Some("ok") } else { word(it["class"].as_str().expect("a class")) })
            .collect();
        let Some(words) = words else {
            unsaid.push(name);
            continue;
        };
        let document = json!({
            "retry": {
                "max_attempts": given["max_retries"].as_u64().expect("a count") + 1,
                "backoff": {"base": ms(&given["base_ms"]), "factor": given["multiplier"], "min": 0, "max": ms(&given["max_ms"])},
                "jitter": {"kind": given["jitter"]},
            },
            "timeout": {"total": "off"},
        });
        let mut line = call(0, &words);
        if let Some(hint) = outcomes.iter().find_map(|it| it.get("retry_after_ms")) {
            line = with(line, json!({"retry_after_ms": hint}));
        }
        if let Some(deadline) = given.get("deadline_ms") {
            line = with(line, json!({"deadline_ms": deadline}));
        }
        let replayed = simulate(&document, &[line]);
        let ended = replayed.call(0);
        assert_eq!(ended["attempts"], expect["attempts"], "{name}: {ended}");
        assert_eq!(ended["result"] == "ok", expect["result"] == "ok", "{name}: {ended}");
        let delays = ended["delays_ms"].as_array().expect("delays");
        let bounds = expect["delays_ms"].as_array().expect("bounds");
        assert_eq!(delays.len(), bounds.len(), "{name}: {ended}");
        for (delay, bounds) in delays.iter().zip(bounds) {
            let (delay, bound) = (delay.as_f64().expect("a delay"), |it: &str| bounds[it].as_f64().expect("a bound"));
            assert!(delay + 2.0 >= bound("min") && delay <= bound("max") + 2.0, "{name}: {ended}");
        }
        let waited: u64 = delays.iter().map(time).sum();
        assert_eq!(ended["ended_ms"], waited, "{name}: attempts take no time");
    }
    assert_eq!(unsaid, ["retry_conflict_retried"]);
}

fn rate_limit(name: &str, vector: &Value, algorithm: &str, on_limit: &str) -> Value {
    let given = &vector["config"];
    let mut limit = json!({"algorithm": algorithm, "on_limit": on_limit});
    for (field, value) in given.as_object().expect("a configuration") {
        match field.as_str() {
            "rate_per_sec" => limit["requests_per_second"] = value.clone(),
            "burst" => limit["burst_size"] = value.clone(),
            "limit" => limit["limit"] = value.clone(),
            "window_ms" => limit["period"] = ms(value),
            other => panic!("{name}: the test does not know `{other}`"),
        }
    }
    json!({"rate_limit": limit, "timeout": {"attempt": "off", "total": "off"}})
}

#[test]
fn rate_limits_behave_as_every_vector_says() {
    let vectors = vectors("rate_limiter");
    assert_eq!(vectors.len(), 18);
    let mut unsaid = Vec::new();
    for vector in &vectors {
        let name = vector["name"].as_str().expect("a name");
        if vector["config"].get("from_rps").is_some() {
            unsaid.push(name);
            continue;
        }
        let algorithms: &[&str] =
            if vector["algorithm"] == "token_bucket" { &["token_bucket", "gcra"] } else { &["sliding_window"] };
        for algorithm in algorithms {
            let Some(steps) = vector["steps"].as_array() else {
                assert_eq!(vector["expect"]["config_error"], true, "{name}");
                let config = file("bad.json", &rate_limit(name, vector, algorithm, "reject").to_string());
                let args = ["simulate", "--trace", "-", "--config", config.to_str().expect("a path")];
                let output = rampart(&args, "");
                assert_eq!(output.status.code(), Some(2), "{name}");
                assert!(String::from_utf8_lossy(&output.stderr).contains("rate_limit.burst_size"), "{output:?}");
                continue;
            };
            let on_limit = if steps[0]["op"] == "try" { "reject" } else { "wait" };
            assert!(steps.iter().all(|it| it["op"] == steps[0]["op"]), "{name}");
            let lines: Vec<Value> =
                steps.iter().map(|it| with(call(time(&it["at_ms"]), &["ok"]), json!({"cost": it["cost"]}))).collect();
            let replayed = simulate(&rate_limit(name, vector, algorithm, on_limit), &lines);
            for (number, step) in steps.iter().enumerate() {
                let (ended, expect) = (replayed.call(number), &step["expect"]);
                let place = format!("{name}, {algorithm}: {ended}");
                assert_eq!(ended["admitted"], expect["allowed"], "{place}");
                let Some(wait) = expect.get("wait_ms") else { continue };
                if expect["allowed"] == true {
                    near(&json!(time(&ended["ended_ms"]) - time(&ended["at_ms"])), wait, &place);
                } else {
                    assert_eq!(ended["rejected_by"], "rate_limit", "{place}");
                    near(&ended["retry_after_ms"], wait, &place);
                }
            }
        }
    }
    assert_eq!(unsaid, ["tb_from_rps_10", "tb_from_rps_2", "tb_from_rps_1", "tb_from_rps_0_5"]);
}

/// Longer than any of these vectors.
const LONG: u64 = 10_000;

#[test]
fn concurrency_limits_behave_as_every_vector_says() {
    let vectors = vectors("backpressure");
    assert_eq!(vectors.len(), 5);
    for vector in &vectors {
        let name = vector["name"].as_str().expect("a name");
        let steps = vector["steps"].as_array().expect("steps");
        let mut limit = json!({"max_inflight": vector["config"]["max_concurrent"], "queue_size": 1000});
        if let Some(patience) = vector["config"].get("queue_timeout_ms") {
            limit["queue_timeout"] = ms(patience);
        }
        let (mut lines, mut begun, mut attempt) = (Vec::new(), Vec::new(), json!("off"));
        for step in steps {
            let at = time(&step["at_ms"]);
            if let Some(name) = step.get("begin") {
                let end =
                    |kind: &str| steps.iter().find(|it| it.get(kind) == Some(name)).map(|it| time(&it["at_ms"]) - at);
                if let Some(limit) = end("op_timeout") {
                    attempt = ms(&json!(limit));
                }
                // The calls that are ended begin at once, so that they last until then.
                let latency = end("end").unwrap_or(LONG);
                begun.push((name, lines.len(), latency));
                lines.push(with(call(at, &["ok"]), json!({"latency_ms": [latency]})));
            } else if let Some(name) = step.get("cancel") {
                let (_, line, _) = begun.iter().find(|it| it.0 == name).expect("a call");
                lines.push(with(op(at, "cancel"), json!({"call": line})));
            }
            lines.push(op(at, "observe"));
        }
        let document =
            json!({"concurrency": limit, "timeout": {"attempt": attempt, "total": "off"}, "retry": {"enabled": false}});
        let replayed = simulate(&document, &lines);
        let inflight: Vec<&Value> = replayed.observations().iter().map(|it| &it["inflight"]).collect();
        assert_eq!(json!(inflight), vector["expect"]["inflight_after"], "{name}");
        for (begun_name, expected) in vector["expect"]["results"].as_object().expect("results") {
            let (_, line, latency) = begun.iter().find(|it| it.0 == begun_name).expect("a call");
            let ended = replayed.call(*line);
            if expected[0] == "op_timeout" {
                assert_eq!((&ended["result"], &ended["rejected_by"]), (&json!("timeout"), &json!("timeout")), "{name}");
                continue;
            }
            assert_eq!((&expected[0], &ended["result"]), (&json!("granted"), &json!("ok")), "{name}: {ended}");
            let waited = time(&ended["ended_ms"]) - time(&ended["at_ms"]) - latency;
            near(&json!(waited), &expected[1], &format!("{name}: {ended}"));
        }
    }
}
