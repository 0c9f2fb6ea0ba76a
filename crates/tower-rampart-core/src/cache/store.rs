//! The machine: answers with their times, the one used longest ago first to go, after those whose time is over. Who waits for an answer is in `flight`.
//!
//! A list through a vector of slots for the order of use, and a set ordered by the ends of times: a look is constant, what is put in costs a logarithm. The
//! order of eviction is plain LRU; Redis's `allkeys-lru` and memcached only come near it, by samples and by segments.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use super::Config;
use crate::Timestamp;

/// No slot.
const NONE: usize = usize::MAX;

/// For how long an answer may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How long it is fresh; no longer than the configuration says.
    pub fresh: Duration,
    /// How long after that it may stand in for a fault; no longer than the configuration says.
    pub stale: Duration,
}

impl Keep {
    /// As long as the configuration allows.
    pub const fn of(config: &Config) -> Self {
        Self { fresh: config.ttl, stale: Duration::MAX }
    }
}

/// An answer that was kept.
#[derive(Debug)]
pub struct Found<V> {
    /// The answer.
    pub value: Arc<V>,
    /// When it was put in.
    pub since: Timestamp,
    /// When it stops being fresh, or stopped.
    pub fresh_until: Timestamp,
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), since: self.since, fresh_until: self.fresh_until }
    }
}

#[derive(Debug)]
pub(super) struct Entry<K, V> {
    key: K,
    found: Found<V>,
    stale: Duration,
    bytes: u64,
    older: usize,
    newer: usize,
}

impl<K, V> Entry<K, V> {
    /// When it stops being fresh under a configuration that may be stricter than the one it was put in under.
    fn fresh_until(&self, config: &Config) -> Timestamp {
        self.found.fresh_until.min(self.found.since.after(config.ttl))
    }
}

/// Answers by key.
#[derive(Debug)]
pub(super) struct Store<K, V> {
    index: HashMap<K, usize>,
    slots: Vec<Option<Entry<K, V>>>,
    free: Vec<usize>,
    oldest: usize,
    newest: usize,
    by_end: BTreeSet<(Timestamp, usize)>,
    bytes: u64,
}

impl<K, V> Default for Store<K, V> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            by_end: BTreeSet::new(),
            bytes: 0,
        }
    }
}

impl<K, V> Store<K, V> {
    /// Answers and their bytes.
    pub(super) fn held(&self) -> (usize, u64) {
        (self.index.len(), self.bytes)
    }
}

const LINKED: &str = "the index and the links only name slots that are taken";

impl<K: Eq + Hash + Clone, V> Store<K, V> {
    /// The fresh answer, used now.
    pub(super) fn fresh(&mut self, key: &K, config: &Config, now: Timestamp) -> Option<Found<V>> {
        self.used(key, |entry| now < entry.fresh_until(config), config)
    }

    /// The answer that may stand in for a fault, used now.
    pub(super) fn stale(&mut self, key: &K, config: &Config, now: Timestamp) -> Option<Found<V>> {
        let lasts = |entry: &Entry<K, V>| entry.fresh_until(config).after(entry.stale.min(config.stale_if_error));
        self.used(key, |entry| now < lasts(entry), config)
    }

    fn used(&mut self, key: &K, may: impl Fn(&Entry<K, V>) -> bool, config: &Config) -> Option<Found<V>> {
        let slot = *self.index.get(key)?;
        let entry = self.entry(slot);
        if !may(entry) {
            return None;
        }
        let fresh_until = entry.fresh_until(config);
        let found = Found { fresh_until, ..entry.found.clone() };
        self.unlink(slot);
        self.link(slot);
        Some(found)
    }

