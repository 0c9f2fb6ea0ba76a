//! What a monitor keeps, under its one lock: the rings, the alerts, and who is told. Nothing here reads a clock or asks the registry.

use std::{sync::Arc, time::Duration};

use tokio::sync::broadcast::Sender;
use tower_rampart::{ResilienceConfig, Timestamp};
use tower_rampart_config::MonitoringConfig;
use tower_rampart_core::{
    breaker::{self, State as Circuit},
    rejection::Name,
};

use super::{
    alert::{AlertChange, Alerts},
    clock::Moment,
    conditions::{self, HOUR, is_open, open_circuit},
    feed::{BUFFER, Gap, LastSeen, MOST_REPLAYED, Replay},
    kind::AlertKind,
    record::{Detail, Record, RecordKind, short},
    ring::Ring,
    traffic::{Sample, Traffic},
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: MonitoringConfig,
    /// The preset that runs.
    preset: Arc<str>,
    /// What people did.
    usage: Ring<Arc<Record>>,
    /// What traffic did, but for the calls that were refused.
    timeline: Ring<Arc<Record>>,
    /// Calls that were refused: in an outage they come every second, and must not drive out what it began with.
    refusals: Ring<Arc<Record>>,
    pub(super) traffic: Traffic,
    pub(super) alerts: Alerts,
    records: u64,
    told: u64,
    /// Gone once nobody is told any more.
    pub(super) sender: Option<Sender<Arc<Record>>>,
    /// How many transitions were heard of.
    pub(super) transitions: u64,
    /// The last reading of the configuration that came here.
    reading: u64,
}

impl State {
    pub(super) fn new(config: MonitoringConfig, preset: &str, now: Moment) -> Self {
        let (events, alerts) = (config.max_events as usize, config.max_alerts as usize);
        Self {
            config,
            preset: short(preset),
            usage: Ring::new(events),
            timeline: Ring::new(events),
            refusals: Ring::new(events),
            traffic: Traffic::new(events, now.at),
            alerts: Alerts::new(alerts),
            records: 0,
            told: 0,
            sender: Some(Sender::new(BUFFER)),
            transitions: 0,
            reading: 0,
        }
    }

    /// Keeps a record, and tells those who follow.
    pub(super) fn keep(&mut self, mut record: Record) {
        self.records += 1;
        record.id = self.records;
        let is_told = record.kind.event().is_some();
        if is_told {
            self.told += 1;
            record.told = self.told;
        }
        let record = Arc::new(record);
        let ring = match record.kind {
            RecordKind::Rejected => &mut self.refusals,
            kind if kind.is_of_traffic() => &mut self.timeline,
            _ => &mut self.usage,
        };
        ring.push(Arc::clone(&record));
        ring.expire(record.moment.at, self.config.retention);
        if let Some(sender) = self.sender.as_ref().filter(|_| is_told) {
            // That nobody follows is no error.
            let _ = sender.send(record);
        }
    }

    /// Another configuration runs.
    pub(super) fn reloaded(&mut self, config: &ResilienceConfig, reading: u64, message: Arc<str>, now: Moment) {
        let new_preset = short(config.preset_name());
        let old_preset = Arc::clone(&self.preset);
        self.configure(config, reading);
        let detail = Detail::Change { message, old_preset, new_preset: Arc::clone(&new_preset) };
        let of_reload = |kind, detail| Record::new(now, kind, 1.0, detail).preset(&new_preset).operation("reload");
        self.keep(of_reload(RecordKind::ConfigChange, detail));
        self.keep(of_reload(RecordKind::PresetUsage, Detail::Nothing));
    }

    /// Goes by a configuration, unless a later reading of it was here before.
    pub(super) fn configure(&mut self, config: &ResilienceConfig, reading: u64) {
        if reading > self.reading {
            self.reading = reading;
            self.preset = short(config.preset_name());
            self.apply(config.monitoring());
        }
    }

