//! The seven operations of the suite, against the library itself: what each does once, and how long it may take. How it is repeated is in `measure`.

use std::{hint::black_box, io, time::Duration};

use tower_rampart::{Preset, Registry, Resilience, ResilienceConfig};
use tower_rampart_config::{Capabilities, Limits, Loaded, Presets, Surroundings, validate};

/// A document of many fields, both flat ones and sections.
const CUSTOM: &str = r#"{"preset": "production", "retry_attempts": 4, "circuit_breaker_threshold": 8, "recovery_timeout": 90,
    "rate_limit": {"requests_per_second": 100, "burst_size": 200}, "concurrency": {"max_inflight": 64, "queue_size": 16},
    "operation_overrides": {"summarize": "critical", "export": {"retry_attempts": 2, "timeout": {"total": "20s"}}}}"#;

/// A document with three violations.
const INVALID: &str = r#"{"retry_attempts": 15, "default_strategy": "heroic", "recovery_timeot": 60}"#;

/// The variables that older systems were configured by; one of each kind.
const LEGACY: [(&str, &str); 8] = [
    ("RETRY_MAX_ATTEMPTS", "4"),
    ("RETRY_EXPONENTIAL_MIN", "1.5"),
    ("RETRY_JITTER_ENABLED", "yes"),
    ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "8"),
    ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "90"),
    ("DEFAULT_RESILIENCE_STRATEGY", "conservative"),
    ("SUMMARIZE_RESILIENCE_STRATEGY", "critical"),
    ("SENTIMENT_RESILIENCE_STRATEGY", "aggressive"),
];

/// An operation of the suite. Each works on values of its own: nothing that is measured touches what traffic runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// The built-in presets, by their names. At most 10 ms.
    PresetLoading,
    /// The environment of a process: variables, what they recommend, the configuration. At most 100 ms.
    SettingsInitialization,
    /// A preset, expanded for each of its operations and for one that it does not name. At most 100 ms.
    ResilienceConfigLoading,
    /// A registry, and the pipelines of all operations of a preset. At most 200 ms.
    ServiceInitialization,
    /// A document, from text to what an operation runs on. At most 100 ms.
    CustomConfigLoading,
    /// The variables of older systems, from text to what an operation runs on. At most 100 ms.
    LegacyConfigLoading,
    /// A valid document and an invalid one. At most 50 ms.
    ValidationPerformance,
}

impl Operation {
    /// All, in the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::PresetLoading,
        Self::SettingsInitialization,
        Self::ResilienceConfigLoading,
        Self::ServiceInitialization,
        Self::CustomConfigLoading,
        Self::LegacyConfigLoading,
        Self::ValidationPerformance,
    ];

    /// The operation of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The name in tables, JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PresetLoading => "preset_loading",
            Self::SettingsInitialization => "settings_initialization",
            Self::ResilienceConfigLoading => "resilience_config_loading",
            Self::ServiceInitialization => "service_initialization",
            Self::CustomConfigLoading => "custom_config_loading",
            Self::LegacyConfigLoading => "legacy_config_loading",
            Self::ValidationPerformance => "validation_performance",
        }
    }

    /// What an iteration may take on average.
    pub const fn threshold(self) -> Duration {
        Duration::from_millis(match self {
            Self::PresetLoading => 10,
            Self::ValidationPerformance => 50,
            Self::ServiceInitialization => 200,
            _ => 100,
        })
    }

    /// Runs one iteration, and looks whether it did what it should.
    ///
    /// # Errors
    /// Says what came out instead.
    pub fn once(self) -> Result<(), String> {
        match self {
            Self::PresetLoading => preset_loading(),
            Self::SettingsInitialization => settings_initialization(),
            Self::ResilienceConfigLoading => resilience_config_loading(),
            Self::ServiceInitialization => service_initialization(),
            Self::CustomConfigLoading => custom_config_loading(),
            Self::LegacyConfigLoading => legacy_config_loading(),
            Self::ValidationPerformance => validation_performance(),
        }
    }
}

