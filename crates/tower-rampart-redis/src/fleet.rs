//! The handle of a fleet: how it stands, and what everybody is told when that changes. Which limiters are in it is in `members`, who drives it in `maintain`.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tower_rampart_core::{
    InvalidConfig, Timestamp,
    event::{Event, EventKind},
    registry::Registry,
    rejection::Name,
};

use crate::{
    Config, Counts, Error, Hint, Mode, Reason, counters::Counters, exchange::Clocks, hints::Circuits, limit::Entry,
    link::Link, members::Members, mode::Fault, model::Path, script::Scripts,
};

/// Locks a mutex whether or not a thread panicked while it held it: no section here leaves its data half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rate limits of a registry, held together with other processes. Clones are the same fleet.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    registry: Registry,
    link: Link,
    scripts: Scripts,
    members: Mutex<Members>,
    mode: Mutex<Mode>,
    clocks: Mutex<Option<Clocks>>,
    circuits: Arc<Circuits>,
    counters: Counters,
    lost: Notify,
}

/// How a fleet stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Who limits.
    pub mode: Mode,
    /// The limits in it.
    pub limits: usize,
    /// What was counted.
    pub counts: Counts,
}

impl Fleet {
    /// A fleet of the limiters that the registry's operations have, now and later. Nothing happens before it is
    /// [maintained](Fleet::maintain).
    ///
    /// # Errors
    /// A value out of its range, or an address that cannot be used.
    pub fn new(config: Config, registry: Registry) -> Result<Self, Error> {
        config.check()?;
        let link = Link::new(&config)?;
        Ok(Self::linked(config, registry, link))
    }

    /// The same over a [`model`](crate::model) of a server, whatever the address. There are no [hints](crate::HintConfig) over one.
    ///
    /// # Errors
    /// A value out of its range, or hints that are enabled.
    pub fn over(config: Config, registry: Registry, path: Path) -> Result<Self, Error> {
        config.check()?;
        if config.hints.enabled {
            return Err(InvalidConfig::new("hints.enabled", true, "false over a model, which has limits only").into());
        }
        let link = Link::over(path, &config);
        Ok(Self::linked(config, registry, link))
    }

    fn linked(config: Config, registry: Registry, link: Link) -> Self {
        let mode = Mode::Local { since: registry.now(), reason: Reason::Starting };
        let circuits = Arc::new(Circuits::default());
        circuits.follow(&registry);
        let inner = Inner {
            link,
            config,
            registry,
            scripts: Scripts::new(),
            members: Mutex::default(),
            mode: Mutex::new(mode),
            clocks: Mutex::new(None),
            circuits,
            counters: Counters::default(),
            lost: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Who limits at the moment.
    pub fn mode(&self) -> Mode {
        *lock(&self.inner.mode)
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        Status { mode: self.mode(), limits: self.entries().len(), counts: self.inner.counters.read() }
    }

    /// What the fleet says of the circuit of an operation; `None` while nothing is known, or not lately.
    pub fn hint(&self, operation: &str) -> Option<Hint> {
        self.inner.circuits.hint(operation, self.config().hints.lasting, self.now())
    }

    /// What the fleet says of all circuits that something is known of, by name.
    pub fn hints(&self) -> Vec<(Name, Hint)> {
        self.inner.circuits.all(self.config().hints.lasting, self.now())
    }

    /// Nobody answers for the fleet any more: all limiters live on their shares from now on. A fault of an earlier connection says nothing.
    pub(crate) fn lose(&self, fault: &Fault) {
        self.inner.counters.failed(fault.reason);
        if !self.inner.link.is_present(fault) {
            return;
        }
        let now = self.now();
        let was = {
            let mut mode = lock(&self.inner.mode);
            let since = match *mode {
                Mode::Shared => now,
                Mode::Local { since, .. } => since,
            };
            std::mem::replace(&mut *mode, Mode::Local { since, reason: fault.reason })
        };
        if was == Mode::Shared {
            self.live_on_shares();
            self.inner.counters.went_local();
            self.inner.lost.notify_one();
            self.tell(false, &fault.detail, now);
        } else if matches!(was, Mode::Local { reason: Reason::Starting, .. }) {
            self.tell(false, &fault.detail, now);
        }
    }

    /// Redis answers again.
    pub(crate) fn regain(&self) {
        let was = std::mem::replace(&mut *lock(&self.inner.mode), Mode::Shared);
        self.entries().iter().for_each(|it| it.hurry());
        if was != Mode::Shared {
            self.tell(true, "redis answers", self.now());
        }
    }

    /// Nobody asks Redis any more, and nobody is told of it: the process's own doing.
    pub(crate) fn rest(&self) {
        self.link().disconnect();
        *lock(&self.inner.mode) = Mode::Local { since: self.now(), reason: Reason::Starting };
        self.live_on_shares();
    }

    /// What Redis said last counts no more.
    pub(crate) fn live_on_shares(&self) {
        self.entries().iter().for_each(|it| it.limiter.fleet_lost());
    }

    fn tell(&self, is_shared: bool, detail: &str, now: Timestamp) {
        let kind = EventKind::Fleet { is_shared, detail: detail.into() };
        self.inner.registry.emit(&Event::new(now, "*".into(), kind));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.registry.now()
    }

    pub(crate) fn entries(&self) -> Arc<[Arc<Entry>]> {
        lock(&self.inner.members).all()
    }

    pub(crate) fn members(&self) -> &Mutex<Members> {
        &self.inner.members
    }

    pub(crate) fn link(&self) -> &Link {
        &self.inner.link
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.inner.scripts
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    pub(crate) fn clocks(&self) -> &Mutex<Option<Clocks>> {
        &self.inner.clocks
    }

    pub(crate) fn circuits(&self) -> &Circuits {
        &self.inner.circuits
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn lost(&self) -> &Notify {
        &self.inner.lost
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("mode", &self.mode()).field("config", self.config()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_of_an_earlier_connection_is_counted_and_loses_nothing() {
        let registry = Registry::with_clock(|| Timestamp::from_millis(5));
        let fleet = Fleet::new(Config::new("redis://127.0.0.1:1"), registry).expect("it is valid");
        fleet.regain();
        let of_connection = |number| Fault { connection: Some(number), ..Fault::new(Reason::Timeout, "late") };
        fleet.lose(&of_connection(7));
        assert_eq!((fleet.mode(), fleet.status().counts.went_local), (Mode::Shared, 0));
        fleet.lose(&of_connection(0));
        assert!(matches!(fleet.mode(), Mode::Local { reason: Reason::Timeout, .. }));
        let counted = fleet.status().counts.faults.into_iter().find(|(reason, _)| *reason == Reason::Timeout);
        assert_eq!(counted, Some((Reason::Timeout, 2)));
    }
}
