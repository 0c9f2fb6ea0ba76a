//! What operators see of the keys of one stage: which are used most, which are refused most, and which are refused now. The maps are `machines` and
//! `rate::keyed`.
//!
//! | asked for | where it comes from | what it costs |
//! |---|---|---|
//! | [`KeyOrder::Calls`] | the keys that each shard follows: see [`KeyUse`] | 512 keys, whatever their number |
//! | the others, of circuits and of limits on calls in flight | the machines of all keys | O(keys); a shard is locked for [`AT_ONCE`](super::AT_ONCE) of its places at a time |
//! | the others, of rate limits | the keys that are followed: of the other keys no text is kept | 512 keys |
//!
//! A call pays for none of it but for the keys that are followed, which it counted before anybody asked.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Fingerprint, KeyCounts, KeyId, KeyUse, Keyed, MOST_SHOWN, Machine, Origin, machines::Scored, most_used};
use crate::{
    Stage, Timestamp,
    breaker::{Breaker, State},
    concurrency::Limiter,
    rate::KeyedRateLimiter,
};

/// The keys of one stage of an operation; clones are the same.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeyMap {
    /// A circuit for each key.
    CircuitBreaker(Arc<Keyed<Breaker>>),
    /// A rate limit for each key.
    RateLimit(Arc<KeyedRateLimiter>),
    /// A limit on calls in flight for each key.
    Concurrency(Arc<Keyed<Limiter>>),
}

/// Which keys are asked for, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyOrder {
    /// Those with the most calls.
    #[default]
    Calls,
    /// Those that were refused at all, most refusals first.
    Refusals,
    /// Those of which a call would be refused, probe, or have to wait now: their circuit is not closed, no whole token is left, no permit is free. Most refusals
    /// first.
    Refusing,
}

/// One key, as operators look at it.
///
/// Its text is as secret as what it is made of: it belongs into no metric and no log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KeyLook {
    /// What it is called where its text is not to be shown.
    pub id: KeyId,
    /// The key, cut after 256 bytes, and empty where its text is not kept; `None` stands for the calls that have none.
    pub key: Option<String>,
    /// Its calls, refused ones included, where it is among those that are followed: see [`KeyUse::used`].
    pub calls: Option<u64>,
    /// By how much `calls` may be too high.
    pub calls_error: u64,
    /// Calls that were refused: of circuits and of limits on calls in flight all since the key has a state of its own, of rate limits at least so many; `None` where
    /// that is not known.
    pub refused: Option<u64>,
    /// How it stands.
    pub state: KeyState,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum KeyState {
    /// Its circuit.
    Circuit {
        /// The state.
        state: State,
        /// The time until the next call is admitted; `None` unless open.
        retry_after: Option<Duration>,
    },
    /// Its rate limit.
    Rate {
        /// Calls of cost 1 that would be admitted now, with the fraction that is already refilled. Below 0 is shown as 0.
        remaining: f64,
    },
    /// Its limit on calls in flight.
    Concurrency {
        /// Calls that hold a permit.
        inflight: u32,
        /// The limit as it is now.
        max_inflight: u32,
        /// Calls that wait for a permit.
        queued: usize,
    },
    /// It has no state of its own now: it was forgotten because it was idle, or shares the one of all keys without a place.
    None,
}

impl KeyOrder {
    /// All orders.
    pub const ALL: [Self; 3] = [Self::Calls, Self::Refusals, Self::Refusing];

    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Refusals => "refusals",
            Self::Refusing => "refusing",
        }
    }
}

impl KeyMap {
    /// The stage whose state it is.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::CircuitBreaker(_) => Stage::CircuitBreaker,
            Self::RateLimit(_) => Stage::RateLimit,
            Self::Concurrency(_) => Stage::Concurrency,
        }
    }

    /// What the keys are made of, as whoever reads them says it; `None` if nobody does.
    pub fn source(&self) -> Option<String> {
        self.origin().source()
    }

    /// Whether the texts of its keys may be secrets, and are to be shown to nobody: some were read from what may be one, ever since there is this map, or nobody
    /// says what they are. Ask after the keys were [looked at](Self::top): what they are made of may change meanwhile.
    pub fn is_hidden(&self) -> bool {
        self.origin().is_hidden()
    }

    fn origin(&self) -> &Origin {
        match self {
            Self::CircuitBreaker(circuits) => circuits.origin(),
            Self::RateLimit(limits) => limits.origin(),
            Self::Concurrency(limits) => limits.origin(),
        }
    }

    /// How many keys there are, and what became of the others.
    pub fn counts(&self) -> KeyCounts {
        match self {
            Self::CircuitBreaker(circuits) => circuits.counts(),
            Self::RateLimit(limits) => limits.counts(),
            Self::Concurrency(limits) => limits.counts(),
        }
    }

    /// How many keys would refuse a call now, let it probe or let it wait. Looks at all keys; `None` for rate limits, of which that changes while one looks.
    pub fn refusing(&self, now: Timestamp) -> Option<u64> {
        match self {
            Self::CircuitBreaker(circuits) => Some(circuits.sum(|it| usize::from(is_open(it, now))) as u64),
            Self::RateLimit(_) => None,
            Self::Concurrency(limits) => Some(limits.sum(|it| usize::from(it.peek().is_err())) as u64),
        }
    }

    /// The first keys in this order, at most `most` and at most [`MOST_SHOWN`].
    pub fn top(&self, order: KeyOrder, most: usize, now: Timestamp) -> Vec<KeyLook> {
        let most = most.min(MOST_SHOWN);
        match self {
            Self::CircuitBreaker(circuits) => top(circuits, order, most, now),
            Self::RateLimit(limits) => top_limits(limits, order, most, now),
            Self::Concurrency(limits) => top(limits, order, most, now),
        }
    }

    /// The circuit of the key of this name; `None` if none of this name has a circuit of its own. Looks at all keys.
    pub fn find(&self, id: KeyId) -> Option<Arc<Breaker>> {
        let Self::CircuitBreaker(circuits) = self else { return None };
        circuits.named(id).map(|(_, breaker)| breaker)
    }
}

