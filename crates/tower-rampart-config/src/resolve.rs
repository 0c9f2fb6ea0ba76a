//! Layers to one configuration: what lies over what, and where each value came from.

use std::collections::BTreeMap;

use tower_rampart_core::{breaker::Window, rate::default_burst, retry::Methods};

use crate::{
    GatewayConfig, KeysConfig, MonitoringConfig, OperationConfig, Source, Strategy,
    document::{Document, Entry, Layer},
    field::{self, Target},
    operation::Profile,
    preset::PresetDefinition,
    value::Value,
};

/// Where a limit begins that moves. Whether anybody said it matters: nobody's 100 gives way to the bounds.
pub(crate) const MAX_INFLIGHT: &str = "concurrency.max_inflight";

/// All that a configuration was made from.
///
/// Lowest precedence first: the preset · environment variables · the document's `default_strategy` · the document's fields · the preset's
/// strategy for the operation · the document's override for the operation · code. An environment variable lies above all of the preset, its
/// strategies for operations included, where the document does not set the same field.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) preset: PresetDefinition,
    /// Variable and what it sets.
    pub(crate) environment: Vec<(String, Entry)>,
    pub(crate) document: Document,
    pub(crate) gateway: GatewayConfig,
    pub(crate) code: BTreeMap<String, Vec<Layer>>,
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) given: &'static str,
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// The values of one operation that anybody set, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged(pub(crate) BTreeMap<&'static str, Held>);

impl Merged {
    fn set(&mut self, entry: &Entry, source: &Source) {
        // The two ways to say when a hedge begins exclude each other, so the later one takes the place of the earlier.
        match entry.path {
            "hedge.delay" => drop(self.0.remove("hedge.percentile")),
            "hedge.percentile" => drop(self.0.remove("hedge.delay")),
            _ => {}
        }
        let held = Held { given: entry.given, value: entry.value.clone(), source: source.clone() };
        self.0.insert(entry.path, held);
    }

    fn lay(&mut self, layer: &Layer, source: &Source) {
        if let Some(strategy) = layer.strategy {
            self.lay_strategy(strategy);
        }
        for entry in &layer.entries {
            self.set(entry, source);
        }
    }

