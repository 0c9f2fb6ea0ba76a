//! Rows 13 and 14: which preset an environment calls for.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart_config::{Recommendation, Surroundings};

use crate::{
    api::Api,
    parameter::Parameter,
    refusal::Refusal,
    route::{Asked, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/config/recommend-preset/{environment}",
            ("recommend_preset", "preset_recommendation"),
            "The preset that an environment of this name calls for.",
            named,
        )
        .parameters(const { &[Parameter::path("environment", "A name: `production`, `us-prod-2`.").printable(100)] }),
        Route::new(
            Method::GET,
            "/config/recommend-preset-auto",
            ("recommend_preset_auto", "environment_detection"),
            "The preset that the environment of the program calls for.",
            detected,
        ),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct PresetRecommendation {
    /// The name as it was given, or what was detected: `production (auto-detected)`.
    environment_detected: String,
    recommended_preset: String,
    /// 0 to 1.
    confidence: f64,
    reasoning: String,
    available_presets: Vec<String>,
    auto_detected: bool,
}

impl From<Recommendation> for PresetRecommendation {
    fn from(it: Recommendation) -> Self {
        Self {
            environment_detected: it.environment_detected,
            recommended_preset: it.recommended_preset,
            confidence: it.confidence,
            reasoning: it.reasoning,
            available_presets: it.available_presets,
            auto_detected: it.auto_detected,
        }
    }
}

fn named(api: &Api, asked: &Asked) -> Reply<PresetRecommendation> {
    PresetRecommendation::from(api.resilience().presets().recommend_named(asked.given.path("environment"))).into()
}

fn detected(api: &Api, _asked: &Asked) -> Result<Reply<PresetRecommendation>, Refusal> {
    let surroundings = Surroundings::of_process().map_err(|error| Refusal::infrastructure(error.to_string()))?;
    Ok(PresetRecommendation::from(api.resilience().presets().recommend_auto(&surroundings)).into())
}
