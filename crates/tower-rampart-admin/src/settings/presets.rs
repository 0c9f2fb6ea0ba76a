//! Rows 9 to 12: the presets that documents can name, and one more of them.

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_rampart::Strategy;
use tower_rampart_config::{Context, PresetDefinition, ViolationCode};

use crate::{
    api::Api,
    circuits::by_name,
    moment::Seconds,
    parameter::Parameter,
    refusal::{Refusal, shown},
    route::{Asked, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/config/presets",
            ("list_presets", "preset_listing"),
            "All presets, the built-in ones first.",
            list,
        ),
        Route::new(
            Method::GET,
            "/config/presets/{name}",
            ("get_preset", "preset_retrieval"),
            "One preset, with what it says of single operations.",
            one,
        )
        .parameters(const { &[Parameter::path("name", "Its name, lower case and exact.")] })
        .refusals(&[422]),
        Route::new(
            Method::GET,
            "/config/presets-summary",
            ("presets_summary", "preset_summary"),
            "All presets by name.",
            summary,
        ),
        Route::taking(
            Method::POST,
            "/config/presets",
            ("register_preset", "preset_registration"),
            "Registers a preset, which documents can name from then on, as long as the program runs.",
            register,
        )
        .successes(&[201])
        .refusals(&[409]),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Preset {
    name: String,
    description: String,
    retry_attempts: u32,
    circuit_breaker_threshold: u32,
    recovery_timeout: Seconds,
    default_strategy: &'static str,
    operation_overrides: BTreeMap<String, &'static str>,
    environment_contexts: Vec<&'static str>,
}

impl From<&PresetDefinition> for Preset {
    fn from(it: &PresetDefinition) -> Self {
        Self {
            name: it.name.clone(),
            description: it.description.clone(),
            retry_attempts: it.retry_attempts,
            circuit_breaker_threshold: it.circuit_breaker_threshold,
            recovery_timeout: Seconds(it.recovery_timeout),
            default_strategy: it.default_strategy.as_str(),
            operation_overrides: overrides(it),
            environment_contexts: contexts(it),
        }
    }
}

fn overrides(it: &PresetDefinition) -> BTreeMap<String, &'static str> {
    it.operation_overrides.iter().map(|(name, strategy)| (name.clone(), strategy.as_str())).collect()
}

fn contexts(it: &PresetDefinition) -> Vec<&'static str> {
    it.environment_contexts.iter().map(|it| it.as_str()).collect()
}

fn list(api: &Api, _asked: &Asked) -> Reply<Vec<Preset>> {
    api.resilience().presets().iter().map(Preset::from).collect::<Vec<_>>().into()
}

fn summary(api: &Api, _asked: &Asked) -> Reply<BTreeMap<String, Preset>> {
    by_name(api.resilience().presets().iter().map(|it| (it.name.clone(), Preset::from(it)))).into()
}

#[derive(Debug, Serialize, JsonSchema)]
struct PresetDetails {
    name: String,
    description: String,
    configuration: PresetConfiguration,
    environment_contexts: Vec<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PresetConfiguration {
    retry_attempts: u32,
    circuit_breaker_threshold: u32,
    recovery_timeout: Seconds,
    default_strategy: &'static str,
    operation_overrides: BTreeMap<String, &'static str>,
}

impl From<&PresetDefinition> for PresetDetails {
    fn from(it: &PresetDefinition) -> Self {
        Self {
            name: it.name.clone(),
            description: it.description.clone(),
            configuration: PresetConfiguration {
                retry_attempts: it.retry_attempts,
                circuit_breaker_threshold: it.circuit_breaker_threshold,
                recovery_timeout: Seconds(it.recovery_timeout),
                default_strategy: it.default_strategy.as_str(),
                operation_overrides: overrides(it),
            },
            environment_contexts: contexts(it),
        }
    }
}

fn one(api: &Api, asked: &Asked) -> Result<Reply<PresetDetails>, Refusal> {
    let name = asked.given.path("name");
    let presets = api.resilience().presets();
    match presets.find(name) {
        Ok(preset) => Ok(PresetDetails::from(preset).into()),
        Err(unknown) => Err(Refusal::business(unknown.to_string())
            .with("preset_name", shown(name))
            .with("available_presets", unknown.available)),
    }
}

/// A preset: all fields are needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPreset {
    /// 1 to 50 of `a-z`, `0-9`, `_` and `-`, beginning with a letter.
    #[schemars(length(min = 1, max = 50), regex(pattern = "^[a-z][a-z0-9_-]*$"))]
    name: String,
    #[schemars(length(min = 1, max = 200))]
    description: String,
    #[schemars(range(min = 1, max = 10))]
    retry_attempts: u32,
    #[schemars(range(min = 1, max = 20))]
    circuit_breaker_threshold: u32,
    /// In seconds.
    #[schemars(range(min = 10, max = 300))]
    recovery_timeout: u32,
    default_strategy: StrategyName,
    /// At most 50.
    #[schemars(extend("maxProperties" = 50, "propertyNames" = { "pattern": "^[A-Za-z][A-Za-z0-9_.:/-]{0,63}$" }))]
    operation_overrides: BTreeMap<String, StrategyName>,
    #[schemars(length(min = 1, max = 4), extend("uniqueItems" = true))]
    environment_contexts: Vec<ContextName>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StrategyName {
    Aggressive,
    Balanced,
    Conservative,
    Critical,
}

impl From<StrategyName> for Strategy {
    fn from(name: StrategyName) -> Self {
        match name {
            StrategyName::Aggressive => Self::Aggressive,
            StrategyName::Balanced => Self::Balanced,
            StrategyName::Conservative => Self::Conservative,
            StrategyName::Critical => Self::Critical,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ContextName {
    Development,
    Testing,
    Staging,
    Production,
}

impl From<ContextName> for Context {
    fn from(name: ContextName) -> Self {
        match name {
            ContextName::Development => Self::Development,
            ContextName::Testing => Self::Testing,
            ContextName::Staging => Self::Staging,
            ContextName::Production => Self::Production,
        }
    }
}

fn register(api: &Api, asked: &Asked, new: &NewPreset) -> Result<Reply<PresetDetails>, Refusal> {
    let preset = PresetDefinition {
        name: new.name.clone(),
        description: new.description.clone(),
        retry_attempts: new.retry_attempts,
        circuit_breaker_threshold: new.circuit_breaker_threshold,
        recovery_timeout: Duration::from_secs(new.recovery_timeout.into()),
        default_strategy: new.default_strategy.into(),
        operation_overrides: new.operation_overrides.iter().map(|(name, it)| (name.clone(), (*it).into())).collect(),
        environment_contexts: new.environment_contexts.iter().map(|it| Context::from(*it)).collect(),
    };
    let details = PresetDetails::from(&preset);
    match api.resilience().register_preset(preset, &asked.caller.change_by()) {
        Ok(()) => Ok(Reply::from(details).status(StatusCode::CREATED)),
        Err(error) => {
            let in_the_way = |code| matches!(code, ViolationCode::Conflict | ViolationCode::TooManyItems);
            if error.violations().iter().all(|it| in_the_way(it.code)) {
                let messages: Vec<&str> = error.violations().iter().map(|it| it.message.as_str()).collect();
                return Err(Refusal::conflict(messages.join("; ")).with("preset_name", shown(&details.name)));
            }
            Err(Refusal::configuration(&error, "preset", asked.body.len()))
        }
    }
}
