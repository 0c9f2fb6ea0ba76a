//! Each lint is found where its arithmetic says so and not one step beside; the presets' own are pinned.

mod documents;

use std::collections::BTreeSet;

use documents::document;
use proptest::prelude::*;
use tower_rampart_config::{Lint, LintInput, Preset, ResilienceConfig, lint};

fn input(calls_per_second: impl Into<Option<f64>>, replicas: impl Into<Option<u32>>) -> LintInput {
    LintInput { calls_per_second: calls_per_second.into(), replicas: replicas.into() }
}

fn of(document: &str, input: &LintInput) -> Vec<Lint> {
    lint(&ResilienceConfig::over(Preset::Development, document).expect("the document is valid"), input)
}

fn lines(found: &[Lint]) -> Vec<String> {
    found
        .iter()
        .map(|it| {
            format!("{}{} {}", it.operation.as_ref().map_or(String::new(), |it| format!("{it}: ")), it.code, it.message)
        })
        .collect()
}

#[test]
fn the_lints_of_the_presets_are_pinned() {
    let of = |preset| lines(&lint(&ResilienceConfig::from_preset(preset), &LintInput::default()));
    assert_eq!(of(Preset::Simple), ["L001 3 attempts of 30s and waits of 4s take 94s, and the total time is 60s"]);
    assert_eq!(
        of(Preset::Development),
        [
            "qa: L001 3 attempts of 10s and waits of 4s take 34s, and the total time is 30s",
            "sentiment: L001 2 attempts of 10s and waits of 1s take 21s, and the total time is 10s",
            "sentiment: L003 an attempt may take 10s, and the whole call 10s: the attempt timeout never ends anything",
        ]
    );
    let slot = |total| {
        format!(
            "L015 a probe keeps its slot for 60s, and timeout.total lets it take {total}s: what it ends with after that does not count"
        )
    };
    let expected = [
        "L001 5 attempts of 30s and waits of 23s take 173s, and the total time is 100s".to_owned(),
        "L011 10 failed calls of 5 attempts open the circuit: 50 attempts fail before".to_owned(),
        slot(100),
        "key_points: L001 3 attempts of 30s and waits of 4s take 94s, and the total time is 30s".to_owned(),
        "key_points: L003 an attempt may take 30s, and the whole call 30s: the attempt timeout never ends anything"
            .to_owned(),
        "qa: L001 7 attempts of 30s and waits of 96s take 306s, and the total time is 300s".to_owned(),
        "qa: L011 10 failed calls of 7 attempts open the circuit: 70 attempts fail before".to_owned(),
        format!("qa: {}", slot(300)),
        "questions: L001 3 attempts of 30s and waits of 4s take 94s, and the total time is 30s".to_owned(),
        "questions: L003 an attempt may take 30s, and the whole call 30s: the attempt timeout never ends anything"
            .to_owned(),
        "sentiment: L001 2 attempts of 30s and waits of 1s take 61s, and the total time is 10s".to_owned(),
        "sentiment: L003 an attempt may take 30s, and the whole call 10s: the attempt timeout never ends anything"
            .to_owned(),
        "summarize: L001 5 attempts of 30s and waits of 32s take 182s, and the total time is 120s".to_owned(),
        "summarize: L011 8 failed calls of 5 attempts open the circuit: 40 attempts fail before".to_owned(),
        format!("summarize: {}", slot(120)),
    ];
    assert_eq!(of(Preset::Production), expected);
}

/// Code, a document with it, one a step beside without it, what is known of the traffic, and the arithmetic that is shown.
type Case = (&'static str, &'static str, &'static str, (Option<f64>, Option<u32>), &'static str);

