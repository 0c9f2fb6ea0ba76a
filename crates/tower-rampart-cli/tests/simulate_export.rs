//! What a monitor exports as a trace, replayed by `rampart simulate`: yesterday's incident through tomorrow's configuration. What a trace is made from is tested
//! beside it, in the crate of the management API.

mod simulate_support;

use std::{fs, time::Duration};

use serde_json::{Value, json};
use simulate_support::{Replayed, file, rampart};
use tower_rampart::Resilience;
use tower_rampart_admin::monitoring::{ExportFormat, Monitor};

/// Ten calls a second of 20 ms each.
async fn traffic(resilience: &Resilience, seconds: u64, ok: bool) {
    for _ in 0..seconds * 10 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        let answer = || async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if ok { Ok(()) } else { Err(std::io::Error::other("down")) }
        };
        let _answer = resilience.operation("export").run(answer).await;
    }
}

fn replay(document: &Value, trace: &str) -> Value {
    let config = file("config.json", &document.to_string());
    let output = rampart(&["simulate", "--trace", "-", "--config", config.to_str().expect("a path")], trace);
    fs::remove_file(config).expect("the file is there");
    Replayed::of(&output).summary().clone()
}

#[tokio::test(start_paused = true)]
async fn incident_is_replayed_through_what_ran_and_through_what_might_have() {
    let yesterday = json!({"retry_attempts": 1, "circuit_breaker_threshold": 5, "recovery_timeout": 10});
    let resilience = Resilience::from_json(&yesterday.to_string()).expect("a document");
    let monitor = Monitor::new(&resilience);
    let maintained = tokio::spawn(monitor.maintain(Duration::from_secs(1)));
    traffic(&resilience, 60, true).await;
    traffic(&resilience, 30, false).await;
    resilience.operation("export").handle().breaker().reset();
    traffic(&resilience, 60, true).await;
    maintained.abort();

    let seen = resilience.registry().get("export").expect("it was called").snapshot(resilience.registry().now());
    let export = monitor.export(ExportFormat::Trace, Some(1), Some("export"));
    let calls = seen.admitted + seen.rejections();
    assert_eq!((calls, export.omitted, export.records), (1500, 0, 1501), "all calls, and what the operator did");

    let again = replay(&yesterday, &export.data);
    assert_eq!(again["calls"].as_u64(), Some(calls));
    let circuit = seen.breaker.expect("there is one");
    assert_eq!(again["opens"].as_u64(), Some(circuit.opens), "{again} {circuit:?}");
    let ok = again["ok"].as_u64().expect("a number");
    // The moment within a second at which the service went down is not known.
    assert!(ok.abs_diff(seen.success) <= 20, "{again} and {}", seen.success);

    let tomorrow = json!({"retry_attempts": 1, "circuit_breaker": {"enabled": false}});
    let otherwise = replay(&tomorrow, &export.data);
    assert_eq!((&otherwise["opens"], &otherwise["rejected"]), (&json!(0), &json!(0)), "{otherwise}");
    assert_eq!(otherwise["calls"], again["calls"]);
}
