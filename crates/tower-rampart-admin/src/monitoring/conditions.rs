//! When something is wrong: the thresholds of the document against what was recorded. What becomes of it is in `alert`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tower_rampart::Timestamp;
use tower_rampart_config::MonitoringThresholds;
use tower_rampart_core::{breaker::State, rejection::Name};

use super::{
    alert::Finding,
    kind::AlertKind,
    record::{Detail, Record, RecordKind},
    ring::Ring,
    traffic::Sample,
};
use crate::refusal::shown;

/// How far back the share of failed loads, changes and refusals is told.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
/// How far back the share of successful calls is told, if there were enough calls; else up to an hour.
const LATELY: Duration = Duration::from_secs(5 * 60);

/// So many hours.
pub(super) fn window(hours: u32) -> Duration {
    HOUR.saturating_mul(hours)
}

/// The subject of what is about the configuration as a whole.
const CONFIGURATION: &str = "configuration";

/// What is wrong with the configuration or with how it is changed.
pub(super) fn of_configuration(
    records: &Ring<Arc<Record>>,
    thresholds: &MonitoringThresholds,
    now: Timestamp,
) -> Vec<Finding> {
    let (mut loads, mut errors, mut changes, mut refused, mut validated) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    // Newest first: what is met first is the last of its subject.
    let mut last_load: BTreeMap<Arc<str>, (&Record, Duration)> = BTreeMap::new();
    let mut last_attempt: BTreeMap<Arc<str>, &Record> = BTreeMap::new();
    for record in records.recent(now, HOUR) {
        let subject = || record.preset.clone().unwrap_or_else(|| CONFIGURATION.into());
        loads += u64::from(record.is_load());
        match record.kind {
            RecordKind::ConfigLoad => {
                last_attempt.entry(subject()).or_insert(record);
                if let Some(took) = record.load_time() {
                    last_load.entry(subject()).or_insert((record, took));
                }
            }
            RecordKind::ConfigChange => {
                changes += 1;
                last_attempt.entry(subject()).or_insert(record);
                last_attempt.entry(CONFIGURATION.into()).or_insert(record);
            }
            RecordKind::ConfigError => {
                errors += 1;
                last_attempt.entry(subject()).or_insert(record);
            }
            RecordKind::ValidationEvent => {
                validated += 1;
                refused += u64::from(record.value < 0.5);
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    found.extend(last_attempt.into_iter().filter_map(|(subject, record)| config_error(subject, record)));
    let slow = last_load.into_iter().filter(|(_, (_, took))| *took > thresholds.load_time);
    found.extend(slow.map(|(subject, (record, took))| slow_load(subject, record, took, thresholds.load_time)));
    let rates = [
        (AlertKind::ConfigErrorRate, errors, loads + errors, thresholds.error_rate, "loads failed"),
        (
            AlertKind::ValidationFailures,
            refused,
            validated,
            thresholds.validation_failure_rate,
            "documents were refused",
        ),
    ];
    for (kind, bad, all, threshold, what) in rates {
        let actual = share(bad, all);
        if actual > threshold {
            let title = if kind == AlertKind::ConfigErrorRate { "Configuration Errors" } else { "Validation Failures" };
            let description = format!("{bad} of {all} {what} within an hour");
            found.push(Finding { title: title.to_owned(), ..finding(kind, description, threshold, actual) });
        }
    }
    if changes > u64::from(thresholds.changes_per_hour) {
        let description = format!("The configuration changed {changes} times within an hour");
        let threshold = f64::from(thresholds.changes_per_hour);
        let title = "Frequent Configuration Changes".to_owned();
        found.push(Finding { title, ..finding(AlertKind::ConfigChanges, description, threshold, changes as f64) });
    }
    found
}

fn config_error(subject: Arc<str>, record: &Record) -> Option<Finding> {
    let Detail::Error { message } = &record.detail else { return None };
    Some(Finding {
        title: format!("Configuration Error: {subject}"),
        preset: record.preset.clone(),
        occurrence: record.id,
        subject,
        ..finding(AlertKind::ConfigError, message.to_string(), 0.0, 1.0)
    })
}

fn slow_load(subject: Arc<str>, record: &Record, took: Duration, threshold: Duration) -> Finding {
    let [took, threshold] = [took, threshold].map(|it| it.as_secs_f64() * 1000.0);
    Finding {
        title: format!("Slow Configuration Load: {subject}"),
        preset: record.preset.clone(),
        occurrence: record.id,
        subject,
        ..finding(
            AlertKind::SlowConfigLoad,
            format!("The last configuration over this preset took {took:.1} ms to load"),
            threshold,
            took,
        )
    }
}

fn finding(kind: AlertKind, description: String, threshold: f64, actual: f64) -> Finding {
    Finding {
        kind,
        subject: CONFIGURATION.into(),
        title: String::new(),
        description,
        preset: None,
        threshold,
        actual,
        occurrence: 0,
    }
}

/// Which operations fail too often: of the calls of the last five minutes, or, where those are too few to say, of so many more of the last hour.
pub(super) fn of_traffic<'a>(
    newest_first: impl Iterator<Item = &'a Arc<Sample>>,
    thresholds: &MonitoringThresholds,
    now: Timestamp,
) -> Vec<Finding> {
    let minimum = u64::from(thresholds.minimum_calls);
    let mut calls: HashMap<&Name, (u64, u64)> = HashMap::new();
    for sample in newest_first {
        let (success, all) = calls.entry(&sample.operation).or_default();
        if now.since(sample.to) <= LATELY || *all <= minimum {
            *success += sample.counts.success;
            *all += sample.counts.success + sample.counts.failure;
        }
    }
    let mut found: Vec<Finding> = calls
        .into_iter()
        .filter(|(_, (_, all))| *all > minimum)
        .map(|(operation, (success, all))| (operation, all, share(success, all)))
        .filter(|(.., rate)| *rate < thresholds.success_rate)
        .map(|(operation, all, rate)| Finding {
            title: format!("Low Success Rate: {}", shown(operation)),
            subject: Name::clone(operation),
            ..finding(
                AlertKind::SuccessRate,
                format!("Only {:.1} % of {all} calls of '{}' succeeded", rate * 100.0, shown(operation)),
                thresholds.success_rate,
                rate,
            )
        })
        .collect();
    found.sort_unstable_by(|one, other| one.subject.cmp(&other.subject));
    found
}

/// A circuit that is open, or was opened and has not closed.
pub(super) fn open_circuit(circuit: &Name, state: State) -> Finding {
    Finding {
        title: format!("Open Circuit: {}", shown(circuit)),
        subject: Name::clone(circuit),
        ..finding(AlertKind::OpenCircuit, format!("Circuit breaker '{}' is {state}", shown(circuit)), 0.0, 1.0)
    }
}

/// Whether calls are refused.
pub(super) const fn is_open(state: State) -> bool {
    matches!(state, State::Open | State::ForcedOpen)
}

fn share(of: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { of as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use tower_rampart_config::MonitoringConfig;

    use super::{super::clock::Moment, *};

    fn at(seconds: u64) -> Moment {
        Moment { at: Timestamp::ZERO, date: jiff::Timestamp::UNIX_EPOCH }.after(Duration::from_secs(seconds))
    }

    fn thresholds() -> MonitoringThresholds {
        MonitoringConfig::default().thresholds
    }

    fn found(records: impl IntoIterator<Item = Record>, now: u64) -> Vec<(AlertKind, String)> {
        let mut ring = Ring::new(1000);
        for (id, record) in records.into_iter().enumerate() {
            ring.push(Arc::new(Record { id: id as u64 + 1, ..record }));
        }
        let found = of_configuration(&ring, &thresholds(), at(now).at);
        found.into_iter().map(|it| (it.kind, it.subject.to_string())).collect()
    }

    fn change(seconds: u64) -> Record {
        Record::new(at(seconds), RecordKind::ConfigChange, 1.0, Detail::Nothing)
    }

    fn error(seconds: u64) -> Record {
        Record::new(at(seconds), RecordKind::ConfigError, 1.0, Detail::Error { message: "bad".into() })
    }

    fn load(seconds: u64, millis: f64) -> Record {
        Record::new(at(seconds), RecordKind::ConfigLoad, millis, Detail::Nothing).preset("simple")
    }

    fn validated(seconds: u64, valid: bool) -> Record {
        Record::new(at(seconds), RecordKind::ValidationEvent, f64::from(u8::from(valid)), Detail::Nothing)
    }

    #[test]
    fn more_than_ten_changes_an_hour_are_too_many() {
        assert_eq!(found((0..10).map(change), 10), []);
        assert_eq!(found((0..11).map(change), 10), [(AlertKind::ConfigChanges, "configuration".to_owned())]);
        assert_eq!(found((0..11).map(change), 3601), [], "the first was more than an hour ago");
    }

    #[test]
    fn more_than_a_tenth_of_refused_documents_is_too_much() {
        let of = |bad: u64, all: u64| found((0..all).map(|it| validated(it, it >= bad)), 100);
        assert_eq!(of(1, 10), []);
        assert_eq!(of(2, 10), [(AlertKind::ValidationFailures, "configuration".to_owned())]);
    }

    #[test]
    fn failed_loads_alert_until_one_succeeds_and_their_share_on_its_own() {
        let kinds =
            |records: Vec<Record>, now| -> Vec<AlertKind> { found(records, now).into_iter().map(|it| it.0).collect() };
        assert_eq!(kinds(vec![error(1)], 2), [AlertKind::ConfigError, AlertKind::ConfigErrorRate]);
        assert_eq!(kinds(vec![error(1), change(2)], 3), [AlertKind::ConfigErrorRate]);
        let mut many: Vec<Record> = (0..20).map(|it| load(it, 1.0)).collect();
        many.push(error(20));
        many.push(change(21));
        assert_eq!(kinds(many, 22), [], "one of 22 is less than five of a hundred");
        assert_eq!(kinds(vec![error(1)], 3602), [], "an hour later it is forgotten");
    }

    #[test]
    fn last_load_of_a_preset_decides_whether_it_is_slow() {
        assert_eq!(found([load(1, 100.0)], 2), []);
        assert_eq!(found([load(1, 1.0), load(2, 100.1)], 3), [(AlertKind::SlowConfigLoad, "simple".to_owned())]);
        assert_eq!(found([load(1, 100.1), load(2, 1.0)], 3), []);
    }

    fn sample(seconds: u64, success: u64, failure: u64) -> Arc<Sample> {
        let counts = super::super::traffic::Counts { success, failure, ..Default::default() };
        let to = at(seconds).at;
        Arc::new(Sample { operation: "a".into(), from: to, to, counts, latency: Duration::ZERO })
    }

    fn rate(samples: &[(u64, u64, u64)], now: u64) -> Option<f64> {
        let mut ring = Ring::new(100);
        for (seconds, success, failure) in samples {
            ring.push(sample(*seconds, *success, *failure));
        }
        of_traffic(ring.recent(at(now).at, HOUR), &thresholds(), at(now).at).first().map(|it| it.actual)
    }

    #[test]
    fn fewer_than_four_of_five_successes_over_more_than_ten_calls_are_too_few() {
        assert_eq!(rate(&[(0, 0, 10)], 1), None, "ten calls say nothing yet");
        assert_eq!(rate(&[(0, 0, 11)], 1), Some(0.0));
        assert_eq!(rate(&[(0, 80, 20)], 1), None);
        assert_eq!(rate(&[(0, 79, 21)], 1), Some(0.79));
    }

    #[test]
    fn calls_of_the_last_minutes_count_and_older_ones_only_where_those_are_few() {
        let outage = (0, 0, 100);
        assert_eq!(rate(&[outage, (301, 20, 0)], 302), None, "it is over");
        assert_eq!(rate(&[outage, (301, 5, 0)], 302), Some(5.0 / 105.0), "five calls do not say that it is");
        assert_eq!(rate(&[outage], 3600), Some(0.0));
        assert_eq!(rate(&[outage], 3601), None, "an hour later it is forgotten");
    }
}
