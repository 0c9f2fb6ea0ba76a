//! The section `monitoring`: what is kept for operators, and when they are told. It is of the whole process, so no operation has one of its own.

use std::time::Duration;

/// What is kept for operators, and from when on they are told.
///
/// # Examples
/// ```
/// use tower_rampart_config::{Preset, ResilienceConfig};
///
/// let config = ResilienceConfig::over(Preset::Simple, r#"{"monitoring": {"thresholds": {"success_rate": 0.95}}}"#)?;
/// assert_eq!(config.monitoring().thresholds.success_rate, 0.95);
/// assert_eq!(config.monitoring().max_events, 10_000);
/// # Ok::<(), tower_rampart_config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MonitoringConfig {
    /// The most events of each kind of ring that are kept, 1 to 50 000. Default: 10 000.
    pub max_events: u32,
    /// The most alerts that are kept, 1 to 1000. Default: 1000.
    pub max_alerts: u32,
    /// How long events and resolved alerts are kept, 1 min to 168 h. Default: 24 h.
    pub retention: Duration,
    /// From when on operators are told.
    pub thresholds: MonitoringThresholds,
}

/// From when on an alert is raised.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MonitoringThresholds {
    /// A configuration that takes longer to load, 1 ms to 24 h. Default: 100 ms.
    pub load_time: Duration,
    /// A larger share of loads that failed in the last hour, 0 to 1. Default: 0.05.
    pub error_rate: f64,
    /// More changes of the configuration in the last hour, 1 to 1 000 000. Default: 10.
    pub changes_per_hour: u32,
    /// A larger share of validated documents that were refused in the last hour, 0 to 1. Default: 0.1.
    pub validation_failure_rate: f64,
    /// A smaller share of an operation's calls that succeeded lately, 0 to 1. Default: 0.8.
    pub success_rate: f64,
    /// So many calls say nothing yet about `success_rate`, one more does; 1 to 1 000 000. Default: 10.
    pub minimum_calls: u32,
    /// Whether an open circuit is one. Default: yes.
    pub open_circuit: bool,
}

impl Default for MonitoringConfig {
    fn default() -> Self {
        Self {
            max_events: 10_000,
            max_alerts: 1000,
            retention: Duration::from_secs(24 * 60 * 60),
            thresholds: MonitoringThresholds::default(),
        }
    }
}

impl Default for MonitoringThresholds {
    fn default() -> Self {
        Self {
            load_time: Duration::from_millis(100),
            error_rate: 0.05,
            changes_per_hour: 10,
            validation_failure_rate: 0.1,
            success_rate: 0.8,
            minimum_calls: 10,
            open_circuit: true,
        }
    }
}
