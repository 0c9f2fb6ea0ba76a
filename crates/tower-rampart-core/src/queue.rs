//! The fair queue before a limiter: waiters in the order of their coming, each with its waker. It lives under its limiter's short mutex.

use std::{collections::VecDeque, task::Waker};

/// Dead entries that are kept before they are swept out.
const SLACK: usize = 32;

/// A first-in first-out queue from whose middle a waiter can leave.
///
/// Its place is a number that only grows, so that entries are sorted by it: a waiter is found in O(log n). Who leaves from the middle
/// stays as a dead entry until it reaches the front or the dead outnumber the living, so that leaving is O(log n) on average and memory
/// is bounded by twice the living. The front is never dead.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    entries: VecDeque<Entry<T>>,
    next_place: u64,
    live: usize,
}

#[derive(Debug)]
struct Entry<T> {
    place: u64,
    waiter: Option<Waiter<T>>,
}

/// Who waits, and how to wake it once it has polled.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    pub(crate) data: T,
    pub(crate) waker: Option<Waker>,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: VecDeque::new(), next_place: 0, live: 0 }
    }

    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Adds a waiter at the back and returns its place.
    pub(crate) fn push(&mut self, data: T) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        self.live += 1;
        self.entries.push_back(Entry { place, waiter: Some(Waiter { data, waker: None }) });
        place
    }

    /// The place of the waiter whose turn is next.
    pub(crate) fn head(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.place)
    }

    /// The waiter at `place`, if it still waits.
    pub(crate) fn get_mut(&mut self, place: u64) -> Option<&mut Waiter<T>> {
        let index = self.index(place)?;
        self.entries[index].waiter.as_mut()
    }

    /// Takes the waiter at `place` out, if it still waits.
    pub(crate) fn remove(&mut self, place: u64) -> Option<Waiter<T>> {
        let index = self.index(place)?;
        let waiter = self.entries[index].waiter.take()?;
        self.live -= 1;
        while self.entries.front().is_some_and(|entry| entry.waiter.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + SLACK {
            self.entries.retain(|entry| entry.waiter.is_some());
        }
        if self.live == 0 {
            self.entries.shrink_to(SLACK);
        }
        Some(waiter)
    }

    /// Takes the head out, with its place.
    pub(crate) fn pop(&mut self) -> Option<(u64, Waiter<T>)> {
        let place = self.head()?;
        self.remove(place).map(|waiter| (place, waiter))
    }

    /// The waker of the head; the head's next poll leaves a new one.
    pub(crate) fn head_waker(&mut self) -> Option<Waker> {
        self.entries.front_mut()?.waiter.as_mut()?.waker.take()
    }

    /// The wakers of all; their next polls leave new ones.
    pub(crate) fn wakers(&mut self) -> Vec<Waker> {
        self.entries.iter_mut().filter_map(|entry| entry.waiter.as_mut()?.waker.take()).collect()
    }

    fn index(&self, place: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&place, |entry| entry.place).ok()
    }
}

impl<T> Waiter<T> {
    /// Keeps the waker of the latest poll, and gives back the one that it replaces.
    #[must_use = "a waker may own its task: it is dropped after the lock is released, or the task could come back to the lock"]
    pub(crate) fn wake_by(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.waker {
            Some(kept) if kept.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::{sync::Arc, task::Wake};

    use super::*;

    struct Idle;

    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn order_survives_leaving_from_the_middle() {
        let mut queue = Queue::new();
        let places: Vec<u64> = (0..5).map(|data| queue.push(data)).collect();
        assert_eq!(queue.remove(places[2]).map(|it| it.data), Some(2));
        assert!(queue.remove(places[2]).is_none());
        assert_eq!(queue.remove(places[0]).map(|it| it.data), Some(0));
        let rest: Vec<i32> = std::iter::from_fn(|| queue.pop().map(|(_, it)| it.data)).collect();
        assert_eq!(rest, [1, 3, 4]);
        assert!(queue.is_empty());
    }

    #[test]
    fn dead_entries_never_outnumber_the_living_by_much() {
        let mut queue = Queue::new();
        let head = queue.push(());
        for _ in 0..10_000 {
            let place = queue.push(());
            assert!(queue.remove(place).is_some());
            assert!(queue.entries.len() <= 2 * queue.len() + SLACK + 1);
        }
        assert_eq!(queue.head(), Some(head));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn waker_is_replaced_only_if_it_wakes_another_task() {
        let mut queue = Queue::new();
        let place = queue.push(());
        let waiter = queue.get_mut(place).unwrap();
        let task = Waker::from(Arc::new(Idle));
        assert!(waiter.wake_by(&task).is_none());
        assert!(waiter.wake_by(&task).is_none());
        assert!(waiter.wake_by(&Waker::from(Arc::new(Idle))).is_some_and(|replaced| replaced.will_wake(&task)));
        assert!(queue.head_waker().is_some());
        assert!(queue.head_waker().is_none());
    }
}
