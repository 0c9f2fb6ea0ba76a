//! Rows 8 and 27: another configuration, whole or in part, for a time or to stay, and an override taken back.

use std::{sync::Arc, time::Duration};

use http::{
    Method,
    header::{ETAG, IF_MATCH},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value as Json;
use tower_rampart::{
    Resilience, ResilienceConfig, clock,
    reload::{Change, ChangeBy, DroppedOverride, OverrideId, ReloadError, Reloaded, Terms},
};
use tower_rampart_config::ConfigError;

use super::show::etag_header;
use crate::{
    api::Api,
    moment::{Moment, Present},
    monitoring::{ConfigType, caused_by},
    openapi::DOCUMENT,
    parameter::{Kind, Parameter},
    refusal::{Refusal, shown},
    route::{Asked, Body, JSON, Reply, Route},
};

const PARAMETERS: &[Parameter] = &[
    Parameter::flag("dry_run", "Whether only the difference is answered and nothing changes."),
    Parameter::query(
        "ttl_seconds",
        Kind::Integer { min: 1, max: 7 * 24 * 3600 },
        "After how long the present configuration comes back by itself.",
    ),
    Parameter::header("If-Match", "The tag of the configuration that the change is meant for, from `ETag`."),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::PUT,
            "/config",
            ("put_config", "configuration_replacement"),
            "Replaces the configuration by a document of at most 4096 bytes.",
            put,
        )
        .parameters(PARAMETERS)
        .body(Body { schema: document_schema, media_types: JSON, required: true })
        .refusals(&[412]),
        Route::new(
            Method::PATCH,
            "/config",
            ("patch_config", "configuration_change"),
            "Lays a JSON merge patch (RFC 7396) of at most 4096 bytes over the document.",
            patch,
        )
        .parameters(PARAMETERS)
        .body(Body {
            schema: patch_schema,
            media_types: &["application/merge-patch+json", "application/json"],
            required: true,
        })
        .refusals(&[412]),
        Route::new(
            Method::DELETE,
            "/config/overrides/{id}",
            ("revert_override", "override_reversal"),
            "Takes an override back before its time, of an operation or of the whole document.",
            revert,
        )
        .parameters(const { &[Parameter::path("id", "Its number, from `GET /config`.")] })
        .refusals(&[422]),
    ]
}

fn document_schema(_: &mut SchemaGenerator) -> Schema {
    let example = serde_json::json!({ "preset": "production", "retry_attempts": 4 });
    json_schema!({ "$ref": format!("#/components/schemas/{DOCUMENT}"), "examples": [example] })
}

fn patch_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "description": "A part of a configuration document; null takes a field away." })
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigurationChange")]
struct Outcome {
    /// Whether it runs; a dry run does not.
    applied: bool,
    /// What calls meet differently, overrides included.
    diff: Vec<Difference>,
    /// The tag of the configuration that runs now.
    etag: String,
    /// Overrides that do not fit over what lies below them now, and are gone.
    dropped_overrides: Vec<Dropped>,
    /// By which a document that is in force for a time can be taken back.
    override_id: Option<String>,
    /// When it ends by itself.
    expires_at: Option<Moment>,
    timestamp: Moment,
}

/// One value that differs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Difference {
    /// None for what applies to all operations that are not configured by name.
    operation: Option<String>,
    path: String,
    /// Null where there was none.
    from: Json,
    /// Null where there is none.
    to: Json,
}