/// Over the preset `development`: 2 attempts, waits of 1 to 5 s, 10 s for an attempt and 40 s in all.
const CASES: [Case; 25] = [
    (
        "L001",
        r#"{"timeout": {"total": "20.9s"}}"#,
        r#"{"timeout": {"total": "21s"}}"#,
        (None, None),
        "2 attempts of 10s and waits of 1s take 21s",
    ),
    (
        "L002",
        r#"{"retry": {"max_attempts": 4}, "timeout": {"total": "4s", "attempt": "off"}}"#,
        r#"{"retry": {"max_attempts": 4}, "timeout": {"total": "4.1s", "attempt": "off"}}"#,
        (None, None),
        "the waits between 4 attempts take 4s, and the total time is 4s: only 3 can begin",
    ),
    (
        "L002",
        r#"{"retry": {"max_attempts": 1000000}}"#,
        r#"{"retry": {"max_attempts": 10}}"#,
        (None, None),
        "take 4999983s, and the total time is 40s: only 11 can begin",
    ),
    (
        "L003",
        r#"{"timeout": {"attempt": "40s"}}"#,
        r#"{"timeout": {"attempt": "39s"}}"#,
        (None, None),
        "an attempt may take 40s, and the whole call 40s",
    ),
    (
        "L004",
        r#"{"circuit_breaker": {"recovery_timeout": "9s"}}"#,
        r#"{"circuit_breaker": {"recovery_timeout": "10s"}}"#,
        (None, None),
        "open for 9s, and an attempt may take 10s",
    ),
    (
        "L005",
        r#"{"concurrency": {"queue_size": 1, "queue_timeout": 40}}"#,
        r#"{"concurrency": {"queue_size": 1, "queue_timeout": 39}}"#,
        (None, None),
        "wait 40s for a permit, and the whole call may take 40s",
    ),
    (
        "L006",
        r#"{"rate_limit": {"requests_per_second": 1, "on_limit": "wait", "max_wait": 40}}"#,
        r#"{"rate_limit": {"requests_per_second": 1, "on_limit": "reject", "max_wait": 40}}"#,
        (None, None),
        "wait 40s for the rate limit",
    ),
    (
        "L007",
        r#"{"circuit_breaker": {"failure_rate_threshold": 0.5, "window": {"type": "time", "size": "19s"}}}"#,
        r#"{"circuit_breaker": {"failure_rate_threshold": 0.5, "window": {"type": "time", "size": "20s"}}}"#,
        (None, None),
        "holds 19s, and 2 attempts of 10s take 20s",
    ),
    (
        "L008",
        r#"{"circuit_breaker": {"failure_rate_threshold": 0.5, "minimum_calls": 11, "window": {"type": "time", "size": "20s"}}}"#,
        r#"{"circuit_breaker": {"failure_rate_threshold": 0.5, "minimum_calls": 10, "window": {"type": "time", "size": "20s"}}}"#,
        (Some(2.0), Some(4)),
        "0.5 calls a second in a window of 20s are 10, and 11 are needed",
    ),
    (
        "L008",
        r#"{"rate_limit": {"requests_per_minute": 6}, "circuit_breaker": {"slow_call_duration": 1, "slow_call_rate_threshold": 1, "minimum_calls": 3, "window": {"type": "time", "size": "20s"}}}"#,
        r#"{"rate_limit": {"requests_per_minute": 9}, "circuit_breaker": {"slow_call_duration": 1, "slow_call_rate_threshold": 1, "minimum_calls": 3, "window": {"type": "time", "size": "20s"}}}"#,
        (None, None),
        "0.1 calls a second in a window of 20s are 2, and 3 are needed",
    ),
    (
        "L009",
        r#"{"retry": {"max_attempts": 3, "budget": {"enabled": false}}}"#,
        r#"{"retry": {"max_attempts": 3, "budget": {"enabled": true}}}"#,
        (None, None),
        "an outage meets 3 x its load",
    ),
    (
        "L010",
        r#"{"retry": {"max_attempts": 5}}"#,
        r#"{"retry": {"max_attempts": 5, "budget": {"min_per_second": 7}}}"#,
        (Some(100.0), Some(10)),
        "10 replicas x 10 retries a second are 100 that time alone pays for, and 100 calls a second come: the budget lets an outage meet 2.2 x",
    ),
    (
        "L011",
        r#"{"retry_attempts": 5}"#,
        r#"{"retry_attempts": 4}"#,
        (None, None),
        "3 failed calls of 5 attempts open the circuit: 15 attempts fail before",
    ),
    (
        "L011",
        r#"{"retry_attempts": 7}"#,
        r#"{"retry_attempts": 7, "circuit_breaker": {"scope": "attempt"}}"#,
        (None, None),
        "21 attempts fail before",
    ),
    (
        "L012",
        r#"{"jitter_enabled": false}"#,
        r#"{"jitter_enabled": true}"#,
        (None, Some(2)),
        "2 replicas that fail together all retry 1s later",
    ),
    (
        "L012",
        r#"{"retry": {"jitter": {"max": 0}}}"#,
        r#"{"retry": {"jitter": {"max": 1}}}"#,
        (None, Some(30)),
        "30 replicas",
    ),
    (
        "L013",
        r#"{"circuit_breaker": {"slow_call_duration": 40, "slow_call_rate_threshold": 0.5}}"#,
        r#"{"circuit_breaker": {"slow_call_duration": 39, "slow_call_rate_threshold": 0.5}}"#,
        (None, None),
        "slow from 40s on, and timeout.total ends it at 40s",
    ),
    (
        "L014",
        r#"{"circuit_breaker": {"slow_call_duration": 1}}"#,
        r#"{"circuit_breaker": {"slow_call_duration": 1, "slow_call_rate_threshold": 0.5}}"#,
        (None, None),
        "without circuit_breaker.slow_call_rate_threshold",
    ),
    (
        "L015",
        r#"{"circuit_breaker": {"half_open_max_wait": 39}}"#,
        r#"{"circuit_breaker": {"half_open_max_wait": 40}}"#,
        (None, None),
        "keeps its slot for 39s, and timeout.total lets it take 40s",
    ),
    (
        "L016",
        r#"{"rate_limit": {"requests_per_second": 9}, "concurrency": {"max_inflight": 5, "queue_size": 3}}"#,
        r#"{"rate_limit": {"requests_per_second": 9}, "concurrency": {"max_inflight": 5, "queue_size": 4}}"#,
        (None, None),
        "9 calls may come at once, and 5 in flight and 3 waiting are 8: 1 are refused",
    ),
    (
        "L017",
        r#"{"rate_limit": {"requests_per_second": 20}}"#,
        r#"{"rate_limit": {"requests_per_second": 25}}"#,
        (Some(50.0), Some(2)),
        "2 replicas x 20 calls a second are 40, and 50 come: 20 % are refused or wait",
    ),
    (
        "L018",
        r#"{"rate_limit": {"requests_per_second": 30}}"#,
        r#"{"rate_limit": {"requests_per_second": 30, "enabled": false}}"#,
        (None, Some(4)),
        "4 replicas x 30 calls a second are 120",
    ),
    (
        "L019",
        r#"{"retry": {"budget": {"ratio": 0, "min_per_second": 0}}}"#,
        r#"{"retry": {"budget": {"ratio": 0, "min_per_second": 0.1}}}"#,
        (None, None),
        "2 attempts are allowed, and the budget gets 0",
    ),
    (
        "L020",
        r#"{"hedge": {"delay": "3s"}, "timeout": {"attempt": "3s"}}"#,
        r#"{"hedge": {"delay": "2999ms"}, "timeout": {"attempt": "3s"}}"#,
        (None, None),
        "a hedge begins after 3s, and timeout.attempt ends the attempt after 3s",
    ),
    (
        "L021",
        r#"{"hedge": {"max_hedges": 2}, "retry": {"budget": {"enabled": false}}}"#,
        r#"{"hedge": {"max_hedges": 2}}"#,
        (None, None),
        "a service that has become slow meets 3 x its load",
    ),
];