    /// Keeps as much, and compares with what, another document says.
    fn apply(&mut self, config: MonitoringConfig) {
        let (events, alerts) = (config.max_events as usize, config.max_alerts as usize);
        self.usage.resize(events);
        self.timeline.resize(events);
        self.refusals.resize(events);
        self.traffic.samples.resize(events);
        self.alerts.resize(alerts);
        self.config = config;
    }

    /// A circuit changed its state.
    pub(super) fn moved(&mut self, circuit: &Name, to: Circuit, now: Moment) {
        self.transitions += 1;
        let change = match to {
            to if is_open(to) && self.config.thresholds.open_circuit => {
                self.alerts.raise(open_circuit(circuit, to), now)
            }
            // It has not closed yet.
            Circuit::HalfOpen => None,
            _ => self.alerts.resolve(AlertKind::OpenCircuit, circuit, now),
        };
        self.announce(change, now);
    }

    /// Looks for what is wrong with the configuration.
    pub(super) fn assess_configuration(&mut self, now: Moment) {
        let found = conditions::of_configuration(&self.usage, &self.config.thresholds, now.at);
        let changes = self.alerts.settle(AlertKind::is_of_configuration, found, now);
        self.announce(changes, now);
    }

    /// Looks for operations that fail.
    pub(super) fn assess_traffic(&mut self, at: Timestamp, now: Moment) {
        let found = conditions::of_traffic(self.traffic.recent(at, HOUR), &self.config.thresholds, at);
        let changes = self.alerts.settle(|kind| kind == AlertKind::SuccessRate, found, now);
        self.announce(changes, now);
    }

    /// Looks for circuits that are open, among them those that opened before anybody watched.
    pub(super) fn assess_circuits(&mut self, circuits: &[(Name, breaker::Snapshot)], now: Moment) {
        let stays = |name: &Name, state| {
            is_open(state) || (state == Circuit::HalfOpen && self.alerts.is_active(AlertKind::OpenCircuit, name))
        };
        let found = if self.config.thresholds.open_circuit {
            let open = circuits.iter().filter(|(name, circuit)| stays(name, circuit.state));
            open.map(|(name, circuit)| open_circuit(name, circuit.state)).collect()
        } else {
            Vec::new()
        };
        let changes = self.alerts.settle(|kind| kind == AlertKind::OpenCircuit, found, now);
        self.announce(changes, now);
    }

    /// Makes records of alerts that were raised or resolved, and of those that went meanwhile.
    fn announce(&mut self, changes: impl IntoIterator<Item = AlertChange>, now: Moment) {
        let evicted = self.alerts.take_evicted();
        for AlertChange { id, kind, subject, actual, standing } in evicted.into_iter().chain(changes) {
            let operation = (!kind.is_of_configuration()).then(|| Arc::clone(&subject));
            let detail = Detail::Alert { id, kind, subject, level: kind.level(), standing };
            let record = Record::new(now, RecordKind::Alert, actual, detail);
            self.keep(Record { operation, ..record });
        }
    }

    /// Removes what was kept long enough.
    pub(super) fn expire(&mut self, now: Moment) {
        self.forget(now, self.config.retention);
    }

    /// Removes what is older than `age`: so many records and alerts.
    pub(super) fn forget(&mut self, now: Moment, age: Duration) -> (usize, usize) {
        let rings = [&mut self.usage, &mut self.timeline, &mut self.refusals];
        let records = rings.into_iter().map(|it| it.expire(now.at, age)).sum();
        self.traffic.samples.expire(now.at, age);
        (records, self.alerts.expire(now, age))
    }

    /// How many records are kept.
    pub(super) fn kept(&self) -> usize {
        self.usage.len() + self.timeline.len() + self.refusals.len()
    }

    /// What people did, oldest first.
    pub(super) fn usage_within(&self, now: Moment, age: Duration) -> Vec<Arc<Record>> {
        let mut records: Vec<Arc<Record>> = self.usage.recent(now.at, age).cloned().collect();
        records.reverse();
        records
    }

