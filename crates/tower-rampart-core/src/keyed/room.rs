//! How many keys there may be, how many there are, and what became of those that had no place. The keys themselves are in `table`.

use crate::sync::{AtomicU64, Ordering};

/// The places of all shards together.
#[derive(Debug)]
pub(crate) struct Room {
    most: AtomicU64,
    taken: AtomicU64,
    evicted: AtomicU64,
    overflowed: AtomicU64,
    turn: AtomicU64,
}

/// How it stands with the keys of one map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCounts {
    /// Keys that have a state of their own.
    pub keys: u64,
    /// How many there may be.
    pub max_keys: u64,
    /// Keys that were forgotten because they were idle; never goes down.
    pub evicted: u64,
    /// Calls of keys that had to share the one state of all that find no place; never goes down.
    pub overflowed: u64,
}

impl Room {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most: AtomicU64::new(most.into()),
            taken: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            turn: AtomicU64::new(0),
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn take(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let next = |taken: u64| (taken < most).then(|| taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Takes a place for a key that must have one.
    pub(crate) fn take_beyond(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives places back whose keys are forgotten.
    pub(crate) fn evicted(&self, keys: usize) {
        if keys > 0 {
            self.taken.fetch_sub(keys as u64, Ordering::Relaxed);
            self.evicted.fetch_add(keys as u64, Ordering::Relaxed);
        }
    }

    /// Gives a place back that was taken in vain.
    pub(crate) fn give(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a call of a key without a place.
    pub(crate) fn overflowed(&self) {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
    }

    /// Another number each time: whose turn it is to be looked at.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Changes how many there may be. Keys beyond a lower bound keep their places until they are idle.
    pub(crate) fn resize(&self, most: u32) {
        self.most.store(most.into(), Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> KeyCounts {
        KeyCounts {
            keys: self.taken.load(Ordering::Relaxed),
            max_keys: self.most.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
        }
    }
}
