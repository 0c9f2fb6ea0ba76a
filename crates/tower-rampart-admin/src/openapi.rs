//! The OpenAPI 3.1 document, made from the table of routes and from the types that are answered.

use std::collections::BTreeMap;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};
use tower_rampart_config::Presets;

use crate::{
    monitoring::{EVENTS, MonitoringEvent},
    parameter::{Parameter, Place},
    refusal::ErrorBody,
    route::{Access, Route},
};

/// Where the types are.
const COMPONENTS: &str = "/components/schemas";

/// The document of a table of routes nested below `mount`, with the configuration document over these presets.
pub(crate) fn document(routes: &[Route], mount: &str, presets: &Presets) -> Json {
    let settings = SchemaSettings::draft2020_12().with(|it| it.definitions_path = COMPONENTS.into());
    let mut generator = SchemaGenerator::new(settings);
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
    for route in routes {
        let item = paths.entry(route.path).or_default();
        item.insert(route.method.as_str().to_lowercase(), operation(route, &mut generator, error.as_value()));
    }
    let mut components = generator.take_definitions(true);
    components.extend(configuration(presets.schema()));
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "tower-rampart management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Looks at and changes what traffic meets. All times are RFC 3339 in UTC, all rates lie in 0 to 1.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": if mount.is_empty() { "/" } else { mount } }],
        "security": [{ "bearer": [] }, { "api_key": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator, error: &Json) -> Json {
    let mut operation = json!({
        "operationId": route.endpoint,
        "summary": route.summary,
        "tags": [tag(route.path)],
        "parameters": route.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses(route, generator, error),
    });
    match route.access {
        // With a key or without.
        Access::Open => operation["security"] = json!([{}, { "bearer": [] }, { "api_key": [] }]),
        Access::Role(role) | Access::Page(role) => operation["x-required-role"] = role.as_str().into(),
    }
    if let Some(body) = route.body {
        let schema = (body.schema)(generator).to_value();
        let content: Map<String, Json> =
            body.media_types.iter().map(|it| ((*it).to_owned(), json!({ "schema": schema }))).collect();
        operation["requestBody"] = json!({ "required": body.required, "content": content });
    }
    operation
}

/// The first segment of the path.
fn tag(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn parameter(it: &Parameter) -> Json {
    json!({
        "name": it.name,
        "in": it.place.as_str(),
        "required": it.place == Place::Path,
        "description": it.doc,
        "schema": it.schema(),
    })
}

fn responses(route: &Route, generator: &mut SchemaGenerator, error: &Json) -> Map<String, Json> {
    let schema = (route.answer)(generator).to_value();
    let mut content = Map::new();
    if !route.is_text {
        content.insert("application/json".to_owned(), json!({ "schema": schema }));
    }
    for media_type in route.texts {
        let essence = media_type.split(';').next().unwrap_or_default();
        let schema = if essence == "text/event-stream" { event(generator) } else { json!({ "type": "string" }) };
        content.insert(essence.to_owned(), json!({ "schema": schema }));
    }
    let mut responses: Map<String, Json> = route
        .successes
        .iter()
        .map(|status| {
            let description = match *status {
                ..300 => "What was asked for.",
                304 => "It is what `If-None-Match` says.",
                308 => "It is where `Location` says.",
                _ => "The same, as a status.",
            };
            (status.to_string(), json!({ "description": description, "content": content }))
        })
        .collect();
    if route.parameters.iter().any(Parameter::is_text) {
        // The server's own answer, before anything here sees the request.
        responses.insert("414".to_owned(), json!({ "description": "The URI is longer than 64 KiB." }));
    }
    for status in refusals(route) {
        let content = json!({ "application/json": { "schema": error } });
        let mut response = json!({ "description": description(status), "content": content });
        if matches!(status, 429 | 503) {
            let seconds = json!({ "schema": { "type": "integer", "minimum": 1 }, "description": "Seconds." });
            response["headers"] = json!({ "Retry-After": seconds });
        }
        // A success that is also the status of a refusal (503 of /health) has both bodies.
        responses.entry(status.to_string()).or_insert(response);
    }
    responses
}

/// One event of a stream: OpenAPI 3.1 has no word for the whole of it.
fn event(generator: &mut SchemaGenerator) -> Json {
    let data = generator.subschema_for::<MonitoringEvent>();
    let missed = json!({ "type": "object", "properties": { "missed": { "type": ["integer", "null"], "minimum": 0 } } });
    json!({
        "type": "object",
        "description": "One event. A line that begins with a colon is none: it says that nothing happened.",
        "required": ["event", "data"],
        "properties": {
            "id": { "type": "string", "description": "What `Last-Event-ID` says; `lagged` has none." },
            "event": { "enum": EVENTS },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": { "anyOf": [data, missed] },
            },
        },
    })
}

/// Those that a route has of its own, and those that any route may have.
fn refusals(route: &Route) -> Vec<u16> {
    let mut all = vec![400, 401, 403, 429, 500, 503];
    if route.body.is_some() {
        all.extend([413, 415]);
    }
    all.extend(route.refusals);
    all.sort_unstable();
    all.dedup();
    all
}

fn description(status: u16) -> &'static str {
    match status {
        400 => "What was sent is malformed or out of its range; the context lists all that is wrong.",
        401 => "A key is needed, or the one that was sent is not known.",
        403 => "The key has not the role that this needs.",
        409 => "Something else stands in the way.",
        412 => "The configuration has another tag than `If-Match` says.",
        413 => "The body is too large.",
        415 => "The body is of another content type.",
        422 => "There is no such thing; the context lists those that there are.",
        429 => "Too often; `Retry-After` says when to come back.",
        503 => "It took too long.",
        _ => "The fault is here.",
    }
}

/// The schema of the configuration document as components: its own definitions stand beside it, under names of their own.
fn configuration(schema: Json) -> Map<String, Json> {
    let Json::Object(mut root) = schema else { return Map::new() };
    root.remove("$schema");
    root.remove("$id");
    let definitions = match root.remove("$defs") {
        Some(Json::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    let all = definitions.into_iter().map(|(name, schema)| (format!("{DOCUMENT}.{name}"), schema));
    all.chain([(DOCUMENT.to_owned(), Json::Object(root))]).map(|(name, schema)| (name, relinked(schema))).collect()
}

/// The component that a configuration document is.
pub(crate) const DOCUMENT: &str = "ConfigurationDocument";

fn relinked(schema: Json) -> Json {
    match schema {
        Json::String(text) => match text.strip_prefix("#/$defs/") {
            Some(name) => format!("#{COMPONENTS}/{DOCUMENT}.{name}").into(),
            None => text.into(),
        },
        Json::Array(all) => all.into_iter().map(relinked).collect(),
        Json::Object(all) => all.into_iter().map(|(key, value)| (key, relinked(value))).collect(),
        other => other,
    }
}
