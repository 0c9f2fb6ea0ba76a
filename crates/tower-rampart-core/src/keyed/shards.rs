//! The shards of a keyed map: each key belongs to one, behind whose short lock its state is found. What a shard holds is up to its owner.

use crossbeam_utils::CachePadded;

use super::{
    Fingerprint,
    fingerprint::Fingerprints,
    room::{KeyCounts, Room},
};
use crate::sync::{Mutex, MutexGuard, lock};

/// A power of two. As many as that two threads seldom meet in one, and that the rare growth of one is over in a fraction of a millisecond at a million keys.
#[cfg(not(loom))]
const SHARDS: usize = 64;
/// Under loom one, so that the threads of a model meet.
#[cfg(loom)]
const SHARDS: usize = 1;

/// Places that are looked at for idle keys when a new one comes: more than one a key, so that the hand goes round faster than keys come.
const STEP: usize = 8;
/// Other shards that are looked at when all places are taken.
const ELSEWHERE: usize = 4;

#[derive(Debug)]
pub(crate) struct Shards<S> {
    fingerprints: Fingerprints,
    room: Room,
    all: Box<[CachePadded<Mutex<S>>]>,
}

impl<S> Shards<S> {
    pub(crate) fn new(max_keys: u32, shard: impl Fn() -> S) -> Self {
        let all = (0..SHARDS).map(|_| CachePadded::new(Mutex::new(shard()))).collect();
        Self { fingerprints: Fingerprints::default(), room: Room::new(max_keys), all }
    }

    /// Makes it reproducible which keys share a shard and which are forgotten first; before there is any key.
    pub(crate) fn with_seed(mut self, seed: u64) -> Self {
        self.fingerprints = Fingerprints::Seeded(seed);
        self
    }

    pub(crate) fn fingerprint(&self, key: Option<&str>) -> Fingerprint {
        self.fingerprints.of(key)
    }

    pub(crate) fn lock(&self, fingerprint: Fingerprint) -> MutexGuard<'_, S> {
        lock(&self.all[fingerprint.shard(self.all.len())])
    }

    /// All shards, locked one after another: none is held up for longer than its own part takes.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, S>> {
        self.all.iter().map(|it| lock(it))
    }

    /// Goes through all shards, and lets go of each after every `step`, which begins where the one before said; `None`: there is nothing more in this one.
    pub(crate) fn walk(&self, mut step: impl FnMut(&mut S, usize) -> Option<usize>) {
        for shard in &self.all {
            let mut at = Some(0);
            while let Some(from) = at {
                at = step(&mut lock(shard), from);
            }
        }
    }

    /// Takes a place for a key that is not there, after a look for idle ones by `sweep`, which says how many it has taken out of a shard; if all places
    /// are taken, of a few other shards too. `false`: the key has to share.
    pub(crate) fn take_place(&self, shard: &mut S, sweep: impl Fn(&mut S, usize) -> usize) -> bool {
        self.room.evicted(sweep(shard, STEP));
        if self.room.take() {
            return true;
        }
        for _ in 0..ELSEWHERE.min(self.all.len() - 1) {
            // Never waits: the thread holds a shard already.
            let Ok(mut other) = self.all[self.room.turn() as usize & (self.all.len() - 1)].try_lock() else { continue };
            self.room.evicted(sweep(&mut other, STEP));
            if self.room.take() {
                return true;
            }
        }
        self.room.overflowed();
        false
    }

    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    pub(crate) fn counts(&self) -> KeyCounts {
        self.room.counts()
    }
}
