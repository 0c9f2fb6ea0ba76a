//! Rows 19 to 21: what is to be said about a document. All entrances take the one path of `tower-rampart-config`.

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, value::RawValue};
use tower_rampart::clock;
use tower_rampart_config::{Limits, ValidationResult, Violation};

use crate::{
    api::Api,
    moment::Moment,
    monitoring::caused_by,
    parameter::{Kind, Parameter},
    refusal::Refusal,
    route::{Asked, Body, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    let says = "What is to be said about a document of at most 4096 bytes; 200 also if it is not valid.";
    vec![
        Route::taking(Method::POST, "/config/validate", ("validate_config", "schema_validation"), says, validate)
            .readable(),
        Route::taking(
            Method::POST,
            "/config/validate-secure",
            ("validate_config_secure", "security_validation"),
            says,
            validate,
        )
        .readable(),
        Route::new(
            Method::POST,
            "/config/validate-json",
            ("validate_json", "json_validation"),
            "What is to be said about a document that is given as text, in the body or in the query.",
            validate_json,
        )
        .readable()
        .parameters(
            const {
                &[Parameter::query(
                    "json_config",
                    Kind::Text { max: Parameter::LONGEST_TEXT },
                    "The document, where there is no body.",
                )]
            },
        )
        .body(Body { schema: text_schema, media_types: &["application/json", "text/plain"], required: false }),
    ]
}

fn text_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "description": "The text of a document; whatever it says is an answer and no error." })
}

/// A request about a document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigurationRequest {
    /// The document; whatever it is, is an answer and no error.
    #[schemars(with = "Json")]
    pub(super) configuration: Box<RawValue>,
}

/// What is said about a document.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Validation {
    is_valid: bool,
    /// The messages of all violations.
    errors: Vec<String>,
    /// What is valid but seldom meant.
    warnings: Vec<String>,
    /// What to do about the violations.
    suggestions: Vec<String>,
    violations: Vec<OneViolation>,
    security_info: SecurityInfo,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OneViolation {
    /// Where, as `a.b[0]`; empty for the document as a whole.
    path: String,
    /// What kind of thing is wrong, as a word.
    code: Json,
    message: String,
    suggestion: Option<String>,
}

impl From<Violation> for OneViolation {
    fn from(it: Violation) -> Self {
        let code = serde_json::to_value(it.code).unwrap_or_default();
        Self { path: it.path, code, message: it.message, suggestion: it.suggestion }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct SecurityInfo {
    /// Of the raw text.
    size_bytes: usize,
    max_size_bytes: usize,
    /// At the document's top level.
    field_count: usize,
    validation_timestamp: Moment,
}

impl Validation {
    pub(super) fn of(result: ValidationResult, at: Moment) -> Self {
        let security = result.security_info;
        Self {
            is_valid: result.is_valid,
            errors: result.errors,
            warnings: result.warnings,
            suggestions: result.suggestions,
            violations: result.violations.into_iter().map(OneViolation::from).collect(),
            security_info: SecurityInfo {
                size_bytes: security.size_bytes,
                max_size_bytes: security.max_size_bytes,
                field_count: security.field_count,
                validation_timestamp: at,
            },
        }
    }
}

/// Takes one validation of the caller's.
///
/// # Errors
/// If the caller had too many.
pub(super) fn admit(api: &Api, asked: &Asked) -> Result<(), Refusal> {
    let validations = api.validations();
    validations.admit(&asked.caller.id, clock::now()).map_err(|wait| {
        Refusal::rate_limit("Too many validations; come back later", wait)
            .with("max_validations_per_minute", validations.per_minute)
            .with("max_validations_per_hour", validations.per_hour)
    })
}

/// What is to be said about a text.
pub(super) fn judge(api: &Api, asked: &Asked, text: &str) -> ValidationResult {
    let resilience = api.resilience();
    let result = resilience.presets().validate(text, Limits::text(), &resilience.capabilities(), None);
    api.monitor().validated(result.violations.len(), "validate", &caused_by(asked));
    result
}

fn validate(api: &Api, asked: &Asked, request: &ConfigurationRequest) -> Result<Reply<Validation>, Refusal> {
    admit(api, asked)?;
    Ok(Validation::of(judge(api, asked, request.configuration.get()), Moment::now()).into())
}

fn validate_json(api: &Api, asked: &Asked) -> Result<Reply<Validation>, Refusal> {
    let text = match (asked.given.text("json_config"), asked.body.is_empty()) {
        (Some(text), true) => text,
        (None, false) => asked.text()?,
        (Some(_), false) => {
            return Err(Refusal::validation("The document must be in the body or in the query, not in both"));
        }
        (None, true) => {
            return Err(Refusal::validation("A document is needed, as the body or as the query's json_config"));
        }
    };
    admit(api, asked)?;
    Ok(Validation::of(judge(api, asked, text), Moment::now()).into())
}
