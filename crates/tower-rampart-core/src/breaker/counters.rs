//! The totals of a breaker, striped over threads so that counting a success disturbs no other thread.

use crossbeam_utils::CachePadded;

use crate::{
    Outcome,
    sync::{AtomicU64, Ordering},
};

/// Sums that only grow. Each thread adds to a stripe of its own, where there are enough.
#[derive(Debug)]
pub(super) struct Counters {
    stripes: Box<[CachePadded<Stripe>]>,
}

#[derive(Debug)]
struct Stripe {
    successful: AtomicU64,
    failed: AtomicU64,
    ignored: AtomicU64,
    abandoned: AtomicU64,
    rejected: AtomicU64,
    slow: AtomicU64,
}

/// What a thread had counted when it admitted a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) stripe: u8,
    pub(super) successful: u16,
}

/// The sums over all stripes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) successful: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
    pub(super) abandoned: u64,
    pub(super) rejected: u64,
    pub(super) slow: u64,
}

impl Counters {
    pub(super) fn new() -> Self {
        let stripe = || Stripe {
            successful: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        };
        Self { stripes: (0..stripe::count()).map(|_| CachePadded::new(stripe())).collect() }
    }

    pub(super) fn end(&self, outcome: Outcome) {
        let stripe = self.stripe();
        let total = match outcome {
            Outcome::Success => &stripe.successful,
            Outcome::Failure => &stripe.failed,
            Outcome::Ignored => &stripe.ignored,
            Outcome::Abandoned => &stripe.abandoned,
        };
        total.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers how many successes this thread has counted.
    pub(super) fn witness(&self) -> Witness {
        let stripe = self.mine();
        let successful = self.stripes[stripe].successful.load(Ordering::Relaxed);
        // No more stripes than sixteen; of the count the last bits tell whether it moved.
        Witness { stripe: stripe as u8, successful: successful as u16 }
    }

    /// Whether the thread that remembered has counted a success since.
    pub(super) fn moved_since(&self, witness: Witness) -> bool {
        let stripe = &self.stripes[usize::from(witness.stripe) & (self.stripes.len() - 1)];
        stripe.successful.load(Ordering::Relaxed) as u16 != witness.successful
    }

    pub(super) fn reject(&self) {
        self.stripe().rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn slow(&self) {
        self.stripe().slow.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn successful(&self) -> u64 {
        self.stripes.iter().map(|it| it.successful.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn totals(&self) -> Totals {
        self.stripes.iter().fold(Totals::default(), |sum, it| Totals {
            successful: sum.successful + it.successful.load(Ordering::Relaxed),
            failed: sum.failed + it.failed.load(Ordering::Relaxed),
            ignored: sum.ignored + it.ignored.load(Ordering::Relaxed),
            abandoned: sum.abandoned + it.abandoned.load(Ordering::Relaxed),
            rejected: sum.rejected + it.rejected.load(Ordering::Relaxed),
            slow: sum.slow + it.slow.load(Ordering::Relaxed),
        })
    }

    fn stripe(&self) -> &Stripe {
        &self.stripes[self.mine()]
    }

    fn mine(&self) -> usize {
        // The number of stripes is a power of two.
        stripe::of_this_thread() & (self.stripes.len() - 1)
    }
}

#[cfg(not(loom))]
mod stripe {
    use std::{
        cell::Cell,
        sync::{
            OnceLock,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    /// As many as threads can run at once, up to 16.
    pub(super) fn count() -> usize {
        static COUNT: OnceLock<usize> = OnceLock::new();
        *COUNT.get_or_init(|| thread::available_parallelism().map_or(4, |it| it.get().next_power_of_two().min(16)))
    }

    /// A number that threads are given in turn.
    pub(super) fn of_this_thread() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
        MINE.with(|mine| {
            if mine.get() == usize::MAX {
                mine.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            mine.get()
        })
    }
}

/// Loom runs all threads of a model on one, and explores every stripe more: one is enough.
#[cfg(loom)]
mod stripe {
    pub(super) fn count() -> usize {
        1
    }

    pub(super) fn of_this_thread() -> usize {
        0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_thread_is_counted() {
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counters.end(Outcome::Success);
                        counters.reject();
                    }
                });
            }
        });
        let totals = counters.totals();
        assert_eq!((totals.successful, totals.rejected, totals.failed), (4000, 4000, 0));
    }
}
