//! The shapes of questions and answers about alerts and cleaning up. Those about usage are in `statistics`, those about exports in `export`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{alert::Alert, kind::Level};

/// Which alerts are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertsQuery {
    /// The most that are listed, 1 to 1000. Default: 50.
    pub max_alerts: u32,
    /// Of one level alone.
    pub level: Option<Level>,
    /// Active or resolved ones alone. Default: all.
    pub status: AlertStatus,
    /// Resolved ones only if they were found in the last so many hours.
    pub hours: Option<u32>,
}

impl Default for AlertsQuery {
    fn default() -> Self {
        Self { max_alerts: 50, level: None, status: AlertStatus::All, hours: None }
    }
}

/// Whether a condition still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertStatus {
    /// Whether or not.
    #[default]
    All,
    /// It does.
    Active,
    /// It does not.
    Resolved,
}

impl AlertStatus {
    /// All words.
    pub const NAMES: &'static [&'static str] = &["all", "active", "resolved"];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "active" => Self::Active,
            "resolved" => Self::Resolved,
            _ => return None,
        })
    }
}

/// What is wrong, or was until lately.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AlertsAnswer {
    /// The alerts, those that were found last first.
    pub alerts: Vec<Alert>,
    /// All that match, listed or not.
    pub summary: AlertsSummary,
}

/// All alerts that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AlertsSummary {
    /// How many match.
    pub total_alerts: usize,
    /// How many of them hold.
    pub active_alerts: usize,
    /// How many match, by level.
    pub alert_counts: AlertCounts,
    /// Whether one of them holds and is critical.
    pub has_critical: bool,
    /// Whether one of them holds and is an error, or worse.
    pub has_errors: bool,
    /// How many were not kept since the start, because as bad or worse ones filled the list; each counts once for as long as its condition holds.
    pub dropped_alerts: u64,
}

/// How many alerts, by level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AlertCounts {
    /// Good to know.
    pub info: usize,
    /// Look at it when there is time.
    pub warning: usize,
    /// Look at it today.
    pub error: usize,
    /// Look at it now.
    pub critical: usize,
}

impl AlertsAnswer {
    /// Lists the first `max` of those that match.
    pub(super) fn new(mut found: Vec<Alert>, max: u32, dropped_alerts: u64) -> Self {
        let count = |level| found.iter().filter(|it| it.level == level).count();
        let holds = |level| found.iter().any(|it| it.is_active() && it.level >= level);
        let summary = AlertsSummary {
            total_alerts: found.len(),
            active_alerts: found.iter().filter(|it| it.is_active()).count(),
            alert_counts: AlertCounts {
                info: count(Level::Info),
                warning: count(Level::Warning),
                error: count(Level::Error),
                critical: count(Level::Critical),
            },
            has_critical: holds(Level::Critical),
            has_errors: holds(Level::Error),
            dropped_alerts,
        };
        found.truncate(max as usize);
        Self { alerts: found, summary }
    }
}

/// What was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct CleanupAnswer {
    /// What is older, in hours, is gone.
    pub cleanup_threshold_hours: u32,
    /// How many events that were.
    pub metrics_removed: usize,
    /// How many alerts.
    pub alerts_removed: usize,
    /// How many events are left.
    pub metrics_remaining: usize,
    /// How many alerts.
    pub alerts_remaining: usize,
    /// When it was done, RFC 3339.
    pub cleanup_timestamp: String,
}
