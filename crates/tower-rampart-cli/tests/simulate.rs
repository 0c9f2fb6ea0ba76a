//! `rampart simulate` as a program: traces in, lines out. The vectors of behaviour are in `simulate_vectors.rs`.

mod simulate_support;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use simulate_support::{Replayed, call, file, op, rampart, simulate, through_preset, trace, with};

/// One attempt a call, no circuit: what a test adds is all there is.
fn plain(fields: Value) -> Value {
    let base = json!({"retry": {"enabled": false}, "circuit_breaker": {"enabled": false}, "timeout": {"attempt": "off", "total": "off"}});
    with(base, fields)
}

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn retried_call_reads_as_the_manual_says() {
    let line = json!({"at_ms": 0, "op": "call", "outcomes": ["transient", "ok"], "latency_ms": [20, 5]});
    let replayed = through_preset("simple", &[line]);
    let mut ended = replayed.call(0).clone();
    let delay = ended["delays_ms"][0].as_u64().expect("a delay");
    assert!((2000..=4000).contains(&delay), "{ended}");
    assert_eq!(ended["ended_ms"], 20 + delay + 5);
    ended["ended_ms"] = json!(2031);
    ended["delays_ms"] = json!([2006]);
    let manual = r#"{"call":0,"at_ms":0,"ended_ms":2031,"admitted":true,"rejected_by":null,"result":"ok","attempts":2,"delays_ms":[2006],"stopped_by":null,"retry_after_ms":null,"served_by":"primary","breaker":"closed","breaker_after":"closed"}"#;
    assert_eq!(ended, serde_json::from_str::<Value>(manual).expect("JSON"));
    assert_eq!(replayed.0.len(), 2);
}

#[test]
fn observation_reads_as_the_manual_says() {
    let document = json!({"preset": "simple", "rate_limit": {"limit": 1, "period": "24h", "burst_size": 17}});
    let mut lines = vec![with(call(0, &["transient"]), json!({"method": "POST"})); 5];
    lines.push(op(30, "observe"));
    let config = file("observe.json", &document.to_string());
    let output = rampart(&["simulate", "--trace", "-", "--config", config.to_str().expect("a path")], &trace(&lines));
    fs::remove_file(config).expect("the file is there");
    let text = String::from_utf8(output.stdout).expect("text");
    let observed = text.lines().nth(5).expect("an observation after five calls");
    assert!(
        observed.starts_with(
            r#"{"observe":30,"breaker":"open","retry_after_ms":59970,"consecutive_failures":5,"inflight":0,"queued":0,"#
        ),
        "{observed}"
    );
    assert!(observed.contains(r#""rate_remaining":12.0,"retry_budget":11.0,"totals":{"#), "{observed}");
}

#[test]
fn order_of_fields_is_the_order_of_the_manual() {
    let output = rampart(&["simulate", "--trace", "-", "--preset", "simple"], &trace(&[call(0, &["ok"])]));
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"call":0,"at_ms":0,"ended_ms":0,"admitted":true,"rejected_by":null,"result":"ok","attempts":1,"delays_ms":[],"stopped_by":null,"retry_after_ms":null,"served_by":"primary","breaker":"closed","breaker_after":"closed"}"#,
            r#"{"summary":{"calls":1,"ok":1,"rejected":0,"attempts":1,"amplification":1.0,"opens":0,"goodput_per_s":0.0,"p50_ms":0,"p99_ms":0}}"#,
        ]
    );
}

