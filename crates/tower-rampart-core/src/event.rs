//! What happened, for observers and the ring of the last events. Events are the cold path: what happens on every call is only counted, by the
//! [`Operation`](crate::registry::Operation).

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    Rejection, Timestamp,
    breaker::{State, Transition, TransitionReason},
    rejection::Name,
    sync::{Mutex, lock},
};

/// Something worth telling an operator.
///
/// # Examples
/// ```
/// use tower_rampart_core::{Timestamp, event::{Event, EventKind}};
///
/// let event = Event::new(Timestamp::ZERO, "summarize".into(), EventKind::ReloadRefused { reason: "retry.max_attempts is 0".into() });
/// assert_eq!(event.to_string(), "`summarize`: reload refused: retry.max_attempts is 0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When it happened, by the clock of the registry.
    pub at: Timestamp,
    /// The operation or breaker that it happened to.
    pub operation: Name,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A circuit breaker changed its state.
    Transition {
        /// The state before.
        from: State,
        /// The state after.
        to: State,
        /// Why.
        reason: TransitionReason,
        /// Whether it only would have changed, had it not been told to judge without refusing.
        would_be: bool,
    },
    /// A call was refused. At most one a second and operation becomes an event.
    Rejected {
        /// The refusal.
        rejection: Rejection,
        /// How many refusals of this operation became no event since the last one that did.
        suppressed: u64,
    },
    /// A new configuration runs.
    Reloaded {
        /// Where it came from, or what changed.
        detail: Arc<str>,
    },
    /// A new configuration was invalid; the old one runs on.
    ReloadRefused {
        /// What was wrong.
        reason: Arc<str>,
    },
    /// The counters that the snapshot shows were set to zero.
    CountersReset,
    /// The rate limits of a fleet are held together from now on, or each process is held to its share.
    Fleet {
        /// Whether they are held together.
        is_shared: bool,
        /// Why.
        detail: Arc<str>,
    },
}

impl Event {
    /// An event of `operation` at `at`.
    pub fn new(at: Timestamp, operation: Name, kind: EventKind) -> Self {
        Self { at, operation, kind }
    }
}

impl EventKind {
    /// The word used in JSON and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Transition { .. } => "transition",
            Self::Rejected { .. } => "rejected",
            Self::Reloaded { .. } => "reloaded",
            Self::ReloadRefused { .. } => "reload_refused",
            Self::CountersReset => "counters_reset",
            Self::Fleet { .. } => "fleet",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.operation, self.kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transition { from, to, reason, would_be } => {
                let would_be = if *would_be { "would be " } else { "" };
                write!(f, "circuit {would_be}{from} -> {to} ({})", reason.as_str())
            }
            Self::Rejected { rejection, suppressed: 0 } => write!(f, "call refused: {rejection}"),
            Self::Rejected { rejection, suppressed } => {
                write!(f, "call refused: {rejection} (and {suppressed} more before)")
            }
            Self::Reloaded { detail } => write!(f, "configuration reloaded: {detail}"),
            Self::ReloadRefused { reason } => write!(f, "reload refused: {reason}"),
            Self::CountersReset => f.write_str("counters reset"),
            Self::Fleet { is_shared: true, detail } => write!(f, "rate limits are the fleet's: {detail}"),
            Self::Fleet { is_shared: false, detail } => write!(f, "rate limits are this process's share: {detail}"),
        }
    }
}

impl From<&Transition> for Event {
    fn from(it: &Transition) -> Self {
        let kind = EventKind::Transition { from: it.from, to: it.to, reason: it.reason, would_be: it.would_be };
        Self::new(it.at, Name::clone(&it.name), kind)
    }
}

type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// The ring of the last events, and those who are told of each.
pub(crate) struct Events {
    ring: Mutex<Ring>,
    observers: Mutex<Arc<[Observer]>>,
}

struct Ring {
    events: VecDeque<Event>,
    capacity: usize,
}

impl Ring {
    fn push(&mut self, event: Event) {
        if self.events.len() >= self.capacity {
            self.events.pop_front();
        }
        if self.capacity > 0 {
            self.events.push_back(event);
        }
    }
}

impl Events {
    /// How many events are kept unless told otherwise.
    pub(crate) const CAPACITY: usize = 10_000;

    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::new(Ring { events: VecDeque::with_capacity(64), capacity: Self::CAPACITY }),
            observers: Mutex::new(Arc::new([])),
        }
    }

    /// Changes how many events are kept; the oldest go first.
    pub(crate) fn resize(&self, capacity: usize) {
        let mut ring = lock(&self.ring);
        ring.capacity = capacity;
        let surplus = ring.events.len().saturating_sub(capacity);
        ring.events.drain(..surplus);
        ring.events.shrink_to(capacity);
    }

    pub(crate) fn observe(&self, observer: impl Fn(&Event) + Send + Sync + 'static) {
        let mut observers = lock(&self.observers);
        *observers = observers.iter().cloned().chain([Arc::new(observer) as Observer]).collect();
    }

    /// Keeps an event and tells the observers, outside any lock, in the order in which they came.
    pub(crate) fn emit(&self, event: &Event) {
        lock(&self.ring).push(event.clone());
        let observers = Arc::clone(&lock(&self.observers));
        for observer in observers.iter() {
            // An observer that panics must not take the call with it that happened to cause the event.
            let _panicked = catch_unwind(AssertUnwindSafe(|| observer(event)));
        }
    }

    /// The kept events, oldest first.
    pub(crate) fn all(&self) -> Vec<Event> {
        lock(&self.ring).events.iter().cloned().collect()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, observers) = (lock(&self.ring).events.len(), lock(&self.observers).len());
        f.debug_struct("Events").field("kept", &kept).field("observers", &observers).finish()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn event(nanos: u64) -> Event {
        Event::new(Timestamp::from_nanos(nanos), "a".into(), EventKind::CountersReset)
    }

    fn times(events: &Events) -> Vec<u64> {
        events.all().iter().map(|it| it.at.as_nanos()).collect()
    }

    #[test]
    fn the_ring_keeps_the_last_events_only() {
        let events = Events::new();
        events.resize(3);
        (0..10).for_each(|it| events.emit(&event(it)));
        assert_eq!(times(&events), [7, 8, 9]);
        events.resize(2);
        assert_eq!(times(&events), [8, 9]);
        events.resize(0);
        events.emit(&event(10));
        assert_eq!(times(&events), []);
    }

    #[test]
    fn the_default_ring_is_bounded() {
        let events = Events::new();
        (0..=Events::CAPACITY as u64).for_each(|it| events.emit(&event(it)));
        assert_eq!(events.all().len(), Events::CAPACITY);
    }

    #[test]
    fn a_panicking_observer_harms_nothing() {
        let events = Events::new();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        events.observe(|_| panic!("an observer's own fault"));
        events.observe(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        events.emit(&event(1));
        assert_eq!((told.load(Ordering::Relaxed), times(&events)), (1, vec![1]));
    }

    #[test]
    fn an_observer_may_use_the_log_it_observes() {
        let events = Arc::new(Events::new());
        let again = Arc::downgrade(&events);
        events.observe(move |event| {
            let events = again.upgrade().expect("emit holds it");
            events.all();
            if event.at == Timestamp::ZERO {
                events.observe(|_| ());
                events.emit(&self::event(1));
            }
        });
        events.emit(&event(0));
        assert_eq!(times(&events), [0, 1]);
    }
}
