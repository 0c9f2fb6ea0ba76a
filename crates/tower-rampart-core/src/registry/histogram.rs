//! The latency histogram of one operation: fixed log-linear buckets over nanoseconds; `snapshot.rs` says what is read from it.
//!
//! After HdrHistogram (Gil Tene) and circllhist: each power of two from 1.024 us to 2^40 ns (18.3 min) is cut into 8 equal buckets, below and above
//! lies one bucket each. Unlike HdrHistogram the size is fixed for all, so that adding one latency is one relaxed increment, and bucket edges
//! are powers of two, so that the bounds that Prometheus is given are exact.
//!
//! A quantile is the middle of its bucket, thus wrong by at most 1/16 (6.25 %) of the true latency between 1.024 us and 18.3 min,
//! and by at most 512 ns below. A bucket holds `lower < latency <= upper`.

use std::time::Duration;

use crate::{
    clock::nanos,
    stripes::Stripes,
    sync::{AtomicU64, Ordering},
};

/// The power of two up to which everything lies in the first bucket.
const FIRST: u32 = 10;
/// The power of two above which everything lies in the last bucket.
const LAST: u32 = 40;
/// Each power of two has `2^BITS` buckets.
const BITS: u32 = 3;
/// The number of buckets.
pub(crate) const BUCKETS: usize = ((LAST - FIRST) << BITS) as usize + 2;
/// The most stripes: latencies spread over buckets, so that threads meet less often than on one counter.
const MAX_STRIPES: usize = 4;

/// The bucket of a latency.
#[inline]
pub(crate) fn bucket(nanos: u64) -> usize {
    // One less, because the upper edge belongs to the bucket: `le` means "less or equal".
    let value = nanos.saturating_sub(1);
    if value < 1 << FIRST {
        return 0;
    }
    if value >= 1 << LAST {
        return BUCKETS - 1;
    }
    let power = value.ilog2();
    let part = (value >> (power - BITS)) & ((1 << BITS) - 1);
    1 + (((power - FIRST) << BITS) as usize) + part as usize
}

/// The upper edge of a bucket that is not the last: the largest latency that lies in it.
pub(crate) const fn upper(bucket: usize) -> u64 {
    if bucket == 0 {
        return 1 << FIRST;
    }
    let power = FIRST + ((bucket - 1) >> BITS) as u32;
    let part = ((bucket - 1) & ((1 << BITS) - 1)) as u64;
    (1 << power) + ((part + 1) << (power - BITS))
}

/// One stripe: 2 KiB.
#[derive(Debug)]
struct Stripe {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

/// The latency histogram of one operation.
#[derive(Debug)]
pub(super) struct Histogram {
    stripes: Stripes<Stripe>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        let stripe = || Stripe { buckets: std::array::from_fn(|_| AtomicU64::new(0)), max: AtomicU64::new(0) };
        Self { stripes: Stripes::new(MAX_STRIPES, stripe) }
    }

    /// Adds one latency.
    #[inline]
    pub(super) fn record(&self, latency: Duration) {
        let nanos = nanos(latency);
        let stripe = self.stripes.mine();
        // A new maximum is rare, reading the old one costs a shared cache line only.
        if nanos > stripe.max.load(Ordering::Relaxed) {
            stripe.max.fetch_max(nanos, Ordering::Relaxed);
        }
        stripe.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets the largest latency; the buckets never go down.
    pub(super) fn forget_max(&self) {
        for stripe in &self.stripes {
            stripe.max.store(0, Ordering::Relaxed);
        }
    }

    /// Sums all stripes.
    pub(super) fn read(&self) -> Latencies {
        let mut latencies = Latencies { buckets: vec![0; BUCKETS], max: 0 };
        for stripe in &self.stripes {
            for (sum, cell) in latencies.buckets.iter_mut().zip(&stripe.buckets) {
                *sum += cell.load(Ordering::Relaxed);
            }
            latencies.max = latencies.max.max(stripe.max.load(Ordering::Relaxed));
        }
        latencies
    }
}

/// What a histogram held at one moment.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    /// [`BUCKETS`] counts.
    buckets: Vec<u64>,
    max: u64,
}