#[test]
fn same_seed_gives_the_same_bytes_and_another_seed_others() {
    let lines: Vec<Value> = (0..200)
        .map(|at| with(call(at * 7, &["transient", "unavailable", "ok"]), json!({"latency_ms": [3, 9, 2]})))
        .collect();
    let run = |seed: &str| {
        let args = ["simulate", "--trace", "-", "--preset", "production", "--seed", seed];
        let output = rampart(&args, &trace(&lines));
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn every_word_for_a_stop_and_a_refusal_is_met() {
    let mut stopped = BTreeSet::new();
    let mut rejected = BTreeSet::new();
    let mut note = |replayed: &Replayed| {
        for ended in replayed.0.iter().filter(|it| it.get("call").is_some()) {
            stopped.extend(ended["stopped_by"].as_str().map(str::to_owned));
            rejected.extend(ended["rejected_by"].as_str().map(str::to_owned));
        }
    };
    note(&through_preset(
        "simple",
        &[
            call(0, &["permanent"]),
            call(0, &["transient"]),
            with(call(0, &["transient"]), json!({"deadline_ms": 1500})),
            with(call(0, &["transient"]), json!({"method": "POST"})),
            call(0, &["transient"]),
            with(op(10, "cancel"), json!({"call": 4})),
            call(20_000, &["transient"]),
            op(20_001, "trip"),
            call(20_002, &["ok"]),
        ],
    ));
    note(&simulate(&json!({"retry": {"budget": {"ratio": 0, "min_per_second": 0}}}), &[call(0, &["transient"])]));
    note(&simulate(
        &plain(json!({"rate_limit": {"requests_per_second": 1, "burst_size": 1}})),
        &[call(0, &["ok"]), call(0, &["ok"])],
    ));
    note(&simulate(
        &plain(json!({"concurrency": {"max_inflight": 1}})),
        &[with(call(0, &["ok"]), json!({"latency_ms": [5]})), call(1, &["ok"])],
    ));
    note(&simulate(&plain(json!({"timeout": {"attempt": "1s", "total": "5s"}})), &[call(0, &["timeout"])]));
    let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&stopped), "attempts budget cancelled circuit_open class deadline not_idempotent");
    assert_eq!(words(&rejected), "circuit_breaker concurrency rate_limit timeout");
}

#[test]
fn outage_replays_as_the_committed_lines_say() {
    let traces = Path::new(WORKSPACE).join("docs/traces");
    let path = |name: &str| traces.join(name).to_str().expect("a path").to_owned();
    let expected = fs::read_to_string(path("expected.jsonl")).expect("the expected lines");
    let last = |args: &[&str]| {
        let output = rampart(args, "");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len() - 2..]
            .iter()
            .map(|it| it.replace(traces.to_str().expect("a path"), "docs/traces"))
            .collect::<Vec<_>>()
    };
    let trace = path("outage.jsonl");
    let production = ["simulate", "--preset", "production", "--trace", &trace, "--compare"];
    let mut found = Vec::new();
    for other in ["bad.json", "tomorrow.json"] {
        let other = path(other);
        found.extend(last(&[&production[..], &[&other]].concat()));
    }
    assert_eq!(found.join("\n") + "\n", expected);
}

#[test]
fn reload_keeps_the_state_and_changes_what_new_calls_meet() {
    let opens_at = |failures: u32| {
        json!({
            "rate_limit": {"limit": 5, "period": "24h", "burst_size": 5},
            "circuit_breaker": {"failure_threshold": failures},
            "retry": {"enabled": false},
        })
    };
    let lines = [
        call(0, &["transient"]),
        call(0, &["transient"]),
        with(op(10, "reload"), json!({"config": opens_at(3)})),
        op(10, "observe"),
        call(20, &["transient"]),
        call(21, &["ok"]),
        with(op(30, "reload"), json!({"config": {"circuit_breaker": {"enabled": false}}})),
        call(31, &["ok"]),
    ];
    let replayed = simulate(&opens_at(5), &lines);
    let observed = replayed.observations()[0];
    assert_eq!((&observed["consecutive_failures"], &observed["rate_remaining"]), (&json!(2), &json!(3.0)));
    assert_eq!(replayed.call(4)["breaker_after"], "open");
    assert_eq!(replayed.call(5)["rejected_by"], "circuit_breaker");
    assert_eq!(replayed.call(7)["result"], "ok");
}

