//! Rows 15 to 18: documents to begin from.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, value::RawValue};
use tower_rampart_config::{Suggestion, Template, suggest};

use super::validate::{Validation, admit};
use crate::{
    api::Api,
    moment::Moment,
    monitoring::caused_by,
    parameter::Parameter,
    refusal::{Refusal, shown},
    route::{Asked, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/config/templates",
            ("list_templates", "template_listing"),
            "Whole documents to begin from.",
            list,
        ),
        Route::new(
            Method::GET,
            "/config/templates/{name}",
            ("get_template", "template_retrieval"),
            "One document to begin from.",
            one,
        )
        .parameters(const { &[Parameter::path("name", "Its name, lower case and exact.")] })
        .refusals(&[422]),
        Route::taking(
            Method::POST,
            "/config/validate-template",
            ("validate_template", "template_validation"),
            "What is to be said about a template or preset with fields of its own over it.",
            validate,
        )
        .readable()
        .refusals(&[422]),
        Route::taking(
            Method::POST,
            "/config/recommend-template",
            ("recommend_template", "template_recommendation"),
            "The template that a document resembles.",
            recommend,
        )
        .readable(),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Templates {
    templates: BTreeMap<&'static str, TemplateDetails>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TemplateDetails {
    name: &'static str,
    description: &'static str,
    /// The document.
    config: Json,
}

impl From<Template> for TemplateDetails {
    fn from(it: Template) -> Self {
        Self { name: it.title(), description: it.description(), config: it.document() }
    }
}

fn list(_api: &Api, _asked: &Asked) -> Reply<Templates> {
    let templates = Template::ALL.into_iter().map(|it| (it.as_str(), it.into())).collect();
    Templates { templates }.into()
}

fn one(_api: &Api, asked: &Asked) -> Result<Reply<TemplateDetails>, Refusal> {
    let name = asked.given.path("name");
    match name.parse::<Template>() {
        Ok(template) => Ok(TemplateDetails::from(template).into()),
        Err(unknown) => Err(Refusal::business(unknown.to_string())
            .with("template_name", shown(name))
            .with("available_templates", Template::NAMES.to_vec())),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TemplateRequest {
    /// A template's name, or a preset's.
    #[schemars(example = &"robust_production")]
    template_name: String,
    /// Fields that take the place of the template's, whole; at most 4096 bytes.
    #[serde(default)]
    #[schemars(with = "Json")]
    overrides: Option<Box<RawValue>>,
}

fn validate(api: &Api, asked: &Asked, request: &TemplateRequest) -> Result<Reply<Validation>, Refusal> {
    admit(api, asked)?;
    let presets = api.resilience().presets();
    let name = &request.template_name;
    if name.parse::<Template>().is_err() && presets.get(name).is_none() {
        let available: Vec<&str> = Template::NAMES.iter().copied().chain(presets.names()).collect();
        return Err(Refusal::business(format!("There is no template or preset '{}'", shown(name)))
            .with("template_name", shown(name))
            .with("available_templates", available));
    }
    let overrides = request.overrides.as_ref().map(|it| it.get()).filter(|it| *it != "null");
    let result = presets.validate_template(name, overrides, &api.resilience().capabilities(), None);
    api.monitor().validated(result.violations.len(), "validate_template", &caused_by(asked));
    Ok(Validation::of(result, Moment::now()).into())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RecommendRequest {
    /// A document; it need not be valid.
    configuration: Map<String, Json>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TemplateSuggestion {
    /// None if no template is near.
    suggested_template: Option<&'static str>,
    /// 0 to 1.
    confidence: f64,
    reasoning: String,
    available_templates: &'static [&'static str],
}

impl From<Suggestion> for TemplateSuggestion {
    fn from(it: Suggestion) -> Self {
        Self {
            suggested_template: it.suggested_template.map(Template::as_str),
            confidence: it.confidence,
            reasoning: it.reasoning,
            available_templates: it.available_templates,
        }
    }
}

fn recommend(_api: &Api, _asked: &Asked, request: &RecommendRequest) -> Reply<TemplateSuggestion> {
    TemplateSuggestion::from(suggest(&Json::Object(request.configuration.clone()))).into()
}
