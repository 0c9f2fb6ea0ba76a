//! The registry that every number comes from: one entry per operation, counters on the call path, everything else read on demand. What drives the
//! calls are the layers of the crate `tower-rampart`.
//!
//! A layer resolves its [`Operation`] once, when it is built, and then only adds to its counters. The management API, the dashboard, the
//! signals, preflight and the metrics all read the same values through [`Registry`].
//!
//! # Examples
//! ```
//! use tower_rampart_core::{Timestamp, registry::Registry};
//!
//! let registry = Registry::with_clock(|| Timestamp::ZERO);
//! registry.operation("summarize")?.started();
//! assert_eq!(registry.snapshot().operations[0].inflight, 1);
//! assert!(registry.prometheus_text().contains("rampart_inflight{operation=\"summarize\"} 1\n"));
//! # Ok::<(), tower_rampart_core::registry::TooManyOperations>(())
//! ```

mod counters;
pub(crate) mod histogram;
mod operation;
mod parts;
mod prometheus;
mod snapshot;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

pub use self::{
    operation::Operation,
    parts::{ConcurrencySnapshot, RateSnapshot},
    snapshot::{ChaosSnapshot, HedgeSnapshot, LatencySnapshot, OperationSnapshot, Snapshot},
};
use crate::{
    Timestamp,
    breaker::{Breaker, Breakers},
    event::{Event, EventKind, Events},
    rejection::Name,
    signals::Signals,
    sync::{Mutex, lock},
};

/// A new operation would exceed the bound of the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry holds {max} operations and takes no more: `{operation}` is not among them")]
#[non_exhaustive]
pub struct TooManyOperations {
    /// The operation that was refused.
    pub operation: String,
    /// The bound.
    pub max: usize,
}

/// All operations of a program, shared by everything that counts and everything that looks. Clones share one registry.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    clock: fn() -> Timestamp,
    max_operations: usize,
    operations: Mutex<BTreeMap<Name, Arc<Operation>>>,
    shared: Arc<Shared>,
}

/// What operations need of their registry. It does not lead back to them, so that nothing keeps itself alive.
#[derive(Debug)]
struct Shared {
    events: Arc<Events>,
    breakers: Breakers,
    /// The breakers whose transitions become events.
    watched: Mutex<Vec<Weak<Breaker>>>,
}

impl Registry {
    /// How many operations a registry holds unless told otherwise.
    pub const MAX_OPERATIONS: usize = 10_000;

    /// An empty registry that holds up to [`MAX_OPERATIONS`](Self::MAX_OPERATIONS) and reads the time from `clock`.
    pub fn with_clock(clock: fn() -> Timestamp) -> Self {
        Self::with_capacity(clock, Self::MAX_OPERATIONS)
    }

    /// An empty registry that holds up to `max_operations`, and as many named circuit breakers.
    pub fn with_capacity(clock: fn() -> Timestamp, max_operations: usize) -> Self {
        let shared = Shared {
            events: Arc::new(Events::new()),
            breakers: Breakers::new(max_operations),
            watched: Mutex::default(),
        };
        let inner = Inner { clock, max_operations, operations: Mutex::default(), shared: Arc::new(shared) };
        Self { inner: Arc::new(inner) }
    }

    /// The operation of this name, made if it does not exist. No name is refused; what prints one escapes it.
    ///
    /// # Errors
    /// The registry is full and does not hold this name.
    pub fn operation(&self, name: &str) -> Result<Arc<Operation>, TooManyOperations> {
        let mut operations = lock(&self.inner.operations);
        if let Some(operation) = operations.get(name) {
            return Ok(Arc::clone(operation));
        }
        let max = self.inner.max_operations;
        if operations.len() >= max {
            return Err(TooManyOperations { operation: name.to_owned(), max });
        }
        let name = Name::from(name);
        let operation = Arc::new(Operation::new(Name::clone(&name), Arc::clone(&self.inner.shared)));
        operations.insert(name, Arc::clone(&operation));
        Ok(operation)
    }

    /// The operation of this name, if it exists; looking makes nothing.
    pub fn get(&self, name: &str) -> Option<Arc<Operation>> {
        lock(&self.inner.operations).get(name).cloned()
    }

