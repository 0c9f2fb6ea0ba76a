//! What happened to the configuration and the circuits, and whether that is a reason to tell somebody. What a call did is counted by the registry; here it
//! is only compared.
//!
//! | kept | bound |
//! |---|---|
//! | what people did: loads, changes, refusals, validations, uses of presets, benchmarks | `monitoring.max_events`, `monitoring.retention` |
//! | what traffic did: transitions, sampled refusals, alerts | the same again, so that a storm of refusals drives out no change |
//! | samples of the counters, for rates and traces | the same again |
//! | alerts, one for each condition and subject | `monitoring.max_alerts`; resolved ones for `monitoring.retention` |
//! | clients that follow the events | 64, each at most 256 events behind, 1000 when it comes back |
//!
//! Ages are told by the monotonic clock, dates by the calendar. Sizes and thresholds are those of the running document, at once after a reload.
//!
//! # Examples
//! ```
//! use tower_rampart::Resilience;
//! use tower_rampart_admin::monitoring::{CausedBy, ExportFormat, Monitor};
//!
//! let resilience = Resilience::from_preset("simple")?;
//! let monitor = Monitor::new(&resilience);
//! monitor.validated(2, "validate", &CausedBy::new(Some("session-7"), Some("alice")));
//! assert_eq!(monitor.session("session-7").summary.error_count, 1);
//! assert!(monitor.export(ExportFormat::Csv, Some(24), None).data.contains("validation_event"));
//! # Ok::<(), tower_rampart::BuildError>(())
//! ```

mod alert;
mod answers;
mod clock;
mod conditions;
mod export;
mod feed;
mod kind;
mod monitor;
mod record;
mod refused;
mod ring;
mod routes;
mod shared;
mod state;
mod statistics;
mod trace;
mod traffic;

pub use self::{
    alert::Alert,
    answers::{AlertCounts, AlertStatus, AlertsAnswer, AlertsQuery, AlertsSummary, CleanupAnswer},
    clock::{Clock, Moment},
    export::{ExportAnswer, ExportFormat},
    feed::{BUFFER, MOST_CLIENTS, MOST_OF_ONE_CALLER, MOST_REPLAYED, Message},
    kind::{AlertKind, Level},
    monitor::Monitor,
    record::{CausedBy, ConfigType, MonitoringEvent, RecordKind},
    refused::Refused,
    statistics::{
        PerformanceAnswer, PerformanceHealth, PerformanceMetrics, PresetPerformance, SessionAnswer, SessionSummary,
        TrendPoint, TrendSummary, TrendsAnswer, UsageAnswer, UsageStatistics, UsageSummary,
    },
};
pub(crate) use self::{
    feed::EVENTS,
    routes::{caused_by, routes},
};
