//! An open-addressed table of states by fingerprint, with a hand that goes round and takes out what is idle. Who locks it is up to its owner.
//!
//! Linear probing with backward-shift deletion (Knuth, "The Art of Computer Programming" 3, 6.4, algorithm R): nothing is ever marked as deleted, so that
//! keys that come and go leave neither memory nor longer walks behind, which tables with tombstones do until they are built anew. It grows by half, so that a
//! key takes 1.25 to 1.9 slots.

use super::Fingerprint;

/// Slots of a table that holds anything.
const LEAST: usize = 8;

/// States by fingerprint.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Option<Slot<T>>>,
    len: usize,
    /// The slot that [`Table::sweep`] looks at next.
    hand: usize,
}

#[derive(Debug)]
struct Slot<T> {
    fingerprint: Fingerprint,
    state: T,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), len: 0, hand: 0 }
    }

    #[cfg(test)]
    #[cfg(not(loom))]
    const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap, what the states themselves point to not counted.
    #[cfg(test)]
    #[cfg(not(loom))]
    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Slot<T>>>()
    }

    pub(crate) fn get_mut(&mut self, fingerprint: Fingerprint) -> Option<&mut T> {
        let at = self.find(fingerprint)?;
        self.slots[at].as_mut().map(|slot| &mut slot.state)
    }

    /// Puts in the state of a fingerprint that is not there yet.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, state: T) {
        // At four fifths, linear probing looks at three slots on average for a hit.
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.put(Slot { fingerprint, state });
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, fingerprint: Fingerprint) -> Option<T> {
        let at = self.find(fingerprint)?;
        self.remove_at(at)
    }

    /// Looks at the next `slots` slots, and takes out the states that are idle; how many these were.
    ///
    /// What a removal shifts over the end of the table may be seen a round later.
    pub(crate) fn sweep(&mut self, slots: usize, mut is_idle: impl FnMut(&T) -> bool) -> usize {
        let before = self.len;
        for _ in 0..slots.min(self.slots.len()) {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            match &self.slots[self.hand] {
                // Another may have moved here: the hand stays.
                Some(slot) if is_idle(&slot.state) => drop(self.remove_at(self.hand)),
                _ => self.hand += 1,
            }
        }
        before - self.len
    }

    /// Shows the states of the next `slots` slots from `from` on, and says where to go on; `None` at the end.
    ///
    /// If the table changes in between, a state that moves may be seen twice or not at all.
    pub(crate) fn look(&self, from: usize, slots: usize, mut visit: impl FnMut(Fingerprint, &T)) -> Option<usize> {
        let to = from.saturating_add(slots).min(self.slots.len());
        for slot in self.slots.get(from..to).unwrap_or_default().iter().flatten() {
            visit(slot.fingerprint, &slot.state);
        }
        (to < self.slots.len()).then_some(to)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Fingerprint, &mut T)> {
        self.slots.iter_mut().flatten().map(|slot| (slot.fingerprint, &mut slot.state))
    }

    /// Keeps only what `keep` says; how many went.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) -> usize {
        let before = self.len;
        let capacity = self.slots.len();
        let all = std::mem::take(&mut self.slots);
        self.slots.resize_with(capacity, || None);
        self.len = 0;
        for slot in all.into_iter().flatten() {
            if keep(&slot.state) {
                self.put(slot);
                self.len += 1;
            }
        }
        before - self.len
    }

    fn home(&self, fingerprint: Fingerprint) -> usize {
        fingerprint.place(self.slots.len())
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    fn find(&self, fingerprint: Fingerprint) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut at = self.home(fingerprint);
        // It ends: a fifth of the slots is empty.
        while let Some(slot) = &self.slots[at] {
            if slot.fingerprint == fingerprint {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    fn put(&mut self, slot: Slot<T>) {
        let mut at = self.home(slot.fingerprint);
        while self.slots[at].is_some() {
            at = self.after(at);
        }
        self.slots[at] = Some(slot);
    }

    fn remove_at(&mut self, at: usize) -> Option<T> {
        let removed = self.slots[at].take()?;
        self.len -= 1;
        let mut free = at;
        let mut next = self.after(free);
        while let Some(slot) = &self.slots[next] {
            // It may move there unless its home lies behind it.
            let home = self.home(slot.fingerprint);
            let distance = |from: usize| (next + self.slots.len() - from) % self.slots.len();
            if distance(home) >= distance(free) {
                self.slots.swap(free, next);
                free = next;
            }
            next = self.after(next);
        }
        Some(removed.state)
    }

    fn grow(&mut self) {
        let capacity = (self.slots.len() + self.slots.len() / 2).max(LEAST);
        let mut slots = Vec::new();
        slots.reserve_exact(capacity);
        slots.resize_with(capacity, || None);
        let all = std::mem::replace(&mut self.slots, slots);
        self.hand = 0;
        for slot in all.into_iter().flatten() {
            self.put(slot);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::keyed::fingerprint::Fingerprints;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, u8),
        Remove(u8),
        Sweep(usize, u8),
        Retain(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<u8>(), any::<u8>()).prop_map(|(key, state)| Step::Put(key, state)),
            2 => any::<u8>().prop_map(Step::Remove),
            2 => (0..40_usize, any::<u8>()).prop_map(|(slots, below)| Step::Sweep(slots, below)),
            1 => any::<u8>().prop_map(Step::Retain),
        ]
    }

    proptest! {
        #[test]
        fn table_is_a_map(steps in prop::collection::vec(step(), 0..400)) {
            let fingerprints = Fingerprints::default();
            let of = |key: u8| fingerprints.of(Some(&key.to_string()));
            let (mut table, mut model) = (Table::new(), HashMap::new());
            for step in steps {
                match step {
                    Step::Put(key, state) => {
                        match table.get_mut(of(key)) {
                            Some(there) => *there = state,
                            None => table.insert(of(key), state),
                        }
                        model.insert(of(key), state);
                    }
                    Step::Remove(key) => prop_assert_eq!(table.remove(of(key)), model.remove(&of(key))),
                    Step::Sweep(slots, below) => {
                        let mut gone = Vec::new();
                        let swept = table.sweep(slots, |state| {
                            let is_idle = *state < below;
                            if is_idle { gone.push(*state) }
                            is_idle
                        });
                        prop_assert!(swept == gone.len() && swept <= slots);
                        model.retain(|it, _| table.get_mut(*it).is_some());
                    }
                    Step::Retain(below) => {
                        table.retain(|state| *state >= below);
                        model.retain(|_, state| *state >= below);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                let there: HashMap<_, _> = table.iter_mut().map(|(key, state)| (key, *state)).collect();
                prop_assert_eq!(&there, &model);
                for (key, state) in &model {
                    prop_assert_eq!(table.get_mut(*key).copied(), Some(*state));
                }
            }
        }
    }

    #[test]
    fn hand_finds_everything_that_is_idle_within_two_rounds() {
        let fingerprints = Fingerprints::default();
        let mut table = Table::new();
        for key in 0..1000_u32 {
            table.insert(fingerprints.of(Some(&key.to_string())), key);
        }
        let slots = table.slots.len();
        let mut swept = 0;
        for _ in 0..2 * slots / 4 + 1000 {
            swept += table.sweep(4, |key| key.is_multiple_of(2));
        }
        assert_eq!((swept, table.len()), (500, 500));
    }

    #[test]
    fn keys_that_come_and_go_leave_no_memory_behind() {
        let fingerprints = Fingerprints::default();
        let of = |key: u32| fingerprints.of(Some(&key.to_string()));
        let mut table = Table::new();
        for key in 0..1000 {
            table.insert(of(key), 0_u64);
        }
        let bytes = table.bytes();
        for key in 1000..50_000 {
            assert_eq!(table.remove(of(key - 1000)), Some(0));
            table.insert(of(key), 0);
        }
        assert_eq!((table.bytes(), table.len()), (bytes, 1000));
        assert!(bytes <= 1000 * 24 * 19 / 10, "{bytes}");
    }
}
