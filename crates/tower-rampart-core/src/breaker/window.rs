//! The calls over which rates are computed: the last N, or those of the last while. The rules that read them are in `state`.
//!
//! The time window is a ring of buckets with a running sum, as resilience4j and Polly keep it: constant work a call whatever the call rate, and at
//! most one pass over the buckets after an idle gap of any length. The count window evicts exactly, one outcome for one.

use super::config;
use crate::{Timestamp, clock::nanos};

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Calls that succeeded or failed.
    pub(super) judged: u64,
    /// Those of them that failed.
    pub(super) failed: u64,
    /// Those of them that were slow.
    pub(super) slow: u64,
    /// Calls that succeeded, failed or were abandoned.
    pub(super) ended: u64,
    /// Those of them that were abandoned.
    pub(super) abandoned: u64,
}

impl Tally {
    /// One call that succeeded or failed.
    pub(super) fn judged(failed: bool, slow: bool) -> Self {
        Self { judged: 1, failed: failed.into(), slow: slow.into(), ended: 1, abandoned: 0 }
    }

    /// One call that was abandoned.
    pub(super) const ABANDONED: Self = Self { judged: 0, failed: 0, slow: 0, ended: 1, abandoned: 1 };

    fn add(&mut self, other: Self) {
        self.judged += other.judged;
        self.failed += other.failed;
        self.slow += other.slow;
        self.ended += other.ended;
        self.abandoned += other.abandoned;
    }

    fn remove(&mut self, other: Self) {
        self.judged -= other.judged;
        self.failed -= other.failed;
        self.slow -= other.slow;
        self.ended -= other.ended;
        self.abandoned -= other.abandoned;
    }
}

/// A window of either kind.
#[derive(Clone, Debug)]
pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    pub(super) fn new(kind: config::Window) -> Self {
        match kind {
            config::Window::Count { size } => Self::Count(CountWindow::new(size)),
            config::Window::Time { size } => Self::Time(TimeWindow::new(nanos(size))),
        }
    }

    /// Adds one call.
    pub(super) fn add(&mut self, call: Tally, now: Timestamp) {
        match self {
            Self::Count(window) => window.add(call),
            Self::Time(window) => window.add(window.index(now), call),
        }
    }

    /// Adds successes that came after the last call that was added, and before [`Self::bucket_ends`].
    pub(super) fn add_successes(&mut self, count: u64) {
        match self {
            Self::Count(window) => (0..count).for_each(|_| window.add(Tally::judged(false, false))),
            Self::Time(window) => window.add(window.newest, Tally { judged: count, ended: count, ..Tally::default() }),
        }
    }

    /// When the bucket that is being filled began; `None` if there are no buckets.
    pub(super) fn last_bucket(&self) -> Option<Timestamp> {
        match self {
            Self::Count(_) => None,
            Self::Time(window) => Some(Timestamp::from_nanos(window.newest.saturating_mul(window.width))),
        }
    }

    /// Until when calls come into the bucket that is being filled; `None` if there are no buckets.
    pub(super) fn bucket_ends(&self) -> Option<Timestamp> {
        match self {
            Self::Count(_) => None,
            Self::Time(window) => Some(window.bucket_ends()),
        }
    }

    /// What it holds at `now`.
    pub(super) fn tally(&self, now: Timestamp) -> Tally {
        match self {
            Self::Count(window) => window.tally(),
            Self::Time(window) => window.tally(now),
        }
    }

    /// A window of another kind or size with as much of the contents as fits.
    ///
    /// - A count window keeps the newest outcomes.
    /// - A time window keeps each bucket by the time of its end.
    /// - From time to count the shares are kept, evenly mixed, as the order within a bucket is not known.
    /// - From count to time all are taken to have happened now, as their times are not known.
    pub(super) fn carried_into(self, kind: config::Window, now: Timestamp) -> Self {
        match (self, kind) {
            (Self::Count(old), config::Window::Count { size }) => Self::Count(old.resized(size)),
            (Self::Time(old), config::Window::Time { size }) => Self::Time(old.resized(nanos(size), now)),
            (old @ Self::Time(_), config::Window::Count { size }) => {
                Self::Count(CountWindow::mixed(size, old.tally(now)))
            }
            (old @ Self::Count(_), config::Window::Time { size }) => {
                let mut new = TimeWindow::new(nanos(size));
                new.add(new.index(now), old.tally(now));
                Self::Time(new)
            }
        }
    }
}

