//! The latencies of the last minute, and one percentile of them; the latencies of all time are the registry's `histogram`, whose buckets these are.
//!
//! Six slices of ten seconds, each a histogram; a slice whose time has come round is emptied by whoever records first. Adding a latency is one relaxed
//! increment. The percentile is looked up ten times a second at most, by whoever records then, and read by everybody with one load.
//!
//! While a slice is emptied, latencies that others record in that moment may be lost: a statistic bears that.

use std::time::Duration;

use crate::{
    Timestamp,
    clock::nanos,
    registry::histogram::{BUCKETS, bucket, upper},
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// The number of slices.
const SLICES: usize = 6;
/// The length of a slice: 10 s.
const SLICE: u64 = 10_000_000_000;
/// The time between two looks at the percentile: 100 ms.
const LOOK: Duration = Duration::from_millis(100);
/// A percentile says something once this many latencies are expected beyond it.
const BEYOND: f64 = 5.0;
/// And not before there are this many.
const FEWEST: u64 = 20;
/// The estimate while there is none.
const UNKNOWN: u64 = u64::MAX;

/// One histogram of ten seconds: 1 KiB.
#[derive(Debug)]
struct Slice {
    /// Which ten seconds since the origin of the clock, plus one; zero: none.
    number: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

/// The latencies of the last minute: 6 KiB.
#[derive(Debug)]
pub(super) struct Recent {
    slices: [Slice; SLICES],
    next_look: AtomicU64,
    /// Nanoseconds, or [`UNKNOWN`].
    estimate: AtomicU64,
    /// Until when the estimate holds: a service that was idle for a minute may have changed.
    holds_until: AtomicU64,
}

impl Recent {
    pub(super) fn new() -> Self {
        let slice = || Slice { number: AtomicU64::new(0), buckets: std::array::from_fn(|_| AtomicU32::new(0)) };
        Self {
            slices: std::array::from_fn(|_| slice()),
            next_look: AtomicU64::new(0),
            estimate: AtomicU64::new(UNKNOWN),
            holds_until: AtomicU64::new(0),
        }
    }

    /// Adds a latency, and looks the percentile up again if it is time to.
    pub(super) fn record(&self, now: Timestamp, latency: Duration, percentile: f64) {
        let number = now.as_nanos() / SLICE + 1;
        let slice = &self.slices[(number % SLICES as u64) as usize];
        let before = slice.number.load(Ordering::Acquire);
        if before < number && slice.number.compare_exchange(before, number, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            slice.buckets.iter().for_each(|it| it.store(0, Ordering::Relaxed));
        }
        slice.buckets[bucket(nanos(latency))].fetch_add(1, Ordering::Relaxed);
        let due = self.next_look.load(Ordering::Relaxed);
        let next = now.after(LOOK).as_nanos();
        if now.as_nanos() >= due
            && self.next_look.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.look(now, percentile);
        }
    }

    /// Looks the percentile up.
    pub(super) fn look(&self, now: Timestamp, percentile: f64) {
        self.estimate.store(self.quantile(now, percentile / 100.0).unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.holds_until.store(now.as_nanos().saturating_add(SLICE * SLICES as u64), Ordering::Relaxed);
    }

    /// The percentile as it was when it was last looked up; `None` where too little is known.
    pub(super) fn estimate(&self, now: Timestamp) -> Option<Duration> {
        let estimate = self.estimate.load(Ordering::Relaxed);
        let holds = now.as_nanos() < self.holds_until.load(Ordering::Relaxed);
        (holds && estimate != UNKNOWN).then(|| Duration::from_nanos(estimate))
    }

    /// The upper edge of the bucket that the quantile lies in: never less than the true one, and at most an eighth more, so that no more copies begin than asked for.
    fn quantile(&self, now: Timestamp, q: f64) -> Option<u64> {
        let number = now.as_nanos() / SLICE + 1;
        let mut sums = [0_u64; BUCKETS];
        for slice in &self.slices {
            let its = slice.number.load(Ordering::Acquire);
            if its + SLICES as u64 > number && its != 0 {
                for (sum, cell) in sums.iter_mut().zip(&slice.buckets) {
                    *sum += u64::from(cell.load(Ordering::Relaxed));
                }
            }
        }
        let count: u64 = sums.iter().sum();
        if count < FEWEST || (count as f64) * (1.0 - q) < BEYOND - 1e-6 {
            return None;
        }
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        let at = sums.iter().position(|here| {
            seen += here;
            seen >= rank
        })?;
        Some(upper(at.min(BUCKETS - 2)))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn little_is_said_of_few_latencies() {
        let recent = Recent::new();
        let mut known_after = None;
        for count in 1..=100 {
            let now = Timestamp::from_millis(200 * count);
            recent.record(now, ms(10), 95.0);
            if recent.estimate(now).is_some() && known_after.is_none() {
                known_after = Some(count);
            }
        }
        assert_eq!(known_after, Some(100), "five latencies are expected beyond the 95th percentile of a hundred");
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let recent = Recent::new();
        let fill = |from: u64, latency| {
            for it in 0..200 {
                recent.record(Timestamp::from_millis(from + 50 * it), latency, 90.0);
            }
        };
        fill(0, ms(1000));
        fill(65_000, ms(10));
        let now = Timestamp::from_millis(75_000);
        assert!(recent.estimate(now).is_some_and(|it| it < ms(12)), "{:?}", recent.estimate(now));
        assert_eq!(recent.estimate(now.after(ms(60_000))), None, "nothing is known of a service that was idle");
    }

    #[test]
    fn slice_that_nobody_has_emptied_is_left_out_once_it_is_a_minute_old() {
        let recent = Recent::new();
        (0..100).for_each(|it| recent.record(Timestamp::from_millis(20_000 + it), ms(10), 50.0));
        let known = |now| {
            recent.look(now, 50.0);
            recent.estimate(now).is_some()
        };
        assert!(known(Timestamp::from_millis(79_999)));
        assert!(!known(Timestamp::from_millis(80_000)));
    }

    #[test]
    fn time_that_jumps_far_ahead_forgets_and_harms_nothing() {
        let recent = Recent::new();
        for it in 0..100 {
            recent.record(Timestamp::from_millis(it), ms(10), 50.0);
        }
        recent.record(Timestamp::MAX, Duration::MAX, 50.0);
        assert_eq!(recent.estimate(Timestamp::MAX), None);
        recent.record(Timestamp::ZERO, ms(10), 50.0);
    }

    proptest! {
        /// Against a list of all latencies: the true quantile of the last 50 to 60 seconds, at most an eighth too high.
        #[test]
        fn estimate_is_the_quantile_of_the_window(
            latencies in prop::collection::vec((1_u64..2000, 0_u64..800), 20..400),
            percentile in prop::sample::select(vec![50.0, 75.0, 90.0, 95.0]),
        ) {
            let recent = Recent::new();
            let (mut now, mut all) = (Timestamp::ZERO, Vec::new());
            for (latency, pause) in latencies {
                now = now.after(ms(pause));
                recent.record(now, ms(latency), percentile);
                all.push((now, latency));
            }
            recent.look(now, percentile);
            let oldest = (now.as_nanos() / SLICE).saturating_sub(SLICES as u64 - 1) * SLICE;
            let mut window: Vec<u64> =
                all.iter().filter(|(at, _)| at.as_nanos() >= oldest).map(|(_, latency)| *latency).collect();
            window.sort_unstable();
            let beyond = window.len() as f64 * (1.0 - percentile / 100.0);
            match recent.estimate(now) {
                None => prop_assert!(window.len() < 20 || beyond < 5.0, "{} latencies", window.len()),
                Some(estimate) => {
                    prop_assert!(window.len() >= 20 && beyond >= 5.0 - 1e-6);
                    let rank = ((percentile / 100.0 * window.len() as f64).ceil() as usize).clamp(1, window.len());
                    let truth = window[rank - 1] as f64;
                    let estimate = estimate.as_secs_f64() * 1000.0;
                    prop_assert!(estimate >= truth && estimate <= truth * 1.13, "{estimate} for {truth}");
                }
            }
        }
    }
}