    /// Puts an answer in, in the place of its key's older one. What goes for it comes back, to be dropped where no lock is held; those that had to go
    /// before their time were evicted.
    pub(super) fn put(
        &mut self,
        key: &K,
        found: Found<V>,
        bytes: u64,
        stale: Duration,
        config: &Config,
    ) -> Vec<Entry<K, V>> {
        let mut gone = Vec::new();
        if let Some(slot) = self.index.get(key) {
            gone.push(self.take(*slot));
        }
        if bytes > u64::from(config.max_bytes) {
            return gone;
        }
        let entry = Entry { key: key.clone(), stale, bytes, older: NONE, newer: NONE, found };
        let end = entry.found.fresh_until;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(entry);
        self.index.insert(key.clone(), slot);
        self.by_end.insert((end, slot));
        self.bytes += bytes;
        self.link(slot);
        gone
    }

    /// Takes the answer of a key.
    pub(super) fn remove(&mut self, key: &K) -> Option<Entry<K, V>> {
        let slot = *self.index.get(key)?;
        Some(self.take(slot))
    }

    /// Takes the next that has to go for the bounds to hold: one whose time is over, else the one used longest ago. Whether it was evicted before its time.
    pub(super) fn over(&mut self, config: &Config, now: Timestamp) -> Option<(Entry<K, V>, bool)> {
        let is_over = self.index.len() > config.max_entries as usize || self.bytes > u64::from(config.max_bytes);
        if !is_over {
            return None;
        }
        match self.by_end.first() {
            Some((end, slot)) if *end <= now => {
                let slot = *slot;
                Some((self.take(slot), false))
            }
            _ => Some((self.take(self.oldest), true)),
        }
    }

    /// Takes one that is of no use to anybody any more.
    pub(super) fn dead(&mut self, config: &Config, now: Timestamp) -> Option<Entry<K, V>> {
        let (end, slot) = *self.by_end.first()?;
        (end.after(config.stale_if_error) <= now).then(|| self.take(slot))
    }

    fn entry(&self, slot: usize) -> &Entry<K, V> {
        self.slots[slot].as_ref().expect(LINKED)
    }

    fn entry_mut(&mut self, slot: usize) -> &mut Entry<K, V> {
        self.slots[slot].as_mut().expect(LINKED)
    }

    fn take(&mut self, slot: usize) -> Entry<K, V> {
        self.unlink(slot);
        let entry = self.slots[slot].take().expect(LINKED);
        self.index.remove(&entry.key);
        self.by_end.remove(&(entry.found.fresh_until, slot));
        self.bytes -= entry.bytes;
        self.free.push(slot);
        entry
    }