#[test]
fn bad_reload_is_a_line_and_changes_nothing() {
    let lines = [
        with(op(5, "reload"), json!({"config": {"retry_attempts": 1, "circuit_breaker_threshold": 99}})),
        with(op(6, "reload"), json!({"config": {"rate_limit": {"requests_per_second": 1, "max_keys": 5}}})),
        call(7, &["transient", "ok"]),
    ];
    let replayed = through_preset("simple", &lines);
    for (line, path) in [(0, "circuit_breaker_threshold"), (1, "rate_limit.max_keys")] {
        assert_eq!(replayed.0[line]["reload"], line, "{replayed:?}");
        assert!(replayed.0[line]["violations"][0]["path"].as_str().is_some_and(|it| it.contains(path)), "{replayed:?}");
    }
    assert_eq!(replayed.call(2)["attempts"], 2);
}

#[test]
fn same_seed_gives_the_same_bytes_where_state_is_kept_by_key() {
    let circuit = json!({"per_key": "header:x-tenant", "max_keys": 5, "failure_threshold": 1, "recovery_timeout": "1s", "recovery_jitter": 1.0});
    let document = json!({"retry": {"enabled": false}, "circuit_breaker": circuit});
    let config = file("keyed-seed.json", &document.to_string());
    let lines: Vec<Value> = (0..300_u64)
        .map(|at| {
            let outcome = if at % 3 == 0 { "transient" } else { "ok" };
            with(call(at * 7, &[outcome]), json!({"key": format!("tenant-{}", at % 40)}))
        })
        .collect();
    let run = |seed: &str| {
        let config = config.to_str().expect("a path");
        let output = rampart(&["simulate", "--trace", "-", "--config", config, "--seed", seed], &trace(&lines));
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let first = run("1");
    assert!((0..3).all(|_| run("1") == first));
    assert_ne!(run("2"), first);
    fs::remove_file(config).expect("the file is there");
}

#[test]
fn key_of_a_line_stands_for_whatever_per_key_names() {
    let keyed = |at: u64, key: &str| with(call(at, &["ok"]), json!({"key": key}));
    let document = |on_limit: &str| {
        let limit =
            json!({"limit": 1, "period": "1s", "burst_size": 1, "per_key": "header:x-tenant", "on_limit": on_limit});
        json!({"rate_limit": limit})
    };
    let lines = [keyed(0, "noisy"), keyed(1, "noisy"), keyed(2, "quiet"), call(3, &["ok"]), call(4, &["ok"])];
    let replayed = simulate(&document("reject"), &lines);
    let refused: Vec<bool> = (0..5).map(|line| replayed.call(line)["rejected_by"] == "rate_limit").collect();
    assert_eq!(refused, [false, true, false, false, true]);
    let waits = simulate(&document("wait"), &lines);
    let ended: Vec<_> = (0..5).map(|line| waits.call(line)["ended_ms"].clone()).collect();
    assert_eq!(ended, [0, 1000, 2, 3, 1003]);
}

#[test]
fn what_ends_in_a_millisecond_has_ended_before_the_next_line_of_it() {
    let lasting = |at: u64, ms: u64| with(call(at, &["ok"]), json!({"latency_ms": [ms]}));
    let lines = [lasting(0, 20), lasting(20, 5), op(20, "observe"), lasting(25, 0), lasting(25, 0)];
    let replayed = simulate(&plain(json!({"concurrency": {"max_inflight": 1}})), &lines);
    assert_eq!(replayed.summary()["rejected"], 0, "{replayed:?}");
    let ends: Vec<&Value> = replayed.0.iter().filter_map(|it| it.get("call")).collect();
    assert_eq!(json!(ends), json!([0, 1, 3, 4]));
}

#[test]
fn operators_hands_are_felt_at_once() {
    let lines = [
        op(0, "force_open"),
        call(0, &["ok"]),
        op(1, "force_close"),
        call(1, &["transient"]),
        op(2, "reset"),
        op(2, "trip"),
        call(2, &["ok"]),
        op(3, "reset"),
        call(3, &["ok"]),
    ];
    let replayed = simulate(&json!({"retry": {"enabled": false}, "circuit_breaker_threshold": 1}), &lines);
    let states: Vec<_> = [1, 3, 6, 8].iter().map(|line| replayed.call(*line)["breaker"].clone()).collect();
    assert_eq!(json!(states), json!(["forced_open", "forced_closed", "open", "closed"]));
    assert_eq!(replayed.call(1)["retry_after_ms"], Value::Null);
    assert_eq!(replayed.call(6)["retry_after_ms"], 60_000);
    assert_eq!((&replayed.summary()["opens"], &replayed.summary()["rejected"]), (&json!(1), &json!(2)));
}

#[test]
fn method_and_dispatch_decide_what_is_sent_again() {
    let post = |outcome: &str| with(call(0, &[outcome, "ok"]), json!({"method": "POST"}));
    let lines = [
        post("transient"),
        post("connect_error"),
        post("rate_limited"),
        post("unavailable"),
        call(0, &["transient", "ok"]),
    ];
    let replayed = through_preset("development", &lines);
    let results: Vec<_> = (0..5).map(|line| replayed.call(line)["result"].clone()).collect();
    assert_eq!(json!(results), json!(["transient", "ok", "ok", "unavailable", "ok"]));
}

#[test]
fn panic_ends_its_own_call_and_is_a_failure() {
    let lines = [with(call(0, &["transient", "panic"]), json!({"latency_ms": [5]})), call(1, &["ok"])];
    let document = json!({"circuit_breaker_threshold": 1, "retry": {"jitter": {"kind": "none"}}});
    let replayed = simulate(&document, &lines);
    let ended = replayed.call(0);
    assert_eq!(
        (&ended["result"], &ended["attempts"], &ended["delays_ms"]),
        (&json!("panic"), &json!(2), &json!([2000]))
    );
    assert_eq!((&ended["breaker_after"], &replayed.call(1)["result"]), (&json!("open"), &json!("ok")));
}

#[test]
fn call_that_never_ends_is_cancelled_once_all_others_have_ended() {
    let lines = [
        call(0, &["timeout"]),
        with(call(0, &["ok"]), json!({"latency_ms": [700]})),
        call(1, &["ok"]),
        with(call(1, &["ok"]), json!({"deadline_ms": 900})),
    ];
    let document = plain(json!({"concurrency": {"max_inflight": 2, "queue_size": 5}}));
    let replayed = simulate(&document, &lines);
    let ends = |line: usize| (replayed.call(line)["result"].clone(), replayed.call(line)["ended_ms"].clone());
    assert_eq!(ends(0), (json!("cancelled"), json!(700)));
    assert_eq!(ends(2), (json!("ok"), json!(700)));
    let document = plain(json!({"concurrency": {"max_inflight": 1, "queue_size": 5}}));
    let replayed = simulate(&document, &lines);
    let ends = |line: usize| (replayed.call(line)["result"].clone(), replayed.call(line)["ended_ms"].clone());
    assert_eq!(ends(3), (json!("rejected"), json!(901)));
    for line in 0..3 {
        assert_eq!(ends(line), (json!("cancelled"), json!(901)), "line {line}");
    }
}

#[test]
fn wait_for_tokens_is_never_taken_for_one_without_end() {
    let document = plain(json!({"rate_limit": {"requests_per_second": 1, "burst_size": 1, "on_limit": "wait"}}));
    let lines: Vec<Value> = [vec![call(0, &["timeout"])], vec![call(0, &["ok"]); 4]].concat();
    let replayed = simulate(&document, &lines);
    let ends: Vec<_> = (1..5).map(|line| replayed.call(line)["ended_ms"].clone()).collect();
    assert_eq!(json!(ends), json!([1000, 2000, 3000, 4000]));
    assert_eq!(replayed.call(0)["ended_ms"], 4000);
}

#[test]
fn fallback_of_the_document_serves_what_the_service_does_not() {
    let document = json!({"retry": {"enabled": false}, "fallback": {"status": 200, "body": "later"}, "circuit_breaker_threshold": 1});
    let replayed = simulate(&document, &[call(0, &["permanent"]), call(0, &["transient"]), call(1, &["ok"])]);
    let told: Vec<_> =
        (0..3).map(|it| [&replayed.call(it)["result"], &replayed.call(it)["served_by"]].map(Value::clone)).collect();
    assert_eq!(json!(told), json!([["permanent", "primary"], ["transient", "fallback"], ["rejected", "fallback"]]));
}

#[test]
fn operation_has_its_own_configuration() {
    let lines = trace(&[call(0, &["transient"])]);
    let attempts = |args: &[&str]| {
        let output = rampart(&[&["simulate", "--trace", "-", "--preset", "production"], args].concat(), &lines);
        Replayed::of(&output).call(0)["attempts"].clone()
    };
    assert_eq!((attempts(&[]), attempts(&["--operation", "qa"])), (json!(5), json!(7)));
}

#[test]
fn comparison_shows_both_summaries_and_the_calls_that_ended_otherwise() {
    let lines: Vec<Value> = (0..30).map(|at| call(at * 1000, &["transient", "transient", "ok"])).collect();
    let other = file("other.json", r#"{"retry_attempts": 3, "circuit_breaker": {"enabled": false}}"#);
    let other = other.to_str().expect("a path");
    let args = ["simulate", "--trace", "-", "--preset", "development", "--compare", other];
    let replayed = Replayed::of(&rampart(&args, &trace(&lines)));
    let [.., differing, first, second] = &replayed.0[..] else { panic!("{replayed:?}") };
    assert_eq!(*differing, json!({"differing_calls": 30, "shown": 20}));
    assert_eq!((&first["config"], &second["config"]), (&json!("preset:development"), &json!(other)));
    assert_eq!((&first["summary"]["ok"], &second["summary"]["ok"]), (&json!(0), &json!(30)));
    let shown: Vec<_> = replayed.0.iter().filter_map(|it| it.get("difference")).map(|it| it["call"].clone()).collect();
    assert_eq!(json!(shown), json!((0..20).collect::<Vec<_>>()));
    let alone = through_preset("development", &lines);
    assert_eq!(*alone.summary(), first["summary"], "side by side is the same as alone");
}

#[test]
fn page_is_whole_and_loads_nothing() {
    let page = file("page.html", "");
    let lines: Vec<Value> = (0..50).map(|at| call(at * 100, &["transient"])).collect();
    let to = page.to_str().expect("a path");
    let args = ["simulate", "--trace", "-", "--preset", "simple", "--compare", "preset:production", "--html", to];
    Replayed::of(&rampart(&args, &trace(&lines)));
    let text = fs::read_to_string(&page).expect("a page");
    fs::remove_file(page).expect("the file is there");
    assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"));
    for forbidden in ["<script", "http://", "https://", "@import", "url("] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    for word in
        ["preset:simple", "preset:production", "open from", "rejected", "prefers-color-scheme: dark", "viewport"]
    {
        assert!(text.contains(word), "{word}");
    }
    assert_eq!(text.matches("<svg").count(), 8);
    assert_eq!(text.matches("<g>").count(), text.matches("</g>").count());
}

/// The one line on standard error of a run that ended with 2.
fn complaint(args: &[&str], input: &str) -> String {
    let output = rampart(args, input);
    assert_eq!(output.status.code(), Some(2), "{args:?} {output:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn bad_usage_is_one_line_and_exit_code_two() {
    for (args, words) in [
        (&["simulate", "--trace", "-"][..], "--preset"),
        (&["simulate", "--preset", "simple"], "--trace"),
        (&["simulate", "--preset", "simple", "--config", "x", "--trace", "-"], "cannot be used with"),
        (&["simulate", "--preset", "prod", "--trace", "-"], "production"),
        (&["simulate", "--preset", "simple", "--trace", "/nowhere"], "cannot read /nowhere"),
        (&["simulate", "--config", "-", "--trace", "-"], "only once"),
        (&["simulate", "--preset", "simple", "--trace", "-", "--seed=-1"], "--seed"),
        (&["simulate", "--preset", "simple", "--trace", "-", "--compare", "preset:none"], "none"),
        (&["simulate", "--preset", "simple", "--trace", "-", "--html", "/nowhere/x.html"], "cannot write"),
    ] {
        let line = complaint(args, "");
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn bad_line_ends_the_replay_after_what_came_before_it() {
    let input = format!("{}not json\n", trace(&[call(0, &["ok"])]));
    let output = rampart(&["simulate", "--preset", "simple", "--trace", "-"], &input);
    assert_eq!(output.status.code(), Some(2));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.starts_with(r#"{"call":0,"#) && printed.lines().count() == 1, "{printed}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).lines().collect::<Vec<_>>(),
        ["rampart: standard input: line 2: expected ident (column 2)"]
    );
}

#[test]
fn no_trace_makes_it_panic() {
    let line =
        trace(&[with(call(3, &["ok"]), json!({"latency_ms": [1], "method": "POST", "deadline_ms": 5, "key": "é"}))]);
    let mut inputs: Vec<Vec<u8>> =
        vec![b"\xff\xfe\n".to_vec(), b"[[[[[[".repeat(1000), b"\n\n\n".to_vec(), b"{}".to_vec(), b"null".to_vec()];
    inputs.extend(
        (0..line.len()).step_by(7).map(|at| [&line.as_bytes()[..at], b"\x00\"", &line.as_bytes()[at..]].concat()),
    );
    for input in inputs {
        let path = file("broken.jsonl", "");
        fs::write(&path, &input).expect("a file");
        let output = rampart(&["simulate", "--preset", "simple", "--trace", path.to_str().expect("a path")], "");
        fs::remove_file(path).expect("the file is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 2)) && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn calls_in_flight_are_bounded() {
    let line = r#"{"at_ms":0,"op":"call","outcomes":["timeout"]}"#.to_owned() + "\n";
    let line = complaint(&["simulate", "--preset", "simple", "--trace", "-"], &line.repeat(100_001));
    assert!(line.contains("line 100001: more than 100000 calls are in flight"), "{line}");
}

#[test]
fn cache_answers_by_the_key_of_the_trace_and_stands_in_while_the_service_is_down() {
    let document = plain(json!({"cache": {"ttl": "1s", "stale_if_error": "1m", "max_wait": "10s"}}));
    let keyed = |at, outcome: &str, key: &str| with(call(at, &[outcome]), json!({"key": key, "latency_ms": [50]}));
    let lines = [
        keyed(0, "ok", "a"),
        keyed(10, "transient", "a"),
        keyed(60, "transient", "a"),
        keyed(70, "ok", "b"),
        call(80, &["ok"]),
        keyed(2000, "transient", "a"),
        keyed(2100, "transient", "c"),
    ];
    let replayed = simulate(&document, &lines);
    let of = |line: usize| {
        let ended = replayed.call(line);
        let said = |field: &str| ended[field].as_str().unwrap_or_default().to_owned();
        (
            ended["ended_ms"].as_u64().expect("a time"),
            ended["attempts"].as_u64().expect("a count"),
            said("result"),
            said("served_by"),
        )
    };
    let expected = [
        (50, 1, "ok", "primary"),
        (50, 0, "ok", "cache"),
        (60, 0, "ok", "cache"),
        (120, 1, "ok", "primary"),
        (80, 1, "ok", "primary"),
        (2050, 1, "transient", "cache"),
        (2150, 1, "transient", "primary"),
    ];
    for (line, (ended, attempts, result, served_by)) in expected.into_iter().enumerate() {
        assert_eq!(of(line), (ended, attempts, result.to_owned(), served_by.to_owned()), "line {line}");
    }
    assert_eq!(replayed.call(1)["admitted"], false, "nothing was attempted");
}
