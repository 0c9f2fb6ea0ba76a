//! What the kept records come to: usage, performance, trends, sessions. Rates lie within 0 to 1, and nothing at all is an answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp as Date;
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart_config::MonitoringThresholds;

use super::{
    clock::Moment,
    record::{ConfigType, Detail, MonitoringEvent, Record, RecordKind},
};
use crate::performance::percentile;

/// The most events of a session that are listed.
const MOST_OF_A_SESSION: usize = 1000;
const SECONDS_OF_AN_HOUR: i64 = 60 * 60;

/// How the configuration is used.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct UsageAnswer {
    /// How far back, in hours.
    pub time_window_hours: u32,
    /// What was counted.
    pub statistics: UsageStatistics,
    /// What to make of it.
    pub summary: UsageSummary,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct UsageStatistics {
    /// Configurations that were loaded.
    pub total_loads: u64,
    /// How often each preset was used.
    pub preset_usage_count: BTreeMap<String, u64>,
    /// The share of attempts to load one that failed, 0 to 1.
    pub error_rate: f64,
    /// What a load took on average, of those that were timed; 0 if none was.
    pub avg_load_time_ms: f64,
    /// The preset that was used most, the first by name of several; `none` if none was.
    pub most_used_preset: String,
    /// The one that was used least.
    pub least_used_preset: String,
    /// The share of timed loads that were documents over a preset, 0 to 1.
    pub custom_config_usage_rate: f64,
    /// The share of timed loads that came from the variables of older systems, 0 to 1.
    pub legacy_config_usage_rate: f64,
}

/// What to make of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct UsageSummary {
    /// Whether no more loads fail than the threshold allows.
    pub healthy: bool,
    /// Whether loads are as fast as the threshold asks for on average.
    pub performance_good: bool,
    /// The share of timed loads that did not come from the variables of older systems, 0 to 1.
    pub preset_adoption: f64,
}

/// How fast configurations load.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PerformanceAnswer {
    /// How far back, in hours.
    pub time_window_hours: u32,
    /// What was measured.
    pub performance_metrics: PerformanceMetrics,
    /// What to make of it.
    pub health_check: PerformanceHealth,
}

/// What was measured; times are 0 where there was none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PerformanceMetrics {
    /// What a load took on average.
    pub avg_load_time_ms: f64,
    /// The shortest.
    pub min_load_time_ms: f64,
    /// The longest.
    pub max_load_time_ms: f64,
    /// What 95 % did not exceed.
    pub p95_load_time_ms: f64,
    /// Loads that failed.
    pub error_count: u64,
    /// Loads that were timed.
    pub total_samples: u64,
    /// The same by preset.
    pub preset_performance: BTreeMap<String, PresetPerformance>,
}

/// How fast the configurations over one preset load.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PresetPerformance {
    /// What a load took on average.
    pub avg_load_time_ms: f64,
    /// The shortest.
    pub min_load_time_ms: f64,
    /// The longest.
    pub max_load_time_ms: f64,
    /// What 95 % did not exceed.
    pub p95_load_time_ms: f64,
    /// Loads that were timed.
    pub sample_count: u64,
}

/// What to make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PerformanceHealth {
    /// Whether loads are as fast as the threshold asks for on average.
    pub performance_good: bool,
    /// Whether no more loads fail than the threshold allows.
    pub error_rate_acceptable: bool,
    /// Whether 95 % take at most twice the threshold.
    pub p95_within_threshold: bool,
}

/// How often a preset was used, hour by hour.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TrendsAnswer {
    /// The preset.
    pub preset_name: String,
    /// How many hours.
    pub time_window_hours: u32,
    /// How far back events are kept: hours before that are zero.
    pub retention_hours: f64,
    /// Each hour of the calendar, UTC, the present one last.
    pub trend_data: Vec<TrendPoint>,
    /// All of them together.
    pub summary: TrendSummary,
}

/// One hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TrendPoint {
    /// When it began, RFC 3339.
    pub timestamp: String,
    /// How often the preset was used in it.
    pub usage_count: u64,
}

/// All hours together.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TrendSummary {
    /// How often it was used.
    pub total_usage: u64,
    /// How often in the busiest hour.
    pub peak_usage: u64,
    /// How often in an hour on average.
    pub avg_hourly_usage: f64,
}

