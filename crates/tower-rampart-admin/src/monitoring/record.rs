//! One thing that happened, as the rings keep it and the API shows it. What is wrong at present, rather than what happened, is in `alert`.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tower_rampart::{Stage, Timestamp};
use tower_rampart_core::{
    breaker::{State, TransitionReason},
    event::EventKind,
};

use super::{
    alert::Standing,
    clock::Moment,
    kind::{AlertKind, Level},
    refused::shortened,
    ring::Dated,
};

/// The longest text of a record, in bytes.
const MOST_OF_A_TEXT: usize = 500;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordKind {
    /// A preset was chosen. Its value is 1.
    PresetUsage,
    /// A configuration was loaded. Its value is the time it took, in milliseconds.
    ConfigLoad,
    /// A configuration could not be loaded. Its value is 1.
    ConfigError,
    /// The configuration that runs was replaced. Its value is 1.
    ConfigChange,
    /// A document was validated. Its value is 1 if it was valid, else 0.
    ValidationEvent,
    /// Something was measured. Its value is what it took on average, in milliseconds.
    PerformanceEvent,
    /// A circuit changed its state. Its value is 1.
    Transition,
    /// A call was refused; at most one a second and operation is told. Its value is how many it stands for.
    Rejected,
    /// The counters that snapshots show were set to zero. Its value is 1.
    CountersReset,
    /// An alert was raised, resolved, or went while it held because a worse one took its place. Its value is what it was raised for.
    Alert,
}

impl RecordKind {
    /// The word in JSON, in exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PresetUsage => "preset_usage",
            Self::ConfigLoad => "config_load",
            Self::ConfigError => "config_error",
            Self::ConfigChange => "config_change",
            Self::ValidationEvent => "validation_event",
            Self::PerformanceEvent => "performance_event",
            Self::Transition => "transition",
            Self::Rejected => "rejected",
            Self::CountersReset => "counters_reset",
            Self::Alert => "alert",
        }
    }

    /// The name of the server-sent event; `None` for what is only counted.
    pub const fn event(self) -> Option<&'static str> {
        match self {
            Self::PresetUsage | Self::ConfigLoad | Self::ValidationEvent | Self::PerformanceEvent => None,
            Self::ConfigError => Some("reload_refused"),
            Self::ConfigChange => Some("reloaded"),
            Self::Transition => Some("transition"),
            Self::Rejected => Some("rejected"),
            Self::CountersReset => Some("counters_reset"),
            Self::Alert => Some("alert"),
        }
    }

    /// Whether traffic causes it, which may come in any number, and must not drive out what people did.
    pub(super) const fn is_of_traffic(self) -> bool {
        matches!(self, Self::Transition | Self::Rejected | Self::CountersReset | Self::Alert)
    }
}

/// What a configuration was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigType {
    /// A preset alone.
    Preset,
    /// A document over a preset.
    Custom,
    /// The variables of older systems.
    Legacy,
    /// What stands in for a configuration that could not be loaded.
    Fallback,
}

impl ConfigType {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preset => "preset",
            Self::Custom => "custom",
            Self::Legacy => "legacy",
            Self::Fallback => "fallback",
        }
    }
}

/// Who caused something: what a request says of itself. Both are shortened to 64 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CausedBy {
    /// The session, by whatever name its client gave it.
    pub session_id: Option<Arc<str>>,
    /// The user, or the name of a key.
    pub user: Option<Arc<str>>,
}

impl CausedBy {
    /// Somebody, in a session or in none.
    pub fn new(session_id: Option<&str>, user: Option<&str>) -> Self {
        let short = |it: &str| Arc::from(shortened(it, 64));
        Self { session_id: session_id.map(short), user: user.map(short) }
    }
}

/// What is particular to a kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Detail {
    Nothing,
    Load { config_type: ConfigType, applied: bool },
    Error { message: Arc<str> },
    Change { message: Arc<str>, old_preset: Arc<str>, new_preset: Arc<str> },
    Validation { is_valid: bool, violations: u32 },
    Benchmark { benchmark_id: Arc<str>, passed: bool },
    Transition { from: State, to: State, reason: TransitionReason, would_be: bool },
    Rejected { stage: Stage, message: Arc<str>, retry_after: Option<Duration> },
    Alert { id: u64, kind: AlertKind, subject: Arc<str>, level: Level, standing: Standing },
}