#[test]
fn each_code_is_found_with_its_arithmetic_and_not_one_step_beside() {
    for (code, with, without, (rate, replicas), arithmetic) in CASES {
        let input = input(rate, replicas);
        let found = of(with, &input);
        let hit = found.iter().find(|it| it.code == code && it.operation.is_none());
        let hit = hit.unwrap_or_else(|| panic!("{code} is not found in {with}: {found:?}"));
        assert!(hit.message.contains(arithmetic), "{code}: {}", hit.message);
        assert!(!hit.suggestion.is_empty());
        assert!(tower_rampart_config::fields().any(|it| it.path == hit.path), "{}", hit.path);
        let beside: Vec<Lint> =
            of(without, &input).into_iter().filter(|it| it.code == code && it.operation.is_none()).collect();
        assert_eq!(beside, [], "{without}");
    }
    let codes: BTreeSet<String> = CASES.iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(codes, (1..=21).map(|it| format!("L{it:03}")).collect(), "every code has a case");
}

#[test]
fn what_is_off_has_no_lint() {
    let off = r#"{"retry": {"enabled": false, "max_attempts": 9, "budget": {"enabled": false}},
        "circuit_breaker": {"enabled": false, "recovery_timeout": "1s", "slow_call_duration": "1m"},
        "rate_limit": {"enabled": false, "requests_per_second": 1}, "concurrency": {"enabled": false, "queue_timeout": "2m"}, "hedge": {"enabled": false, "delay": "1h"}}"#;
    let found: Vec<Lint> = of(off, &input(1000.0, 10)).into_iter().filter(|it| it.operation.is_none()).collect();
    assert_eq!(found, []);
}

