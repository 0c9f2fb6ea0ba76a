//! What the counters of all operations did between one look and the next: how many calls, and how they ended. Looks are made by `monitor`; what follows
//! from them is in `conditions` and `trace`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tower_rampart::{ClassKind, Timestamp};
use tower_rampart_core::{
    registry::{OperationSnapshot, Snapshot},
    rejection::{Name, TimeoutKind},
};

use super::{
    monitor::Monitor,
    ring::{Dated, Ring},
};

/// What one operation did in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) operation: Name,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) counts: Counts,
    /// What an answered call took on average; zero if there was none.
    pub(super) latency: Duration,
}

/// Calls, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) success: u64,
    pub(super) failure: u64,
    pub(super) abandoned: u64,
    /// In the order of [`ClassKind::ALL`].
    pub(super) classes: [u64; ClassKind::ALL.len()],
    pub(super) rejected: u64,
    pub(super) retries: u64,
    pub(super) timeouts: u64,
    pub(super) latencies: u64,
    /// All latencies together, in nanoseconds.
    pub(super) latency_sum: u128,
}

impl Counts {
    fn of(snapshot: &OperationSnapshot) -> Self {
        let mut classes = [0; ClassKind::ALL.len()];
        for (class, count) in &snapshot.classes {
            if let Some(slot) = classes.get_mut(*class as usize) {
                *slot = *count;
            }
        }
        let attempts = snapshot.timeouts.iter().filter(|it| it.0 == TimeoutKind::Attempt).map(|it| it.1).sum();
        Self {
            success: snapshot.success,
            failure: snapshot.failure,
            abandoned: snapshot.abandoned,
            classes,
            rejected: snapshot.rejections(),
            retries: snapshot.retries,
            timeouts: attempts,
            latencies: snapshot.latency.count,
            latency_sum: snapshot.latency.mean.as_nanos().saturating_mul(u128::from(snapshot.latency.count)),
        }
    }

    /// What was counted since; counters that went back were reset, and count from zero.
    fn since(&self, then: &Self) -> Self {
        let then = if self.all() < then.all() { &Self::default() } else { then };
        Self {
            success: self.success.saturating_sub(then.success),
            failure: self.failure.saturating_sub(then.failure),
            abandoned: self.abandoned.saturating_sub(then.abandoned),
            classes: std::array::from_fn(|it| self.classes[it].saturating_sub(then.classes[it])),
            rejected: self.rejected.saturating_sub(then.rejected),
            retries: self.retries.saturating_sub(then.retries),
            timeouts: self.timeouts.saturating_sub(then.timeouts),
            latencies: self.latencies.saturating_sub(then.latencies),
            latency_sum: self.latency_sum.saturating_sub(then.latency_sum),
        }
    }

    fn latency(&self) -> Duration {
        let nanos = self.latency_sum.checked_div(u128::from(self.latencies)).unwrap_or_default();
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// All calls: those that ended, whichever way, and those that a stage refused before they began.
    pub(super) fn all(&self) -> u64 {
        let refused = self.abandoned.saturating_add(self.rejected);
        self.classes.iter().fold(refused, |sum, it| sum.saturating_add(*it))
    }

    pub(super) fn class(&self, class: ClassKind) -> u64 {
        self.classes.get(class as usize).copied().unwrap_or(0)
    }
}

impl Dated for Arc<Sample> {
    fn at(&self) -> Timestamp {
        self.to
    }
}

/// The shortest span that is kept: whoever looks more often than the host shortens none, and drives no history out of the ring.
const SPAN: Duration = Monitor::EVERY;

/// The last samples of all operations.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) samples: Ring<Arc<Sample>>,
    /// What happened since, in spans that are still too short to be kept. They end with the look that saw something new.
    begun: HashMap<Name, Arc<Sample>>,
    /// What each operation had counted when it was looked at last, and when that was.
    seen: HashMap<Name, (Counts, Timestamp)>,
    /// When all operations were looked at last.
    looked: Timestamp,
}

