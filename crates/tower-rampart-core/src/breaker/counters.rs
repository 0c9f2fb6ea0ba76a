//! The totals of a breaker, striped over threads so that counting a success disturbs no other thread.

use crate::{
    Outcome, stripes,
    sync::{AtomicU64, Ordering},
};

/// The fewest stripes, so that few threads on few processors have lines that are not neighbours. Under loom one, so that threads meet.
const LEAST: usize = if cfg!(loom) { 1 } else { 4 };

/// Sums that only grow. Each thread adds to a stripe of its own, where there are enough.
///
/// A stripe is one cache line, half of what the registry has for each, because there may be a breaker for each host or tenant. Processors
/// that fetch lines in pairs are met by giving threads that came one after the other lines that are not neighbours.
#[derive(Debug)]
pub(super) struct Counters {
    stripes: Box<[Stripe]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    successful: AtomicU64,
    failed: AtomicU64,
    ignored: AtomicU64,
    abandoned: AtomicU64,
    rejected: AtomicU64,
    slow: AtomicU64,
    /// Successes that the time window has still to take: the generation of the machine (32 bits), their number (32).
    steady: AtomicU64,
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
        Self::striped(stripes::count().max(LEAST))
    }

    /// With a power of two of stripes.
    fn striped(stripes: usize) -> Self {
        Self { stripes: (0..stripes).map(|_| Stripe::default()).collect() }
    }

    #[inline]
    pub(super) fn end(&self, outcome: Outcome) {
        let stripe = self.mine();
        let total = match outcome {
            Outcome::Success => &stripe.successful,
            Outcome::Failure => &stripe.failed,
            Outcome::Ignored => &stripe.ignored,
            Outcome::Abandoned => &stripe.abandoned,
        };
        total.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a success that the time window takes later, unless the machine has gone on to another generation: whether it did.
    #[inline]
    pub(super) fn steady_success(&self, generation: u32) -> bool {
        let stripe = self.mine();
        let mut before = stripe.steady.load(Ordering::Relaxed);
        loop {
            // A thread of its own for each stripe: the second turn is rare.
            if before >> 32 != u64::from(generation) || before as u32 == u32::MAX {
                return false;
            }
            // Released to whoever takes it for the window.
            match stripe.steady.compare_exchange_weak(before, before + 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(present) => before = present,
            }
        }
        stripe.successful.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Takes the successes of this generation that the window has not got yet; those of any other are forgotten.
    pub(super) fn take_steady(&self, generation: u32) -> u64 {
        let none = u64::from(generation) << 32;
        let take = |stripe: &Stripe| {
            // Most have none: a line of another thread is written only if there is something to take.
            if stripe.steady.load(Ordering::Relaxed) == none {
                return 0;
            }
            let taken = stripe.steady.swap(none, Ordering::Acquire);
            if taken >> 32 == u64::from(generation) { taken & u64::from(u32::MAX) } else { 0 }
        };
        self.stripes.iter().map(take).sum()
    }

    /// Remembers how many successes this thread has counted.
    #[inline]
    pub(super) fn witness(&self) -> Witness {
        let index = place(stripes::thread(), self.stripes.len());
        // No more stripes than sixteen; of the count the last bits tell whether it moved.
        Witness { stripe: index as u8, successful: self.at(index).successful.load(Ordering::Relaxed) as u16 }
    }

    /// Whether the thread that remembered has counted a success since.
    pub(super) fn moved_since(&self, witness: Witness) -> bool {
        let stripe = self.at(usize::from(witness.stripe));
        stripe.successful.load(Ordering::Relaxed) as u16 != witness.successful
    }

    pub(super) fn reject(&self) {
        self.mine().rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn slow(&self) {
        self.mine().slow.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn mine(&self) -> &Stripe {
        self.at(place(stripes::thread(), self.stripes.len()))
    }

    #[inline]
    fn at(&self, index: usize) -> &Stripe {
        // The number of stripes is a power of two, so that the mask keeps the index inside.
        &self.stripes[index & (self.stripes.len() - 1)]
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
}

/// The index of a thread's stripe: its number rotated by a bit, so that the next thread's lies two lines on.
fn place(thread: usize, stripes: usize) -> usize {
    let thread = thread & (stripes - 1);
    (thread << 1 | usize::from(thread >= stripes / 2)) & (stripes - 1)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn closed_breaker_with_its_counters_keeps_its_size() {
        let breaker = size_of::<crate::breaker::Breaker>();
        for (stripes, most) in [(LEAST, 512), (stripes::MOST, 1280)] {
            let bytes = breaker + size_of_val(&*Counters::striped(stripes).stripes);
            assert!(bytes <= most, "{bytes} bytes with {stripes} stripes");
        }
        assert!((LEAST..=stripes::MOST).contains(&Counters::new().stripes.len()));
        assert_eq!(
            size_of::<crate::breaker::Config>() + 16,
            224,
            "with the counts of its Arc, as the breaker's page says"
        );
    }

    #[test]
    fn every_stripe_is_some_threads_and_the_next_threads_is_no_neighbour() {
        for stripes in [4_usize, 8, 16] {
            let mut places: Vec<usize> = (0..stripes).map(|it| place(it, stripes)).collect();
            assert!(places.windows(2).take(stripes / 2 - 1).all(|it| it[0].abs_diff(it[1]) == 2), "{places:?}");
            places.sort_unstable();
            assert!(places.into_iter().eq(0..stripes));
        }
    }

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
