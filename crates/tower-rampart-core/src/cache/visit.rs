//! What a call holds from its look into the cache until it has an answer: it leads, follows, or goes by itself.

use std::{
    fmt,
    hash::Hash,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    Cache, Config, Found, Keep,
    flight::{Place, State},
    shared::{By, TakeOff},
};
use crate::Timestamp;

/// A call whose answer was not there.
///
/// # Cancel safety
/// Dropping it at any point hands the lead over to whoever waits longest, or leaves the place among those who wait.
pub struct Visit<K: Eq + Hash + Clone, V> {
    cache: Arc<Cache<K, V>>,
    key: K,
    role: Role<V>,
    until: Timestamp,
    /// When the call began that it is for, as the cache counts.
    generation: u64,
}

#[derive(Debug)]
enum Role<V> {
    Leads,
    // Follows => Leads: the leader is gone
    Follows(u64, Arc<Place<V>>),
    // Follows => Alone: the leader's answer cannot be shared, or the wait is over
    Alone,
}

impl<K: Eq + Hash + Clone, V> Visit<K, V> {
    pub(super) fn new(cache: &Arc<Cache<K, V>>, key: &K, place: TakeOff<V>, until: Timestamp, generation: u64) -> Self {
        let role = match place {
            TakeOff::Leads => Role::Leads,
            TakeOff::Follows(number, place) => Role::Follows(number, place),
            TakeOff::Alone => Role::Alone,
        };
        Self { cache: Arc::clone(cache), key: key.clone(), role, until, generation }
    }

    /// The configuration of the cache.
    pub fn config(&self) -> Config {
        self.cache.config()
    }

    /// Whether the call waits for the answer of another.
    pub fn follows(&self) -> bool {
        matches!(self.role, Role::Follows(..))
    }

    /// Until when it waits, if it does.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// The answer of the call that leads, once it has landed; `None`: this one is to fetch the answer, which it leads for or has for itself.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Found<V>>> {
        let Role::Follows(_, place) = &self.role else { return Poll::Ready(None) };
        let state = ready!(place.poll(cx));
        Poll::Ready(self.becomes(state))
    }

    /// Waits no longer. What came at the last moment is given out all the same, and so is an answer that is fresh `now`, whoever fetched it.
    pub fn give_up(&mut self, now: Timestamp) -> Option<Found<V>> {
        let Role::Follows(number, place) = &self.role else { return None };
        let state = self.cache.leave(&self.key, *number, place, Some(now));
        self.becomes(state)
    }

    fn becomes(&mut self, state: State<V>) -> Option<Found<V>> {
        self.role = match state {
            State::Leads => Role::Leads,
            State::Waiting(_) | State::Alone => Role::Alone,
            State::Given(found) => {
                self.role = Role::Alone;
                self.cache.stats().coalesced();
                return Some(found);
            }
        };
        // Its own call begins now.
        self.generation = self.cache.generation();
        None
    }

    /// Keeps the answer that was fetched, of `bytes` bytes, and gives it to all who wait for it.
    pub fn land(mut self, value: Arc<V>, bytes: u64, keep: Keep, now: Timestamp) {
        let by = By { leads: matches!(self.role, Role::Leads), generation: self.generation };
        // Its role is over before anybody is woken.
        self.role = Role::Alone;
        self.cache.land(&self.key, value, (bytes, keep), now, by);
    }

    /// The answer that was fetched is not to be kept, and says that the one before it holds no longer: that one goes, and those who wait go on by themselves.
    pub fn withdraw(&mut self) {
        let leads = matches!(self.role, Role::Leads);
        if leads {
            self.role = Role::Alone;
        }
        self.cache.withdraw(&self.key, leads);
    }

    /// The answer that was fetched cannot be shared: those who wait go on by themselves.
    pub fn release(&mut self) {
        if matches!(self.role, Role::Leads) {
            self.role = Role::Alone;
            self.cache.release(&self.key);
        }
    }

    /// The answer past its time that may stand in for a fault, which this call has come to.
    pub fn stale(&self, now: Timestamp) -> Option<Found<V>> {
        self.cache.stale(&self.key, now)
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Visit<K, V> {
    fn drop(&mut self) {
        if let Role::Follows(number, place) = &self.role
            && matches!(self.cache.leave(&self.key, *number, place, None), State::Leads)
        {
            self.role = Role::Leads;
        }
        if matches!(self.role, Role::Leads) {
            self.cache.hand_over(&self.key);
        }
    }
}

impl<K: Eq + Hash + Clone, V> fmt::Debug for Visit<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("follows", &self.follows()).finish_non_exhaustive()
    }
}
