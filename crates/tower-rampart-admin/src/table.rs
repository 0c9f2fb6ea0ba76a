//! All routes. The router and the OpenAPI document are made from this one table.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::Api,
    breakers, by_key, dashboard, health, metrics, monitoring, openapi, performance,
    refusal::Refusal,
    route::{Asked, Reply, Route},
    settings, signals,
};

/// All routes.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![Route::new(
        http::Method::GET,
        "/openapi.json",
        ("openapi", "openapi_retrieval"),
        "This document.",
        openapi_document,
    )];
    routes.extend(health::routes());
    routes.extend(metrics::routes());
    routes.extend(dashboard::routes());
    routes.extend(settings::routes());
    routes.extend(breakers::routes());
    routes.extend(monitoring::routes());
    routes.extend(performance::routes());
    routes.extend(signals::routes());
    routes.extend(by_key::routes());
    routes
}

/// An OpenAPI 3.1 document.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
struct OpenApi(serde_json::Map<String, serde_json::Value>);

fn openapi_document(api: &Api, asked: &Asked) -> Result<Reply<OpenApi>, Refusal> {
    let mount = asked.path.strip_suffix("/openapi.json").unwrap_or_default();
    match openapi::document(&routes(), mount, &api.resilience().presets()) {
        serde_json::Value::Object(document) => Ok(OpenApi(document).into()),
        _ => Err(Refusal::infrastructure("The document could not be made")),
    }
}
