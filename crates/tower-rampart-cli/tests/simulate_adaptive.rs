//! `rampart simulate` with a backend of known capacity: where an adaptive limit comes to, and that it follows. The knee is the number of servers, which is what they
//! complete a second times the latency without a queue (Little's law).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod simulate_support;

use std::fs;

use serde_json::{Value, json};
use simulate_support::{Replayed, file, rampart, trace};

/// An observation each this many milliseconds.
const LOOK: u64 = 100;

/// So many calls a second for so long, observed; `changes` are lines of their own.
fn load(per_second: u64, seconds: u64, changes: &[Value]) -> Vec<Value> {
    let calls =
        (0..per_second * seconds).map(|at| json!({"at_ms": at * 1000 / per_second, "op": "call", "outcomes": ["ok"]}));
    let looks = (0..seconds * 1000 / LOOK).map(|at| json!({"at_ms": at * LOOK, "op": "observe"}));
    let mut lines: Vec<Value> = calls.chain(looks).chain(changes.iter().cloned()).collect();
    lines.sort_by_key(|line| line["at_ms"].as_u64());
    lines
}

fn replay(concurrency: &Value, timeout: &str, servers: &str, lines: &[Value]) -> Replayed {
    let document = json!({
        "retry": {"max_attempts": 1}, "circuit_breaker": {"enabled": false},
        "timeout": {"attempt": timeout, "total": "off"}, "concurrency": concurrency,
    });
    let config = file("config.json", &document.to_string());
    let path = config.to_str().unwrap();
    let args = ["simulate", "--trace", "-", "--config", path, "--backend-servers", servers, "--backend-latency", "100"];
    let output = rampart(&args, &trace(lines));
    fs::remove_file(&config).unwrap();
    Replayed::of(&output)
}

/// The limits that were observed in these seconds.
fn limits(replayed: &Replayed, seconds: std::ops::Range<u64>) -> Vec<f64> {
    let within = |line: &&Value| line["observe"].as_u64().is_some_and(|at| seconds.contains(&(at / 1000)));
    replayed.0.iter().filter(within).map(|line| line["max_inflight"].as_f64().unwrap()).collect()
}

fn mean(limits: &[f64]) -> f64 {
    limits.iter().sum::<f64>() / limits.len() as f64
}

#[test]
fn limit_converges_to_the_knee_and_follows_when_capacity_halves_and_comes_back() {
    let changes = [
        json!({"at_ms": 40_000, "op": "backend", "servers": 40}),
        json!({"at_ms": 80_000, "op": "backend", "servers": 80}),
    ];
    let lines = load(1000, 120, &changes);
    for algorithm in ["vegas", "gradient2"] {
        let concurrency = json!({"max_inflight": 20, "adaptive": {"algorithm": algorithm}});
        let replayed = replay(&concurrency, "off", "80", &lines);
        for (seconds, knee) in [(20..40, 80.0), (60..80, 40.0), (100..120, 80.0)] {
            let mean = mean(&limits(&replayed, seconds.clone()));
            let what = format!("{algorithm}: {mean:.1} in seconds {seconds:?}, the knee is {knee}");
            assert!((mean - knee).abs() <= 0.2 * knee, "{what}");
        }
        let summary = &replayed.0.last().unwrap()["summary"];
        // What 80, 40 and 80 servers of 100 ms could do at most.
        let most = f64::from(800 * 40 + 400 * 40 + 800 * 40);
        assert!(summary["ok"].as_f64().unwrap() > 0.9 * most, "{algorithm}: {summary}");
        assert!(summary["p99_ms"].as_u64().unwrap() < 250, "{algorithm}: {summary}");
    }
}

#[test]
fn aimd_swings_below_where_calls_run_out_of_time() {
    // After 200 ms a call is given up: once 80 are before 40 servers of 100 ms.
    let lines = load(1000, 60, &[]);
    let concurrency = json!({"max_inflight": 40, "adaptive": {"algorithm": "aimd"}});
    let replayed = replay(&concurrency, "200ms", "40", &lines);
    let limits = limits(&replayed, 30..60);
    let (least, most) = limits.iter().fold((f64::MAX, 0.0_f64), |(least, most), it| (least.min(*it), most.max(*it)));
    assert!(least >= 0.8 * 80.0 && most <= 81.0 && least < most, "{least} to {most}");
}

#[test]
fn without_a_limit_everybody_waits_and_with_one_few_do() {
    let lines = load(1000, 20, &[]);
    let p50 = |concurrency: &Value| {
        let replayed = replay(concurrency, "off", "50", &lines);
        replayed.0.last().unwrap()["summary"]["p50_ms"].as_u64().unwrap()
    };
    assert!(p50(&json!({"enabled": false})) > 2000);
    assert!(p50(&json!({"max_inflight": 20, "adaptive": {"algorithm": "gradient2"}})) <= 130);
}

#[test]
fn latency_of_the_backend_holds_for_calls_that_name_none() {
    let call = |at: u64, more: &Value| {
        let mut line = json!({"at_ms": at, "op": "call", "outcomes": ["ok"]});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let lines = [
        call(0, &json!({})),
        call(0, &json!({"latency_ms": [30]})),
        json!({"at_ms": 500, "op": "backend", "latency_ms": [7]}),
        call(500, &json!({})),
        // One server, and 7 ms before this one.
        json!({"at_ms": 500, "op": "backend", "servers": 1}),
        call(501, &json!({})),
    ];
    let replayed = replay(&json!({"enabled": false}), "off", "2", &lines);
    let ended = |line: usize| replayed.call(line)["ended_ms"].as_u64().unwrap();
    assert_eq!([0, 1, 3, 5].map(ended), [100, 30, 507, 514]);
}

#[test]
fn attempt_behind_a_hung_one_is_cancelled_with_it_once_all_others_have_ended() {
    let call = |at: u64, outcome: &str| json!({"at_ms": at, "op": "call", "outcomes": [outcome]});
    let lines = [call(0, "timeout"), call(0, "ok"), call(10, "ok")];
    let replayed = replay(&json!({"enabled": false}), "off", "1", &lines);
    for line in 0..3 {
        assert_eq!(
            (&replayed.call(line)["result"], &replayed.call(line)["ended_ms"]),
            (&json!("cancelled"), &json!(10))
        );
    }
    // Two servers: one is left, and those behind the first are answered by it.
    let replayed = replay(&json!({"enabled": false}), "off", "2", &lines);
    let ends: Vec<_> = (0..3).map(|line| replayed.call(line)["ended_ms"].clone()).collect();
    assert_eq!(json!(ends), json!([200, 100, 200]));
}
