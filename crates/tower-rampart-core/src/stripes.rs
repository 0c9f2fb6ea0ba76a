//! Values of which each thread has its own, where there are enough, so that counting disturbs no other thread. What is counted is the business
//! of the breaker and of the registry.
//!
//! The idea is that of `LongAdder` (Doug Lea, JSR 166), with a fixed number of cells instead of cells that grow under contention.

use std::{cell::Cell, slice};

use crossbeam_utils::CachePadded;

/// The most stripes that there ever are.
pub(crate) const MOST: usize = 16;

/// A value for each processor, a power of two of them.
#[derive(Debug)]
pub(crate) struct Stripes<T>(Box<[CachePadded<T>]>);

impl<T> Stripes<T> {
    /// One stripe for each processor, at most `max`, which is a power of two.
    pub(crate) fn new(max: usize, stripe: impl Fn() -> T) -> Self {
        Self((0..count().min(max)).map(|_| CachePadded::new(stripe())).collect())
    }

    /// The stripe of this thread.
    #[inline]
    pub(crate) fn mine(&self) -> &T {
        // The number of stripes is a power of two, so that the mask keeps the index inside.
        &self.0[thread() & (self.0.len() - 1)]
    }

    pub(crate) fn iter(&self) -> slice::Iter<'_, CachePadded<T>> {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a Stripes<T> {
    type Item = &'a CachePadded<T>;
    type IntoIter = slice::Iter<'a, CachePadded<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One for each processor, rounded up to a power of two, at most [`MOST`].
#[cfg(not(loom))]
pub(crate) fn count() -> usize {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *COUNT.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        processors.next_power_of_two().min(MOST)
    })
}

/// Under loom one stripe, so that the threads of a model meet.
#[cfg(loom)]
pub(crate) const fn count() -> usize {
    1
}

/// The number of this thread: threads are numbered as they come, so that a few threads never share a stripe.
#[inline]
pub(crate) fn thread() -> usize {
    // Not loom's atomics: they exist only inside a model, and the number decides nothing but where a count is kept.
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| match number.get() {
        usize::MAX => {
            number.set(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) & (usize::MAX >> 1));
            number.get()
        }
        known => known,
    })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_stripes_is_a_power_of_two() {
        assert!(count().is_power_of_two() && count() <= MOST && MOST.is_power_of_two());
    }
}
