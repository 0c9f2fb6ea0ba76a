//! Hedging in `rampart simulate`: copies in a trace, and what they do to the tail of a service whose calls take one of two times.

mod simulate_support;

use std::fs;

use serde_json::{Value, json};
use simulate_support::{Replayed, call, file, rampart, simulate, trace, with};

fn document(hedge: &Value) -> Value {
    json!({"hedge": hedge, "retry": {"enabled": false}, "timeout": {"attempt": "2s", "total": "off"}})
}

#[test]
fn copies_have_the_latencies_that_the_trace_gives_them() {
    let slow = |at_ms, more| with(call(at_ms, &["ok"]), with(json!({"latency_ms": [500]}), more));
    let lines = [
        slow(0, json!({"hedge_latency_ms": [20]})),
        slow(1000, json!({})),
        slow(2000, json!({"hedge_latency_ms": [20], "method": "POST"})),
        slow(3000, json!({"hedge_latency_ms": [900, 7]})),
    ];
    let replayed = simulate(&document(&json!({"delay": "100ms", "max_hedges": 2})), &lines);
    let seen: Vec<_> = (0..4)
        .map(|line| {
            let it = replayed.call(line);
            (it["ended_ms"].as_u64(), it["hedges"].as_u64(), it["copy"].as_u64(), it["attempts"].as_u64())
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Some(120), Some(1), Some(1), Some(1)),
            (Some(1500), Some(2), None, Some(1)),
            (Some(2500), None, None, Some(1)),
            (Some(3207), Some(2), Some(2), Some(1)),
        ]
    );
    assert_eq!((&replayed.summary()["hedges"], &replayed.summary()["attempts"]), (&json!(5), &json!(4)));
}

#[test]
fn copy_of_what_hangs_hangs_too_and_the_attempts_time_ends_both() {
    let replayed = simulate(&document(&json!({"delay": "100ms"})), &[call(0, &["timeout"])]);
    let it = replayed.call(0);
    assert_eq!(
        (&it["ended_ms"], &it["result"], &it["rejected_by"]),
        (&json!(2000), &json!("timeout"), &json!("timeout"))
    );
    let mut endless = document(&json!({"delay": "100ms"}));
    endless["timeout"] = json!({"attempt": "off", "total": "off"});
    let replayed = simulate(&endless, &[call(0, &["timeout"])]);
    assert_eq!((&replayed.call(0)["result"], &replayed.call(0)["hedges"]), (&json!("cancelled"), &json!(1)));
}

/// The promise of the paper: the tail of a bimodal service is cut for less than one call more in twenty.
#[test]
fn hedging_at_the_95th_percentile_cuts_p99_of_a_bimodal_service_under_five_percent_extra_calls() {
    let lines: Vec<Value> = (0..20_000).map(|number| call(number * 10, &["ok"])).collect();
    let run = |hedge: &Value| {
        let config = file("bimodal.json", &document(hedge).to_string());
        let path = config.to_str().expect("a path");
        let args = ["simulate", "--trace", "-", "--config", path, "--backend-bimodal", "10,500,0.03", "--seed", "4"];
        let replayed = Replayed::of(&rampart(&args, &trace(&lines)));
        fs::remove_file(config).expect("the file is there");
        replayed
    };
    let (without, hedged) = (run(&json!({"enabled": false})), run(&json!({"percentile": 95})));
    assert_eq!(without.summary()["p99_ms"], 500);
    assert!(hedged.summary()["p99_ms"].as_u64().is_some_and(|p99| p99 <= 25), "{}", hedged.summary());
    let extra = hedged.summary()["hedges"].as_u64().expect("some") as f64 / 20_000.0;
    assert!(extra > 0.02 && extra < 0.05, "{extra}");
    assert_eq!(run(&json!({"percentile": 95})).0, hedged.0, "the same seed gives the same");
}
