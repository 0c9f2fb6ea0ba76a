//! What a builder begins with: a preset, a document, the environment, or a live configuration. What is laid over it is in `builder`.

use std::sync::{Arc, Weak};

use tower_rampart_config::{Capabilities, Capability, Preset, ResilienceConfig};

use super::PresetBuilder;
use crate::{
    Resilience,
    classify::Auto,
    fallback::NoFallback,
    pipeline::{BuildError, NoReport},
    retry::Cloned,
};

impl PresetBuilder {
    /// Starts from a preset.
    pub fn new(preset: Preset) -> Self {
        Self::from_config(ResilienceConfig::from_preset(preset))
    }

    /// Starts from a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        Ok(Self::from_config(ResilienceConfig::from_json(document)?))
    }

    /// Starts from what the environment asks for: `RESILIENCE_PRESET`, `RESILIENCE_CUSTOM_CONFIG` or `RESILIENCE_CONFIG_FILE`.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        Ok(Self::from_config(ResilienceConfig::from_env()?))
    }

    /// Starts from a live configuration, which the layer then follows: what is reloaded or overridden there is what its calls meet. The numbers are in
    /// the registry of `resilience`.
    ///
    /// What this pipeline can serve is noted there: a later configuration that asks for more is refused. It cannot ask for more than the host
    /// can, either; see [`Resilience::for_host`].
    ///
    /// # Examples
    /// ```
    /// use tower_rampart::{PresetBuilder, Resilience, ResilienceLayer, reload::ChangeBy};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let resilience = Resilience::from_preset("production")?;
    /// let layer: ResilienceLayer = PresetBuilder::from_resilience(&resilience).operation("export").build()?;
    /// resilience.reload_json(r#"{"retry_attempts": 2}"#, &ChangeBy::new("alice", "10.0.0.7"))?;
    /// assert_eq!(layer.handle().config().retry.max_attempts, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_resilience(resilience: &Resilience) -> Self {
        Self {
            live: Some(resilience.clone()),
            registry: Some(resilience.registry().clone()),
            ..Self::from_config(resilience.config())
        }
    }

    /// Starts from a live configuration, in the midst of a change, while somebody holds what it will be.
    pub(crate) fn from_next(resilience: &Resilience, next: &Arc<ResilienceConfig>) -> Self {
        Self {
            live: Some(resilience.clone()),
            next: Arc::downgrade(next),
            registry: Some(resilience.registry().clone()),
            ..Self::from_config(ResilienceConfig::clone(next))
        }
    }

    /// Starts from a configuration.
    pub fn from_config(config: ResilienceConfig) -> Self {
        Self {
            config,
            overrides: Vec::new(),
            operation: "default".to_owned(),
            live: None,
            next: Weak::new(),
            registry: None,
            seed: None,
            capabilities: Capabilities::function().without(Capability::Fallback).without(Capability::NestedRetry),
            can_clone: true,
            judge: Auto,
            cloner: Cloned,
            answer: NoFallback,
            report: NoReport,
            report_all: false,
        }
    }
}
