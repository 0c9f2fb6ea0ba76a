//! `rampart simulate --nodes`: a limit of 100 a second that a fleet holds, at once, through partitions and after them, at 3 nodes and at 30.

mod simulate_support;

use std::fs;

use serde_json::{Value, json};
use simulate_support::{Replayed, call, file, op, rampart, trace, with};

/// 100 calls a second, and what else there is switched off.
fn document() -> Value {
    json!({
        "rate_limit": {"enabled": true, "limit": 100, "period": "1s", "burst_size": 100},
        "retry": {"enabled": false},
        "circuit_breaker": {"enabled": false},
        "concurrency": {"enabled": false},
    })
}

/// So many calls a second for so long, evenly.
fn calls(per_second: u64, seconds: u64) -> Vec<Value> {
    (0..per_second * seconds).map(|number| call(number * 1000 / per_second, &["ok"])).collect()
}

fn run(document: &Value, lines: &[Value], args: &[&str]) -> Replayed {
    let config = file("nodes.json", &document.to_string());
    let path = config.to_str().expect("a path");
    let all: Vec<&str> = ["simulate", "--trace", "-", "--config", path].iter().chain(args).copied().collect();
    let output = rampart(&all, &trace(lines));
    fs::remove_file(config).expect("the file is there");
    Replayed::of(&output)
}