    fn lay_strategy(&mut self, strategy: Strategy) {
        for entry in strategy_entries(strategy) {
            self.set(&entry, &Source::Strategy(strategy));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Held> {
        self.0.get(path)
    }

    /// What is kept for operators.
    pub(crate) fn monitoring(&self) -> MonitoringConfig {
        let mut config = MonitoringConfig::default();
        for (path, held) in &self.0 {
            if let Some(Target::Monitoring { set, .. }) = field::find(path).map(|it| &it.target) {
                set(&mut config, &held.value);
            }
        }
        config
    }

    /// The configuration that the machines run on. Nothing is checked here.
    pub(crate) fn resolve(&self) -> OperationConfig {
        let mut config = OperationConfig::default();
        for (path, held) in &self.0 {
            if let Some(field) = field::find(path).filter(|it| it.is_for_operations()) {
                field.apply(&mut config, &held.value);
            }
        }
        let limit = &mut config.rate_limit;
        if limit.quota.is_unlimited() {
            // What says nothing without a limit on calls is as if nobody had said it.
            let unsaid = OperationConfig::default().rate_limit;
            (limit.algorithm, limit.burst_size) = (unsaid.algorithm, unsaid.burst_size);
            (config.keys.rate_limit, config.keys.limits) = (KeysConfig::default().rate_limit, BTreeMap::new());
        } else if self.get("rate_limit.burst_size").is_none() {
            limit.burst_size = default_burst(limit.quota);
        }
        // More outcomes than the window holds are never in.
        if let Window::Count { size } = config.circuit_breaker.window {
            config.circuit_breaker.minimum_calls = config.circuit_breaker.minimum_calls.min(size);
        }
        // Calls of model APIs are POST.
        if config.classify.profile == Profile::ModelApi && self.get("retry.methods").is_none() {
            config.retry.methods = Methods::All;
        }
        config
    }
}

impl Stack {
    pub(crate) fn of(preset: PresetDefinition) -> Self {
        Self {
            preset,
            environment: Vec::new(),
            document: Document::default(),
            gateway: GatewayConfig::default(),
            code: BTreeMap::new(),
        }
    }

    /// The operations that anybody configured, sorted.
    pub(crate) fn operations(&self) -> Vec<&str> {
        let preset = self.preset.operation_overrides.iter().map(|it| it.0.as_str());
        let document = self.document.operations.keys().map(String::as_str);
        let code = self.code.keys().map(String::as_str);
        let mut names: Vec<&str> = preset.chain(document).chain(code).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What an operation has over a base in full, before any override speaks of it: its strategy from the preset.
    pub(crate) fn over_base(&self, base: &OperationConfig, operation: &str) -> OperationConfig {
        let mut config = base.clone();
        let own = self.preset.operation_overrides.iter().find(|it| it.0 == operation);
        for entry in own.into_iter().flat_map(|(_, strategy)| strategy_entries(*strategy)) {
            if let Some(field) = field::find(entry.path) {
                field.apply(&mut config, &entry.value);
            }
        }
        config
    }

    /// Lays what the environment says, but for the fields that the document sets.
    fn lay_environment(&self, merged: &mut Merged) {
        for (variable, entry) in &self.environment {
            if !self.document.base.entries.iter().any(|it| it.path == entry.path) {
                merged.set(entry, &Source::Environment(variable.clone()));
            }
        }
    }

    /// The last strategy that anybody chose for an operation, or for those without a name.
    pub(crate) fn strategy(&self, operation: Option<&str>) -> Strategy {
        let own = |operation: &str| {
            let code = self.code.get(operation).into_iter().flatten().rev().find_map(|it| it.strategy);
            let document = || self.document.operations.get(operation).and_then(|it| it.strategy);
            let preset = || self.preset.operation_overrides.iter().find(|it| it.0 == operation).map(|it| it.1);
            code.or_else(document).or_else(preset)
        };
        let base = || self.document.base.strategy.unwrap_or(self.preset.default_strategy);
        operation.and_then(own).unwrap_or_else(base)
    }

    /// What applies to an operation, or to those without a name.
    pub(crate) fn merge(&self, operation: Option<&str>) -> Merged {
        let mut merged = Merged::default();
        let preset = Source::Preset(self.preset.name.clone());
        for entry in preset_entries(&self.preset) {
            merged.set(&entry, &preset);
        }
        self.lay_environment(&mut merged);
        let base = &self.document.base;
        if let Some(strategy) = base.strategy {
            merged.lay_strategy(strategy);
        }
        for entry in &base.entries {
            merged.set(entry, &self.document.source(entry));
        }
        let Some(operation) = operation else { return merged };
        if let Some((_, strategy)) = self.preset.operation_overrides.iter().find(|it| it.0 == operation) {
            merged.lay_strategy(*strategy);
            if base.strategy.is_none() {
                self.lay_environment(&mut merged);
            }
        }
        if let Some(layer) = self.document.operations.get(operation) {
            merged.lay(layer, &Source::OperationOverride);
        }
        for layer in self.code.get(operation).into_iter().flatten() {
            merged.lay(layer, &Source::Code);
        }
        merged
    }
}

fn preset_entries(preset: &PresetDefinition) -> [Entry; 14] {
    let expansion = preset.expand();
    [
        Entry::new("retry.max_attempts", Value::Integer(preset.retry_attempts.into())),
        Entry::new("retry.backoff.base", Value::Duration(expansion.base)),
        Entry::new("retry.backoff.factor", Value::Number(2.0)),
        Entry::new("retry.backoff.min", Value::Duration(expansion.min)),
        Entry::new("retry.backoff.max", Value::Duration(expansion.max)),
        Entry::new("retry.jitter.kind", Value::Word("additive")),
        Entry::new("retry.jitter.max", Value::Duration(std::time::Duration::from_secs(2))),
        Entry::new("circuit_breaker.failure_threshold", Value::Integer(preset.circuit_breaker_threshold.into())),
        Entry::new("circuit_breaker.recovery_timeout", Value::Duration(preset.recovery_timeout)),
        Entry::new("circuit_breaker.half_open_max_calls", Value::Integer(1)),
        Entry::new("circuit_breaker.success_threshold", Value::Integer(1)),
        Entry::new("circuit_breaker.scope", Value::Word("call")),
        Entry::new("timeout.total", Value::Duration(expansion.total)),
        Entry::new("timeout.attempt", Value::Duration(expansion.attempt)),
    ]
}

fn strategy_entries(strategy: Strategy) -> [Entry; 8] {
    let numbers = strategy.numbers();
    [
        Entry::new("retry.max_attempts", Value::Integer(numbers.max_attempts.into())),
        Entry::new("retry.backoff.base", Value::Duration(numbers.base)),
        Entry::new("retry.backoff.min", Value::Duration(numbers.min)),
        Entry::new("retry.backoff.max", Value::Duration(numbers.max)),
        Entry::new("retry.jitter.max", Value::Duration(numbers.jitter_max)),
        Entry::new("circuit_breaker.failure_threshold", Value::Integer(numbers.failure_threshold.into())),
        Entry::new("circuit_breaker.recovery_timeout", Value::Duration(numbers.recovery_timeout)),
        Entry::new("timeout.total", Value::Duration(numbers.total)),
    ]
}