impl Detail {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Nothing => json!({}),
            Self::Load { config_type, applied } => json!({"config_type": config_type.as_str(), "applied": applied}),
            Self::Error { message } => json!({"error_message": &**message}),
            Self::Change { message, old_preset, new_preset } => {
                json!({"detail": &**message, "old_preset": &**old_preset, "new_preset": &**new_preset})
            }
            Self::Validation { is_valid, violations } => json!({"is_valid": is_valid, "validation_errors": violations}),
            Self::Benchmark { benchmark_id, passed } => json!({"benchmark_id": &**benchmark_id, "passed": passed}),
            Self::Transition { from, to, reason, would_be } => {
                json!({"from": from.as_str(), "to": to.as_str(), "reason": reason.as_str(), "would_be": would_be})
            }
            Self::Rejected { stage, message, retry_after } => {
                // Rounded up: whoever comes back too early is refused again.
                let millis = |it: Duration| u64::try_from(it.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
                let retry_after = retry_after.map(millis);
                json!({"rejected_by": stage.as_str(), "message": &**message, "retry_after_ms": retry_after})
            }
            Self::Alert { id, kind, subject, level, standing } => json!({
                "alert_id": id,
                "kind": kind.as_str(),
                "subject": &**subject,
                "level": level.as_str(),
                "status": standing.as_str(),
            }),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Counts up by one with each record of a monitor, from 1.
    pub(super) id: u64,
    /// Counts up by one with each record that clients are told of, from 1; 0 for the others.
    pub(super) told: u64,
    pub(super) moment: Moment,
    pub(super) kind: RecordKind,
    pub(super) preset: Option<Arc<str>>,
    pub(super) operation: Option<Arc<str>>,
    pub(super) value: f64,
    pub(super) detail: Detail,
    pub(super) by: CausedBy,
}

impl Record {
    /// A record that has no number yet.
    pub(super) fn new(moment: Moment, kind: RecordKind, value: f64, detail: Detail) -> Self {
        Self { id: 0, told: 0, moment, kind, preset: None, operation: None, value, detail, by: CausedBy::default() }
    }

    pub(super) fn preset(mut self, preset: &str) -> Self {
        self.preset = Some(short(preset));
        self
    }

    pub(super) fn operation(mut self, operation: &str) -> Self {
        self.operation = Some(short(operation));
        self
    }

    pub(super) fn by(mut self, by: &CausedBy) -> Self {
        self.by = by.clone();
        self
    }

    /// What an event of the registry says; reloads are told with more than it says.
    pub(super) fn of_traffic(kind: &EventKind, moment: Moment) -> Option<Self> {
        Some(match kind {
            EventKind::Transition { from, to, reason, would_be } => {
                let detail = Detail::Transition { from: *from, to: *to, reason: *reason, would_be: *would_be };
                Self::new(moment, RecordKind::Transition, 1.0, detail)
            }
            EventKind::Rejected { rejection, suppressed } => {
                let detail = Detail::Rejected {
                    stage: rejection.stage(),
                    message: short(&rejection.to_string()),
                    retry_after: rejection.retry_after(),
                };
                Self::new(moment, RecordKind::Rejected, (suppressed.saturating_add(1)) as f64, detail)
            }
            EventKind::CountersReset => Self::new(moment, RecordKind::CountersReset, 1.0, Detail::Nothing),
            _ => return None,
        })
    }

    /// What the API shows.
    pub(super) fn event(&self) -> MonitoringEvent {
        let text = |it: &Option<Arc<str>>| it.as_deref().map(str::to_owned);
        MonitoringEvent {
            id: self.id,
            timestamp: self.moment.to_string(),
            metric_type: self.kind,
            preset_name: text(&self.preset),
            operation: text(&self.operation),
            value: self.value,
            metadata: self.detail.to_json(),
            session_id: text(&self.by.session_id),
            user_context: text(&self.by.user),
        }
    }

    /// What a load took; `None` for whatever is none.
    pub(super) fn load_time(&self) -> Option<Duration> {
        let is_load = self.kind == RecordKind::ConfigLoad;
        is_load.then(|| Duration::try_from_secs_f64(self.value / 1000.0).unwrap_or_default())
    }

    /// Whether it counts as a load: a configuration that took effect, or one that was only read.
    pub(super) fn is_load(&self) -> bool {
        match self.kind {
            RecordKind::ConfigChange => true,
            RecordKind::ConfigLoad => !matches!(self.detail, Detail::Load { applied: true, .. }),
            _ => false,
        }
    }
}

impl Dated for Arc<Record> {
    fn at(&self) -> Timestamp {
        self.moment.at
    }
}

/// A text of bounded length.
pub(super) fn short(text: &str) -> Arc<str> {
    Arc::from(shortened(text, MOST_OF_A_TEXT))
}

/// One thing that happened, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct MonitoringEvent {
    /// Its number, higher than that of all before.
    pub id: u64,
    /// When, RFC 3339.
    pub timestamp: String,
    /// What kind of thing.
    pub metric_type: RecordKind,
    /// The preset that it is about.
    pub preset_name: Option<String>,
    /// The operation that it is about, or what somebody did.
    pub operation: Option<String>,
    /// As its kind says.
    pub value: f64,
    /// What is particular to its kind.
    pub metadata: Value,
    /// The session that caused it.
    pub session_id: Option<String>,
    /// Who caused it.
    pub user_context: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_record_are_bounded() {
        let moment = Moment { at: Timestamp::ZERO, date: jiff::Timestamp::UNIX_EPOCH };
        let long = "x".repeat(100_000);
        let record = Record::new(moment, RecordKind::ConfigError, 1.0, Detail::Error { message: short(&long) })
            .preset(&long)
            .operation(&long)
            .by(&CausedBy::new(Some(&long), Some(&long)));
        assert!(serde_json::to_string(&record.event()).expect("JSON").len() < 2000);
    }
}