/// The last `size` calls. Abandoned calls are kept in a ring of their own, so that they evict no verdict.
#[derive(Clone, Debug)]
pub(super) struct CountWindow {
    failed: BitRing,
    slow: BitRing,
    abandoned: BitRing,
}

impl CountWindow {
    fn new(size: u32) -> Self {
        Self { failed: BitRing::new(size), slow: BitRing::new(size), abandoned: BitRing::new(size) }
    }

    fn mixed(size: u32, tally: Tally) -> Self {
        Self {
            failed: BitRing::mixed(size, tally.judged, tally.failed),
            slow: BitRing::mixed(size, tally.judged, tally.slow),
            abandoned: BitRing::mixed(size, tally.ended, tally.abandoned),
        }
    }

    fn add(&mut self, call: Tally) {
        if call.judged > 0 {
            self.failed.push(call.failed > 0);
            self.slow.push(call.slow > 0);
        }
        self.abandoned.push(call.abandoned > 0);
    }

    fn tally(&self) -> Tally {
        Tally {
            judged: self.failed.len.into(),
            failed: self.failed.ones.into(),
            slow: self.slow.ones.into(),
            ended: self.abandoned.len.into(),
            abandoned: self.abandoned.ones.into(),
        }
    }

    fn resized(self, size: u32) -> Self {
        Self {
            failed: self.failed.resized(size),
            slow: self.slow.resized(size),
            abandoned: self.abandoned.resized(size),
        }
    }
}

/// The last `size` answers to a yes/no question, and how many were yes.
#[derive(Clone, Debug)]
struct BitRing {
    bits: Box<[u64]>,
    size: u32,
    len: u32,
    next: u32,
    ones: u32,
}

impl BitRing {
    fn new(size: u32) -> Self {
        Self { bits: vec![0; size.div_ceil(64) as usize].into(), size, len: 0, next: 0, ones: 0 }
    }

    /// A ring of up to `of` answers, `ones` of which are yes, evenly mixed.
    fn mixed(size: u32, of: u64, ones: u64) -> Self {
        let mut ring = Self::new(size);
        let len = of.min(size.into());
        let mut before = 0;
        for n in 1..=u128::from(len) {
            // Bresenham's line: the yeses due after n answers, rounded to the nearest.
            let due = (2 * n * u128::from(ones) + u128::from(of)) / (2 * u128::from(of));
            ring.push(due > before);
            before = due;
        }
        ring
    }

    fn push(&mut self, bit: bool) {
        let (word, mask) = (self.next as usize / 64, 1_u64 << (self.next % 64));
        if self.len == self.size {
            self.ones -= u32::from(self.bits[word] & mask != 0);
        } else {
            self.len += 1;
        }
        if bit {
            self.bits[word] |= mask;
            self.ones += 1;
        } else {
            self.bits[word] &= !mask;
        }
        self.next = if self.next + 1 == self.size { 0 } else { self.next + 1 };
    }

    fn resized(self, size: u32) -> Self {
        if size == self.size {
            return self;
        }
        let mut ring = Self::new(size);
        let keep = self.len.min(size);
        for age in (1..=keep).rev() {
            let at = if self.next >= age { self.next - age } else { self.next + self.size - age };
            ring.push(self.bits[at as usize / 64] & 1 << (at % 64) != 0);
        }
        ring
    }
}

/// The calls of the last while, in [`config::Window::BUCKETS`] buckets.
#[derive(Clone, Debug)]
pub(super) struct TimeWindow {
    /// Nanoseconds of a bucket.
    width: u64,
    /// The number since the clock's origin of the bucket that is being filled.
    newest: u64,
    buckets: Box<[Tally; BUCKETS as usize]>,
    sum: Tally,
}

const BUCKETS: u64 = config::Window::BUCKETS as u64;

impl TimeWindow {
    fn new(size: u64) -> Self {
        Self { width: size.div_ceil(BUCKETS).max(1), newest: 0, buckets: Box::default(), sum: Tally::default() }
    }

    fn index(&self, now: Timestamp) -> u64 {
        now.as_nanos() / self.width
    }

    fn bucket_ends(&self) -> Timestamp {
        Timestamp::from_nanos(self.newest.saturating_add(1).saturating_mul(self.width))
    }

