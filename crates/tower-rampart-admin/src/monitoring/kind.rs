//! What can be wrong, and how bad it is. What is wrong at present is in `alert`, when something is, in `conditions`.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::record::RecordKind;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Good to know.
    Info,
    /// Look at it when there is time.
    Warning,
    /// Look at it today.
    Error,
    /// Look at it now.
    Critical,
}

impl Level {
    /// All, the least bad first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];
    /// Their words.
    pub const NAMES: &'static [&'static str] = &["info", "warning", "error", "critical"];

    /// The level of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertKind {
    /// The last attempt to load a configuration failed.
    ConfigError,
    /// The last load took longer than `thresholds.load_time`.
    SlowConfigLoad,
    /// More loads failed than `thresholds.error_rate` allows.
    ConfigErrorRate,
    /// The configuration changed more often than `thresholds.changes_per_hour`.
    ConfigChanges,
    /// More documents were refused than `thresholds.validation_failure_rate` allows.
    ValidationFailures,
    /// Fewer calls succeed than `thresholds.success_rate` asks for.
    SuccessRate,
    /// A circuit is open.
    OpenCircuit,
}

impl AlertKind {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigError => "config_error",
            Self::SlowConfigLoad => "slow_config_load",
            Self::ConfigErrorRate => "config_error_rate",
            Self::ConfigChanges => "config_changes",
            Self::ValidationFailures => "validation_failures",
            Self::SuccessRate => "success_rate",
            Self::OpenCircuit => "open_circuit",
        }
    }

    /// How bad it is.
    pub const fn level(self) -> Level {
        match self {
            Self::SlowConfigLoad | Self::ConfigErrorRate | Self::ConfigChanges | Self::ValidationFailures => {
                Level::Warning
            }
            Self::ConfigError | Self::SuccessRate => Level::Error,
            Self::OpenCircuit => Level::Critical,
        }
    }

    /// The kind of record that it is found in.
    pub(super) const fn metric_type(self) -> RecordKind {
        match self {
            Self::ConfigError | Self::ConfigErrorRate => RecordKind::ConfigError,
            Self::SlowConfigLoad | Self::SuccessRate => RecordKind::PerformanceEvent,
            Self::ConfigChanges => RecordKind::ConfigChange,
            Self::ValidationFailures => RecordKind::ValidationEvent,
            Self::OpenCircuit => RecordKind::Transition,
        }
    }

    /// Whether it is about the configuration rather than about traffic.
    pub(super) const fn is_of_configuration(self) -> bool {
        !matches!(self, Self::SuccessRate | Self::OpenCircuit)
    }
}
