//! The rules between fields as a schema: what excludes and what needs what. Their twins in code are in `document/rules.rs`.

use serde_json::{Value as Json, json};

use super::kinds;
use crate::{field, kind::Kind};

/// What must stand in a section together, as keywords of its object.
pub(super) fn of_section(path: &str) -> Json {
    match path {
        "rate_limit" => json!({
            "dependentRequired": { "limit": ["period"], "period": ["limit"] },
            "allOf": excluded("rate_limit"),
        }),
        "circuit_breaker.window" => {
            let size = |kind| json!({ "properties": { "size": kinds::schema(kind) } });
            let Some(Kind::WindowSize { max, longest }) = field::find("circuit_breaker.window.size").map(|it| it.kind)
            else {
                return json!({});
            };
            json!({
                "dependentRequired": { "type": ["size"] },
                "if": { "properties": { "type": { "const": "time" } }, "required": ["type"] },
                "then": size(Kind::Duration { min: std::time::Duration::from_millis(1), max: longest }),
                "else": size(Kind::Integer { min: 1, max }),
            })
        }
        "concurrency.adaptive" => json!({ "required": ["algorithm"] }),
        "hedge" => json!({ "not": { "required": ["delay", "percentile"] } }),
        _ => json!({}),
    }
}

/// The names of a section that set the same thing.
fn excluded(section: &str) -> Vec<Json> {
    twins()
        .filter_map(|(one, other)| Some((within(one, section)?, within(other, section)?)))
        .map(|(one, other)| json!({ "not": { "required": [one, other] } }))
        .collect()
}

/// The rules between the flat fields and sections of one layer.
pub(super) fn of_layer() -> Json {
    let across = twins().filter(|(one, other)| top(one) != top(other));
    across.map(|(one, other)| json!({ "not": { "allOf": [has(one), has(other)] } })).collect()
}

/// The rules of the document's top level: those of a layer, and a quota for a rate limit, which no preset has.
pub(super) fn of_document() -> Json {
    let off = json!({ "properties": { "enabled": { "const": false } }, "required": ["enabled"] });
    let mut forms = vec![off];
    let quotas = ["requests_per_second", "requests_per_minute", "limit", "tokens_per_minute"];
    forms.extend(quotas.map(|it| json!({ "required": [it] })));
    forms
        .push(json!({ "properties": { "learn_from_headers": { "const": true } }, "required": ["learn_from_headers"] }));
    let quota = json!({ "properties": { "rate_limit": { "anyOf": forms } } });
    match of_layer() {
        Json::Array(mut rules) => {
            rules.push(quota);
            Json::Array(rules)
        }
        other => other,
    }
}

/// Each pair of fields that set the same thing.
fn twins() -> impl Iterator<Item = (&'static str, &'static str)> {
    let fields: Vec<_> = field::all().collect();
    let pairs = (0..fields.len()).flat_map(move |at| {
        let one = fields[at];
        fields[at + 1..]
            .iter()
            .filter(|other| other.canonical() == one.canonical())
            .map(|other| (one.path, other.path))
            .collect::<Vec<_>>()
    });
    pairs.filter(|(one, other)| one != other)
}

fn top(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

fn within(path: &'static str, section: &str) -> Option<&'static str> {
    path.strip_prefix(section)?.strip_prefix('.')
}

/// That a field stands at a path.
fn has(path: &str) -> Json {
    match path.split_once('.') {
        None => json!({ "required": [path] }),
        Some((section, rest)) => json!({ "required": [section], "properties": { (section): has(rest) } }),
    }
}