/// All presets, by their names.
fn preset_loading() -> Result<(), String> {
    for (name, attempts) in [("simple", 3), ("development", 2), ("production", 5)] {
        let config = ResilienceConfig::named(black_box(name)).map_err(|error| error.to_string())?;
        equal("attempts", config.base().retry.max_attempts, attempts)?;
    }
    Ok(())
}

/// The environment of a process: variables, what they recommend, the configuration.
fn settings_initialization() -> Result<(), String> {
    let loaded = load(&[("NODE_ENV", "production"), ("AI_LIB_RPS", "25"), ("AI_LIB_MAX_INFLIGHT", "64")])?;
    let config = loaded.config;
    equal("the preset", config.preset_name(), "production")?;
    equal("the limit", config.base().concurrency.max_inflight, 64)
}

/// A preset, expanded for each of its operations and for one that it does not name.
fn resilience_config_loading() -> Result<(), String> {
    let config = ResilienceConfig::from_preset(black_box(Preset::Production));
    let names = config.operation_names();
    equal("operations", names.len(), 5)?;
    for name in names {
        black_box(config.operation(name));
    }
    equal("attempts", config.operation("qa").retry.max_attempts, 7)?;
    equal("attempts", config.operation("another").retry.max_attempts, 5)
}

/// A registry, and the pipelines of all operations of a preset.
fn service_initialization() -> Result<(), String> {
    let config = ResilienceConfig::from_preset(black_box(Preset::Production));
    let resilience = Resilience::new(config, &Registry::new()).map_err(|error| error.to_string())?;
    equal("attempts", resilience.operation("qa").handle().config().retry.max_attempts, 7)
}

/// A document, from text to what an operation runs on.
fn custom_config_loading() -> Result<(), String> {
    let config = ResilienceConfig::from_json(black_box(CUSTOM)).map_err(|error| error.to_string())?;
    equal("attempts", config.base().retry.max_attempts, 4)?;
    equal("attempts", config.operation("export").retry.max_attempts, 2)
}

/// The legacy variables, from text to what an operation runs on.
fn legacy_config_loading() -> Result<(), String> {
    let config = load(&LEGACY)?.config;
    equal("attempts", config.base().retry.max_attempts, 4)?;
    equal("attempts", config.operation("summarize").retry.max_attempts, 7)
}

/// A valid document and an invalid one.
fn validation_performance() -> Result<(), String> {
    for (text, violations) in [(CUSTOM, 0), (INVALID, 3)] {
        let result = validate(black_box(text), Limits::text(), &Capabilities::http(), None);
        equal("violations", result.violations.len(), violations)?;
    }
    Ok(())
}

/// Of given variables, so that what is measured does not depend on those of this process.
fn load(vars: &[(&str, &str)]) -> Result<Loaded, String> {
    let vars = black_box(vars).iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let surroundings = Surroundings::new(vars, |_| false);
    let no_file = |_: &std::path::Path| Err(io::Error::from(io::ErrorKind::NotFound));
    Loaded::from_surroundings(&Presets::builtin(), &surroundings, no_file).map_err(|error| error.to_string())
}

fn equal<T: Copy + PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), String> {
    if black_box(&is) == &should { Ok(()) } else { Err(format!("{what}: {is:?} instead of {should:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_does_what_it_should() {
        for operation in Operation::ALL {
            assert_eq!(operation.once(), Ok(()), "{}", operation.name());
        }
    }

    #[test]
    fn operations_are_found_by_their_names() {
        for operation in Operation::ALL {
            assert_eq!(Operation::named(operation.name()), Some(operation));
        }
        assert_eq!(Operation::named("text_processing"), None);
    }

    #[test]
    fn thresholds_are_those_of_the_described_system() {
        assert_eq!(Operation::ALL.map(|it| it.threshold().as_millis()), [10, 100, 100, 200, 100, 100, 50]);
    }

    #[test]
    fn what_came_out_instead_is_said() {
        assert_eq!(equal("attempts", 3, 4), Err("attempts: 3 instead of 4".to_owned()));
    }
}
