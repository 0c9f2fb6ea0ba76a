//! What is wrong at present, or was until lately: one alert for each condition and what it holds for, however often it is found. The conditions are in
//! `conditions`, the kinds of alerts in `kind`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    clock::Moment,
    kind::{AlertKind, Level},
    record::RecordKind,
};

/// A condition that holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) kind: AlertKind,
    /// What it holds for: a preset, an operation, a circuit, or `configuration`.
    pub(super) subject: Arc<str>,
    pub(super) title: String,
    pub(super) description: String,
    /// The preset, if the subject is one.
    pub(super) preset: Option<Arc<str>>,
    pub(super) threshold: f64,
    pub(super) actual: f64,
    /// The record that shows it, where each such record counts; 0 where the condition does.
    pub(super) occurrence: u64,
}

/// What is wrong, and with what.
type Key = (AlertKind, Arc<str>);

/// An alert as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: u64,
    finding: Finding,
    count: u64,
    first_seen: Moment,
    /// When it was raised last.
    raised: Moment,
    pub(super) last_seen: Moment,
    resolved: Option<Moment>,
    acknowledged: Option<(Arc<str>, Moment)>,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Active,
    Resolved,
    /// It holds and is kept no longer: a worse one took its place, or there is room for fewer.
    Evicted,
}

impl Standing {
    /// The word in JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Resolved => "resolved",
            Self::Evicted => "evicted",
        }
    }
}

/// An alert that was raised, resolved or evicted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AlertChange {
    pub(super) id: u64,
    pub(super) kind: AlertKind,
    pub(super) subject: Arc<str>,
    pub(super) actual: f64,
    pub(super) standing: Standing,
}

/// All alerts, at most so many.
#[derive(Debug)]
pub(super) struct Alerts {
    entries: HashMap<Key, Entry>,
    max: usize,
    next_id: u64,
    /// How many were not kept, because there were as bad ones everywhere.
    dropped: u64,
    /// Those of them whose conditions still hold, so that each counts once however often it is found.
    unkept: HashSet<Key>,
    /// Active ones that went and of which nobody was told yet.
    evicted: Vec<AlertChange>,
}

impl Alerts {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max, next_id: 1, dropped: 0, unkept: HashSet::new(), evicted: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is an active one.
    pub(super) fn is_active(&self, kind: AlertKind, subject: &Arc<str>) -> bool {
        self.entries.get(&(kind, Arc::clone(subject))).is_some_and(|it| it.resolved.is_none())
    }

