//! The totals of a breaker, striped over threads so that counting a success disturbs no other thread.

use crate::{
    Outcome,
    stripes::{self, Stripes},
    sync::{AtomicU64, Ordering},
};

/// Sums that only grow. Each thread adds to a stripe of its own, where there are enough.
#[derive(Debug)]
pub(super) struct Counters {
    stripes: Stripes<Stripe>,
}

#[derive(Debug, Default)]
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
        Self { stripes: Stripes::new(stripes::MOST, Stripe::default) }
    }

    pub(super) fn end(&self, outcome: Outcome) {
        let stripe = self.stripes.mine();
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
        let (index, stripe) = self.stripes.mine_and_where();
        // No more stripes than sixteen; of the count the last bits tell whether it moved.
        Witness { stripe: index as u8, successful: stripe.successful.load(Ordering::Relaxed) as u16 }
    }

    /// Whether the thread that remembered has counted a success since.
    pub(super) fn moved_since(&self, witness: Witness) -> bool {
        let stripe = self.stripes.at(usize::from(witness.stripe));
        stripe.successful.load(Ordering::Relaxed) as u16 != witness.successful
    }

    pub(super) fn reject(&self) {
        self.stripes.mine().rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn slow(&self) {
        self.stripes.mine().slow.fetch_add(1, Ordering::Relaxed);
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

#[cfg(test)]
#[cfg(not(loom))]
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