impl From<&Change> for Difference {
    fn from(it: &Change) -> Self {
        Self { operation: it.operation.clone(), path: it.path.clone(), from: it.from.clone(), to: it.to.clone() }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DroppedOverride")]
struct Dropped {
    id: String,
    operation: Option<String>,
    reason: String,
}

impl From<&DroppedOverride> for Dropped {
    fn from(it: &DroppedOverride) -> Self {
        Self { id: it.what.id.to_string(), operation: it.what.operation.clone(), reason: it.reason.clone() }
    }
}

fn put(api: &Api, asked: &Asked) -> Result<Reply<Outcome>, Refusal> {
    change(api, asked, Resilience::load, Resilience::reload_json_on)
}

fn patch(api: &Api, asked: &Asked) -> Result<Reply<Outcome>, Refusal> {
    change(api, asked, Resilience::load_patch, Resilience::reload_patch)
}

/// Reads the body and compares it with what runs, or makes it run.
fn change(
    api: &Api,
    asked: &Asked,
    load: impl Fn(&Resilience, &str) -> Result<ResilienceConfig, ConfigError>,
    reload: impl Fn(&Resilience, &str, &Terms, &ChangeBy) -> Result<Reloaded, ReloadError>,
) -> Result<Reply<Outcome>, Refusal> {
    let (text, resilience, present) = (asked.text()?, api.resilience(), Present::read());
    let tag = expected(asked, &resilience.etag());
    if asked.given.flag("dry_run") {
        let runs = resilience.etag();
        if tag.is_some_and(|it| it != runs) {
            return Err(changed(&runs));
        }
        let loaded = load(resilience, text);
        let violations = loaded.as_ref().err().map_or(0, |it| it.violations().len());
        api.monitor().validated(violations, "dry_run", &caused_by(asked));
        let config = loaded.map_err(|error| wrong(&error, asked))?;
        let changes = resilience.dry_run(&config).map_err(|error| refused(&error, asked))?;
        // The tag that was read before the comparison: if another configuration came in between, a change that is made for this tag is refused.
        return Ok(answer(false, &changes, &runs, &[], None, None));
    }
    let ttl = asked.given.integer("ttl_seconds").map(Duration::from_secs);
    // Compared where nothing can come between, and noted in the audit if another one runs.
    let terms = tag.into_iter().fold(Terms::new(), Terms::only_if);
    let terms = ttl.into_iter().fold(terms, Terms::lasting);
    let reloaded =
        reload(resilience, text, &terms, &asked.caller.change_by()).map_err(|error| refused(&error, asked))?;
    let took = clock::now().since(present.monotonic);
    api.monitor().loaded(resilience.document().preset_name(), ConfigType::Custom, took, true, &caused_by(asked));
    let ends = ttl.map(|ttl| present.wall.after(ttl));
    Ok(answer(true, &reloaded.changes, &reloaded.etag, &reloaded.dropped, reloaded.override_id, ends))
}

/// The tag that the configuration must have when it is replaced, if any: the present one if `If-Match` names it, or else one that no configuration has.
/// Weak tags match nothing (RFC 9110 section 13.1.1).
fn expected(asked: &Asked, present: &Arc<str>) -> Option<Arc<str>> {
    let headers = asked.headers.get_all(IF_MATCH);
    let first = headers.iter().next()?;
    let mut tags = headers.iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(',')).map(str::trim);
    let is_present = |tag: &str| tag.strip_prefix('"').and_then(|it| it.strip_suffix('"')) == Some(&**present);
    match tags.find(|tag| *tag == "*" || is_present(tag)) {
        Some("*") => None,
        Some(_) => Some(Arc::clone(present)),
        None => Some(format!("`{}`", shown(&String::from_utf8_lossy(first.as_bytes()))).into()),
    }
}

fn answer(
    applied: bool,
    changes: &[Change],
    etag: &str,
    dropped: &[DroppedOverride],
    override_id: Option<OverrideId>,
    expires_at: Option<Moment>,
) -> Reply<Outcome> {
    let body = Outcome {
        applied,
        diff: changes.iter().map(Difference::from).collect(),
        etag: etag.to_owned(),
        dropped_overrides: dropped.iter().map(Dropped::from).collect(),
        override_id: override_id.map(|it| it.to_string()),
        expires_at,
        timestamp: Moment::now(),
    };
    Reply::from(body).header(ETAG, etag_header(etag))
}

fn wrong(error: &ConfigError, asked: &Asked) -> Refusal {
    Refusal::configuration(error, "custom_resilience_config", asked.body.len())
}

fn changed(present: &Arc<str>) -> Refusal {
    Refusal::precondition("The configuration has changed since it was read", present)
}

fn refused(error: &ReloadError, asked: &Asked) -> Refusal {
    match error {
        ReloadError::Config(error) => wrong(error, asked),
        ReloadError::Unsupported { operation, error } => wrong(error, asked).with("operation_name", shown(operation)),
        ReloadError::EtagMismatch { present, .. } => changed(present),
        error => Refusal::infrastructure(error.to_string()),
    }
}

fn revert(api: &Api, asked: &Asked) -> Result<Reply<Outcome>, Refusal> {
    let (resilience, text) = (api.resilience(), asked.given.path("id"));
    let unknown = || {
        let available: Vec<String> = resilience.overrides().iter().map(|it| it.id.to_string()).collect();
        Refusal::business("There is no such override, or no longer")
            .with("override_id", shown(text))
            .with("available_overrides", available)
    };
    let id: OverrideId = text.parse().map_err(|_| unknown())?;
    match resilience.revert(id, &asked.caller.change_by()) {
        Ok(reloaded) => Ok(answer(true, &reloaded.changes, &reloaded.etag, &reloaded.dropped, None, None)),
        Err(ReloadError::UnknownOverride(_)) => Err(unknown()),
        Err(error) => Err(refused(&error, asked)),
    }
}