    /// Changes the bound; those that matter least go.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        while self.entries.len() > max {
            let Some((key, _)) = self.least() else { return };
            self.evict(&key);
        }
        self.entries.shrink_to(max);
    }

    /// Notes a condition that holds.
    pub(super) fn raise(&mut self, finding: Finding, now: Moment) -> Option<AlertChange> {
        let key = (finding.kind, Arc::clone(&finding.subject));
        if let Some(entry) = self.entries.get_mut(&key) {
            let again = entry.resolved.take().is_some();
            let once_more = finding.occurrence > entry.finding.occurrence;
            entry.last_seen = now;
            entry.count += u64::from(again || once_more);
            entry.finding = finding;
            if !again {
                return None;
            }
            entry.raised = now;
            entry.acknowledged = None;
            return Some(entry.change());
        }
        if self.entries.len() >= self.max && !self.make_room(finding.kind.level()) {
            self.dropped += u64::from(self.unkept.insert(key));
            return None;
        }
        self.unkept.remove(&key);
        let id = self.next_id;
        self.next_id += 1;
        let entry = Entry {
            id,
            finding,
            count: 1,
            first_seen: now,
            raised: now,
            last_seen: now,
            resolved: None,
            acknowledged: None,
        };
        let change = entry.change();
        self.entries.insert(key, entry);
        Some(change)
    }

    /// Notes that a condition holds no longer.
    pub(super) fn resolve(&mut self, kind: AlertKind, subject: &Arc<str>, now: Moment) -> Option<AlertChange> {
        let key = (kind, Arc::clone(subject));
        self.unkept.remove(&key);
        let entry = self.entries.get_mut(&key).filter(|it| it.resolved.is_none())?;
        entry.resolved = Some(now);
        Some(entry.change())
    }

    /// Notes all conditions of some kinds that hold: the active alerts of those kinds that are not among them are resolved.
    pub(super) fn settle(
        &mut self,
        concerns: impl Fn(AlertKind) -> bool,
        findings: Vec<Finding>,
        now: Moment,
    ) -> Vec<AlertChange> {
        let hold: HashSet<(AlertKind, &Arc<str>)> = findings.iter().map(|it| (it.kind, &it.subject)).collect();
        let over: Vec<Key> = self
            .entries
            .iter()
            .filter(|((kind, subject), entry)| {
                concerns(*kind) && entry.resolved.is_none() && !hold.contains(&(*kind, subject))
            })
            .map(|(key, _)| key.clone())
            .collect();
        self.unkept.retain(|(kind, subject)| !concerns(*kind) || hold.contains(&(*kind, subject)));
        let mut changes: Vec<_> = over.iter().filter_map(|(kind, subject)| self.resolve(*kind, subject, now)).collect();
        changes.extend(findings.into_iter().filter_map(|it| self.raise(it, now)));
        changes
    }

    /// Marks one as seen by somebody; the first who did stays.
    pub(super) fn acknowledge(&mut self, id: u64, who: &str, now: Moment) -> Option<Alert> {
        let entry = self.entries.values_mut().find(|it| it.id == id)?;
        entry.acknowledged.get_or_insert_with(|| (super::record::short(who), now));
        Some(entry.shown())
    }

    /// Removes resolved ones that ended longer ago than `age`, and says how many that were.
    pub(super) fn expire(&mut self, now: Moment, age: Duration) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, it| it.resolved.is_none_or(|resolved| now.since(resolved) <= age));
        before - self.entries.len()
    }

    /// All that match, newest first: as they are kept, to be printed once the lock is given back that calls with an event wait for.
    pub(super) fn list(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries.values().filter(|it| wanted(it)).cloned().collect();
        entries.sort_unstable_by_key(|it| std::cmp::Reverse((it.last_seen.at, it.id)));
        entries
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Lets one go that matters less than one of `level`.
    fn make_room(&mut self, level: Level) -> bool {
        match self.least() {
            Some((key, (is_active, least))) if !is_active || least < level => {
                self.evict(&key);
                true
            }
            _ => false,
        }
    }

    /// Lets one go. If it holds, it counts as one that is not kept.
    fn evict(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key).filter(Entry::is_active) else { return };
        self.evicted.push(AlertChange { standing: Standing::Evicted, ..entry.change() });
        self.dropped += u64::from(self.unkept.insert(key.clone()));
    }

    /// The active ones that went since this was asked last.
    pub(super) fn take_evicted(&mut self) -> Vec<AlertChange> {
        std::mem::take(&mut self.evicted)
    }

    /// The one that matters least: resolved before active, then the least bad, then the oldest.
    fn least(&self) -> Option<(Key, (bool, Level))> {
        let rank = |it: &Entry| (it.resolved.is_none(), it.finding.kind.level());
        let least = self.entries.iter().min_by_key(|(_, it)| (rank(it), it.last_seen.at, it.id));
        least.map(|(key, it)| (key.clone(), rank(it)))
    }
}

