//! Seeded randomness for every jitter: small, fast and reproducible. Not for secrets.

use std::{
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
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
/// # Examples
/// ```
/// use tower_rampart_core::retry::Seeds;
///
/// let (one, other) = (Seeds::new(7), Seeds::new(7));
/// assert_eq!(one.next(), other.next());
/// assert_ne!(one.next(), one.next());
/// ```
pub struct Seeds(AtomicU64);

impl Seeds {
    /// A reproducible source: the same seed gives the same sequence.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A source that differs from process to process, seeded as the standard library seeds its hash maps.
    pub fn from_entropy() -> Self {
        Self::new(RandomState::new().hash_one(STEP))
    }

    /// The next seed.
    pub fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }
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
    fn seeds_are_the_generators_own_sequence() {
        let (seeds, mut random) = (Seeds::new(42), SplitMix64::new(42));
        for _ in 0..10 {
            assert_eq!(seeds.next(), random.next());
        }
    }
}