/// What one session did.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SessionAnswer {
    /// The session.
    pub session_id: String,
    /// What it caused, oldest first, the last 1000.
    pub metrics: Vec<MonitoringEvent>,
    /// All of it together.
    pub summary: SessionSummary,
}

/// What a session did, together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SessionSummary {
    /// How much it caused.
    pub total_operations: u64,
    /// How often it used each preset.
    pub preset_usage: BTreeMap<String, u64>,
    /// Loads that failed, and documents that were refused.
    pub error_count: u64,
    /// Their share, 0 to 1.
    pub error_rate: f64,
    /// What a load took on average, of those that were timed; 0 if none was.
    pub avg_load_time_ms: f64,
}

type Records<'a> = &'a [Arc<Record>];

pub(super) fn usage(records: Records<'_>, thresholds: &MonitoringThresholds, hours: u32) -> UsageAnswer {
    let loads = LoadTimes::of(records);
    let statistics = statistics(records, &loads);
    let summary = UsageSummary {
        healthy: statistics.error_rate <= thresholds.error_rate,
        performance_good: loads.average() <= thresholds.load_time,
        preset_adoption: 1.0 - statistics.legacy_config_usage_rate,
    };
    UsageAnswer { time_window_hours: hours, statistics, summary }
}

fn statistics(records: Records<'_>, loads: &LoadTimes) -> UsageStatistics {
    let usage = preset_usage(records);
    let most = usage.iter().rev().max_by_key(|it| it.1).map(|it| it.0.clone());
    let least = usage.iter().min_by_key(|it| it.1).map(|it| it.0.clone());
    let timed = |wanted: ConfigType| {
        let is_such =
            |it: &&Arc<Record>| matches!(it.detail, Detail::Load { config_type, .. } if config_type == wanted);
        share(count(records, is_such), loads.count())
    };
    let none = || "none".to_owned();
    UsageStatistics {
        total_loads: count(records, |it| it.is_load()),
        error_rate: error_rate(records),
        avg_load_time_ms: millis(loads.average()),
        most_used_preset: most.unwrap_or_else(none),
        least_used_preset: least.unwrap_or_else(none),
        custom_config_usage_rate: timed(ConfigType::Custom),
        legacy_config_usage_rate: timed(ConfigType::Legacy),
        preset_usage_count: usage,
    }
}

pub(super) fn performance(records: Records<'_>, thresholds: &MonitoringThresholds, hours: u32) -> PerformanceAnswer {
    let all = LoadTimes::of(records);
    let mut by_preset: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for (record, took) in records.iter().filter_map(|it| Some((it, it.load_time()?))) {
        if let Some(preset) = &record.preset {
            by_preset.entry(preset.to_string()).or_default().push(took);
        }
    }
    let preset_performance = by_preset.into_iter().map(|(preset, took)| {
        let loads = LoadTimes::new(took);
        let [average, min, max, p95] = loads.shown();
        let performance = PresetPerformance {
            avg_load_time_ms: average,
            min_load_time_ms: min,
            max_load_time_ms: max,
            p95_load_time_ms: p95,
            sample_count: loads.count(),
        };
        (preset, performance)
    });
    let [average, min, max, p95] = all.shown();
    PerformanceAnswer {
        time_window_hours: hours,
        performance_metrics: PerformanceMetrics {
            avg_load_time_ms: average,
            min_load_time_ms: min,
            max_load_time_ms: max,
            p95_load_time_ms: p95,
            error_count: errors(records),
            total_samples: all.count(),
            preset_performance: preset_performance.collect(),
        },
        health_check: PerformanceHealth {
            performance_good: all.average() <= thresholds.load_time,
            error_rate_acceptable: error_rate(records) <= thresholds.error_rate,
            p95_within_threshold: all.p95() <= thresholds.load_time.saturating_mul(2),
        },
    }
}

