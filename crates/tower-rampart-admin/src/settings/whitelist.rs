//! Row 22: a document field by field, beside what each may be.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tower_rampart_config::fields;

use super::validate::{ConfigurationRequest, admit, judge};
use crate::{
    api::Api,
    moment::Moment,
    refusal::{Refusal, shown},
    route::{Asked, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::taking(
            Method::POST,
            "/config/validate/field-whitelist",
            ("validate_field_whitelist", "field_whitelist_validation"),
            "What is to be said about a document, field by field.",
            whitelist,
        )
        .readable(),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Whitelist {
    is_valid: bool,
    errors: Vec<String>,
    suggestions: Vec<String>,
    /// The fields at the document's top level.
    field_analysis: BTreeMap<String, FieldAnalysis>,
    /// The names that may stand there.
    allowed_fields: Vec<String>,
    validation_timestamp: Moment,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FieldAnalysis {
    allowed: bool,
    /// What it must be.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    expected_type: Option<Json>,
    /// Its range, its words: the keywords of its schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    constraints: Option<Map<String, Json>>,
    current_value: Json,
    current_type: &'static str,
}

/// The names that may stand at the document's top level, sections included.
pub(super) fn allowed() -> Vec<String> {
    let mut names: Vec<String> = fields().map(|it| it.path.split('.').next().unwrap_or_default().to_owned()).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|it| seen.insert(it.clone()));
    names
}

fn whitelist(api: &Api, asked: &Asked, request: &ConfigurationRequest) -> Result<Reply<Whitelist>, Refusal> {
    admit(api, asked)?;
    let text = request.configuration.get();
    let result = judge(api, asked, text);
    let schema = api.resilience().presets().schema();
    let allowed = allowed();
    // A text that is no JSON object has no fields; the errors say so.
    let given: Map<String, Json> = serde_json::from_str(text).unwrap_or_default();
    let field_analysis = given
        .into_iter()
        .map(|(name, value)| {
            let own = schema["properties"].get(&name).and_then(Json::as_object);
            let constraints = own.map(|own| {
                let keywords = own.iter().filter(|(key, _)| !matches!(key.as_str(), "type" | "description" | "$ref"));
                keywords.map(|(key, value)| (key.clone(), value.clone())).collect()
            });
            let analysis = FieldAnalysis {
                allowed: allowed.contains(&name),
                expected_type: own.map(|own| own.get("type").cloned().unwrap_or_else(|| "object".into())),
                constraints,
                current_type: type_of(&value),
                current_value: value,
            };
            (shown(&name), analysis)
        })
        .collect();
    let answer = Whitelist {
        is_valid: result.is_valid,
        errors: result.errors,
        suggestions: result.suggestions,
        field_analysis,
        allowed_fields: allowed,
        validation_timestamp: Moment::now(),
    };
    Ok(answer.into())
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}
