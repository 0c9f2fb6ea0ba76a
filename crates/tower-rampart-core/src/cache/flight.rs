//! Who waits for the answer that another call fetches. What is kept is in `store`; all that is here happens under the lock of `shared`, but for a look at one's own place.

use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::Found;
use crate::sync::{Mutex, lock};

/// The place of a call that waits.
#[derive(Debug)]
pub(super) struct Place<V>(Mutex<State<V>>);

/// What became of a wait.
#[derive(Debug)]
pub(super) enum State<V> {
    /// Nothing yet; whom to wake.
    Waiting(Option<Waker>),
    // Waiting => Given: the leader has landed an answer
    Given(Found<V>),
    // Waiting => Leads: the leader is gone
    Leads,
    // Waiting => Alone: the leader's answer cannot be shared
    Alone,
}

impl<V> Place<V> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Waiting(None)))
    }

    /// What became of the wait, once that is known.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<State<V>> {
        let mut state = lock(&self.0);
        match &mut *state {
            State::Waiting(waker) => {
                let before = match waker {
                    Some(known) if known.will_wake(cx.waker()) => None,
                    waker => waker.replace(cx.waker().clone()),
                };
                drop(state);
                drop(before);
                Poll::Pending
            }
            known => Poll::Ready(mem::replace(known, State::Waiting(None))),
        }
    }

    /// What has become of the wait, for who waits no longer.
    pub(super) fn leave(&self) -> State<V> {
        mem::replace(&mut *lock(&self.0), State::Waiting(None))
    }

    /// Ends the wait: whom to wake.
    pub(super) fn becomes(&self, next: State<V>) -> Option<Waker> {
        match mem::replace(&mut *lock(&self.0), next) {
            State::Waiting(waker) => waker,
            _ => None,
        }
    }
}

/// Those who wait for one answer, in the order in which they came.
#[derive(Debug)]
pub(super) struct Flight<V>(BTreeMap<u64, Arc<Place<V>>>);

impl<V> Flight<V> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn join(&mut self, number: u64) -> Arc<Place<V>> {
        let place = Arc::new(Place::new());
        self.0.insert(number, Arc::clone(&place));
        place
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.0.remove(&number);
    }

    /// Takes the one that waits longest, which is to lead.
    pub(super) fn next(&mut self) -> Option<Arc<Place<V>>> {
        self.0.pop_first().map(|(_, place)| place)
    }

    /// All have the answer, or go on by themselves without one: whom to wake. Nobody is left.
    pub(super) fn end(&mut self, found: Option<&Found<V>>) -> Vec<Waker> {
        let next = || found.map_or(State::Alone, |found| State::Given(found.clone()));
        mem::take(&mut self.0).into_values().filter_map(|place| place.becomes(next())).collect()
    }
}
