//! Which keys are used most, in bounded memory: the space-saving sketch. The counts of all keys together are in `room`.

use super::{Fingerprint, KeyId, kept};
use crate::random::SplitMix64;

/// Keys that one sketch follows.
const FOLLOWED: usize = 8;
/// One of about so many calls of keys that are not followed is counted, for all of them.
const SAMPLED: u64 = 8;

/// The keys of one shard that are used most, with how often they are refused.
///
/// "Efficient computation of frequent and top-k elements in data streams" (Metwally, Agrawal, El Abbadi, 2005): who is not followed takes the place of
/// the least used, and its count with it, as an error that is known. It differs in that of the calls of keys that are not followed only about one in eight
/// takes a place, for all eight: a flood of keys costs no copy of its text each. Which one is drawn from the fingerprint, so that nobody who does not know
/// that can keep out of sight; the counts of keys that were not followed from the beginning are estimates, for the same reason. A key with much more than an
/// eighth of a shard's calls is found soon, and stays.
#[derive(Debug)]
pub(crate) struct Top {
    followed: Vec<Followed>,
    /// Calls of keys that are not followed.
    others: u64,
}

#[derive(Debug)]
struct Followed {
    fingerprint: Fingerprint,
    /// Its room is used again by the next key, so that a change of places allocates nothing in the long run.
    text: String,
    has_key: bool,
    used: u64,
    refused: u64,
    error: u64,
}

/// A key, and how much it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// The key, cut after 256 bytes, and empty where its text is not kept; `None` stands for the calls that have none.
    pub key: Option<String>,
    /// Its calls, refused ones included: exact where [`error`](Self::error) is 0, else an estimate that is more often too high than too low.
    pub used: u64,
    /// Calls that were refused since it was seen: at least so many. `None` where refusals are not counted by key.
    pub refused: Option<u64>,
    /// By how much `used` may be too high; 0 if the key was followed from its first call on.
    pub error: u64,
    pub(crate) fingerprint: Fingerprint,
}

impl KeyUse {
    /// What the key is called where its text is not to be shown.
    pub fn id(&self) -> KeyId {
        self.fingerprint.into()
    }
}

impl Top {
    pub(crate) const fn new() -> Self {
        Self { followed: Vec::new(), others: 0 }
    }

    /// Counts a call.
    pub(crate) fn used(&mut self, fingerprint: Fingerprint, key: Option<&str>) {
        if let Some(followed) = self.followed.iter_mut().find(|it| it.fingerprint == fingerprint) {
            followed.used += 1;
        } else if self.followed.len() < FOLLOWED {
            self.followed.push(Followed {
                fingerprint,
                text: kept(key.unwrap_or_default()).to_owned(),
                has_key: key.is_some(),
                used: 1,
                refused: 0,
                error: 0,
            });
        } else {
            self.others += 1;
            if SplitMix64::new(fingerprint.number() ^ self.others).next().is_multiple_of(SAMPLED) {
                self.follow(fingerprint, key);
            }
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&mut self, fingerprint: Fingerprint) {
        if let Some(followed) = self.followed.iter_mut().find(|it| it.fingerprint == fingerprint) {
            followed.refused += 1;
        }
    }

    /// The keys that are followed, in no order, with their refusals if these are counted.
    pub(crate) fn keys(&self, counts_refusals: bool) -> impl Iterator<Item = KeyUse> {
        self.followed.iter().map(move |it| KeyUse {
            key: it.has_key.then(|| it.text.clone()),
            used: it.used,
            refused: counts_refusals.then_some(it.refused),
            error: it.error,
            fingerprint: it.fingerprint,
        })
    }

    #[cold]
    fn follow(&mut self, fingerprint: Fingerprint, key: Option<&str>) {
        let Some(least) = self.followed.iter_mut().min_by_key(|it| it.used) else { return };
        least.text.clear();
        least.text.push_str(kept(key.unwrap_or_default()));
        least.fingerprint = fingerprint;
        least.has_key = key.is_some();
        least.error = least.used + SAMPLED - 1;
        least.used += SAMPLED;
        least.refused = 0;
    }
}

/// The most used of many, most used first.
pub(crate) fn most_used(mut keys: Vec<KeyUse>, most: usize) -> Vec<KeyUse> {
    keys.sort_unstable_by(|a, b| b.used.cmp(&a.used).then_with(|| a.key.cmp(&b.key)));
    keys.truncate(most);
    keys
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::keyed::fingerprint::Fingerprints;

    #[test]
    fn noisy_key_is_found_among_any_number_of_others() {
        let fingerprints = Fingerprints::default();
        let mut top = Top::new();
        for call in 0..100_000_u32 {
            let key = if call % 4 == 0 { "noisy".to_owned() } else { call.to_string() };
            let fingerprint = fingerprints.of(Some(&key));
            top.used(fingerprint, Some(&key));
            if call % 8 == 0 {
                top.refused(fingerprint);
            }
        }
        let first = most_used(top.keys(true).collect(), 1).remove(0);
        assert_eq!(first.key.as_deref(), Some("noisy"));
        assert!((25_000..=25_000 + first.error).contains(&first.used), "{first:?}");
        assert!(first.refused.is_some_and(|it| it > 12_000 && it <= 12_500), "{first:?}");
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        let fingerprints = Fingerprints::default();
        let mut top = Top::new();
        for key in [Some("a"), None, Some("a"), Some("")] {
            top.used(fingerprints.of(key), key);
        }
        let of = |key: Option<&str>, used| KeyUse {
            key: key.map(str::to_owned),
            used,
            refused: None,
            error: 0,
            fingerprint: fingerprints.of(key),
        };
        assert_eq!(most_used(top.keys(false).collect(), 9), [of(Some("a"), 2), of(None, 1), of(Some(""), 1)]);
    }
}
