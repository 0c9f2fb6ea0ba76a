//! The generic cell rate algorithm as a pure function of one word. The atomic word that threads share is in `lane`.

use std::time::Duration;

use super::{exceeded::Exceeded, machine::NANO, pace::Pace, receipt::Place};
use crate::Timestamp;

/// The state of the generic cell rate algorithm (ITU-T I.371, virtual scheduling): the time at which all admitted calls are worked off.
///
/// A call is admitted if this lies at most `burst * interval` after it. Differs from governor's in that a refusal changes nothing,
/// the cost is a parameter, and the state survives another quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gcra {
    /// The theoretical arrival time, in ticks of the pace.
    pub(super) tat: u64,
}

impl Gcra {
    /// The state that holds so many billionths of tokens.
    pub(super) fn holding(nano_tokens: u64, pace: &Pace, now: Timestamp) -> Self {
        let missing = (u64::from(pace.burst) * NANO).saturating_sub(nano_tokens);
        let debt = (u128::from(missing) * u128::from(pace.interval)).div_ceil(u128::from(NANO));
        Self { tat: pace.ticks(now) + debt as u64 }
    }

    /// The state after a call of this cost.
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

    /// Where a call stands that has led to this state.
    pub(super) fn place(self, pace: &Pace, now: Timestamp) -> Place {
        Place { taken: pace.ticks(now), full_at: self.tat }
    }

    /// The ticks until the bucket is full.
    pub(super) fn debt(self, pace: &Pace, now: Timestamp) -> u64 {
        self.tat.saturating_sub(pace.ticks(now))
    }

    /// The billionths of tokens that are there.
    pub(super) fn nano_tokens(self, pace: &Pace, now: Timestamp) -> u64 {
        let credit = pace.full().saturating_sub(self.debt(pace, now));
        (u128::from(credit) * u128::from(NANO) / u128::from(pace.interval)) as u64
    }
}
