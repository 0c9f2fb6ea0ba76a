//! What is refused when a pipeline is built, and in which words; and what layers of one operation share.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Fault, Reply, assert_balanced, call, judge};
use tower::Layer;
use tower_rampart::{
    BuildError, Error, Preset, PresetBuilder, Registry, Resilience, ResilienceLayer, Verdict,
    breaker::State,
    classify::{DefaultClassifier, Given},
    pipeline::Custom,
};
use tower_rampart_config::{Capabilities, Capability};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

fn judged(builder: PresetBuilder) -> PresetBuilder<Given<Custom<Judge>>> {
    builder.classifier(judge as Judge)
}

fn text<T: std::fmt::Debug>(result: Result<T, BuildError>) -> String {
    result.expect_err("it cannot be built").to_string()
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn an_unknown_preset_names_those_there_are_and_the_nearest() {
    let words = ["'prod'", "'simple'", "'development'", "'production'", "Did you mean 'production'?"];
    assert_says(&text(ResilienceLayer::<DefaultClassifier>::from_preset("prod")), &words);
    assert_says(&text(Resilience::from_preset("prod")), &words);
    assert_says(&text(PresetBuilder::from_json(r#"{"preset": "prod"}"#)), &words);
}

#[test]
fn a_bad_document_lists_every_violation_with_path_value_range_and_suggestion() {
    let document = r#"{
        "retry_attempts": 15,
        "recovery_timeout": 5,
        "retry_atempts": 3,
        "circuit_breaker": {"success_threshold": 0, "window": {"type": "count", "size": "ten"}},
        "operation_overrides": {"summarize": {"exponential_max": 1000}}
    }"#;
    let message = text(PresetBuilder::from_json(document));
    assert_says(
        &message,
        &[
            "retry_attempts: retry_attempts must be between 1 and 10 (got 15)",
            "recovery_timeout: recovery_timeout must be between 10 and 300 (got 5)",
            "retry_atempts",
            "Did you mean 'retry_attempts'?",
            "circuit_breaker.success_threshold",
            "(got 0)",
            "circuit_breaker.window.size",
            "operation_overrides.summarize.exponential_max",
            "(got 1000)",
        ],
    );
    assert_eq!(message.lines().count(), 6, "one line each: {message}");
    assert_eq!(text(ResilienceLayer::<DefaultClassifier>::from_json(document)), message);
    assert_eq!(text(Resilience::from_json(document)), message, "every entrance says the same");
}

#[test]
fn overrides_in_code_win_and_are_judged_like_a_document() {
    let builder = || PresetBuilder::new(Preset::Production).operation("summarize");
    let layer = judged(builder().overrides_json(r#"{"retry_attempts": 4, "timeout": {"attempt": "7s"}}"#).unwrap())
        .build()
        .unwrap();
    let config = layer.handle().config();
    assert_eq!((config.retry.max_attempts, config.timeout.attempt), (4, Some(common::secs(7))));
    assert_eq!(config.circuit_breaker.failure_threshold, 8, "the rest is the preset's strategy for it");
    let named_later = PresetBuilder::new(Preset::Production)
        .overrides_json(r#"{"retry_attempts": 4}"#)
        .unwrap()
        .operation("summarize");
    let config = judged(named_later).build().unwrap().handle().config();
    assert_eq!((config.retry.max_attempts, config.circuit_breaker.failure_threshold), (4, 8), "the order is no matter");
    let twice = builder().overrides_json(r#"{"retry_attempts": 4}"#).unwrap();
    let twice = twice.overrides_json(r#"{"retry_attempts": 6}"#).unwrap();
    assert_eq!(judged(twice).build().unwrap().handle().config().retry.max_attempts, 6, "the last one wins");
    let message = text(builder().overrides_json(r#"{"retry_attempts": 0, "preset": "simple"}"#));
    assert_says(&message, &["summarize", "retry_attempts must be between 1 and 10 (got 0)", "preset"]);
}

#[test]
fn a_stage_that_this_pipeline_cannot_serve_is_refused_by_name_with_what_is_missing() {
    let quota = r#""requests_per_second": 5"#;
    let asked = [
        (r#"{"cache": {"enabled": true, "ttl": "1s"}}"#.to_owned(), "cache", "cache"),
        (r#"{"chaos": {"enabled": true, "fault_rate": 0.5}}"#.to_owned(), "chaos", "chaos"),
        (r#"{"nested_retry": {"header": "x-retried"}}"#.to_owned(), "nested_retry.header", "http"),
        (r#"{"circuit_breaker": {"per_key": "authority"}}"#.to_owned(), "circuit_breaker.per_key", "keyed"),
        (format!(r#"{{"rate_limit": {{{quota}, "per_key": "client_ip"}}}}"#), "rate_limit.per_key", "client_ip"),
        (r#"{"concurrency": {"per_key": "route"}}"#.to_owned(), "concurrency.per_key", "keyed"),
        (
            format!(r#"{{"rate_limit": {{{quota}, "tokens_per_minute": 9}}}}"#),
            "rate_limit.tokens_per_minute",
            "tokens_per_minute",
        ),
        (
            format!(r#"{{"rate_limit": {{{quota}, "learn_from_headers": true}}}}"#),
            "rate_limit.learn_from_headers",
            "learn_from_headers",
        ),
        (r#"{"classify": {"profile": "grpc"}}"#.to_owned(), "classify.profile", "grpc_profile"),
        (r#"{"classify": {"outcome_at": "end_of_body"}}"#.to_owned(), "classify.outcome_at", "end_of_body"),
        (r#"{"retry": {"methods": ["POST"]}}"#.to_owned(), "retry.methods", "http"),
        (r#"{"circuit_breaker": {"exclude": [503]}}"#.to_owned(), "circuit_breaker.exclude", "http"),
        (r#"{"fallback": {"enabled": true}}"#.to_owned(), "fallback", "fallback"),
        (r#"{"fallback": {"targets": ["http://127.0.0.1:1"]}}"#.to_owned(), "fallback.targets", "fallback_targets"),
        (r#"{"fallback": {"status": 503}}"#.to_owned(), "fallback.status", "fallback_answer"),
        (r#"{"http": {"attempt_header": "x-attempt"}}"#.to_owned(), "http.attempt_header", "attempt_header"),
        (r#"{"operation_overrides": {"a": {"cache": {"enabled": true}}}}"#.to_owned(), "cache", "cache"),
    ];
    for (document, stage, capability) in asked {
        let builder = PresetBuilder::from_json(&document).unwrap_or_else(|error| panic!("{document}: {error}"));
        let message = text(judged(builder).build());
        assert_says(&message, &[stage, &format!("capability `{capability}`"), "missing here"]);
        let all = judged(PresetBuilder::from_json(&document).unwrap()).capabilities(Capabilities::all());
        assert!(all.build().is_ok(), "{document}: nothing else is wrong with it");
    }
}

#[test]
fn plain_functions_are_refused_the_same_stages() {
    for document in
        [r#"{"cache": {"enabled": true}}"#, r#"{"fallback": {"enabled": true}}"#, r#"{"retry": {"methods": ["POST"]}}"#]
    {
        assert_says(&text(Resilience::from_json(document)), &["missing here"]);
    }
}

#[test]
fn a_stage_that_is_there_and_off_needs_nothing() {
    let document =
        r#"{"cache": {"enabled": false, "ttl": "1s"}, "hedge": {"enabled": false}, "fallback": {"enabled": false}}"#;
    assert!(judged(PresetBuilder::from_json(document).unwrap()).build().is_ok());
    let document = r#"{"fallback": {"enabled": true}}"#;
    assert!(judged(PresetBuilder::from_json(document).unwrap()).fallback_value(1).build().is_ok());
    let http = Capabilities::function().with(Capability::Http);
    let document = r#"{"retry": {"methods": ["POST"]}}"#;
    assert!(judged(PresetBuilder::from_json(document).unwrap()).capabilities(http).build().is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_cloned_and_retries_exclude_each_other() {
    let message = text(judged(PresetBuilder::new(Preset::Simple)).without_cloning().build());
    assert_says(&message, &["retry", "clone_request"]);
    for builder in
        [PresetBuilder::new(Preset::Simple).capabilities(Capabilities::all()), PresetBuilder::new(Preset::Simple)]
    {
        let message = text(judged(builder).without_cloning().capabilities(Capabilities::all()).build());
        assert_says(&message, &["clone_request"]);
    }
    let again = judged(PresetBuilder::new(Preset::Simple)).without_cloning().cloner(|request: &u32| Some(*request));
    assert!(again.build().is_ok(), "a cloner that is given later is one");
    let once = PresetBuilder::from_json(r#"{"retry": {"max_attempts": 1}}"#).unwrap();
    let layer = judged(once).without_cloning().build().unwrap();
    let backend = Backend::always(Reply::transient());
    assert!(matches!(call(&layer.layer(backend.clone()), 0).await, Err(Error::Inner(_))));
    assert_eq!(backend.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn layers_of_one_operation_and_registry_share_their_state() {
    let registry = Registry::new();
    let layer = || judged(PresetBuilder::new(Preset::Simple)).operation("shared").registry(&registry).build().unwrap();
    let (one, other) = (layer(), layer());
    one.handle().breaker().force_open();
    assert_eq!(other.handle().breaker().state(), State::ForcedOpen);
    one.handle().breaker().reset();
    let backend = Backend::new();
    for service in [one.layer(backend.clone()), one.clone().layer(backend.clone()), other.layer(backend.clone())] {
        assert!(call(&service.clone(), 0).await.is_ok());
    }
    assert_eq!(one.handle().snapshot().success, 3);
    assert_balanced(&other.handle().snapshot());
    let apart = judged(PresetBuilder::new(Preset::Simple)).operation("shared").build().unwrap();
    assert_eq!(apart.handle().snapshot().success, 0, "another registry is another operation");
}

#[test]
fn another_configuration_of_a_running_operation_is_an_error_that_says_both() {
    let registry = Registry::new();
    let builder =
        |document: &str| judged(PresetBuilder::from_json(document).unwrap()).operation("shared").registry(&registry);
    let first = builder(r#"{"retry_attempts": 4}"#).build().unwrap();
    let message = text(builder(r#"{"retry_attempts": 6}"#).build());
    assert_says(&message, &["`shared`", r#""max_attempts":4"#, r#""max_attempts":6"#]);
    assert!(builder(r#"{"retry_attempts": 4}"#).build().is_ok());
    let mut config = (*first.handle().config()).clone();
    config.retry.max_attempts = 6;
    first.handle().reconfigure(config).unwrap();
    assert!(builder(r#"{"retry_attempts": 6}"#).build().is_ok(), "it is compared with what runs now");
}
