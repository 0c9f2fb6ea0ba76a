//! What a fleet counted: atomics, read at any time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::mode::Reason;

/// What a fleet counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that Redis answered.
    pub answered: u64,
    /// How long the last answer took.
    pub last_took: Duration,
    /// How long the slowest answer took, `timeout` at most.
    pub longest_took: Duration,
    /// Tokens that Redis gave, for calls to come and to calls that asked.
    pub granted: u64,
    /// Tokens that were taken first and paid for afterwards.
    pub paid: u64,
    /// Tokens that nobody needed and that were given back.
    pub returned: u64,
    /// Calls that asked Redis and were decided here, because it did not answer.
    pub decided_locally: u64,
    /// How often this process came to live on its share.
    pub went_local: u64,
    /// Requests and connections that failed, by reason, in the order of [`Reason::ALL`].
    pub faults: Vec<(Reason, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    answered: AtomicU64,
    last_nanos: AtomicU64,
    longest_nanos: AtomicU64,
    granted: AtomicU64,
    paid: AtomicU64,
    returned: AtomicU64,
    decided_locally: AtomicU64,
    went_local: AtomicU64,
    faults: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    pub(crate) fn answered(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.answered, 1);
        self.last_nanos.store(nanos, Ordering::Relaxed);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(crate) fn exchanged(&self, granted: u64, paid: u64, returned: u64) {
        add(&self.granted, granted);
        add(&self.paid, paid);
        add(&self.returned, returned);
    }

    pub(crate) fn decided_locally(&self) {
        add(&self.decided_locally, 1);
    }

    pub(crate) fn went_local(&self) {
        add(&self.went_local, 1);
    }

    pub(crate) fn failed(&self, reason: Reason) {
        add(&self.faults[reason as usize], 1);
    }

    pub(crate) fn read(&self) -> Counts {
        let get = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Counts {
            answered: get(&self.answered),
            last_took: Duration::from_nanos(get(&self.last_nanos)),
            longest_took: Duration::from_nanos(get(&self.longest_nanos)),
            granted: get(&self.granted),
            paid: get(&self.paid),
            returned: get(&self.returned),
            decided_locally: get(&self.decided_locally),
            went_local: get(&self.went_local),
            faults: Reason::ALL.iter().map(|it| (*it, get(&self.faults[*it as usize]))).collect(),
        }
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_in_their_order() {
        let counters = Counters::default();
        counters.failed(Reason::Full);
        counters.failed(Reason::Nonsense);
        counters.failed(Reason::Nonsense);
        let counted: Vec<u64> = counters.read().faults.into_iter().map(|(_, count)| count).collect();
        assert_eq!(counted, [0, 0, 0, 1, 0, 0, 0, 2]);
    }
}