/// What was admitted in these seconds, over the limit.
fn of_limit(replayed: &Replayed, from: u64, to: u64) -> f64 {
    let seconds = replayed.0.iter().filter(|it| it["second"].as_u64().is_some_and(|at| (from..to).contains(&at)));
    let tokens: Vec<u64> = seconds.map(|it| it["tokens"].as_u64().expect("a number")).collect();
    assert_eq!(tokens.len() as u64, to - from, "a line for each second");
    tokens.iter().sum::<u64>() as f64 / (100 * (to - from)) as f64
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn nodes_hold_one_limit_within_two_percent() {
    for nodes in ["3", "30"] {
        let replayed = run(&document(), &calls(500, 31), &["--nodes", nodes, "--redis-latency", "2"]);
        let held = of_limit(&replayed, 5, 29);
        assert!((0.98..=1.02).contains(&held), "{nodes} nodes admit {held} of the limit");
        let fleet = &replayed.summary()["fleet"];
        assert_eq!(
            (&fleet["nodes"], &fleet["limit_per_s"]),
            (&json!(nodes.parse::<u64>().expect("it is")), &json!(100.0))
        );
        let count = |name: &str| fleet[name].as_u64().expect("a count");
        assert_eq!(count("calls"), count("admitted") + count("refused"));
        assert!(number(&fleet["exchanges"]) > 100.0);
    }
}

#[test]
fn nodes_that_are_cut_off_admit_their_share_and_are_back_within_a_second() {
    for (nodes, share) in [("3", 0.2), ("30", 0.05)] {
        let all = number(&json!(nodes.parse::<f64>().expect("it is"))) * share;
        let share = share.to_string();
        let args = ["--nodes", nodes, "--partition", "8s..16s", "--redis-local-share", &share, "--redis-latency", "2"];
        let replayed = run(&document(), &calls(500, 26), &args);
        // The first second of it spends the buckets of the shares.
        let held = of_limit(&replayed, 10, 16);
        assert!(
            held <= all * 1.02 && held >= all * 0.9,
            "{nodes} nodes admit {held} of the limit, where the shares are {all}"
        );
        let partition = &replayed.summary()["fleet"]["partitions"][0];
        assert!(number(&partition["local_after_ms"]) <= 1000.0, "{partition}");
        assert!(number(&partition["shared_after_ms"]) <= 1100.0, "{partition}");
        // What was admitted too much is owed and worked off; then it is the limit again.
        let held = of_limit(&replayed, 19, 25);
        assert!((0.98..=1.02).contains(&held), "{nodes} nodes admit {held} of the limit after it");
    }
}

#[test]
fn those_who_are_not_cut_off_go_on_sharing() {
    let args = ["--nodes", "4", "--partition", "5s..15s@50%", "--redis-local-share", "0.1"];
    let replayed = run(&document(), &calls(400, 16), &args);
    let partition = &replayed.summary()["fleet"]["partitions"][0];
    assert_eq!(partition["nodes"], 2);
    // The limit for those who share, and the shares of the two others.
    let held = of_limit(&replayed, 7, 15);
    assert!((1.17..=1.23).contains(&held), "{held}");
    let local = replayed.0.iter().find(|it| it["second"] == 8).expect("a line")["local"].clone();
    assert_eq!(local, json!(0.5));
}

#[test]
fn same_seed_gives_the_same_and_another_spreads_calls_otherwise() {
    let of = |seed| {
        let args = ["--nodes", "5", "--partition", "2s..3s", "--seed", seed];
        run(&document(), &calls(300, 5), &args).0
    };
    assert_eq!(of("4"), of("4"));
    assert_ne!(of("4"), of("5"));
}

#[test]
fn trace_may_say_which_node_a_call_comes_to_and_which_is_observed() {
    let mut lines: Vec<_> = (0..40).map(|at| with(call(at * 20, &["ok"]), json!({"node": 2}))).collect();
    lines.push(with(op(900, "observe"), json!({"node": 2})));
    lines.push(op(900, "observe"));
    let replayed = run(&document(), &lines, &["--nodes", "3"]);
    assert_eq!(replayed.call(0)["node"], 2);
    assert_eq!(replayed.summary()["fleet"]["tokens_of_a_node"], json!({"least": 0, "median": 0, "most": 40}));
    let observed = replayed.observations();
    assert_eq!((&observed[0]["node"], &observed[0]["totals"]["admitted"]), (&json!(2), &json!(40)));
    assert_eq!((&observed[1]["node"], &observed[1]["totals"]["admitted"]), (&json!(0), &json!(0)));
}

/// After a reload nobody knows beforehand that a call never ends, and the nodes go on asking Redis meanwhile.
#[test]
fn call_that_hangs_after_a_reload_is_cancelled_after_an_hour_without_any_other() {
    let reload = with(op(1500, "reload"), json!({"config": document()}));
    let lines = [call(0, &["ok"]), call(1000, &["timeout"]), reload];
    let mut document = document();
    document["timeout"] = json!({"total": "off", "attempt": "off"});
    let replayed = run(&document, &lines, &["--nodes", "3"]);
    let hung = replayed.call(1);
    assert_eq!((&hung["result"], &hung["ended_ms"]), (&json!("cancelled"), &json!(1500)), "{hung}");
    let seconds = replayed.0.iter().filter(|it| it.get("second").is_some()).count();
    assert_eq!(seconds, 3601);
    // What the fleet counted is of the time in which it counted: most of it together, each node once a heartbeat.
    let fleet = &replayed.summary()["fleet"];
    assert!((0.0..0.01).contains(&number(&fleet["local"])), "{fleet}");
    assert!((2.5..=3.5).contains(&number(&fleet["exchanges_per_s"])), "{fleet}");
}

#[test]
fn comparison_says_whose_second_it_is() {
    let other = file("other.json", &document().to_string().replace("\"limit\":100", "\"limit\":50"));
    let path = other.to_str().expect("a path").to_owned();
    let replayed = run(&document(), &calls(300, 4), &["--nodes", "3", "--compare", &path]);
    fs::remove_file(other).expect("the file is there");
    let limits: Vec<_> =
        replayed.0.iter().filter(|it| it["second"] == 2).map(|it| (&it["config"], &it["limit"])).collect();
    assert_eq!((limits.len(), limits[0].1, limits[1].1), (2, &json!(100.0), &json!(50.0)));
    assert_eq!(limits[1].0, &json!(path));
}

#[test]
fn without_nodes_nothing_is_said_of_a_fleet() {
    let replayed = run(&document(), &calls(10, 2), &[]);
    assert!(replayed.0.iter().all(|it| it.get("second").is_none() && it.get("node").is_none()));
    assert!(replayed.summary().get("fleet").is_none());
}

#[test]
fn what_cannot_be_is_refused_by_name_value_and_range() {
    let refused = |args: &[&str], lines: &[Value]| {
        let all: Vec<&str> = ["simulate", "--trace", "-", "--preset", "simple"].iter().chain(args).copied().collect();
        let output = rampart(&all, &trace(lines));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    for (args, named) in [
        (&["--nodes", "0"][..], "1..=10000"),
        (&["--nodes", "10001"], "1..=10000"),
        (&["--partition", "1s..2s"], "--nodes"),
        (&["--redis-local-share", "0.5"], "--nodes"),
        (&["--nodes", "3", "--partition", "2s..1s"], "after it begins (got 2s..1s)"),
        (&["--nodes", "3", "--redis-latency", "60001"], "60000"),
        (&["--nodes", "3", "--redis-local-share", "1.5"], "local_share must be above 0 and at most 1 (got 1.5)"),
        (&["--nodes", "3", "--html", "page.html"], "--html"),
    ] {
        let said = refused(args, &[]);
        assert!(said.contains(named), "{args:?}: {said}");
    }
    let to_node = |node: u64| [with(call(0, &["ok"]), json!({"node": node}))];
    let said = refused(&["--nodes", "3"], &to_node(3));
    assert!(said.contains("line 1: node must be between 0 and 2") && said.contains("(got 3)"), "{said}");
    assert!(refused(&[], &to_node(1)).contains("node must be between 0 and 0"));
    let said = refused(&["--nodes", "3"], &[with(op(0, "reset"), json!({"node": 1}))]);
    assert!(said.contains("this op has no node"), "{said}");
}
