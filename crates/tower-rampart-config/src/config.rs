//! A validated configuration: a preset, what lies over it, and what each operation gets from both.

use std::sync::Arc;

use tower_rampart_core::retry::JitterKind;

use crate::{OperationConfig, Preset, Strategy, preset::PresetDefinition};

/// A validated configuration, cheap to clone.
#[derive(Clone, Debug)]
pub struct ResilienceConfig {
    preset: Arc<PresetDefinition>,
}

impl ResilienceConfig {
    /// The configuration of a built-in preset alone.
    pub fn from_preset(preset: Preset) -> Self {
        Self { preset: Arc::new(preset.definition()) }
    }

    /// The name of the preset.
    pub fn preset_name(&self) -> &str {
        &self.preset.name
    }

    /// The operations that are configured by name, sorted.
    pub fn operation_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.preset.operation_overrides.iter().map(|it| it.0.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// What applies to every operation that is not configured by name.
    pub fn base(&self) -> OperationConfig {
        let preset = &self.preset;
        let expansion = preset.expand();
        let mut config = OperationConfig::default();
        config.retry.max_attempts = preset.retry_attempts;
        config.retry.backoff.base = expansion.base;
        config.retry.backoff.min = expansion.min;
        config.retry.backoff.max = expansion.max;
        config.retry.jitter.kind = JitterKind::Additive;
        config.circuit_breaker.failure_threshold = preset.circuit_breaker_threshold;
        config.circuit_breaker.recovery_timeout = preset.recovery_timeout;
        config.timeout.total = Some(expansion.total);
        config.timeout.attempt = Some(expansion.attempt);
        config
    }

    /// What applies to an operation; an unknown name has the base.
    pub fn operation(&self, name: &str) -> OperationConfig {
        let mut config = self.base();
        if let Some((_, strategy)) = self.preset.operation_overrides.iter().find(|it| it.0 == name) {
            apply(&mut config, *strategy);
        }
        config
    }
}

fn apply(config: &mut OperationConfig, strategy: Strategy) {
    let numbers = strategy.numbers();
    config.retry.max_attempts = numbers.max_attempts;
    config.retry.backoff.base = numbers.base;
    config.retry.backoff.min = numbers.min;
    config.retry.backoff.max = numbers.max;
    config.retry.jitter.max = numbers.jitter_max;
    config.circuit_breaker.failure_threshold = numbers.failure_threshold;
    config.circuit_breaker.recovery_timeout = numbers.recovery_timeout;
    config.timeout.total = Some(numbers.total);
}
