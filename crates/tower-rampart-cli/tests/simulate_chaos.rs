//! Chaos in `rampart simulate`: it needs no leave, and strikes the same calls every time.

mod simulate_support;

use serde_json::{Value, json};
use simulate_support::{call, op, simulate, with};

/// One attempt a call that may take two seconds, and a circuit that no test opens by accident.
fn document(chaos: &Value, more: Value) -> Value {
    let base = json!({
        "chaos": chaos, "retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1000},
        "timeout": {"attempt": "2s", "total": "off"},
    });
    with(base, more)
}

#[test]
fn same_seed_gives_the_same_faults_and_another_others() {
    let mut lines: Vec<Value> = (0..300).map(|at| call(at * 10, &["ok"])).collect();
    lines.push(op(60_000, "observe"));
    let run = |seed: u32| {
        let chaos = json!({"fault_rate": 0.2, "latency": "50ms", "latency_rate": 0.3, "seed": seed});
        simulate(&document(&chaos, json!({})), &lines).0
    };
    let replayed = run(7);
    assert_eq!(replayed, run(7));
    assert_ne!(replayed, run(8));
    let observed = replayed.iter().find(|it| it.get("observe").is_some()).expect("an observation");
    let [faults, latencies] = ["injected_faults", "injected_latencies"].map(|it| observed["totals"][it].as_u64());
    let struck = replayed.iter().filter(|it| it["rejected_by"] == "chaos").count() as u64;
    assert!(faults == Some(struck) && (30..90).contains(&struck), "{observed}");
    assert!(latencies.is_some_and(|it| (60..120).contains(&it)), "{observed}");
}

#[test]
fn injected_fault_is_the_outcome_of_its_attempt_and_later_attempts_meet_their_own() {
    // Of this seed the first attempt is struck and the second is not.
    let chaos = json!({"fault_rate": 0.5, "seed": 7});
    let retried = json!({"retry": {"max_attempts": 2, "backoff": {"base": "1s", "factor": 1, "min": 0}, "jitter": {"kind": "none"}}});
    let replayed = simulate(&document(&chaos, retried), &[call(0, &["ok", "permanent"])]);
    let it = replayed.call(0);
    assert_eq!((&it["result"], &it["attempts"], &it["ended_ms"]), (&"permanent".into(), &2.into(), &1000.into()));
    let once = simulate(&document(&chaos, json!({})), &[call(0, &["ok"])]);
    let it = once.call(0);
    assert_eq!(
        (&it["result"], &it["rejected_by"], &it["served_by"]),
        (&"transient".into(), &"chaos".into(), &Value::Null)
    );
    assert_eq!((&it["admitted"], &it["attempts"]), (&true.into(), &1.into()));
}

#[test]
fn call_that_is_held_up_ends_late_or_runs_out_of_its_time_or_is_cancelled_as_one_that_was_made() {
    let late = |latency: &str| json!({"latency": latency, "latency_rate": 1});
    let replayed =
        simulate(&document(&late("500ms"), json!({})), &[with(call(0, &["ok"]), json!({"latency_ms": [20]}))]);
    assert_eq!((&replayed.call(0)["result"], &replayed.call(0)["ended_ms"]), (&"ok".into(), &520.into()));
    let lines = [call(0, &["ok"]), call(0, &["ok"]), json!({"at_ms": 100, "op": "cancel", "call": 1})];
    let replayed = simulate(&document(&late("5s"), json!({})), &lines);
    let it = replayed.call(0);
    assert_eq!(
        (&it["result"], &it["rejected_by"], &it["ended_ms"]),
        (&"timeout".into(), &"timeout".into(), &2000.into())
    );
    let it = replayed.call(1);
    assert_eq!((&it["result"], &it["admitted"], &it["attempts"]), (&"cancelled".into(), &true.into(), &1.into()));
    // Without a limit of time nothing else ends it, and it ends all the same.
    let endless = json!({"timeout": {"attempt": "off", "total": "off"}});
    let replayed = simulate(&document(&late("5s"), endless), &[call(0, &["ok"])]);
    assert_eq!((&replayed.call(0)["result"], &replayed.call(0)["ended_ms"]), (&"ok".into(), &5000.into()));
}
