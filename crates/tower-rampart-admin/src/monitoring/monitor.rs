//! The shell around all of it: who tells it what happened, and what the API asks it. What clones share is in `shared`, what is kept in `state`.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, Weak, atomic::AtomicU64},
    time::Duration,
};

use futures_util::Stream;
use tower_rampart::Resilience;
use tower_rampart_config::MonitoringConfig;

use super::{
    alert::{Alert, Entry},
    answers::{AlertStatus, AlertsAnswer, AlertsQuery, CleanupAnswer},
    clock::Clock,
    conditions::window,
    export::{ExportAnswer, ExportFormat},
    feed::{self, Clients, LastSeen, Message},
    kind::Level,
    record::{CausedBy, ConfigType, Detail, MonitoringEvent, Record, RecordKind, short},
    refused::{Refused, shortened},
    shared::Inner,
    state::State,
    statistics::{self, PerformanceAnswer, SessionAnswer, TrendsAnswer, UsageAnswer},
    trace::trace,
};

/// Watches one [`Resilience`]: what happens to its configuration and its circuits, and whether that is a reason to tell somebody. Clones are the same.
///
/// It hears of reloads, transitions and refusals by itself. What only its host knows (which documents were validated, what a load took) it is told.
/// Alerts that depend on time are looked at whenever somebody reads, and by [`maintain`](Self::maintain), which the host spawns.
///
/// # Examples
/// ```
/// use tower_rampart::{Resilience, reload::ChangeBy};
/// use tower_rampart_admin::monitoring::{AlertsQuery, Monitor};
///
/// let resilience = Resilience::from_preset("production")?;
/// let monitor = Monitor::new(&resilience);
/// assert!(resilience.reload_json(r#"{"retry_attempts": 99}"#, &ChangeBy::code("example")).is_err());
///
/// let alerts = monitor.alerts(&AlertsQuery::default()).alerts;
/// assert!(alerts.iter().any(|it| it.title == "Configuration Error: configuration" && it.is_active()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Monitor {
    inner: Arc<Inner>,
}

impl Monitor {
    /// How often [`maintain`](Self::maintain) should look: often enough for a trace to show bursts, seldom enough to cost nothing.
    pub const EVERY: Duration = Duration::from_secs(5);

    /// Watches from now on.
    pub fn new(resilience: &Resilience) -> Self {
        Self::with_clock(resilience, Clock::default())
    }

    /// Watches from now on, by another clock.
    pub fn with_clock(resilience: &Resilience, clock: Clock) -> Self {
        let (config, now) = (resilience.config(), clock.now());
        let mut state = State::new(config.monitoring(), config.preset_name(), now);
        state.traffic.begin(&resilience.registry().snapshot());
        state.keep(
            Record::new(now, RecordKind::PresetUsage, 1.0, Detail::Nothing)
                .preset(config.preset_name())
                .operation("start"),
        );
        let inner = Arc::new(Inner {
            resilience: resilience.clone(),
            epoch: u64::try_from(now.date.as_millisecond()).unwrap_or(0),
            clock,
            clients: Clients::default(),
            readings: AtomicU64::new(0),
            state: Mutex::new(state),
        });
        // The registry keeps its observers for ever, so this one must not keep the registry.
        let observer = Arc::downgrade(&inner);
        resilience.registry().on_event(move |event| {
            if let Some(inner) = observer.upgrade() {
                inner.observe(event);
            }
        });
        // What was reloaded before anybody listened.
        let (config, reading) = inner.configuration();
        inner.lock().configure(&config, reading);
        Self { inner }
    }

    /// The clock that it was given.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What it keeps and compares with, as the running document says.
    pub fn config(&self) -> MonitoringConfig {
        self.inner.lock().config.clone()
    }

    /// How many clients follow the events.
    pub fn clients(&self) -> usize {
        self.inner.clients.count()
    }

    /// Looks whether something is wrong: at the counters of all operations, the circuits, and what was kept.
    pub fn evaluate(&self) {
        self.inner.evaluate();
    }

