//! The shell: the store and the flights under one short lock, the live configuration, the numbers. What a call holds is in `visit`.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc, task::Waker};

use super::{
    Config, Found, Keep, Stats, Visit,
    flight::{Flight, Place, State},
    store::Store,
};
use crate::{
    InvalidConfig, Timestamp,
    control::ConfigCell,
    sync::{Mutex, lock},
};

/// The most that one answer clears away of what nobody can use any more.
const SWEEP: usize = 4;

/// Answers by key, shared by all calls. See the [module](super).
pub struct Cache<K, V> {
    inner: Mutex<Inner<K, V>>,
    config: Arc<ConfigCell<Config>>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct Inner<K, V> {
    store: Store<K, V>,
    /// The keys that somebody fetches.
    flights: HashMap<K, Flight<V>>,
    next: u64,
    /// How often everything was let go.
    generation: u64,
}

/// What a look into the cache comes to.
#[derive(Debug)]
pub enum Look<K: Eq + Hash + Clone, V> {
    /// The answer is there, and fresh.
    Hit(Found<V>),
    /// It is not: the call leads or follows, as its visit says.
    Visit(Visit<K, V>),
}

/// What a change of the configuration tells a cache, whatever it keeps.
pub trait Bounded: Send + Sync {
    /// Lets go what is above the bounds; everything, if the stage is off. Flights go on.
    fn fit(&self, now: Timestamp);
}

impl<K: Eq + Hash + Clone, V> Cache<K, V> {
    /// A cache of its own.
    ///
    /// # Errors
    /// Names the field that is out of its range.
    pub fn new(config: Config) -> Result<Arc<Self>, InvalidConfig> {
        config.check()?;
        Ok(Self::with(Arc::new(ConfigCell::new(config)), Arc::default()))
    }

    /// A cache that runs on what `config` holds, which whoever replaces it has checked, and counts into `stats`. Tell it of changes by [`Bounded::fit`].
    pub fn with(config: Arc<ConfigCell<Config>>, stats: Arc<Stats>) -> Arc<Self> {
        let inner = Inner { store: Store::default(), flights: HashMap::new(), next: 0, generation: 0 };
        Arc::new(Self { inner: Mutex::new(inner), config, stats })
    }

    /// The configuration that new calls run on.
    pub fn config(&self) -> Config {
        self.config.with(|config| *config)
    }

    /// Replaces the configuration, for what is kept already too.
    ///
    /// # Errors
    /// Names the field that is out of its range; nothing has changed then.
    pub fn reconfigure(&self, config: Config, now: Timestamp) -> Result<(), InvalidConfig> {
        config.check()?;
        self.config.store(config);
        self.fit_now(now);
        Ok(())
    }

    /// The numbers.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Lets go every answer. Flights go on, for those who wait: what was asked for before is not kept.
    pub fn clear(&self) {
        let mut inner = lock(&self.inner);
        let gone = self.empty(&mut inner);
        drop(inner);
        drop(gone);
    }

    fn empty(&self, inner: &mut Inner<K, V>) -> Store<K, V> {
        inner.generation += 1;
        self.stats.holds(inner.store.held(), (0, 0));
        std::mem::take(&mut inner.store)
    }

    /// Looks for the answer of a key. Whatever the configuration says of being off is the caller's business.
    pub fn look(self: &Arc<Self>, key: &K, now: Timestamp) -> Look<K, V> {
        let config = self.config();
        let mut inner = lock(&self.inner);
        if let Some(found) = inner.store.fresh(key, &config, now) {
            drop(inner);
            self.stats.hit();
            return Look::Hit(found);
        }
        let place = inner.take_off(key, !config.max_wait.is_zero());
        let generation = inner.generation;
        drop(inner);
        self.stats.missed();
        Look::Visit(Visit::new(self, key, place, now.after(config.max_wait), generation))
    }

    pub(super) fn stale(&self, key: &K, now: Timestamp) -> Option<Found<V>> {
        let config = self.config();
        let found = lock(&self.inner).store.stale(key, &config, now)?;
        self.stats.stood_in();
        Some(found)
    }

    /// How often everything was let go.
    pub(super) fn generation(&self) -> u64 {
        lock(&self.inner).generation
    }

    /// Keeps an answer that was asked for in a generation, and gives it to all who wait for it.
    pub(super) fn land(&self, key: &K, value: Arc<V>, (bytes, keep): (u64, Keep), now: Timestamp, by: By) {
        let mut gone = Vec::new();
        let mut inner = lock(&self.inner);
        // Under the lock, so that nothing is kept after whoever switched the stage off has emptied it.
        let config = self.config();
        let found = Found { value, since: now, fresh_until: now.after(keep.fresh.min(config.ttl)) };
        let before = inner.store.held();
        let mut evictions = 0;
        let is_current = inner.generation == by.generation;
        if config.enabled && is_current {
            gone = inner.store.put(key, found.clone(), bytes, keep.stale, &config);
            gone.extend(std::iter::from_fn(|| inner.store.dead(&config, now)).take(SWEEP));
            while let Some((entry, evicted)) = inner.store.over(&config, now) {
                evictions += u64::from(evicted);
                gone.push(entry);
            }
        }
        self.stats.holds(before, inner.store.held());
        let woken = match by.leads {
            true => inner.end(key, Some(&found)),
            // The flight stays: it is the leader's, who is still under way.
            false if is_current => {
                inner.flights.get_mut(key).map(|flight| flight.end(Some(&found))).unwrap_or_default()
            }
            false => Vec::new(),
        };
        drop(inner);
        self.stats.evicted(evictions);
        drop(gone);
        wake(woken);
    }

