//! The schema and the one path that judges documents agree wherever a schema can say it; an independent validator reads the schema.

mod documents;

use std::{fs, path::Path, sync::LazyLock};

use documents::{document, put};
use jsonschema::Validator;
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};
use tower_rampart_config::{
    Capabilities, Limits, Preset, PresetDefinition, Presets, Violation, ViolationCode, fields, schema, validate,
};

static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&schema()).expect("the schema is a schema"));

/// The value at a violation's path; keys may hold dots themselves.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    let path = path.strip_prefix('.').unwrap_or(path);
    if let Some((index, rest)) = path.strip_prefix('[').and_then(|it| it.split_once(']')) {
        return at(value.get(index.parse::<usize>().ok()?)?, rest);
    }
    let fits = |key: &str| path.strip_prefix(key).filter(|it| it.is_empty() || it.starts_with(['.', '[']));
    value.as_object()?.iter().find_map(|(key, inner)| at(inner, fits(key)?))
}

/// Whether a violation breaks a rule that the docs of `Presets::schema` say no schema can state.
fn is_beyond_schemas(violation: &Violation, document: &Value) -> bool {
    let value = at(document, &violation.path);
    match violation.code {
        ViolationCode::DuplicateKey
        | ViolationCode::TooLarge
        | ViolationCode::ForbiddenCharacter
        | ViolationCode::ForbiddenPattern
        | ViolationCode::CrossField
        | ViolationCode::UnknownOperation
        | ViolationCode::Unsupported => true,
        ViolationCode::Type | ViolationCode::UnknownValue | ViolationCode::Range => {
            let is_whole = value.and_then(Value::as_f64).is_some_and(|it| it.fract() == 0.0);
            let is_float = value.is_some_and(Value::is_f64) && is_whole;
            let is_duration = value.and_then(Value::as_str).is_some_and(|it| it.ends_with(['s', 'm', 'h']));
            let is_header =
                violation.code == ViolationCode::UnknownValue && violation.path.ends_with("nested_retry.header");
            is_float || is_header || violation.code == ViolationCode::Range && is_duration
        }
        ViolationCode::Missing => {
            violation.path.starts_with("operation_overrides.") && violation.path.ends_with(".rate_limit")
        }
        ViolationCode::TooManyProperties => {
            violation.path == "operation_overrides" && value.and_then(Value::as_object).is_some_and(|it| it.len() <= 50)
        }
        _ => false,
    }
}

/// Nothing if both agree on a text, or differ by a rule that is beyond schemas.
fn disagreement(text: &str) -> Option<String> {
    let result = validate(text, Limits::file(), &Capabilities::all(), None);
    // What no parser of JSON reads is nothing for a schema.
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return result.is_valid.then(|| format!("{text} is no JSON, and valid"));
    };
    let accepted = SCHEMA.is_valid(&document);
    // Of a key that stands twice the parser of the schema's document keeps the last, and this one judges the first.
    let twice =
        |path: &str| result.violations.iter().any(|it| it.code == ViolationCode::DuplicateKey && it.path == path);
    let beyond =
        !result.is_valid && result.violations.iter().all(|it| is_beyond_schemas(it, &document) || twice(&it.path));
    let agree = accepted == result.is_valid || accepted && beyond;
    let said: Vec<String> = SCHEMA.iter_errors(&document).map(|it| it.to_string()).collect();
    (!agree).then(|| format!("{text}: the schema says {said:?}, the validator {:?}", result.violations))
}

/// Values at and beyond the edges of most fields.
const POOL: &str = r#"[
    "", "off", "idempotent", "all", "call", "attempt", "count", "time", "full", "additive", "gcra", "wait", "http", "grpc", "headers",
    "aimd", "critical", "production", "batch", "2s", "1ms", "0s", "24h", "90m", "1.5s", "5", "1d", "1.1234567891s", "x-attempt",
    "x attempt", "header:x-tenant", "header:", "client_ip", "tenant",
    -1, 0, 0.1, 0.5, 1, 2.5, 3, 5, 10, 20, 100, 300, 599, 600, 601, 86400, 86401, 1000000, 1000001, 18446744073709551615, 1e300, -0.0,
    null, true, false, [], [1], [503, 599, 999], [99], [1000], ["POST"], ["post"], ["x-a", "grpc-timeout"], [17], ["ok"], [[]], [null],
    ["transient", 16, 503, "UNAVAILABLE"], ["http://a:1/b?c#d", "https://[::1]"], ["http://"], ["http://:1"], ["http://u@h"], ["ftp://a"],
    ["http://a b"], [503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503],
    [503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503,503],
    {}, {"a": 1}, {"qa": "critical", "x": {}}, {"/a": "qa", "header:x=y z": "b", "/": "c"}, {"a?": "qa"}, {"/a": "1"}, {"/a?b": "qa"},
    {"header:x": "qa"}, {"1": "critical"}, {"qa": "turbo"}, {"qa": {"preset": "simple"}}, {"qa": {"gateway": {}}},
    {"qa": {"monitoring": {}}}, {"qa": null}
]"#;