    /// Takes an operation and its circuit breaker out, and their series out of the metrics. Whoever holds them goes on, unseen; the next to ask for this
    /// name gets a new operation, which counts from zero.
    pub fn remove(&self, name: &str) -> Option<Arc<Operation>> {
        let operation = lock(&self.inner.operations).remove(name)?;
        self.breakers().remove(name);
        Some(operation)
    }

    /// All operations, sorted by name.
    pub fn operations(&self) -> Vec<Arc<Operation>> {
        lock(&self.inner.operations).values().cloned().collect()
    }

    /// How many operations it holds at most.
    pub fn max_operations(&self) -> usize {
        self.inner.max_operations
    }

    /// The circuit breakers by name: those of operations and those that were made by themselves.
    pub fn breakers(&self) -> &Breakers {
        &self.inner.shared.breakers
    }

    /// The present, by the clock of the registry.
    pub fn now(&self) -> Timestamp {
        (self.inner.clock)()
    }

    /// Everything that is known now.
    pub fn snapshot(&self) -> Snapshot {
        let at = self.now();
        let operations = self.operations().iter().map(|it| it.snapshot(at)).collect();
        let breakers = self.breakers().all().iter().map(|it| (Name::clone(it.name()), it.snapshot(at))).collect();
        Snapshot { at, operations, breakers }
    }

    /// What the callers of an operation steer by; `None` for an unknown one.
    pub fn signals(&self, operation: &str) -> Option<Signals> {
        self.get(operation).map(|it| it.signals(self.now()))
    }

    /// All metrics in the Prometheus text format 0.0.4.
    pub fn prometheus_text(&self) -> String {
        prometheus::encode(self, prometheus::Format::Prometheus)
    }

    /// All metrics in the OpenMetrics text format 1.0.0.
    pub fn openmetrics_text(&self) -> String {
        prometheus::encode(self, prometheus::Format::OpenMetrics)
    }

    /// Lets the snapshots of one operation, or of all, count from zero. Metrics go on counting, because counters must not go down;
    /// circuits, tokens, permits and budgets are left alone. An unknown operation is no error and makes nothing.
    pub fn reset_counters(&self, operation: Option<&str>) {
        let operations = match operation {
            Some(name) => self.get(name).into_iter().collect(),
            None => self.operations(),
        };
        let at = self.now();
        for operation in operations {
            operation.reset_counters();
            self.emit(&Event::new(at, Name::clone(operation.name()), EventKind::CountersReset));
        }
    }

    /// Tells `observer` of every event from now on, outside any lock, on the thread that causes it. One that panics harms nothing.
    ///
    /// An observer that holds this registry keeps it alive for ever; let it hold what it needs instead.
    pub fn on_event(&self, observer: impl Fn(&Event) + Send + Sync + 'static) {
        self.inner.shared.events.observe(observer);
    }

    /// Keeps an event and tells the observers.
    pub fn emit(&self, event: &Event) {
        self.inner.shared.events.emit(event);
    }

    /// The last events, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.inner.shared.events.all()
    }

    /// Changes how many of the last events are kept (10 000 unless told otherwise); the oldest go first.
    pub fn keep_events(&self, max: usize) {
        self.inner.shared.events.resize(max);
    }

    /// Enters a breaker that belongs to no operation in [`breakers`](Self::breakers), where it takes the place of an older one of its name, and makes
    /// events of its transitions; once, however often this is said.
    pub fn watch(&self, breaker: &Arc<Breaker>) {
        self.inner.shared.watch(breaker);
    }
}

impl Shared {
    fn watch(&self, breaker: &Arc<Breaker>) {
        // A full map shows one breaker less, which is no reason to refuse its layer; the operation shows its own in any case.
        let _full = self.breakers.insert(Arc::clone(breaker));
        {
            let mut watched = lock(&self.watched);
            watched.retain(|it| it.strong_count() > 0);
            if watched.iter().any(|it| std::ptr::eq(it.as_ptr(), Arc::as_ptr(breaker))) {
                return;
            }
            watched.push(Arc::downgrade(breaker));
        }
        // A breaker may outlive the registry, therefore it must not keep the events alive.
        let events = Arc::downgrade(&self.events);
        breaker.on_transition(move |transition| {
            if let Some(events) = events.upgrade() {
                events.emit(&Event::from(transition));
            }
        });
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = lock(&self.inner.operations).len();
        f.debug_struct("Registry")
            .field("operations", &operations)
            .field("max_operations", &self.inner.max_operations)
            .field("shared", &self.inner.shared)
            .finish_non_exhaustive()
    }
}
