//! Rows 7 and 25: the configuration that runs, where it came from, and the schema of what may take its place.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderValue, Method, header::ETAG};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tower_rampart::{
    Resilience, ResilienceConfig, Strategy,
    reload::{ChangeBy, Override},
};

use crate::{
    api::Api,
    circuits::by_name,
    moment::{Moment, Seconds},
    operations,
    route::{Asked, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/config",
            ("get_config", "configuration_retrieval"),
            "The configuration that runs, and where it came from; its tag is in the header `ETag`.",
            config,
        ),
        Route::new(
            Method::GET,
            "/config/schema",
            ("config_schema", "configuration_schema_retrieval"),
            "The JSON Schema of a configuration document.",
            schema,
        ),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Configuration")]
struct Shown {
    preset_name: String,
    /// Whether it was made from the variables of older systems.
    is_legacy_config: bool,
    /// What applies to operations that are not configured by name, as a document would say it: the values that their machines run on.
    configuration: Map<String, Json>,
    /// What applies to each operation that is configured by name, read from the machines where they run.
    operations: BTreeMap<String, Json>,
    /// The strategy of each operation that is configured by name.
    operation_strategies: BTreeMap<String, &'static str>,
    /// What the document says beside its preset; none if it says nothing.
    custom_overrides: Option<Json>,
    /// What each strategy stands for.
    strategies: BTreeMap<&'static str, StrategyNumbers>,
    provenance: Provenance,
    /// What lies over the document for a time, or until it is taken back.
    overrides: Vec<OverrideInForce>,
    etag: String,
    timestamp: Moment,
}

/// Where the value of each field came from: `default`, `preset:NAME`, `strategy:NAME`, `environment:VARIABLE`, `document`, `operation_override`, `code`.
#[derive(Debug, Serialize, JsonSchema)]
struct Provenance {
    base: BTreeMap<String, String>,
    operations: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StrategyNumbers {
    strategy: &'static str,
    retry_config: RetryNumbers,
    circuit_breaker_config: CircuitNumbers,
    enable_circuit_breaker: bool,
    enable_retry: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RetryNumbers {
    max_attempts: u32,
    max_delay_seconds: Seconds,
    exponential_multiplier: Seconds,
    exponential_min: Seconds,
    exponential_max: Seconds,
    jitter: bool,
    jitter_max: Seconds,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CircuitNumbers {
    failure_threshold: u32,
    recovery_timeout: Seconds,
    half_open_max_calls: u32,
}

impl From<Strategy> for StrategyNumbers {
    fn from(strategy: Strategy) -> Self {
        let numbers = strategy.numbers();
        Self {
            strategy: strategy.as_str(),
            retry_config: RetryNumbers {
                max_attempts: numbers.max_attempts,
                max_delay_seconds: Seconds(numbers.total),
                exponential_multiplier: Seconds(numbers.base),
                exponential_min: Seconds(numbers.min),
                exponential_max: Seconds(numbers.max),
                jitter: numbers.jitter_max > Duration::ZERO,
                jitter_max: Seconds(numbers.jitter_max),
            },
            circuit_breaker_config: CircuitNumbers {
                failure_threshold: numbers.failure_threshold,
                recovery_timeout: Seconds(numbers.recovery_timeout),
                half_open_max_calls: 1,
            },
            enable_circuit_breaker: true,
            enable_retry: true,
        }
    }
}

/// An override of one operation, or a whole document that is in force for a time.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OverrideInForce {
    /// By which it can be taken back.
    id: String,
    /// None for a whole document.
    operation: Option<String>,
    fields: Json,
    by: By,
    since: Moment,
    expires_in_seconds: Option<Seconds>,
}

impl From<&Override> for OverrideInForce {
    fn from(it: &Override) -> Self {
        Self {
            id: it.id.to_string(),
            operation: it.operation.clone(),
            fields: serde_json::from_str(&it.fields).unwrap_or_default(),
            by: By::from(&it.by),
            since: Moment(it.since),
            expires_in_seconds: it.expires_in.map(Seconds),
        }
    }
}

/// Who did something, and where from.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangedBy")]
pub(super) struct By {
    /// The name of a key, `local`, `code` or `file`.
    who: String,
    /// An address, a path, a part of the program.
    from: String,
}

impl From<&ChangeBy> for By {
    fn from(it: &ChangeBy) -> Self {
        Self { who: it.who.to_string(), from: it.from.to_string() }
    }
}

/// The overrides in force.
pub(super) fn in_force(resilience: &Resilience) -> Vec<OverrideInForce> {
    resilience.overrides().iter().map(OverrideInForce::from).collect()
}

/// The header of a tag.
pub(super) fn etag_header(etag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{etag}\"")).expect("a tag is hexadecimal digits")
}

fn config(api: &Api, _asked: &Asked) -> Reply<Shown> {
    let resilience = api.resilience();
    let (config, etag) = coherent(resilience);
    let names = config.operation_names();
    let mut configuration = match config.to_json() {
        Json::Object(document) => document,
        _ => Map::new(),
    };
    // They are shown in full beside it.
    configuration.remove("operation_overrides");
    let running = |name: &str| match resilience.handle(name) {
        Some(handle) => handle.config().to_json(),
        // Nobody has called it yet; it will run on this.
        None => config.operation(name).to_json(),
    };
    let mut custom = config.given();
    if let Json::Object(custom) = &mut custom {
        custom.remove("preset");
    }
    let of_operation = |name: &str| operations::provenance(&config, Some(name));
    let answer = Shown {
        preset_name: config.preset_name().to_owned(),
        is_legacy_config: config.is_legacy(),
        configuration,
        operations: by_name(names.iter().map(|it| ((*it).to_owned(), running(it)))),
        operation_strategies: by_name(names.iter().map(|it| ((*it).to_owned(), config.strategy(Some(it)).as_str()))),
        custom_overrides: Some(custom).filter(|it| it.as_object().is_some_and(|it| !it.is_empty())),
        strategies: Strategy::ALL.into_iter().map(|it| (it.as_str(), it.into())).collect(),
        provenance: Provenance {
            base: operations::provenance(&config, None),
            operations: by_name(names.iter().map(|it| ((*it).to_owned(), of_operation(it)))),
        },
        overrides: in_force(resilience),
        etag: etag.clone(),
        timestamp: Moment::now(),
    };
    Reply::from(answer).header(ETAG, etag_header(&etag))
}

/// A configuration and its own tag, though changes come between.
fn coherent(resilience: &Resilience) -> (ResilienceConfig, String) {
    let config = resilience.config();
    let etag = tower_rampart_config::etag(&config);
    (config, etag)
}

/// A JSON Schema (2020-12).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
struct DocumentSchema(Json);

fn schema(api: &Api, _asked: &Asked) -> Reply<DocumentSchema> {
    DocumentSchema(api.resilience().presets().schema()).into()
}