impl Entry {
    fn change(&self) -> AlertChange {
        AlertChange {
            id: self.id,
            kind: self.finding.kind,
            subject: Arc::clone(&self.finding.subject),
            actual: self.finding.actual,
            standing: if self.resolved.is_some() { Standing::Resolved } else { Standing::Active },
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.resolved.is_none()
    }

    pub(super) const fn level(&self) -> Level {
        self.finding.kind.level()
    }

    /// As the API shows it.
    pub(super) fn shown(&self) -> Alert {
        let date = |it: Moment| it.to_string();
        let finding = &self.finding;
        Alert {
            id: self.id,
            kind: finding.kind,
            subject: finding.subject.to_string(),
            timestamp: date(self.raised),
            level: finding.kind.level(),
            title: finding.title.clone(),
            description: finding.description.clone(),
            preset_name: finding.preset.as_deref().map(str::to_owned),
            metric_type: finding.kind.metric_type(),
            threshold_value: finding.threshold,
            actual_value: finding.actual,
            count: self.count,
            first_seen: date(self.first_seen),
            last_seen: date(self.last_seen),
            status: if self.resolved.is_some() { "resolved" } else { "active" },
            resolved_at: self.resolved.map(date),
            acknowledged: self.acknowledged.is_some(),
            acknowledged_by: self.acknowledged.as_ref().map(|(who, _)| who.to_string()),
            acknowledged_at: self.acknowledged.as_ref().map(|(_, at)| date(*at)),
        }
    }
}

/// Something that is wrong, or was until lately.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Alert {
    /// Its number.
    pub id: u64,
    /// What is wrong.
    pub kind: AlertKind,
    /// What it is wrong with.
    pub subject: String,
    /// When it was raised last, RFC 3339 like all times here.
    pub timestamp: String,
    /// How bad it is.
    pub level: Level,
    /// In a few words.
    pub title: String,
    /// In one sentence.
    pub description: String,
    /// The preset, if it is about one.
    pub preset_name: Option<String>,
    /// The kind of event that shows it.
    pub metric_type: RecordKind,
    /// What the actual value is compared with.
    pub threshold_value: f64,
    /// What was found last.
    pub actual_value: f64,
    /// How often it was found anew.
    pub count: u64,
    /// When it was raised for the first time.
    pub first_seen: String,
    /// When the condition was last found to hold.
    pub last_seen: String,
    /// `active` or `resolved`.
    pub status: &'static str,
    /// When the condition was over.
    pub resolved_at: Option<String>,
    /// Whether somebody has seen it.
    pub acknowledged: bool,
    /// Who.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<String>,
}

impl Alert {
    /// Whether the condition still holds.
    pub fn is_active(&self) -> bool {
        self.resolved_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use tower_rampart::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { at: Timestamp::ZERO, date: jiff::Timestamp::UNIX_EPOCH }.after(Duration::from_secs(seconds))
    }

    fn finding(kind: AlertKind, subject: &str, occurrence: u64) -> Finding {
        Finding {
            kind,
            subject: subject.into(),
            title: String::new(),
            description: String::new(),
            preset: None,
            threshold: 1.0,
            actual: 2.0,
            occurrence,
        }
    }

    #[test]
    fn same_condition_is_one_alert_that_counts() {
        let mut alerts = Alerts::new(10);
        let changes: Vec<_> = [1, 1, 2, 3]
            .into_iter()
            .filter_map(|it| alerts.raise(finding(AlertKind::ConfigError, "a", it), at(it)))
            .collect();
        assert_eq!((changes.len(), alerts.len()), (1, 1));
        let alert = &alerts.list(|_| true)[0].shown();
        assert_eq!((alert.count, alert.id, alert.status), (3, 1, "active"));
        assert_eq!(
            (alert.first_seen.as_str(), alert.last_seen.as_str()),
            ("1970-01-01T00:00:01.000Z", "1970-01-01T00:00:03.000Z")
        );
    }

    #[test]
    fn alert_that_comes_back_is_the_same_one_and_has_not_been_seen() {
        let mut alerts = Alerts::new(10);
        alerts.raise(finding(AlertKind::OpenCircuit, "a", 0), at(1));
        assert!(alerts.acknowledge(1, "alice", at(2)).expect("it exists").acknowledged);
        assert_eq!(alerts.acknowledge(1, "bob", at(3)).expect("it exists").acknowledged_by.as_deref(), Some("alice"));
        let resolved = alerts.settle(|_| true, Vec::new(), at(4));
        assert!(resolved[0].standing == Standing::Resolved && alerts.settle(|_| true, Vec::new(), at(5)).is_empty());
        assert!(alerts.raise(finding(AlertKind::OpenCircuit, "a", 0), at(6)).is_some());
        let alert = &alerts.list(|_| true)[0].shown();
        assert_eq!((alert.id, alert.count, alert.acknowledged, alert.is_active()), (1, 2, false, true));
        assert!(alerts.acknowledge(7, "alice", at(7)).is_none());
    }

