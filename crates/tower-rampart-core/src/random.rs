//! Seeded randomness for every jitter: small, fast and reproducible. Not for secrets.

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use crate::{
    clock::nanos,
    sync::{AtomicU64, Ordering},
};

/// The step of SplitMix64: 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of this seed after so many numbers.
    pub(crate) const fn skipping(seed: u64, numbers: u64) -> Self {
        Self(seed.wrapping_add(numbers.wrapping_mul(STEP)))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number in `0..=max`, by the high half of a product (Lemire 2019); its bias, below 2^-10 for spans of 24 hours, is beneath notice in a wait.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        let random = u128::from(self.next());
        ((random * (u128::from(max) + 1)) >> 64) as u64
    }

    /// A number from 0 up to, not including, 1, of 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration in `0..=max`.
    pub(crate) fn duration_up_to(&mut self, max: Duration) -> Duration {
        Duration::from_nanos(self.up_to(nanos(max)))
    }
}

const fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A source of seeds, shared by threads: each call of a stage takes one for its own generator, so that no generator is shared.
///
/// Seeds that need not be reproducible come from a sequence of each thread's own, so that taking one disturbs no other thread.
///
/// # Examples
/// ```
/// use tower_rampart_core::retry::Seeds;
///
/// let (one, other) = (Seeds::new(7), Seeds::new(7));
/// assert_eq!(one.next(), other.next());
/// assert_ne!(one.next(), one.next());
/// ```
pub struct Seeds {
    /// The state of a reproducible sequence; `None`: each thread has its own.
    shared: Option<AtomicU64>,
}

impl Seeds {
    /// A reproducible source: the same seed gives the same sequence.
    pub fn new(seed: u64) -> Self {
        Self { shared: Some(AtomicU64::new(seed)) }
    }

    /// A source that differs from process to process and from thread to thread, seeded as the standard library seeds its hash maps.
    pub const fn from_entropy() -> Self {
        Self { shared: None }
    }

    /// The next seed.
    #[inline]
    pub fn next(&self) -> u64 {
        match &self.shared {
            Some(state) => mix(state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP)),
            None => of_this_thread(),
        }
    }
}

/// The next number of this thread's own sequence.
#[inline]
fn of_this_thread() -> u64 {
    thread_local! {
        /// Zero before it is seeded; should it come around to zero, it is seeded anew.
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let mut random = SplitMix64::new(state.get());
        if random.0 == 0 {
            random = SplitMix64::new(RandomState::new().hash_one(STEP));
        }
        let next = random.next();
        state.set(random.0);
        next
    })
}

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeds").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_those_of_the_reference_implementation() {
        let mut random = SplitMix64::new(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn both_ends_of_a_range_are_reached() {
        let mut random = SplitMix64::new(1);
        let drawn: Vec<u64> = (0..200).map(|_| random.up_to(3)).collect();
        for value in 0..=3 {
            assert!(drawn.contains(&value));
        }
        assert!(drawn.iter().all(|it| *it <= 3));
        assert_eq!(random.up_to(0), 0);
    }

    #[test]
    fn seeds_of_threads_differ() {
        let seeds = Seeds::from_entropy();
        let drawn = || [seeds.next(), seeds.next()];
        let there = std::thread::scope(|scope| scope.spawn(drawn).join().unwrap());
        let mut all = [drawn(), there].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn seeds_are_the_generators_own_sequence() {
        let (seeds, mut random) = (Seeds::new(42), SplitMix64::new(42));
        for _ in 0..10 {
            assert_eq!(seeds.next(), random.next());
        }
    }

    #[test]
    fn numbers_below_one_are_those_of_the_reference_implementation_in_2_to_the_64ths() {
        let mut random = SplitMix64::new(1_234_567);
        for number in [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423] {
            assert!((random.unit() - number as f64 * (-64_f64).exp2()).abs() < 1e-15);
        }
    }
}