pub(super) fn trends(records: Records<'_>, preset: &str, hours: u32, retention: Duration, now: Moment) -> TrendsAnswer {
    let hour = |date: Date| date.as_second().div_euclid(SECONDS_OF_AN_HOUR);
    let last = hour(now.date);
    let first = last - i64::from(hours) + 1;
    let mut counts = vec![0_u64; hours as usize];
    for record in records.iter().filter(|it| it.kind == RecordKind::PresetUsage && it.preset.as_deref() == Some(preset))
    {
        let index = usize::try_from(hour(record.moment.date) - first).ok();
        if let Some(count) = index.and_then(|it| counts.get_mut(it)) {
            *count += 1;
        }
    }
    let began = |index: usize| {
        let hour = first + i64::try_from(index).unwrap_or(i64::MAX);
        let date = Date::from_second(hour.saturating_mul(SECONDS_OF_AN_HOUR)).unwrap_or(Date::UNIX_EPOCH);
        format!("{date:.3}")
    };
    let total: u64 = counts.iter().sum();
    TrendsAnswer {
        preset_name: preset.to_owned(),
        time_window_hours: hours,
        retention_hours: retention.as_secs_f64() / SECONDS_OF_AN_HOUR as f64,
        summary: TrendSummary {
            total_usage: total,
            peak_usage: counts.iter().copied().max().unwrap_or(0),
            avg_hourly_usage: share(total, u64::from(hours)),
        },
        trend_data: counts
            .into_iter()
            .enumerate()
            .map(|(index, usage_count)| TrendPoint { timestamp: began(index), usage_count })
            .collect(),
    }
}

pub(super) fn session(records: Records<'_>, session_id: &str) -> SessionAnswer {
    let surplus = records.len().saturating_sub(MOST_OF_A_SESSION);
    let error_count = errors(records) + count(records, |it| it.kind == RecordKind::ValidationEvent && it.value < 0.5);
    SessionAnswer {
        session_id: session_id.to_owned(),
        metrics: records.iter().skip(surplus).map(|it| it.event()).collect(),
        summary: SessionSummary {
            total_operations: records.len() as u64,
            preset_usage: preset_usage(records),
            error_count,
            error_rate: share(error_count, records.len() as u64),
            avg_load_time_ms: millis(LoadTimes::of(records).average()),
        },
    }
}

/// What loads took, from the shortest to the longest.
struct LoadTimes(Vec<Duration>);

impl LoadTimes {
    fn of(records: Records<'_>) -> Self {
        Self::new(records.iter().filter_map(|it| it.load_time()).collect())
    }

    fn new(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn average(&self) -> Duration {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.iter().sum::<Duration>().checked_div(count).unwrap_or_default()
    }

    fn p95(&self) -> Duration {
        percentile(&self.0, 95).unwrap_or_default()
    }

    /// Average, shortest, longest and 95th percentile in milliseconds.
    fn shown(&self) -> [f64; 4] {
        let [min, max] = [self.0.first(), self.0.last()].map(|it| it.copied().unwrap_or_default());
        [self.average(), min, max, self.p95()].map(millis)
    }
}

fn preset_usage(records: Records<'_>) -> BTreeMap<String, u64> {
    let mut usage = BTreeMap::new();
    for record in records.iter().filter(|it| it.kind == RecordKind::PresetUsage) {
        if let Some(preset) = &record.preset {
            *usage.entry(preset.to_string()).or_insert(0) += 1;
        }
    }
    usage
}

fn errors(records: Records<'_>) -> u64 {
    count(records, |it| it.kind == RecordKind::ConfigError)
}

fn error_rate(records: Records<'_>) -> f64 {
    let errors = errors(records);
    share(errors, errors + count(records, |it| it.is_load()))
}

fn count(records: Records<'_>, wanted: impl Fn(&&Arc<Record>) -> bool) -> u64 {
    records.iter().filter(wanted).count() as u64
}

fn share(of: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { of as f64 / all as f64 }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use tower_rampart::Timestamp;
    use tower_rampart_config::MonitoringConfig;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { at: Timestamp::ZERO, date: "2024-01-15T10:30:00Z".parse().expect("a date") }
            .after(Duration::from_secs(seconds))
    }

    fn usage_of(preset: &str, seconds: u64) -> Arc<Record> {
        Arc::new(Record::new(at(seconds), RecordKind::PresetUsage, 1.0, Detail::Nothing).preset(preset))
    }