    /// Nobody is given the leader's answer.
    pub(super) fn release(&self, key: &K) {
        let woken = lock(&self.inner).end(key, None);
        wake(woken);
    }

    /// What was kept for a key is no longer so, and nobody is given the newer answer.
    pub(super) fn withdraw(&self, key: &K, leads: bool) {
        let mut inner = lock(&self.inner);
        let before = inner.store.held();
        let gone = inner.store.remove(key);
        self.stats.holds(before, inner.store.held());
        let woken = if leads { inner.end(key, None) } else { Vec::new() };
        drop(inner);
        drop(gone);
        wake(woken);
    }

    /// The leader is gone.
    pub(super) fn hand_over(&self, key: &K) {
        let woken = lock(&self.inner).hand_over(key);
        wake(woken);
    }

    /// A call waits no longer. What it was given before comes back, or what is there `now` all the same; if it was to lead, it does.
    pub(super) fn leave(&self, key: &K, number: u64, place: &Place<V>, now: Option<Timestamp>) -> State<V> {
        let mut inner = lock(&self.inner);
        // Under the lock, so that nobody hands over to a place that is left.
        let mut state = place.leave();
        if matches!(state, State::Waiting(_))
            && let Some(flight) = inner.flights.get_mut(key)
        {
            flight.leave(number);
        }
        let mut waker = None;
        if let (Some(now), State::Waiting(waiting)) = (now, &mut state) {
            waker = waiting.take();
            if let Some(found) = inner.store.fresh(key, &self.config(), now) {
                state = State::Given(found);
            }
        }
        drop(inner);
        drop(waker);
        state
    }

    fn fit_now(&self, now: Timestamp) {
        let mut gone = Vec::new();
        let mut inner = lock(&self.inner);
        let config = self.config();
        if !config.enabled {
            let gone = self.empty(&mut inner);
            drop(inner);
            drop(gone);
            return;
        }
        let before = inner.store.held();
        let mut evictions = 0;
        while let Some((entry, evicted)) = inner.store.over(&config, now) {
            evictions += u64::from(evicted);
            gone.push(entry);
        }
        self.stats.holds(before, inner.store.held());
        drop(inner);
        self.stats.evicted(evictions);
        drop(gone);
    }
}

/// Who lands an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct By {
    pub(super) leads: bool,
    /// In which generation it was asked for.
    pub(super) generation: u64,
}

fn wake(woken: impl IntoIterator<Item = Waker>) {
    // Outside the lock: a waker may run, or drop, anything.
    woken.into_iter().for_each(Waker::wake);
}

/// What a call finds that has no answer: nobody fetches it, or a place among those who wait; `None` inside: it goes by itself.
pub(super) enum TakeOff<V> {
    Leads,
    Follows(u64, Arc<Place<V>>),
    Alone,
}

impl<K: Eq + Hash + Clone, V> Inner<K, V> {
    fn take_off(&mut self, key: &K, waits: bool) -> TakeOff<V> {
        match self.flights.get_mut(key) {
            None => {
                self.flights.insert(key.clone(), Flight::new());
                TakeOff::Leads
            }
            Some(flight) if waits => {
                let number = self.next;
                self.next += 1;
                TakeOff::Follows(number, flight.join(number))
            }
            Some(_) => TakeOff::Alone,
        }
    }

    fn hand_over(&mut self, key: &K) -> Option<Waker> {
        let flight = self.flights.get_mut(key)?;
        if let Some(place) = flight.next() {
            return place.becomes(State::Leads);
        }
        self.flights.remove(key);
        None
    }

    /// The leader's end.
    fn end(&mut self, key: &K, found: Option<&Found<V>>) -> Vec<Waker> {
        self.flights.remove(key).map(|mut flight| flight.end(found)).unwrap_or_default()
    }
}

impl<K, V> Bounded for Cache<K, V>
where
    K: Eq + Hash + Clone + Send,
    V: Send + Sync,
{
    fn fit(&self, now: Timestamp) {
        self.fit_now(now);
    }
}

impl<K, V> Drop for Cache<K, V> {
    fn drop(&mut self) {
        let inner = lock(&self.inner);
        self.stats.holds(inner.store.held(), (0, 0));
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats).finish_non_exhaustive()
    }
}