    #[test]
    fn conditions_of_other_kinds_are_left_alone() {
        let mut alerts = Alerts::new(10);
        alerts.raise(finding(AlertKind::OpenCircuit, "a", 0), at(1));
        assert!(alerts.settle(AlertKind::is_of_configuration, Vec::new(), at(2)).is_empty());
        assert!(alerts.is_active(AlertKind::OpenCircuit, &"a".into()));
    }

    #[test]
    fn full_list_gives_way_to_what_is_worse_and_to_nothing_else() {
        let mut alerts = Alerts::new(2);
        for subject in ["a", "b", "c"] {
            alerts.raise(finding(AlertKind::SuccessRate, subject, 0), at(1));
        }
        assert_eq!((alerts.len(), alerts.dropped()), (2, 1), "as bad ones stay");
        alerts.raise(finding(AlertKind::OpenCircuit, "d", 0), at(2));
        assert!(alerts.is_active(AlertKind::OpenCircuit, &"d".into()) && alerts.len() == 2);
        alerts.resolve(AlertKind::OpenCircuit, &"d".into(), at(3));
        alerts.raise(finding(AlertKind::SlowConfigLoad, "e", 1), at(4));
        assert!(alerts.is_active(AlertKind::SlowConfigLoad, &"e".into()), "a resolved one gives way to any");
        assert_eq!(alerts.take_evicted().len(), 1, "the one that gave way to the worse one");
        alerts.resize(0);
        assert_eq!((alerts.len(), alerts.take_evicted().len()), (0, 2), "the resolved one had gone before");
        alerts.raise(finding(AlertKind::OpenCircuit, "d", 0), at(5));
        assert_eq!(alerts.len(), 0);
    }

    #[test]
    fn condition_that_is_not_kept_counts_once_for_as_long_as_it_holds() {
        let mut alerts = Alerts::new(1);
        let open = |names: &[&str]| names.iter().map(|it| finding(AlertKind::OpenCircuit, it, 0)).collect::<Vec<_>>();
        for second in 1..=10 {
            alerts.settle(|_| true, open(&["a", "b", "c"]), at(second));
        }
        assert_eq!((alerts.len(), alerts.dropped()), (1, 2));
        alerts.settle(|_| true, open(&["a", "c"]), at(11));
        alerts.settle(|_| true, open(&["a", "b", "c"]), at(12));
        assert_eq!(alerts.dropped(), 3, "`b` was over, and is found anew");
        alerts.settle(|_| true, open(&["b"]), at(13));
        assert!(alerts.is_active(AlertKind::OpenCircuit, &"b".into()));
        assert_eq!((alerts.dropped(), alerts.unkept.len()), (3, 0));
    }

    #[test]
    fn active_alert_that_gives_way_is_said_to_and_counts_as_one_that_is_not_kept() {
        let mut alerts = Alerts::new(1);
        let low = alerts.raise(finding(AlertKind::SuccessRate, "a", 0), at(1)).expect("room");
        alerts.raise(finding(AlertKind::OpenCircuit, "b", 0), at(2)).expect("it is worse");
        assert_eq!(alerts.take_evicted(), [AlertChange { standing: Standing::Evicted, ..low }]);
        assert_eq!((alerts.take_evicted().len(), alerts.dropped()), (0, 1));
        assert!(alerts.raise(finding(AlertKind::SuccessRate, "a", 0), at(3)).is_none());
        assert_eq!(alerts.dropped(), 1, "it is the same one");
    }

    #[test]
    fn resolved_alerts_are_forgotten_and_active_ones_are_not() {
        let mut alerts = Alerts::new(10);
        alerts.raise(finding(AlertKind::OpenCircuit, "a", 0), at(1));
        alerts.raise(finding(AlertKind::OpenCircuit, "b", 0), at(1));
        alerts.resolve(AlertKind::OpenCircuit, &"b".into(), at(2));
        assert_eq!(alerts.expire(at(62), Duration::from_secs(60)), 0);
        assert_eq!(alerts.expire(at(63), Duration::from_secs(60)), 1);
        assert_eq!(alerts.len(), 1);
    }
}