    /// Adds calls to the bucket `index`, or to the newest if the clock went back.
    fn add(&mut self, index: u64, calls: Tally) {
        // After a gap of any length every bucket is emptied once at most.
        for step in 1..=index.saturating_sub(self.newest).min(BUCKETS) {
            let bucket = &mut self.buckets[((self.newest + step) % BUCKETS) as usize];
            self.sum.remove(*bucket);
            *bucket = Tally::default();
        }
        self.newest = self.newest.max(index);
        self.buckets[(self.newest % BUCKETS) as usize].add(calls);
        self.sum.add(calls);
    }

    fn tally(&self, now: Timestamp) -> Tally {
        let mut sum = self.sum;
        for step in 1..=self.index(now).saturating_sub(self.newest).min(BUCKETS) {
            sum.remove(self.buckets[((self.newest + step) % BUCKETS) as usize]);
        }
        sum
    }

    fn resized(self, size: u64, now: Timestamp) -> Self {
        let mut new = Self::new(size);
        if new.width == self.width {
            return self;
        }
        let present = new.index(now);
        let oldest = self.newest.saturating_sub(BUCKETS - 1).max(self.index(now).saturating_sub(BUCKETS - 1));
        for index in oldest..=self.newest {
            let end = index.saturating_add(1).saturating_mul(self.width).saturating_sub(1);
            let to = (end / new.width).min(present);
            if present - to < BUCKETS {
                new.add(to, self.buckets[(index % BUCKETS) as usize]);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use proptest::prelude::*;

    use super::*;

    const FAILED: bool = true;

    fn count(size: u32) -> Window {
        Window::new(config::Window::Count { size })
    }

    fn time(millis: u64) -> Window {
        Window::new(config::Window::Time { size: Duration::from_millis(millis) })
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn add(window: &mut Window, n: u64, failed: bool, now: Timestamp) {
        for _ in 0..n {
            window.add(Tally::judged(failed, false), now);
        }
    }

    fn failed_of(window: &Window, now: Timestamp) -> (u64, u64) {
        let tally = window.tally(now);
        (tally.failed, tally.judged)
    }

    #[test]
    fn count_window_evicts_exactly_one_for_one() {
        let mut window = count(3);
        add(&mut window, 2, FAILED, at(0));
        add(&mut window, 1, !FAILED, at(0));
        assert_eq!(failed_of(&window, at(0)), (2, 3));
        add(&mut window, 1, !FAILED, at(0));
        assert_eq!(failed_of(&window, at(0)), (1, 3));
        add(&mut window, 1, !FAILED, at(0));
        assert_eq!(failed_of(&window, at(0)), (0, 3));
    }

    #[test]
    fn abandoned_calls_evict_no_verdict() {
        let mut window = count(2);
        add(&mut window, 2, FAILED, at(0));
        window.add(Tally::ABANDONED, at(0));
        window.add(Tally::ABANDONED, at(0));
        assert_eq!(window.tally(at(0)), Tally { judged: 2, failed: 2, slow: 0, ended: 2, abandoned: 2 });
    }

    #[test]
    fn outcome_leaves_a_time_window_between_nine_tenths_and_all_of_its_size() {
        let mut window = time(1000);
        add(&mut window, 1, FAILED, at(99));
        assert_eq!(failed_of(&window, at(999)), (1, 1));
        assert_eq!(failed_of(&window, at(1000)), (0, 0));
        add(&mut window, 1, FAILED, at(1000));
        assert_eq!(failed_of(&window, at(1000)), (1, 1));
        assert_eq!(failed_of(&window, at(1999)), (1, 1));
        assert_eq!(failed_of(&window, at(2000)), (0, 0));
    }

    #[test]
    fn clock_that_goes_back_or_jumps_far_ahead_breaks_nothing() {
        let mut window = time(1000);
        add(&mut window, 1, FAILED, at(5000));
        add(&mut window, 1, FAILED, at(10));
        assert_eq!(failed_of(&window, at(5000)), (2, 2));
        add(&mut window, 1, FAILED, Timestamp::MAX);
        assert_eq!(failed_of(&window, Timestamp::MAX), (1, 1));
        assert_eq!(failed_of(&window, Timestamp::ZERO), (1, 1));
    }

    #[test]
    fn smaller_count_window_keeps_the_newest() {
        let mut window = count(4);
        add(&mut window, 3, FAILED, at(0));
        add(&mut window, 2, !FAILED, at(0));
        let mut window = window.carried_into(config::Window::Count { size: 3 }, at(0));
        assert_eq!(failed_of(&window, at(0)), (1, 3));
        add(&mut window, 1, !FAILED, at(0));
        assert_eq!(failed_of(&window, at(0)), (0, 3));
    }

    #[test]
    fn larger_count_window_keeps_all() {
        let mut window = count(2);
        add(&mut window, 3, FAILED, at(0));
        let mut window = window.carried_into(config::Window::Count { size: 100 }, at(0));
        add(&mut window, 1, !FAILED, at(0));
        assert_eq!(failed_of(&window, at(0)), (2, 3));
    }

    #[test]
    fn time_window_of_another_size_keeps_what_is_young_enough() {
        let mut window = time(1000);
        add(&mut window, 1, FAILED, at(100));
        add(&mut window, 1, FAILED, at(850));
        let longer = window.carried_into(config::Window::Time { size: Duration::from_secs(10) }, at(900));
        assert_eq!(failed_of(&longer, at(900)), (2, 2));
        assert_eq!(failed_of(&longer, at(9900)), (2, 2));
        assert_eq!(failed_of(&longer, at(10_000)), (0, 0));
        let shorter = longer.carried_into(config::Window::Time { size: Duration::from_millis(100) }, at(5000));
        assert_eq!(failed_of(&shorter, at(5000)), (0, 0));
    }

    #[test]
    fn other_kind_of_window_keeps_the_shares() {
        let mut window = time(1000);
        add(&mut window, 60, FAILED, at(100));
        add(&mut window, 140, !FAILED, at(500));
        let window = window.carried_into(config::Window::Count { size: 100 }, at(600));
        assert_eq!(failed_of(&window, at(600)), (30, 100));
        let window = window.carried_into(config::Window::Time { size: Duration::from_secs(1) }, at(600));
        assert_eq!(failed_of(&window, at(600)), (30, 100));
        assert_eq!(failed_of(&window, at(1600)), (0, 0));
    }

    #[test]
    fn mixed_ring_spreads_its_answers() {
        let mut ring = BitRing::mixed(10, 1000, 500);
        assert_eq!((ring.len, ring.ones), (10, 5));
        for _ in 0..5 {
            ring.push(false);
        }
        assert!((2..=3).contains(&ring.ones), "half of what is left: {}", ring.ones);
    }

    proptest! {
        #[test]
        fn count_window_equals_a_naive_log(size in 1_u32..200, calls in prop::collection::vec((0_u8..3, any::<bool>()), 0..600)) {
            let mut window = count(size);
            let (mut judged, mut ended) = (VecDeque::new(), VecDeque::new());
            for (kind, slow) in calls {
                let abandoned = kind == 2;
                if abandoned {
                    window.add(Tally::ABANDONED, at(0));
                } else {
                    window.add(Tally::judged(kind == 1, slow), at(0));
                    judged.push_back((kind == 1, slow));
                }
                ended.push_back(abandoned);
                if judged.len() > size as usize { judged.pop_front(); }
                if ended.len() > size as usize { ended.pop_front(); }
                prop_assert_eq!(window.tally(at(0)), Tally {
                    judged: judged.len() as u64,
                    failed: judged.iter().filter(|it| it.0).count() as u64,
                    slow: judged.iter().filter(|it| it.1).count() as u64,
                    ended: ended.len() as u64,
                    abandoned: ended.iter().filter(|it| **it).count() as u64,
                });
            }
        }

        #[test]
        fn time_window_equals_a_naive_log_of_whole_buckets(size in 10_u64..5000, steps in prop::collection::vec((0_u64..2000, any::<bool>()), 0..200)) {
            let mut window = time(size);
            let width = (size * 1_000_000).div_ceil(10);
            let (mut now, mut log) = (Timestamp::ZERO, Vec::new());
            for (gap, failed) in steps {
                now = now.after(Duration::from_millis(gap));
                window.add(Tally::judged(failed, false), now);
                log.push((now.as_nanos() / width, failed));
                let live: Vec<_> = log.iter().filter(|it| now.as_nanos() / width - it.0 < 10).collect();
                prop_assert_eq!(failed_of(&window, now), (live.iter().filter(|it| it.1).count() as u64, live.len() as u64));
            }
        }
    }
}