    /// What anybody did, oldest first, and the samples of traffic.
    pub(super) fn all_within(&self, now: Moment, age: Duration) -> (Vec<Arc<Record>>, Vec<Arc<Sample>>) {
        let mut records = self.usage_within(now, age);
        records.extend(self.timeline.recent(now.at, age).cloned());
        records.extend(self.refusals.recent(now.at, age).cloned());
        records.sort_by_key(|it| it.id);
        let mut samples: Vec<Arc<Sample>> = self.traffic.recent(now.at, age).cloned().collect();
        samples.sort_by_key(|it| it.to);
        (records, samples)
    }

    /// What is still kept of what a client has not seen, and how much is not; of one that has seen nothing, the `latest`. Refused calls are the first to be
    /// left out.
    pub(super) fn told_since(&self, last: LastSeen, latest: usize) -> Replay {
        let seen = match last {
            LastSeen::Nothing => return Replay { gap: Gap::None, records: self.told_last(latest) },
            LastSeen::This(seen) => seen.min(self.told),
            LastSeen::Elsewhere => 0,
        };
        let mut records = last_of(&[&self.usage, &self.timeline], seen, MOST_REPLAYED);
        records.extend(last_of(&[&self.refusals], seen, MOST_REPLAYED - records.len()));
        records.sort_by_key(|it| it.told);
        let gap = match (self.told - seen).saturating_sub(records.len() as u64) {
            _ if last == LastSeen::Elsewhere => Gap::Unknown,
            0 => Gap::None,
            missed => Gap::Missed(missed),
        };
        Replay { gap, records }
    }

    /// The last so many that clients are told of, and as many refused calls, in their order.
    fn told_last(&self, latest: usize) -> Vec<Arc<Record>> {
        let mut records = last_of(&[&self.usage, &self.timeline], 0, latest);
        records.extend(last_of(&[&self.refusals], 0, latest));
        records.sort_by_key(|it| it.told);
        records
    }

    /// Tells nobody any more.
    pub(super) fn close(&mut self) {
        // Those who follow come to its end.
        self.sender = None;
    }
}

/// The last `most` of some rings that clients are told of, of those after the one that was `seen`, in their order.
fn last_of(rings: &[&Ring<Arc<Record>>], seen: u64, most: usize) -> Vec<Arc<Record>> {
    // Each ring lies in its order, so the last of all are among the last of each.
    let of_one = |ring: &&Ring<Arc<Record>>| -> Vec<Arc<Record>> {
        let told = ring.iter().rev().filter(|it| it.told > 0).take_while(|it| it.told > seen);
        told.take(most).cloned().collect()
    };
    let mut records: Vec<_> = rings.iter().flat_map(of_one).collect();
    records.sort_by_key(|it| it.told);
    records.split_off(records.len().saturating_sub(most))
}

#[cfg(test)]
mod tests {
    use tower_rampart_config::Preset;

    use super::*;

    #[test]
    fn older_reading_of_the_configuration_that_comes_late_is_told_and_changes_nothing() {
        let now = Moment { at: Timestamp::ZERO, date: jiff::Timestamp::UNIX_EPOCH };
        let of = |text: &str| ResilienceConfig::over(Preset::Production, text).expect("a document");
        let (older, newer) =
            (of(r#"{"monitoring": {"max_events": 100}}"#), of(r#"{"monitoring": {"max_events": 200}}"#));
        let mut state = State::new(older.monitoring(), "simple", now);
        state.reloaded(&newer, 2, short("the second"), now);
        state.reloaded(&older, 1, short("the first"), now);
        assert_eq!(state.config.max_events, 200);
        assert_eq!(state.usage.iter().filter(|it| it.kind == RecordKind::ConfigChange).count(), 2);
        state.configure(&older, 3);
        assert_eq!(state.config.max_events, 100);
    }
}