/// A machine of a key as it is looked at.
trait Shown: Machine {
    fn refusals(&self) -> u64;
    fn refuses(&self, now: Timestamp) -> bool;
    fn shown(&self, now: Timestamp) -> KeyState;
}

impl Shown for Breaker {
    fn refusals(&self) -> u64 {
        self.rejected()
    }

    fn refuses(&self, now: Timestamp) -> bool {
        is_open(self, now)
    }

    fn shown(&self, now: Timestamp) -> KeyState {
        KeyState::Circuit { state: self.state(now), retry_after: self.retry_after(now) }
    }
}

impl Shown for Limiter {
    fn refusals(&self) -> u64 {
        self.refused()
    }

    fn refuses(&self, _now: Timestamp) -> bool {
        self.peek().is_err()
    }

    fn shown(&self, _now: Timestamp) -> KeyState {
        KeyState::Concurrency { inflight: self.inflight(), max_inflight: self.max_inflight(), queued: self.queued() }
    }
}

/// Whether a circuit is not closed, as operators mean it.
fn is_open(breaker: &Breaker, now: Timestamp) -> bool {
    matches!(breaker.state(now), State::Open | State::HalfOpen | State::ForcedOpen)
}

fn top<M: Shown>(map: &Keyed<M>, order: KeyOrder, most: usize, now: Timestamp) -> Vec<KeyLook> {
    if order == KeyOrder::Calls {
        return map.most_used(most).into_iter().map(|it| used(map, it, now)).collect();
    }
    let followed: HashMap<Fingerprint, KeyUse> = map.followed().into_iter().map(|it| (it.fingerprint, it)).collect();
    let score = |machine: &M| {
        let refusals = machine.refusals();
        let is_wanted = if order == KeyOrder::Refusals { refusals > 0 } else { machine.refuses(now) };
        is_wanted.then_some(refusals)
    };
    let look = |it: Scored<M>| KeyLook {
        id: it.fingerprint.into(),
        calls: followed.get(&it.fingerprint).map(|it| it.used),
        calls_error: followed.get(&it.fingerprint).map_or(0, |it| it.error),
        refused: Some(it.score),
        state: it.machine.shown(now),
        key: it.key,
    };
    map.highest(most, score).into_iter().map(look).collect()
}

/// A key that is followed, with its machine where it has one.
fn used<M: Shown>(map: &Keyed<M>, it: KeyUse, now: Timestamp) -> KeyLook {
    let machine = map.at(it.fingerprint);
    KeyLook {
        refused: machine.as_deref().map(M::refusals),
        state: machine.map_or(KeyState::None, |machine| machine.shown(now)),
        ..KeyLook::of(it)
    }
}

fn top_limits(limits: &KeyedRateLimiter, order: KeyOrder, most: usize, now: Timestamp) -> Vec<KeyLook> {
    let all = limits.followed(now);
    let remaining: HashMap<Fingerprint, f64> = all.iter().map(|(it, remaining)| (it.fingerprint, *remaining)).collect();
    let is_wanted = |(it, remaining): &(KeyUse, f64)| match order {
        KeyOrder::Calls => true,
        KeyOrder::Refusals => it.refused > Some(0),
        KeyOrder::Refusing => *remaining < 1.0,
    };
    let mut wanted: Vec<KeyUse> = all.into_iter().filter(is_wanted).map(|(it, _)| it).collect();
    if order == KeyOrder::Calls {
        wanted = most_used(wanted, most);
    } else {
        wanted.sort_unstable_by(|a, b| b.refused.cmp(&a.refused).then_with(|| a.key.cmp(&b.key)));
        wanted.truncate(most);
    }
    let state =
        |it: &KeyUse| KeyState::Rate { remaining: remaining.get(&it.fingerprint).map_or(0.0, |it| it.max(0.0)) };
    wanted.into_iter().map(|it| KeyLook { state: state(&it), ..KeyLook::of(it) }).collect()
}

impl KeyLook {
    fn of(it: KeyUse) -> Self {
        Self {
            id: it.id(),
            calls: Some(it.used),
            calls_error: it.error,
            refused: it.refused,
            state: KeyState::None,
            key: it.key,
        }
    }
}
