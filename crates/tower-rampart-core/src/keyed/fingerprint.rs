//! What stands in a table for a key: 127 bits that nobody outside of the process can foresee. The table is `table`.

use std::{
    fmt,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    num::NonZeroU64,
    str::FromStr,
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

/// What a key is called where its text is not to be shown, or is too long: the same as long as the process lives, and in no other process or stage.
///
/// It is a hash of the [`Fingerprint`], which stays secret: whoever sees it knows neither the key nor with which others it shares a shard. That two of a
/// million keys bear the same name has a chance of 3 in 10^8.
///
/// # Examples
/// ```
/// use tower_rampart_core::keyed::KeyId;
///
/// let id: KeyId = "00c0ffee00c0ffee".parse()?;
/// assert_eq!(id.to_string(), "00c0ffee00c0ffee");
/// # Ok::<(), tower_rampart_core::keyed::NoKeyId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

/// A text that is no [`KeyId`], which is sixteen lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sixteen lower-case hexadecimal digits are expected")]
#[non_exhaustive]
pub struct NoKeyId;

impl From<Fingerprint> for KeyId {
    fn from(fingerprint: Fingerprint) -> Self {
        let mut hasher = DefaultHasher::new();
        fingerprint.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for KeyId {
    type Err = NoKeyId;

    fn from_str(text: &str) -> Result<Self, NoKeyId> {
        let is_digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(NoKeyId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NoKeyId)
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
    fn name_of_a_key_is_its_own_and_is_read_as_it_is_printed() {
        let table = Fingerprints::default();
        let ids: HashSet<KeyId> = (0..10_000).map(|key| table.of(Some(&key.to_string())).into()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|it| it.to_string().parse() == Ok(*it)));
        for text in ["", "c0ffee", "00C0FFEE00C0FFEE", "+0c0ffee00c0ffee", "00c0ffee00c0ffee0"] {
            assert_eq!(text.parse::<KeyId>(), Err(NoKeyId), "{text}");
        }
        assert!(!format!("{:?}", table.of(Some("a"))).contains(|it: char| it.is_ascii_digit()));
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