#[test]
fn what_holds_for_an_operation_as_for_the_base_is_listed_once() {
    let found = of(
        r#"{"timeout": {"total": "15s"}, "operation_overrides": {"a": {}, "b": {"timeout": {"total": "14s"}}}}"#,
        &LintInput::default(),
    );
    let found: Vec<String> =
        lines(&found).into_iter().filter(|it| !it.starts_with("qa") && !it.starts_with("sentiment")).collect();
    assert_eq!(
        found,
        [
            "L001 2 attempts of 10s and waits of 1s take 21s, and the total time is 15s",
            "b: L001 2 attempts of 10s and waits of 1s take 21s, and the total time is 14s",
        ]
    );
}

#[test]
fn lints_are_written_with_their_five_fields() {
    let json = serde_json::to_value(of(r#"{"timeout": {"attempt": "50s"}}"#, &LintInput::default())).unwrap();
    let first = json.as_array().unwrap().iter().find(|it| it["code"] == "L003").unwrap();
    let mut fields: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["code", "message", "operation", "path", "suggestion"]);
}

#[test]
fn suggestions_that_name_a_number_help() {
    let clean = |document: &str, code: &str, input: &LintInput| {
        of(document, input).iter().all(|it| it.code != code || it.operation.is_some())
    };
    let none = LintInput::default();
    let found = of(r#"{"timeout": {"total": "15s"}}"#, &none);
    assert_eq!(found[0].suggestion, "Let an attempt take at most 7s, or raise timeout.total to 21s");
    assert!(clean(r#"{"timeout": {"total": "15s", "attempt": "7s"}}"#, "L001", &none));
    assert!(clean(r#"{"timeout": {"total": "21s"}}"#, "L001", &none));
    assert!(of(CASES[2].1, &none).iter().any(|it| it.suggestion.contains("max_attempts to 11")));
    assert!(clean(r#"{"retry": {"max_attempts": 11}}"#, "L002", &none));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_valid_configuration_has_an_answer_that_does_not_change(
        document in document(),
        rate in prop::option::of(prop_oneof![Just(0.0), Just(f64::NAN), Just(f64::INFINITY), Just(1e-300), 0.001..1e9_f64]),
        replicas in prop::option::of(0..u32::MAX),
    ) {
        let config = ResilienceConfig::from_file_text(&document.to_string()).unwrap();
        let input = input(rate, replicas);
        let found = lint(&config, &input);
        prop_assert_eq!(&found, &lint(&config, &input));
        for it in &found {
            prop_assert!(!it.message.contains("NaN") && !it.message.contains("inf"), "{}", it.message);
        }
        let again = ResilienceConfig::from_file_text(&config.to_json().to_string()).unwrap();
        prop_assert_eq!(found, lint(&again, &input));
    }
}
