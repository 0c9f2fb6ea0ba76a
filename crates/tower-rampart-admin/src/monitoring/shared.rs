//! What all clones of a monitor share: it hears of what happens, looks at what is, and reads what was kept. Whom it answers is in `monitor`.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tower_rampart::{Resilience, ResilienceConfig};
use tower_rampart_config::MonitoringConfig;
use tower_rampart_core::event::{Event, EventKind};

use super::{
    clock::{Clock, Moment},
    conditions::window,
    feed::Clients,
    record::{Detail, Record, RecordKind, short},
    state::State,
    traffic::Sample,
};

/// What all clones of a monitor share.
pub(super) struct Inner {
    pub(super) resilience: Resilience,
    pub(super) clock: Clock,
    /// Which run of the program this is, for those who come back.
    pub(super) epoch: u64,
    pub(super) clients: Clients,
    /// How often the running configuration was asked for.
    pub(super) readings: AtomicU64,
    pub(super) state: Mutex<State>,
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs, and which reading of it this is: of two readers the later may come first to the state. Must be asked while no lock is held: it may end an
    /// override, which is an event again.
    pub(super) fn configuration(&self) -> (ResilienceConfig, u64) {
        // Counted first, so that a later number never goes with an older configuration than an earlier one that saw its own reload.
        let reading = self.readings.fetch_add(1, Ordering::AcqRel) + 1;
        (self.resilience.config(), reading)
    }

    pub(super) fn tell(&self, record: impl FnOnce(Moment) -> Record) {
        let record = record(self.clock.now());
        self.lock().keep(record);
    }

    /// Tells something that may be wrong with the configuration.
    pub(super) fn tell_configuration(&self, record: impl FnOnce(Moment) -> Record) {
        let now = self.clock.now();
        let record = record(now);
        let mut state = self.lock();
        state.keep(record);
        state.assess_configuration(now);
    }

    /// Hears of an event, on the thread that caused it: this keeps it, and looks at nothing that takes long.
    pub(super) fn observe(&self, event: &Event) {
        match &event.kind {
            EventKind::Reloaded { detail } => {
                let (config, reading) = self.configuration();
                let detail = short(detail);
                let now = self.clock.now();
                let mut state = self.lock();
                state.reloaded(&config, reading, detail, now);
                state.assess_configuration(now);
            }
            EventKind::ReloadRefused { reason } => {
                let detail = Detail::Error { message: short(reason) };
                self.tell_configuration(|now| {
                    Record::new(now, RecordKind::ConfigError, 1.0, detail).operation("reload")
                });
            }
            kind => {
                let now = self.clock.now();
                let Some(record) = Record::of_traffic(kind, now) else { return };
                let mut state = self.lock();
                // First what happened, then what is wrong because of it.
                state.keep(record.operation(&event.operation));
                match kind {
                    EventKind::CountersReset => state.traffic.was_reset(&event.operation, event.at),
                    EventKind::Transition { to, would_be: false, .. } => state.moved(&event.operation, *to, now),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn evaluate(&self) {
        let now = self.clock.now();
        let transitions = self.lock().transitions;
        // A look at all operations takes its time, and calls that cause an event must not wait for it.
        let snapshot = self.resilience.registry().snapshot();
        let mut state = self.lock();
        state.expire(now);
        state.traffic.look(&snapshot);
        state.assess_configuration(now);
        state.assess_traffic(snapshot.at, now);
        // What was heard in the meantime is newer than what was seen.
        if state.transitions == transitions {
            state.assess_circuits(&snapshot.breakers, now);
        }
    }

    /// What people did in the last `hours`, oldest first.
    pub(super) fn usage_of(&self, hours: u32) -> (Vec<Arc<Record>>, MonitoringConfig) {
        self.evaluate();
        let now = self.clock.now();
        let state = self.lock();
        (state.usage_within(now, window(hours)), state.config.clone())
    }

    /// All records of the last `hours` in their order, and the samples of traffic.
    pub(super) fn all(&self, hours: Option<u32>) -> (Vec<Arc<Record>>, Vec<Arc<Sample>>) {
        let now = self.clock.now();
        self.lock().all_within(now, hours.map_or(Duration::MAX, window))
    }
}