    fn load(preset: &str, millis: f64, config_type: ConfigType) -> Arc<Record> {
        let detail = Detail::Load { config_type, applied: false };
        Arc::new(Record::new(at(0), RecordKind::ConfigLoad, millis, detail).preset(preset))
    }

    fn thresholds() -> MonitoringThresholds {
        MonitoringConfig::default().thresholds
    }

    #[test]
    fn nothing_at_all_is_an_answer() {
        let usage = usage(&[], &thresholds(), 24);
        assert_eq!((usage.statistics.total_loads, usage.statistics.most_used_preset.as_str()), (0, "none"));
        assert!(usage.summary.healthy && usage.summary.performance_good);
        let performance = performance(&[], &thresholds(), 24).performance_metrics;
        assert_eq!(performance, PerformanceMetrics::default());
        let trends = trends(&[], "simple", 1, Duration::from_secs(3600), at(0));
        assert_eq!((trends.trend_data.len(), trends.summary.peak_usage), (1, 0));
        assert_eq!(session(&[], "s").summary, SessionSummary::default());
    }

    #[test]
    fn usage_names_the_most_and_the_least_used_preset() {
        let records = [
            usage_of("b", 0),
            usage_of("a", 0),
            usage_of("b", 1),
            usage_of("c", 2),
            load("b", 5.0, ConfigType::Legacy),
        ];
        let answer = usage(&records, &thresholds(), 24);
        let statistics = &answer.statistics;
        assert_eq!((statistics.most_used_preset.as_str(), statistics.least_used_preset.as_str()), ("b", "a"));
        assert_eq!((statistics.total_loads, statistics.preset_usage_count["b"]), (1, 2));
        assert!(
            (statistics.legacy_config_usage_rate - 1.0).abs() < 1e-9 && answer.summary.preset_adoption.abs() < 1e-9
        );
        assert!((statistics.avg_load_time_ms - 5.0).abs() < 1e-9);
    }

    #[test]
    fn loads_are_told_by_preset_with_their_percentile() {
        let records: Vec<_> = (1..=20)
            .map(|it| load("a", f64::from(it), ConfigType::Preset))
            .chain([load("b", 900.0, ConfigType::Custom)])
            .collect();
        let answer = performance(&records, &thresholds(), 24);
        let metrics = &answer.performance_metrics;
        assert_eq!((metrics.total_samples, metrics.preset_performance["a"].sample_count), (21, 20));
        let a = &metrics.preset_performance["a"];
        assert!((a.p95_load_time_ms - 19.0).abs() < 1e-6 && (a.avg_load_time_ms - 10.5).abs() < 1e-6, "{a:?}");
        assert!((metrics.max_load_time_ms - 900.0).abs() < 1e-6);
        assert!(answer.health_check.performance_good && answer.health_check.p95_within_threshold);
    }

    #[test]
    fn trend_has_one_point_for_each_hour_of_the_calendar_up_to_the_present_one() {
        // 10:30, 10:59:59, 11:00 and 12:10, seen at 12:30.
        let records: Vec<_> = [0, 1799, 1800, 6000].map(|it| usage_of("a", it)).to_vec();
        let answer = trends(&records, "a", 4, Duration::from_secs(24 * 3600), at(7200));
        let points: Vec<_> = answer.trend_data.iter().map(|it| (it.timestamp.as_str(), it.usage_count)).collect();
        assert_eq!(
            points,
            [
                ("2024-01-15T09:00:00.000Z", 0),
                ("2024-01-15T10:00:00.000Z", 2),
                ("2024-01-15T11:00:00.000Z", 1),
                ("2024-01-15T12:00:00.000Z", 1)
            ]
        );
        assert_eq!((answer.summary.total_usage, answer.summary.peak_usage), (4, 2));
        assert!((answer.summary.avg_hourly_usage - 1.0).abs() < 1e-9);
    }

    #[test]
    fn session_lists_its_last_events_and_counts_all() {
        let records: Vec<_> = (0..1500).map(|it| usage_of("a", it)).collect();
        let answer = session(&records, "s");
        assert_eq!((answer.metrics.len(), answer.summary.total_operations), (MOST_OF_A_SESSION, 1500));
    }
}