    fn unlink(&mut self, slot: usize) {
        let entry = self.entry(slot);
        let (older, newer) = (entry.older, entry.newer);
        match older {
            NONE => self.oldest = newer,
            older => self.entry_mut(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.entry_mut(newer).older = older,
        }
    }

    /// Makes it the one that was used last.
    fn link(&mut self, slot: usize) {
        let before = std::mem::replace(&mut self.newest, slot);
        let entry = self.entry_mut(slot);
        (entry.older, entry.newer) = (before, NONE);
        match before {
            NONE => self.oldest = slot,
            before => self.entry_mut(before).newer = slot,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, as a list in the order of use: what it does is plain to see.
    #[derive(Default)]
    struct Model(Vec<(u8, u32, Timestamp, u64)>);

    impl Model {
        fn fresh(&mut self, key: u8, now: Timestamp) -> Option<u32> {
            let at = self.0.iter().position(|it| it.0 == key && now < it.2)?;
            let used = self.0.remove(at);
            self.0.push(used);
            Some(used.1)
        }

        fn put(&mut self, key: u8, value: u32, end: Timestamp, bytes: u64, config: &Config, now: Timestamp) {
            self.0.retain(|it| it.0 != key);
            if bytes > u64::from(config.max_bytes) {
                return;
            }
            self.0.push((key, value, end, bytes));
            while self.0.len() > config.max_entries as usize
                || self.0.iter().map(|it| it.3).sum::<u64>() > u64::from(config.max_bytes)
            {
                let first_to_end = self.0.iter().map(|it| it.2).min().expect("it is not empty");
                let ended = self.0.iter().position(|it| it.2 == first_to_end && it.2 <= now);
                self.0.remove(ended.unwrap_or(0));
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Pass(u64),
        Get(u8),
        Put { key: u8, fresh: u64, bytes: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0_u64..40).prop_map(Step::Pass),
            (0_u8..12).prop_map(Step::Get),
            // Ends that differ, so that the model need not know which of two slots comes first.
            (0_u8..12, 1_u64..60, 0_u64..40).prop_map(|(key, fresh, bytes)| Step::Put { key, fresh, bytes }),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        #[test]
        fn answers_are_those_of_a_list_in_the_order_of_use(steps in steps(), max_entries in 1_u32..6, max_bytes in 1_u32..80) {
            let config = Config { ttl: Duration::from_secs(60), max_entries, max_bytes, ..Config::default() };
            let (mut store, mut model) = (Store::default(), Model::default());
            let (mut now, mut nanos) = (Timestamp::ZERO, 0);
            for (number, step) in steps.into_iter().enumerate() {
                let value = u32::try_from(number).unwrap();
                match step {
                    Step::Pass(millis) => now = now.after(Duration::from_millis(millis)),
                    Step::Get(key) => {
                        let found = store.fresh(&key, &config, now).map(|it| *it.value);
                        prop_assert_eq!(found, model.fresh(key, now));
                    }
                    Step::Put { key, fresh, bytes } => {
                        nanos += 1;
                        let end = now.after(Duration::from_millis(fresh)).after(Duration::from_nanos(nanos));
                        let found = Found { value: Arc::new(value), since: now, fresh_until: end };
                        drop(store.put(&key, found, bytes, Duration::MAX, &config));
                        while store.over(&config, now).is_some() {}
                        model.put(key, value, end, bytes, &config, now);
                    }
                }
                let bytes: u64 = model.0.iter().map(|it| it.3).sum();
                prop_assert_eq!(store.held(), (model.0.len(), bytes));
                prop_assert_eq!(store.by_end.len(), model.0.len());
                prop_assert!(store.held().0 <= max_entries as usize && store.held().1 <= u64::from(max_bytes));
                prop_assert!(store.slots.len() <= max_entries as usize + 1, "slots are used again");
            }
        }
    }

    #[test]
    fn expired_answer_goes_before_the_one_used_longest_ago() {
        let config = Config { max_entries: 2, ..Config::default() };
        let mut store = Store::default();
        let put = |store: &mut Store<&'static str, ()>, key: &'static str, end| {
            let (since, fresh_until) = (Timestamp::ZERO, Timestamp::from_millis(end));
            let found = Found { value: Arc::new(()), since, fresh_until };
            drop(store.put(&key, found, 0, Duration::ZERO, &config));
            store.over(&config, Timestamp::from_millis(20)).map(|(entry, evicted)| (entry.key, evicted))
        };
        assert_eq!(put(&mut store, "old", 100), None);
        assert_eq!(put(&mut store, "expired", 10), None);
        assert_eq!(put(&mut store, "new", 100), Some(("expired", false)));
        assert_eq!(put(&mut store, "newer", 100), Some(("old", true)));
    }

    #[test]
    fn shorter_time_holds_for_what_is_kept_already() {
        let long = Config::default();
        let mut store = Store::default();
        let found = Found { value: Arc::new(1), since: Timestamp::ZERO, fresh_until: Timestamp::from_millis(60_000) };
        drop(store.put(&"key", found, 0, Duration::MAX, &long));
        let short = Config { ttl: Duration::from_secs(1), stale_if_error: Duration::from_secs(1), ..long };
        let at = Timestamp::from_millis(1000);
        assert!(store.fresh(&"key", &long, at).is_some() && store.fresh(&"key", &short, at).is_none());
        assert!(store.stale(&"key", &short, at).is_some());
        assert!(store.stale(&"key", &short, Timestamp::from_millis(2000)).is_none());
    }
}