impl Latencies {
    /// The number of latencies.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The largest latency since the last reset, exact.
    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// What came since `baseline`.
    pub(super) fn since(&self, baseline: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&baseline.buckets).map(|(now, then)| now.saturating_sub(*then)).collect();
        Self { buckets, max: self.max }
    }

    /// The latency that the share `q` of all latencies does not exceed; zero if there are none.
    pub(super) fn quantile(&self, q: f64) -> Duration {
        let count = self.count();
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, here) in self.buckets.iter().enumerate() {
            seen += here;
            if seen >= rank {
                return Duration::from_nanos(self.middle(bucket));
            }
        }
        Duration::ZERO
    }

    /// The middle of a bucket, and never more than the largest latency in it.
    fn middle(&self, bucket: usize) -> u64 {
        let lower = if bucket == 0 { 0 } else { upper(bucket - 1) };
        if bucket == BUCKETS - 1 {
            return self.max.max(lower);
        }
        let middle = lower + (upper(bucket) - lower) / 2;
        // A latency that is being recorded is in its bucket but perhaps not yet the largest.
        if self.max > lower { middle.min(self.max) } else { middle }
    }

    /// How many latencies are at most `2^power` nanoseconds, for `power` in 10 to 40; exact.
    pub(super) fn at_most(&self, power: u32) -> u64 {
        let buckets = 1 + ((power.clamp(FIRST, LAST) - FIRST) << BITS) as usize;
        self.buckets[..buckets].iter().sum()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use crossbeam_utils::CachePadded;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for it in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper(it)), it);
            assert_eq!(bucket(upper(it) + 1), it + 1);
        }
        assert_eq!(upper(BUCKETS - 2), 1 << LAST);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket(0), 0);
    }

    #[test]
    fn bounds_at_powers_of_two_are_exact() {
        let histogram = Histogram::new();
        for nanos in [1 << 20, (1 << 20) + 1, 1 << 21, u64::MAX] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let read = histogram.read();
        assert_eq!([19, 20, 21, 40].map(|power| read.at_most(power)), [0, 1, 3, 3]);
        assert_eq!(read.count(), 4);
    }

    #[test]
    fn an_empty_histogram_has_no_latencies() {
        let read = Histogram::new().read();
        assert_eq!((read.count(), read.quantile(0.99), read.max()), (0, Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn one_stripe_has_two_kibibytes() {
        assert!(size_of::<CachePadded<Stripe>>() <= 2048);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_sixteenth(
            mut latencies in prop::collection::vec((10_u32..39, 0.0..1.0_f64), 1..300),
            q in 0.01..1.0_f64,
        ) {
            let histogram = Histogram::new();
            let mut values: Vec<u64> = latencies.drain(..).map(|(power, part)| ((1_u64 << power) as f64 * (1.0 + part)) as u64 + 1).collect();
            for value in &values {
                histogram.record(Duration::from_nanos(*value));
            }
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let truth = values[rank - 1] as f64;
            let estimate = histogram.read().quantile(q).as_nanos() as f64;
            prop_assert!((estimate - truth).abs() <= truth / 16.0 + 1.0, "{estimate} for {truth}");
        }

        #[test]
        fn quantiles_never_fall_and_never_exceed_the_largest(values in prop::collection::vec(any::<u64>(), 1..100)) {
            let histogram = Histogram::new();
            for value in &values {
                histogram.record(Duration::from_nanos(*value));
            }
            let read = histogram.read();
            let quantiles = [0.0, 0.5, 0.95, 0.99, 1.0].map(|q| read.quantile(q));
            prop_assert!(quantiles.is_sorted());
            prop_assert!(quantiles[4] <= read.max());
            prop_assert_eq!(read.count(), values.len() as u64);
        }
    }
}