fn pool() -> Vec<Value> {
    serde_json::from_str(POOL).expect("the pool is JSON")
}

/// Whether all that stands on the way to a path is an object.
fn is_open(object: &Value, path: &str) -> bool {
    let Some((section, rest)) = path.split_once('.') else { return object.is_object() };
    object.is_object() && object.get(section).is_none_or(|it| is_open(it, rest))
}

#[test]
fn the_schema_is_one_of_the_draft_it_names() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn the_schema_agrees_on_every_vector() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../../../shared/vectors/config.json"))
        .or_else(|_| fs::read_to_string(root.join("../../vectors/config.json")))
        .expect("the vectors lie at the root of the workspace");
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(vectors.len(), 173);
    let wrong: Vec<String> = vectors.iter().filter_map(|it| disagreement(it["text"].as_str().unwrap())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_schema_agrees_on_every_field_with_every_value() {
    let (mut wrong, mut accepted) = (Vec::new(), 0);
    for field in fields() {
        for value in pool() {
            let mut alone = Map::new();
            put(&mut alone, field.path, value);
            let alone = Value::Object(alone);
            let inside = json!({"rate_limit": {"limit": 1, "period": 1}, "operation_overrides": {"qa": alone}});
            for document in [alone, inside] {
                let text = document.to_string();
                accepted += usize::from(SCHEMA.is_valid(&document));
                wrong.extend(disagreement(&text));
            }
        }
    }
    assert!(wrong.is_empty(), "{} disagreements\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(accepted > 1000, "{accepted} documents are accepted");
}

#[test]
fn twins_and_companions_are_judged_alike() {
    let fields: Vec<_> = fields().collect();
    let sound = |path: &str| -> Option<Value> {
        let all = documents::sound(true).into_iter().chain(documents::sound(false));
        let extra = [
            ("rate_limit.requests_per_second", json!(5)),
            ("rate_limit.limit", json!(5)),
            ("classify.outcome_at", json!("headers")),
            ("http.outcome_at", json!("headers")),
        ];
        all.map(|(path, values)| (path, values[0].clone())).chain(extra).find(|it| it.0 == path).map(|it| it.1)
    };
    let mut pairs = 0;
    for field in fields.iter().filter(|it| it.same_as.is_some()) {
        for other in fields.iter().filter(|it| it.path != field.path) {
            let one_thing = other.same_as == field.same_as || field.same_as == Some(other.path);
            let (Some(a), Some(b)) = (sound(field.path), sound(other.path)) else {
                assert!(!one_thing, "no sound value for {} and {}", field.path, other.path);
                continue;
            };
            let mut document = Map::new();
            put(&mut document, field.path, a);
            put(&mut document, other.path, b);
            let document = Value::Object(document);
            pairs += usize::from(one_thing);
            assert!(!one_thing || !SCHEMA.is_valid(&document), "{document}");
            assert_eq!(disagreement(&document.to_string()), None);
            assert_eq!(disagreement(&json!({"operation_overrides": {"qa": document}}).to_string()), None);
        }
    }
    assert!(pairs >= 10, "{pairs} pairs of twins");
    for text in [
        r#"{"rate_limit": {"limit": 5}}"#,
        r#"{"rate_limit": {"period": 5}}"#,
        r#"{"rate_limit": {}}"#,
        r#"{"rate_limit": {"enabled": true, "burst_size": 2}}"#,
        r#"{"circuit_breaker": {"window": {"type": "time"}}}"#,
        r#"{"circuit_breaker": {"window": {"type": "time", "size": 5}}}"#,
        r#"{"circuit_breaker": {"window": {"type": "count", "size": "5s"}}}"#,
        r#"{"circuit_breaker": {"window": {"size": "5s"}}}"#,
        r#"{"concurrency": {"adaptive": {"min": 5}}}"#,
        r#"{"hedge": {"delay": 1, "percentile": 95}}"#,
    ] {
        assert_eq!(disagreement(text), None);
    }
    for (text, accepted) in [
        (r#"{"rate_limit": {"enabled": false}}"#, true),
        (r#"{"rate_limit": {"limit": 5, "period": 5}}"#, true),
        (r#"{"rate_limit": {"limit": 5}}"#, false),
        (r#"{"circuit_breaker": {"window": {"type": "time", "size": "5s"}}}"#, true),
        (r#"{"circuit_breaker": {"window": {"type": "count", "size": "5s"}}}"#, false),
        (r#"{"concurrency": {"adaptive": {"min": 5}}}"#, false),
        (r#"{"hedge": {"delay": 1, "percentile": 95}}"#, false),
    ] {
        assert_eq!(SCHEMA.is_valid(&serde_json::from_str(text).unwrap()), accepted, "{text}");
    }
}

#[test]
fn each_rule_that_is_said_to_be_beyond_schemas_is() {
    let operations = |count: usize| -> Value {
        (0..count).map(|it| (format!("op{it}"), json!("critical"))).collect::<Map<_, _>>().into()
    };
    let crowded = json!({"preset": "production", "operation_overrides": operations(50)}).to_string();
    let large = format!(r#"{{"retry_attempts": 3{}}}"#, " ".repeat(70_000));
    let table = [
        (r#"{"retry_attempts": 3, "retry_attempts": 3}"#, ViolationCode::DuplicateKey),
        (&large, ViolationCode::TooLarge),
        (r#"{"retry_attempts": 3.0}"#, ViolationCode::Type),
        (r#"{"timeout": {"total": "25h"}}"#, ViolationCode::Range),
        (r#"{"fallback": {"body": "<script>"}}"#, ViolationCode::ForbiddenPattern),
        (r#"{"fallback": {"body": "\u0007"}}"#, ViolationCode::ForbiddenCharacter),
        (r#"{"exponential_min": 9.0, "exponential_max": 6.0}"#, ViolationCode::CrossField),
        (r#"{"operation_overrides": {"qa": {"rate_limit": {"burst_size": 2}}}}"#, ViolationCode::Missing),
        (r#"{"nested_retry": {"header": "Host"}}"#, ViolationCode::UnknownValue),
        (r#"{"circuit_breaker": {"per_key": "header:te"}}"#, ViolationCode::UnknownValue),
        (&crowded, ViolationCode::TooManyProperties),
    ];
    for (text, code) in table {
        let result = validate(text, Limits::file(), &Capabilities::all(), None);
        assert!(result.violations.iter().any(|it| it.code == code), "{text:.80}: {:?}", result.violations);
        assert!(SCHEMA.is_valid(&serde_json::from_str(text).unwrap()), "{text:.80}");
    }
    let text = r#"{"fallback": {"status": 503}, "operation_overrides": {"qa": "critical"}}"#;
    let result = validate(text, Limits::file(), &Capabilities::http(), Some(&["export"]));
    let codes: Vec<ViolationCode> = result.violations.iter().map(|it| it.code).collect();
    assert_eq!(codes, [ViolationCode::UnknownOperation, ViolationCode::Unsupported]);
    assert!(SCHEMA.is_valid(&serde_json::from_str(text).unwrap()));
}

#[test]
fn every_field_has_its_sentence_in_the_schema_and_a_registered_preset_its_name() {
    let mut presets = Presets::builtin();
    presets.register(PresetDefinition { name: "batch".to_owned(), ..Preset::Simple.definition() }).unwrap();
    let schema = presets.schema();
    assert_eq!(schema["properties"]["preset"]["enum"], json!(["simple", "development", "production", "batch"]));
    for field in fields() {
        let mut place = &schema;
        for name in field.path.split('.') {
            if let Some(reference) = place.get("$ref").and_then(Value::as_str) {
                place = schema.pointer(reference.trim_start_matches('#')).unwrap();
            }
            place = &place["properties"][name];
        }
        assert!(place["description"].as_str().is_some_and(|it| it.starts_with(field.doc)), "{}", field.path);
    }
}

proptest! {
    #[test]
    fn the_schema_agrees_on_generated_documents(
        document in document(),
        wild in prop::collection::vec((any::<prop::sample::Index>(), select(pool()), any::<bool>()), 0..4),
    ) {
        let mut document = document;
        let all: Vec<_> = fields().collect();
        for (at, value, inside) in wild {
            let path = all[at.index(all.len())].path;
            let path = if inside { format!("operation_overrides.wild.{path}") } else { path.to_owned() };
            if is_open(&document, &path) {
                put(document.as_object_mut().unwrap(), &path, value);
            }
        }
        prop_assert_eq!(disagreement(&document.to_string()), None);
    }
}
