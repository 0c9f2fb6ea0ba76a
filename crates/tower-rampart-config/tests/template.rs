//! The templates: each is a valid document of its own, and the nearest one is found by its score.

use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_rampart_config::{
    Capabilities, Limits, Preset, PresetDefinition, Presets, ResilienceConfig, Template, ViolationCode, etag, suggest,
    validate, validate_template,
};

fn suggested(document: &Value) -> (Option<&'static str>, f64) {
    let found = suggest(document);
    (found.suggested_template.map(Template::as_str), found.confidence)
}

#[test]
fn every_template_is_valid_and_is_printed_as_what_it_says() {
    for template in Template::ALL {
        let text = template.document().to_string();
        let result = validate(&text, Limits::text(), &Capabilities::http(), None);
        assert!(result.is_valid, "{template}: {:?}", result.errors);
        assert!(validate_template(template.as_str(), None, &Capabilities::http(), None).is_valid);
        let config = ResilienceConfig::from_json(&text).unwrap();
        let printed = ResilienceConfig::from_json(&config.to_json().to_string()).unwrap();
        assert_eq!(etag(&printed), etag(&config), "{template}");
        let flat = template.document();
        assert_eq!(config.base().retry.max_attempts, u32::try_from(flat["retry_attempts"].as_u64().unwrap()).unwrap());
        assert_eq!(
            config.base().circuit_breaker.recovery_timeout.as_secs(),
            flat["recovery_timeout"].as_u64().unwrap()
        );
        assert_eq!(template.as_str().parse(), Ok(template));
        let title: String =
            template.as_str().split('_').map(|it| it[..1].to_uppercase() + &it[1..]).collect::<Vec<_>>().join(" ");
        assert_eq!(template.title(), title);
        assert!(!template.description().is_empty());
    }
    assert_eq!(Template::ALL.map(Template::as_str), Template::NAMES);
}

#[test]
fn the_table_of_templates_is_pinned() {
    let table: Vec<String> = Template::ALL
        .iter()
        .map(|it| {
            let base = ResilienceConfig::from_json(&it.document().to_string()).unwrap().base();
            let (retry, breaker) = (&base.retry, &base.circuit_breaker);
            format!(
                "{it} {} {} {:?} | {:?} {:?}..{:?} {:?} | {:?}",
                retry.max_attempts,
                breaker.failure_threshold,
                breaker.recovery_timeout,
                retry.backoff.base,
                retry.backoff.min,
                retry.backoff.max,
                retry.jitter.max,
                base.timeout.total.unwrap()
            )
        })
        .collect();
    assert_eq!(
        table,
        [
            "fast_development 1 2 15s | 500ms 1s..5s 2s | 10s",
            "robust_production 6 12 180s | 2s 4s..30s 2s | 120s",
            "low_latency 1 2 10s | 500ms 500ms..5s 2s | 5s",
            "high_throughput 3 8 45s | 1s 2s..10s 2s | 30s",
            "maximum_reliability 8 15 300s | 2s 3s..60s 5s | 300s",
        ]
    );
}

#[test]
fn two_templates_are_the_documents_of_the_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../../../shared/vectors/config.json"))
        .or_else(|_| fs::read_to_string(root.join("../../vectors/config.json")))
        .expect("the vectors lie at the root of the workspace");
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut seen = 0;
    for template in Template::ALL {
        let name = format!("template_{template}");
        let Some(vector) = vectors.iter().find(|it| it["name"] == name) else { continue };
        seen += 1;
        let document: Value = serde_json::from_str(vector["text"].as_str().unwrap()).unwrap();
        assert_eq!(document, template.document(), "{template}");
    }
    assert_eq!(seen, 2);
}

#[test]
fn the_nearest_template_is_suggested_with_the_share_of_equal_fields() {
    let table = [
        (json!({}), Some("high_throughput"), 0.5),
        (
            json!({"retry_attempts": 3, "circuit_breaker_threshold": 5, "default_strategy": "balanced"}),
            Some("high_throughput"),
            0.6667,
        ),
        (
            json!({"retry_attempts": 1, "circuit_breaker_threshold": 2, "default_strategy": "aggressive"}),
            Some("fast_development"),
            1.0,
        ),
        (json!({"retry_attempts": 2, "default_strategy": "aggressive"}), Some("fast_development"), 0.5),
        (json!({"retry_attempts": 6, "circuit_breaker_threshold": 12}), Some("robust_production"), 1.0),
        (
            json!({"retry": {"max_attempts": 6}, "circuit_breaker": {"failure_threshold": 12}}),
            Some("robust_production"),
            1.0,
        ),
        (
            json!({"retry_attempts": 10, "circuit_breaker_threshold": 20, "default_strategy": "critical"}),
            Some("maximum_reliability"),
            0.3333,
        ),
        (json!({"retry_attempts": 10, "circuit_breaker_threshold": 1, "default_strategy": "turbo"}), None, 0.0),
        (
            json!({"retry_attempts": "x", "circuit_breaker_threshold": [], "default_strategy": 5}),
            Some("high_throughput"),
            0.0,
        ),
        (json!({"retry_attempts": 1e300}), Some("high_throughput"), 0.0),
        (json!(null), Some("high_throughput"), 0.5),
    ];
    for (document, template, confidence) in table {
        assert_eq!(suggested(&document), (template, confidence), "{document}: {}", suggest(&document).reasoning);
    }
}

