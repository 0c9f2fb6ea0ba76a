//! `rampart bench` as a program: its value, its table, its refusals. What the numbers are made of is tested in `src/bench`.

mod support;

use serde_json::Value;
use support::run;

const ALL: [&str; 7] = [
    "preset_loading",
    "settings_initialization",
    "resilience_config_loading",
    "service_initialization",
    "custom_config_loading",
    "legacy_config_loading",
    "validation_performance",
];

fn value(args: &[&str]) -> Value {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

fn names(value: &Value) -> Vec<&str> {
    let results = value["benchmark_suite"]["results"].as_array().expect("results");
    results.iter().map(|it| it["operation"].as_str().expect("a name")).collect()
}

#[test]
fn suite_is_one_json_value_of_seven_operations() {
    let value = value(&["bench", "--iterations", "3", "--json"]);
    assert_eq!(names(&value), ALL);
    for result in value["benchmark_suite"]["results"].as_array().expect("results") {
        let number = |name: &str| result[name].as_f64().unwrap_or_else(|| panic!("{name} of {result}"));
        assert_eq!((result["iterations"].as_u64(), number("success_rate")), (Some(3), 1.0), "{result}");
        assert!(number("min_duration_ms") > 0.0, "{result}");
        assert!(number("min_duration_ms") <= number("avg_duration_ms"), "{result}");
        assert!(number("avg_duration_ms") <= number("max_duration_ms"), "{result}");
        assert!(number("p95_duration_ms") <= number("max_duration_ms"), "{result}");
        assert_eq!(result["passed"], number("avg_duration_ms") <= number("threshold_ms"), "{result}");
    }
    let subjects = value["pipeline"]["subjects"].as_array().expect("subjects");
    assert_eq!(subjects[0]["over_bare_ns"].as_f64(), Some(0.0));
    assert!(subjects.iter().all(|it| it["ns_per_call"].as_f64() > Some(0.0)), "{subjects:?}");
}

#[test]
fn named_operations_alone_are_measured() {
    let value =
        value(&["bench", "--operations", "validation_performance,preset_loading", "--iterations", "1", "--json"]);
    assert_eq!(names(&value), ["preset_loading", "validation_performance"]);
    assert_eq!(value["summary"]["total_benchmarks"], 2);
}

#[test]
fn table_names_every_operation_and_the_pipeline() {
    let output = run(&["bench", "--iterations", "1"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    for name in ALL.into_iter().chain(["bare service", "`production`"]) {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}: {text}");
    }
}

#[test]
fn bad_usage_is_refused_before_anything_is_measured() {
    for (args, words) in [
        (["--iterations", "0"], "1..=10000"),
        (["--iterations", "10001"], "1..=10000"),
        (["--iterations", "many"], "--iterations"),
        (["--operations", "preset_loading,nonsense"], "validation_performance"),
        (["--operations", ""], "--operations"),
    ] {
        let output = run(&["bench", args[0], args[1]]);
        let line = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
        assert!(output.stdout.is_empty() && line.contains(words), "{line}");
    }
}
