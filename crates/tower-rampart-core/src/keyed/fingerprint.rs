//! What stands in a table for a key: 127 bits that nobody outside of the process can foresee. The table is `table`.

use std::{
    fmt,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    num::NonZeroU64,
};

/// A key as the tables know it.
///
/// The tables are not searched by text: it would cost more than the state of a limiter, and as much as whoever sends it likes. Two keys share a state only
/// if all 127 bits agree. They are SipHash under a secret of the table's own (`std`'s defence against floods of collisions), asked twice with different
/// beginnings: whoever chooses keys cannot compute them, and among a million keys the chance that any two agree is 3 in 10^27.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The lowest bit is always set, so that an `Option` of it takes no more room.
    high: NonZeroU64,
    low: u64,
}

impl Fingerprint {
    /// Where among `all` it belongs, evenly spread.
    pub(super) fn place(self, all: usize) -> usize {
        ((u128::from(self.low) * all as u128) >> 64) as usize
    }

    /// A number that is the key's own, for machines that are to be reproducible.
    pub(super) fn number(self) -> u64 {
        self.low
    }

    /// Which of `all` shards it belongs to, a power of two; says nothing about the [`place`](Self::place) within it.
    pub(super) fn shard(self, all: usize) -> usize {
        (self.high.get() >> 32) as usize & (all - 1)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// Makes the fingerprints of one table.
#[derive(Clone, Debug)]
pub(crate) enum Fingerprints {
    /// Under a secret.
    Secret(RandomState),
    /// Reproducible, for simulations: whoever knows the seed can foresee them.
    Seeded(u64),
}

impl Default for Fingerprints {
    fn default() -> Self {
        Self::Secret(RandomState::new())
    }
}

impl Fingerprints {
    /// The fingerprint of a key; calls without one are those of a key of their own, unlike any text.
    pub(crate) fn of(&self, key: Option<&str>) -> Fingerprint {
        let high = NonZeroU64::MIN | self.hash((0_u8, key));
        Fingerprint { high, low: self.hash((1_u8, key)) }
    }

    fn hash(&self, value: impl Hash) -> u64 {
        match self {
            Self::Secret(state) => state.hash_one(value),
            Self::Seeded(seed) => {
                let mut hasher = DefaultHasher::new();
                (seed, value).hash(&mut hasher);
                hasher.finish()
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::{collections::HashSet, mem::size_of};

    use super::*;

    #[test]
    fn fingerprints_differ_by_key_and_by_table() {
        let (one, other) = (Fingerprints::default(), Fingerprints::default());
        assert_eq!(one.of(Some("a")), one.of(Some("a")));
        assert_ne!(one.of(Some("a")), other.of(Some("a")));
        assert_ne!(one.of(None), one.of(Some("")));
        let all: HashSet<_> = (0..10_000).map(|key| one.of(Some(&key.to_string()))).collect();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn fingerprints_of_one_seed_are_those_of_another_table_with_it() {
        let of = |seed: u64, key: &str| Fingerprints::Seeded(seed).of(Some(key));
        assert_eq!(of(1, "a"), of(1, "a"));
        assert!(of(1, "a") != of(2, "a") && of(1, "a") != of(1, "b"));
    }

    #[test]
    fn option_of_a_fingerprint_takes_no_more_room() {
        assert_eq!(size_of::<Option<Fingerprint>>(), 16);
    }

    #[test]
    fn fingerprints_are_spread_over_places_and_shards() {
        let table = Fingerprints::default();
        let mut counts = [[0_u32; 4]; 4];
        for key in 0..16_000 {
            let fingerprint = table.of(Some(&key.to_string()));
            counts[fingerprint.place(4)][fingerprint.shard(4)] += 1;
        }
        assert!(counts.iter().flatten().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
