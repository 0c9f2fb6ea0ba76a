//! The last so many of something, for so long at most. What is kept in rings is in `record` and `traffic`.

use std::{collections::VecDeque, time::Duration};

use tower_rampart::Timestamp;

/// Something that happened at a time.
pub(super) trait Dated {
    fn at(&self) -> Timestamp;
}

/// A bounded queue, oldest first. Memory grows with what is in it, up to the bound, and is given back when the bound is lowered.
#[derive(Debug)]
pub(super) struct Ring<T> {
    items: VecDeque<T>,
    max: usize,
    /// How many went because there were too many.
    pub(super) evicted: u64,
}

impl<T: Dated> Ring<T> {
    pub(super) const fn new(max: usize) -> Self {
        Self { items: VecDeque::new(), max, evicted: 0 }
    }

    /// Adds one; the oldest goes if there are too many.
    pub(super) fn push(&mut self, item: T) -> Option<T> {
        let oldest = if self.items.len() >= self.max { self.items.pop_front() } else { None };
        self.evicted += u64::from(oldest.is_some());
        self.items.push_back(item);
        oldest
    }

    /// Changes the bound; the oldest go.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        let surplus = self.items.len().saturating_sub(max);
        self.evicted += surplus as u64;
        self.items.drain(..surplus);
        self.items.shrink_to(max);
    }

    /// Removes what is older than `age`, and says how many that were.
    pub(super) fn expire(&mut self, now: Timestamp, age: Duration) -> usize {
        let before = self.items.len();
        while self.items.front().is_some_and(|it| now.since(it.at()) > age) {
            self.items.pop_front();
        }
        before - self.items.len()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter()
    }

    /// Those that are not older than `age`, newest first.
    pub(super) fn recent(&self, now: Timestamp, age: Duration) -> impl Iterator<Item = &T> {
        self.items.iter().rev().take_while(move |it| now.since(it.at()) <= age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Dated for u64 {
        fn at(&self) -> Timestamp {
            Timestamp::from_millis(*self)
        }
    }

    fn items(ring: &Ring<u64>) -> Vec<u64> {
        ring.iter().copied().collect()
    }

    #[test]
    fn ring_keeps_the_last_and_counts_those_that_went() {
        let mut ring = Ring::new(3);
        let gone: Vec<u64> = (0..5).filter_map(|it| ring.push(it)).collect();
        assert_eq!((gone, items(&ring), ring.evicted), (vec![0, 1], vec![2, 3, 4], 2));
        ring.resize(1);
        assert_eq!((items(&ring), ring.evicted), (vec![4], 4));
        ring.resize(2);
        ring.push(5);
        assert_eq!(items(&ring), [4, 5]);
    }

    #[test]
    fn ring_forgets_what_is_older_than_the_retention_and_not_what_is_as_old() {
        let mut ring = Ring::new(10);
        for it in 0..5 {
            ring.push(it);
        }
        let ms = Duration::from_millis;
        assert_eq!(ring.recent(Timestamp::from_millis(4), ms(1)).copied().collect::<Vec<_>>(), [4, 3]);
        assert_eq!((ring.expire(Timestamp::from_millis(4), ms(2)), items(&ring)), (2, vec![2, 3, 4]));
        assert_eq!(ring.expire(Timestamp::ZERO, ms(2)), 0, "a clock that went back removes nothing");
    }
}