    /// Looks as often as `every` says, until the monitor is gone. The library spawns nothing: the host spawns this.
    ///
    /// # Cancel safety
    /// Dropped, it looks no more; whoever reads still does.
    pub fn maintain(&self, every: Duration) -> impl Future<Output = ()> + Send + use<> {
        let watched: Weak<Inner> = Arc::downgrade(&self.inner);
        async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(inner) = watched.upgrade() else { return };
                inner.evaluate();
            }
        }
    }

    /// A preset was used: shown, resolved, made the base of something. Only presets that exist belong here.
    pub fn preset_used(&self, preset: &str, operation: &str, by: &CausedBy) {
        self.inner.tell(|now| {
            Record::new(now, RecordKind::PresetUsage, 1.0, Detail::Nothing).preset(preset).operation(operation).by(by)
        });
    }

    /// A configuration was loaded, and how long that took. `applied` says that it runs now, of which the monitor hears by itself.
    pub fn loaded(&self, preset: &str, config_type: ConfigType, took: Duration, applied: bool, by: &CausedBy) {
        let detail = Detail::Load { config_type, applied };
        self.inner.tell_configuration(|now| {
            let millis = took.as_secs_f64() * 1000.0;
            Record::new(now, RecordKind::ConfigLoad, millis, detail).preset(preset).operation("load_config").by(by)
        });
    }

    /// A document could not be loaded and therefore was no reload: of those that are refused the monitor hears by itself.
    pub fn load_failed(&self, message: &str, by: &CausedBy) {
        let detail = Detail::Error { message: short(message) };
        self.inner.tell_configuration(|now| {
            Record::new(now, RecordKind::ConfigError, 1.0, detail).operation("load_config").by(by)
        });
    }

    /// A document was validated.
    pub fn validated(&self, violations: usize, operation: &str, by: &CausedBy) {
        let (is_valid, violations) = (violations == 0, u32::try_from(violations).unwrap_or(u32::MAX));
        let detail = Detail::Validation { is_valid, violations };
        self.inner.tell_configuration(|now| {
            let value = f64::from(u8::from(is_valid));
            Record::new(now, RecordKind::ValidationEvent, value, detail).operation(operation).by(by)
        });
    }

    /// Something was measured.
    pub fn benchmarked(&self, benchmark_id: &str, operation: &str, avg_ms: f64, passed: bool) {
        let detail = Detail::Benchmark { benchmark_id: short(benchmark_id), passed };
        self.inner.tell(|now| Record::new(now, RecordKind::PerformanceEvent, avg_ms, detail).operation(operation));
    }

    /// How the configuration was used in the last `hours`.
    pub fn usage(&self, hours: u32) -> UsageAnswer {
        let (records, config) = self.inner.usage_of(hours);
        statistics::usage(&records, &config.thresholds, hours)
    }

    /// How fast configurations loaded in the last `hours`.
    pub fn performance(&self, hours: u32) -> PerformanceAnswer {
        let (records, config) = self.inner.usage_of(hours);
        statistics::performance(&records, &config.thresholds, hours)
    }

    /// How often a preset was used in each of the last `hours`.
    ///
    /// # Errors
    /// [`Refused::Unknown`] if there is no such preset: `available` are those that there are.
    pub fn trends(&self, preset: &str, hours: u32, available: &[&str]) -> Result<TrendsAnswer, Refused> {
        if !available.contains(&preset) {
            let available = available.iter().map(|it| (*it).to_owned()).collect();
            return Err(Refused::unknown("preset", preset, available));
        }
        // The oldest hour began up to an hour before the time that is asked for.
        let (records, config) = self.inner.usage_of(hours + 1);
        Ok(statistics::trends(&records, preset, hours, config.retention, self.inner.clock.now()))
    }

    /// What one session did; nothing, if there is none of this name.
    pub fn session(&self, session_id: &str) -> SessionAnswer {
        let session_id = shortened(session_id, 64);
        let (mut records, _) = self.inner.all(None);
        records.retain(|it| it.by.session_id.as_deref() == Some(&session_id));
        statistics::session(&records, &session_id)
    }

    /// What is wrong, or was until lately.
    pub fn alerts(&self, query: &AlertsQuery) -> AlertsAnswer {
        self.inner.evaluate();
        let now = self.inner.clock.now();
        let wanted = |it: &Entry| {
            let is_lately = |hours| now.since(it.last_seen) <= window(hours);
            let in_status = match query.status {
                AlertStatus::All => true,
                AlertStatus::Active => it.is_active(),
                AlertStatus::Resolved => !it.is_active(),
            };
            in_status
                && query.level.is_none_or(|level| level == it.level())
                && query.hours.is_none_or(|hours| it.is_active() || is_lately(hours))
        };
        let (found, dropped) = {
            let state = self.inner.lock();
            (state.alerts.list(wanted), state.alerts.dropped())
        };
        AlertsAnswer::new(found.iter().map(Entry::shown).collect(), query.max_alerts, dropped)
    }

    /// The alerts of at least this level that hold at present, those found last first.
    pub fn active_alerts(&self, level: Level) -> Vec<Alert> {
        self.inner.evaluate();
        let found = self.inner.lock().alerts.list(|it| it.is_active() && it.level() >= level);
        found.iter().map(Entry::shown).collect()
    }

    /// Marks an alert as seen by somebody. The first who did stays.
    ///
    /// # Errors
    /// [`Refused::Unknown`] if there is no such alert, or no longer.
    pub fn acknowledge(&self, id: &str, who: &str) -> Result<Alert, Refused> {
        let mut state = self.inner.lock();
        let now = self.inner.clock.now();
        let found = id.parse().ok().and_then(|id| state.alerts.acknowledge(id, who, now));
        found.ok_or_else(|| {
            let active = state.alerts.list(Entry::is_active).into_iter().take(20);
            Refused::unknown("alert", id, active.map(|it| it.id.to_string()).collect())
        })
    }

    /// The kept records as text, of all operations or of one; of the last `hours`, or all.
    pub fn export(&self, format: ExportFormat, hours: Option<u32>, operation: Option<&str>) -> ExportAnswer {
        let now = self.inner.clock.now();
        if format == ExportFormat::Trace {
            self.inner.evaluate();
            let (records, samples) = self.inner.all(hours);
            return ExportAnswer::of_trace(trace(&samples, &records, operation), hours, now);
        }
        ExportAnswer::of_events(&self.events(hours, operation), format, hours, now)
    }

    /// The kept records, oldest first, of all operations or of one; of the last `hours`, or all.
    pub fn events(&self, hours: Option<u32>, operation: Option<&str>) -> Vec<MonitoringEvent> {
        self.inner.evaluate();
        let (records, _) = self.inner.all(hours);
        let wanted = records.iter().filter(|it| operation.is_none() || it.operation.as_deref() == operation);
        wanted.map(|it| it.event()).collect()
    }

    /// Forgets what is older than `hours`; active alerts stay.
    pub fn cleanup(&self, hours: u32) -> CleanupAnswer {
        let now = self.inner.clock.now();
        let mut state = self.inner.lock();
        let (metrics_removed, alerts_removed) = state.forget(now, window(hours));
        CleanupAnswer {
            cleanup_threshold_hours: hours,
            metrics_removed,
            alerts_removed,
            metrics_remaining: state.kept(),
            alerts_remaining: state.alerts.len(),
            cleanup_timestamp: now.to_string(),
        }
    }

    /// What happens from now on, message by message, until [`close`](Self::close); before it, what happened since the event that `last_event_id` names, at most
    /// the last [`MOST_REPLAYED`](super::MOST_REPLAYED) events, refused calls being the first to be left out. Whoever names no event is first told of the `latest`
    /// that are kept, oldest first: refused calls do not count among these, and at most as many of them are told as well.
    ///
    /// # Errors
    /// [`Refused::TooManyClients`].
    ///
    /// # Cancel safety
    /// Dropped, it gives its place back.
    pub fn follow(
        &self,
        last_event_id: Option<&str>,
        latest: usize,
    ) -> Result<impl Stream<Item = Message> + Send + use<>, Refused> {
        self.followed(None, last_event_id, latest)
    }

    /// The same for a caller of the API, who may have [`MOST_OF_ONE_CALLER`](super::MOST_OF_ONE_CALLER) places at most.
    pub(super) fn followed(
        &self,
        caller: Option<&str>,
        last_event_id: Option<&str>,
        latest: usize,
    ) -> Result<impl Stream<Item = Message> + Send + use<>, Refused> {
        let place = self.inner.clients.enter(caller).map_err(|max| Refused::TooManyClients { max })?;
        let state = self.inner.lock();
        let replay = state.told_since(LastSeen::parse(last_event_id, self.inner.epoch), latest);
        // Whoever subscribes while nothing can happen misses nothing in between.
        Ok(feed::follow(self.inner.epoch, state.sender.as_ref(), replay, place))
    }

    /// Ends all that [`follow`](Self::follow) gave, now and later, so that a server that drains has not to wait for those who listen.
    pub fn close(&self) {
        self.inner.lock().close();
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.lock();
        f.debug_struct("Monitor")
            .field("kept", &state.kept())
            .field("alerts", &state.alerts.len())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}
