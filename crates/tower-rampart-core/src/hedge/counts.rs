//! What came of hedges, as metrics count it. How the call ends that they belong to is an [`Outcome`](crate::Outcome).

use crate::sync::{AtomicU64, Ordering};

/// How a copy of an attempt beside the first ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// Its answer was the attempt's.
    Won,
    /// It failed.
    Failed,
    /// It was dropped without an answer: another copy had won, the attempt's time was over, or the caller gave up.
    Abandoned,
}

impl End {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Won, Self::Failed, Self::Abandoned];

    /// The word used in metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What came of the hedges so far: `won + failed + abandoned <= begun`, and the difference is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Copies beside the first that were sent.
    pub begun: u64,
    /// Those whose answer was the attempt's.
    pub won: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were dropped without an answer.
    pub abandoned: u64,
    /// Copies that were due and that the retry budget did not pay.
    pub unpaid: u64,
}

impl Counts {
    /// How many ended so.
    pub const fn ended(&self, end: End) -> u64 {
        match end {
            End::Won => self.won,
            End::Failed => self.failed,
            End::Abandoned => self.abandoned,
        }
    }

    /// What was counted since `baseline`; what was under way then counts as begun after it.
    pub(crate) fn since(&self, baseline: &Self) -> Self {
        Self {
            begun: self.begun.saturating_sub(baseline.won + baseline.failed + baseline.abandoned),
            won: self.won.saturating_sub(baseline.won),
            failed: self.failed.saturating_sub(baseline.failed),
            abandoned: self.abandoned.saturating_sub(baseline.abandoned),
            unpaid: self.unpaid.saturating_sub(baseline.unpaid),
        }
    }
}

/// The counters; they never go down.
#[derive(Debug, Default)]
pub(super) struct Counters {
    begun: AtomicU64,
    ended: [AtomicU64; End::ALL.len()],
    unpaid: AtomicU64,
}

impl Counters {
    pub(super) fn begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Release, read with Acquire: who sees the end of a hedge also sees its beginning.
    pub(super) fn ended(&self, end: End) {
        self.ended[end as usize].fetch_add(1, Ordering::Release);
    }

    pub(super) fn unpaid(&self) {
        self.unpaid.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        let [won, failed, abandoned] = End::ALL.map(|end| self.ended[end as usize].load(Ordering::Acquire));
        let unpaid = self.unpaid.load(Ordering::Relaxed);
        Counts { begun: self.begun.load(Ordering::Relaxed), won, failed, abandoned, unpaid }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_counted_on_its_own() {
        let counters = Counters::default();
        for (end, times) in End::ALL.into_iter().zip(1..) {
            (0..times).for_each(|_| counters.ended(end));
        }
        let counts = counters.read();
        assert_eq!((counts.won, counts.failed, counts.abandoned), (1, 2, 3));
        assert_eq!(End::ALL.map(|end| counts.ended(end)), [1, 2, 3]);
    }
}