#[test]
fn a_suggestion_is_written_with_the_fields_of_the_interface() {
    let json = serde_json::to_value(suggest(&json!({"retry_attempts": 8, "default_strategy": "critical"}))).unwrap();
    assert_eq!(json["suggested_template"], "maximum_reliability");
    assert_eq!(json["available_templates"], json!(Template::NAMES));
    assert_eq!(json["confidence"], 1.0);
    assert!(json["reasoning"].as_str().is_some_and(|it| it.contains("maximum_reliability")));
}

#[test]
fn overrides_take_the_place_of_whole_fields_and_are_judged_like_any_document() {
    let judged = |overrides| validate_template("robust_production", Some(overrides), &Capabilities::http(), None);
    assert!(judged(r#"{"operation_overrides": {"export": "critical"}, "retry_attempts": 2}"#).is_valid);
    let cases = [
        (r#"{"retry_attempts": 20}"#, "retry_attempts", ViolationCode::Range),
        (r#"{"operation_overrides": {"qa": "turbo"}}"#, "operation_overrides.qa", ViolationCode::UnknownValue),
        (r#"{"retry": {"max_attempts": 4}}"#, "retry_attempts", ViolationCode::Conflict),
        (r#"{"retry_attempts": 2, "retry_attempts": 3}"#, "retry_attempts", ViolationCode::DuplicateKey),
        (r#"{"exponential_min": 9, "exponential_max": 8}"#, "exponential_min", ViolationCode::CrossField),
        (r#"{"fallback": {"status": 503}}"#, "fallback.status", ViolationCode::Unsupported),
        ("[]", "", ViolationCode::NotAnObject),
        ("{", "", ViolationCode::Syntax),
    ];
    for (overrides, path, code) in cases {
        let result = judged(overrides);
        assert!(!result.is_valid, "{overrides}");
        assert!(
            result.violations.iter().any(|it| it.path == path && it.code == code),
            "{overrides}: {:?}",
            result.violations
        );
        assert_eq!(result.security_info.size_bytes, overrides.len());
    }
    let known = validate_template("robust_production", None, &Capabilities::http(), Some(&["qa"]));
    assert_eq!(
        known.violations.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(),
        ["operation_overrides.summarize"]
    );
}

#[test]
fn an_unknown_name_is_a_result_that_lists_templates_and_presets() {
    let result = validate_template("low_latancy", Some("{}"), &Capabilities::http(), None);
    assert!(!result.is_valid);
    assert_eq!(result.violations[0].path, "template_name");
    for name in Template::NAMES.iter().chain(&["simple", "development", "production"]) {
        assert!(result.errors[0].contains(&format!("'{name}'")), "{:?}", result.errors);
    }
    assert_eq!(result.suggestions, ["Did you mean 'low_latency'?"]);
    assert!("Low_Latency".parse::<Template>().unwrap_err().to_string().contains("'low_latency'"));
}

#[test]
fn presets_can_be_named_like_templates_registered_ones_too() {
    let mut presets = Presets::builtin();
    presets.register(PresetDefinition { name: "batch".to_owned(), ..Preset::Simple.definition() }).unwrap();
    let judged = |name| presets.validate_template(name, Some(r#"{"retry_attempts": 2}"#), &Capabilities::http(), None);
    for name in ["simple", "development", "production", "batch"] {
        assert!(judged(name).is_valid, "{name}");
    }
    assert!(judged("nobody").errors[0].contains("'batch'"));
    let merged =
        presets.validate_template("development", Some(r#"{"exponential_min": 6}"#), &Capabilities::http(), None);
    assert_eq!(merged.violations[0].code, ViolationCode::CrossField, "what the merge breaks is found");
}

proptest! {
    #[test]
    fn a_template_with_overrides_is_judged_as_the_document_that_they_make(
        template in prop::sample::select(Template::ALL.to_vec()),
        attempts in prop::option::of(0..12_u32),
        min in prop::option::of(0..12_u32),
        strategy in prop::option::of(prop::sample::select(vec!["critical", "turbo"])),
    ) {
        let mut overrides = json!({});
        let mut whole = template.document();
        for (name, value) in [("retry_attempts", attempts.map(Value::from)), ("exponential_min", min.map(Value::from)), ("default_strategy", strategy.map(Value::from))] {
            if let Some(value) = value {
                overrides[name] = value.clone();
                whole[name] = value;
            }
        }
        let result = validate_template(template.as_str(), Some(&overrides.to_string()), &Capabilities::http(), None);
        let direct = validate(&whole.to_string(), Limits::text(), &Capabilities::http(), None);
        let mut said = (result.errors, direct.errors);
        said.0.sort_unstable();
        said.1.sort_unstable();
        prop_assert_eq!(said.0, said.1);
        prop_assert_eq!(result.security_info.field_count, direct.security_info.field_count);
    }
}
