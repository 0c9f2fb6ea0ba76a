//! The generic cell rate algorithm as a pure function of one word. The atomic word that threads share is in `lane`.

use std::time::Duration;

use super::{
    exceeded::Exceeded,
    machine::NANO,
    pace::{LAST_TICK, Pace},
    receipt::Place,
};
use crate::Timestamp;

/// The state of the generic cell rate algorithm (ITU-T I.371, virtual scheduling): the time at which all admitted calls are worked off.
///
/// A call is admitted if this lies at most `burst * interval` after it; it lies further away only while tokens are owed. Differs from governor's in that a refusal changes nothing,
/// the cost is a parameter, and the state survives another quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gcra {
    /// The theoretical arrival time, in ticks of the pace.
    pub(super) tat: u64,
}

impl Gcra {
    /// The state that holds so many billionths of tokens, below zero where they are owed.
    pub(super) fn holding(nano_tokens: i128, pace: &Pace, now: Timestamp) -> Self {
        let missing = (i128::from(pace.burst) * i128::from(NANO) - nano_tokens).max(0).unsigned_abs();
        let debt = missing.saturating_mul(u128::from(pace.interval)).div_ceil(u128::from(NANO));
        Self::owing(pace.ticks(now), u64::try_from(debt).unwrap_or(u64::MAX))
    }

    /// The state in which so many ticks are missing. A debt beyond all time ends with it.
    fn owing(now: u64, debt: u64) -> Self {
        Self { tat: now.saturating_add(debt).min(LAST_TICK) }
    }

    /// The state after a call of this cost.
    #[inline]
    pub(super) fn take(self, pace: &Pace, cost: u32, now: Timestamp) -> Result<Self, Exceeded> {
        if cost > pace.burst {
            return Err(Exceeded::NEVER);
        }
        let now = pace.ticks(now);
        let next = self.tat.max(now).saturating_add(pace.worth(cost.into()));
        let wait = (next - now).saturating_sub(pace.full());
        if wait > 0 { Err(Exceeded::after(pace.duration(wait))) } else { Ok(Self { tat: next }) }
    }

    /// How long until so many tokens have come in, more than the burst included.
    pub(super) fn wait(self, pace: &Pace, tokens: u64, now: Timestamp) -> Duration {
        pace.duration(self.debt(pace, now).saturating_add(pace.worth(tokens)).saturating_sub(pace.full()))
    }

    /// The state with so many ticks given back.
    pub(super) fn give_back(self, pace: &Pace, ticks: u64, now: Timestamp) -> Self {
        let full = self.tat.min(pace.ticks(now));
        Self { tat: self.tat.saturating_sub(ticks).max(full) }
    }

    /// The state once so many tokens more are gone, whether they were there or not.
    pub(super) fn owe(self, pace: &Pace, tokens: u32, now: Timestamp) -> Self {
        Self::owing(self.tat.max(pace.ticks(now)), pace.worth(tokens.into()))
    }

    /// The state with no more than so many tokens.
    pub(super) fn lower_to(self, pace: &Pace, tokens: u32, now: Timestamp) -> Self {
        let gone = pace.worth(pace.burst.saturating_sub(tokens).into());
        Self { tat: self.tat.max(pace.ticks(now) + gone) }
    }

    /// Where a call stands that has led to this state.
    #[inline]
    pub(super) fn place(self, pace: &Pace, now: Timestamp) -> Place {
        Place { taken: pace.ticks(now), full_at: self.tat }
    }

    /// The ticks until the bucket is full.
    pub(super) fn debt(self, pace: &Pace, now: Timestamp) -> u64 {
        self.tat.saturating_sub(pace.ticks(now))
    }

    /// The billionths of tokens that are there, below zero where they are owed.
    pub(super) fn nano_tokens(self, pace: &Pace, now: Timestamp) -> i128 {
        pace.nano_tokens(pace.full(), self.debt(pace, now))
    }
}
