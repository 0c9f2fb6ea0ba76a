//! Who is told of a breaker's transitions, and of which not yet. The telling, outside the lock, is in `shared`.

use std::{collections::VecDeque, mem, sync::Arc};

use super::Transition;
use crate::Timestamp;

/// Transitions that wait for a slow observer; beyond that the oldest are forgotten.
const UNDELIVERED: usize = 1024;

pub(super) type Observer = Arc<dyn Fn(&Transition) + Send + Sync>;

pub(super) type Follower = Arc<dyn Fn(Timestamp) + Send + Sync>;

/// The observers, shared so that they are told without the lock, and what waits for them.
#[derive(Default)]
pub(super) struct Audience {
    observers: Arc<Vec<Observer>>,
    undelivered: VecDeque<Transition>,
    /// A thread is telling the observers, and will go on until all is told.
    delivering: bool,
    /// Who resets something else with each reset.
    followers: Arc<Vec<Follower>>,
}

impl Audience {
    pub(super) fn add(&mut self, observer: Observer) {
        let mut observers = Vec::clone(&self.observers);
        observers.push(observer);
        self.observers = Arc::new(observers);
    }

    pub(super) fn follow(&mut self, follower: Follower) {
        let mut followers = Vec::clone(&self.followers);
        followers.push(follower);
        self.followers = Arc::new(followers);
    }

    pub(super) fn followers(&self) -> Arc<Vec<Follower>> {
        Arc::clone(&self.followers)
    }

    /// Keeps a transition; whether it is the caller who has to deliver it, and all that come meanwhile.
    pub(super) fn keep(&mut self, transition: Transition) -> bool {
        if self.undelivered.len() >= UNDELIVERED {
            self.undelivered.pop_front();
        }
        self.undelivered.push_back(transition);
        !mem::replace(&mut self.delivering, true)
    }

    /// The next transition and whom to tell; `None` ends the delivery.
    pub(super) fn next(&mut self) -> Option<(Transition, Arc<Vec<Observer>>)> {
        let next = self.undelivered.pop_front();
        self.delivering = next.is_some();
        Some((next?, Arc::clone(&self.observers)))
    }
}