impl Traffic {
    pub(super) fn new(max: usize, began: Timestamp) -> Self {
        Self { samples: Ring::new(max), begun: HashMap::new(), seen: HashMap::new(), looked: began }
    }

    /// Takes what operations that exist already have counted for what was before.
    pub(super) fn begin(&mut self, snapshot: &Snapshot) {
        for operation in &snapshot.operations {
            self.seen.insert(Name::clone(&operation.operation), (Counts::of(operation), snapshot.at));
        }
    }

    /// Looks at all operations. Those that were retired are forgotten, so that there are as many baselines here as operations there.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        let at = snapshot.at;
        let mut begun = std::mem::take(&mut self.begun);
        if self.seen.len() > snapshot.operations.len() {
            let present: HashSet<&Name> = snapshot.operations.iter().map(|it| &it.operation).collect();
            self.seen.retain(|name, _| present.contains(name));
        }
        for operation in &snapshot.operations {
            let now = Counts::of(operation);
            let seen = self.seen.entry(Name::clone(&operation.operation)).or_insert((Counts::default(), self.looked));
            let (then, from) = *seen;
            let counts = now.since(&then);
            let is_kept = at.since(from) >= SPAN;
            if is_kept {
                *seen = (now, at);
            }
            if counts.all() > 0 && at >= from {
                let name = &operation.operation;
                let (operation, latency) = (Name::clone(name), counts.latency());
                let same = begun.remove(name).filter(|it| it.counts == counts && it.from == from);
                let sample = same.unwrap_or_else(|| Arc::new(Sample { operation, from, to: at, counts, latency }));
                if is_kept {
                    self.samples.push(sample);
                } else {
                    self.begun.insert(Name::clone(name), sample);
                }
            }
        }
        self.looked = self.looked.max(at);
    }

    /// The samples that are not older than `age`, those that were kept last first.
    pub(super) fn recent(&self, now: Timestamp, age: Duration) -> impl Iterator<Item = &Arc<Sample>> {
        // A span ends with the look that saw something new, and may be kept much later: they lie in the ring as they were kept.
        self.begun.values().chain(self.samples.iter().rev()).filter(move |it| now.since(it.to) <= age)
    }

    /// The counters of an operation were set to zero.
    pub(super) fn was_reset(&mut self, operation: &str, at: Timestamp) {
        let Some(seen) = self.seen.get_mut(operation) else { return };
        *seen = (Counts::default(), at);
        // What was seen of them in the span that ends here is all that anybody will know.
        if let Some(begun) = self.begun.remove(operation) {
            self.samples.push(begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::{Outcome, registry::Registry};

    use super::*;

    fn registry() -> Registry {
        Registry::with_clock(|| Timestamp::ZERO)
    }

    fn call(registry: &Registry, name: &str, outcome: Outcome, class: ClassKind, millis: u64) {
        let operation = registry.operation(name).expect("room");
        operation.started();
        operation.finished(outcome, class, Duration::from_millis(millis), Timestamp::ZERO);
    }

    fn look(traffic: &mut Traffic, registry: &Registry, millis: u64) {
        let mut snapshot = registry.snapshot();
        snapshot.at = Timestamp::from_millis(millis);
        traffic.look(&snapshot);
    }

    #[test]
    fn a_sample_is_what_was_counted_between_two_looks() {
        let registry = registry();
        call(&registry, "a", Outcome::Success, ClassKind::Success, 100);
        let mut traffic = Traffic::new(10, Timestamp::ZERO);
        traffic.begin(&registry.snapshot());
        look(&mut traffic, &registry, 5000);
        assert_eq!(traffic.samples.len(), 0, "what was before is none of it");
        call(&registry, "a", Outcome::Success, ClassKind::Success, 10);
        call(&registry, "a", Outcome::Failure, ClassKind::Transient, 30);
        call(&registry, "b", Outcome::Success, ClassKind::Success, 5);
        look(&mut traffic, &registry, 10_000);
        let samples: Vec<_> = traffic.samples.iter().cloned().collect();
        assert_eq!((samples.len(), &*samples[0].operation, &*samples[1].operation), (2, "a", "b"));
        assert_eq!((samples[0].counts.success, samples[0].counts.failure), (1, 1));
        assert_eq!((samples[0].from, samples[0].to), (Timestamp::from_millis(5000), Timestamp::from_millis(10_000)));
        // The mean of a snapshot is cut to nanoseconds.
        assert!(samples[0].latency.abs_diff(Duration::from_millis(20)) < Duration::from_micros(1));
        assert_eq!(
            samples[1].from,
            Timestamp::from_millis(5000),
            "an operation that is new was not there at the look before"
        );
        look(&mut traffic, &registry, 15_000);
        assert_eq!(traffic.samples.len(), 2, "nothing happened");
    }

    #[test]
    fn counters_that_were_reset_count_from_zero() {
        let registry = registry();
        let mut traffic = Traffic::new(10, Timestamp::ZERO);
        for _ in 0..3 {
            call(&registry, "a", Outcome::Success, ClassKind::Success, 1);
        }
        look(&mut traffic, &registry, 5000);
        registry.reset_counters(Some("a"));
        call(&registry, "a", Outcome::Success, ClassKind::Success, 1);
        look(&mut traffic, &registry, 10_000);
        assert_eq!(traffic.samples.iter().map(|it| it.counts.success).collect::<Vec<_>>(), [3, 1]);
        // Told in time, even counters that have overtaken the last look are right.
        registry.reset_counters(Some("a"));
        traffic.was_reset("a", Timestamp::from_millis(12_500));
        for _ in 0..5 {
            call(&registry, "a", Outcome::Success, ClassKind::Success, 1);
        }
        look(&mut traffic, &registry, 18_000);
        assert_eq!(traffic.samples.iter().next_back().expect("a sample").counts.success, 5);
    }

    #[test]
    fn looking_often_makes_no_more_samples_and_misses_nothing() {
        let registry = registry();
        let mut traffic = Traffic::new(10, Timestamp::ZERO);
        let recent = |traffic: &Traffic| {
            traffic.recent(Timestamp::MAX, Duration::MAX).map(|it| it.counts.success).collect::<Vec<_>>()
        };
        for millis in [1000, 2000, 3000, 4999] {
            call(&registry, "a", Outcome::Success, ClassKind::Success, 1);
            look(&mut traffic, &registry, millis);
        }
        assert_eq!((traffic.samples.len(), recent(&traffic)), (0, vec![4]));
        call(&registry, "a", Outcome::Success, ClassKind::Success, 1);
        look(&mut traffic, &registry, 5000);
        assert_eq!((traffic.samples.len(), recent(&traffic)), (1, vec![5]));
    }

    #[test]
    fn operations_that_were_retired_are_forgotten() {
        let registry = registry();
        let mut traffic = Traffic::new(1000, Timestamp::ZERO);
        for round in 1..=100 {
            let name = format!("tenant-{round}");
            call(&registry, &name, Outcome::Success, ClassKind::Success, 1);
            look(&mut traffic, &registry, round * 5000);
            assert!(registry.remove(&name).is_some());
        }
        look(&mut traffic, &registry, 1_000_000);
        assert!(traffic.seen.is_empty(), "{}", traffic.seen.len());
        assert_eq!(traffic.samples.len(), 100, "what they did is kept as long as anything");
    }

    #[test]
    fn samples_are_bounded() {
        let registry = registry();
        let mut traffic = Traffic::new(4, Timestamp::ZERO);
        for round in 1..=100 {
            call(&registry, "a", Outcome::Success, ClassKind::Success, 1);
            look(&mut traffic, &registry, round * 5000);
        }
        assert_eq!(traffic.samples.len(), 4);
    }
}
