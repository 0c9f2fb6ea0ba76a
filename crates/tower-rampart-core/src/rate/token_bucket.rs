//! The token bucket as a pure machine. It admits exactly what the GCRA does, and holds a level where that holds a time.

use std::time::Duration;

use super::{
    machine::NANO,
    pace::{LAST_TICK, Pace},
    receipt::Place,
};
use crate::Timestamp;

/// A bucket that starts full and is refilled evenly (Turner, "New directions in communications", 1986).
///
/// The level is kept in ticks, the time that its tokens are worth, so that there is no fraction of a token to lose.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    pace: Pace,
    level: u64,
    /// What is owed; only an empty bucket owes.
    debt: u64,
    /// Up to when time has been turned into tokens.
    at: u64,
}

impl TokenBucket {
    /// A bucket with so many billionths of tokens, below zero where they are owed.
    pub(super) fn holding(nano_tokens: i128, pace: Pace, now: Timestamp) -> Self {
        let ticks = nano_tokens.unsigned_abs().saturating_mul(u128::from(pace.interval));
        let nano = u128::from(NANO);
        let (level, debt) = if nano_tokens < 0 { (0, ticks.div_ceil(nano)) } else { (ticks / nano, 0) };
        let at_most = |ticks: u128, most: u64| u64::try_from(ticks).unwrap_or(u64::MAX).min(most);
        Self { pace, level: at_most(level, pace.full()), debt: at_most(debt, LAST_TICK), at: pace.ticks(now) }
    }

    pub(super) fn burst(&self) -> u32 {
        self.pace.burst
    }

    /// How long until so many tokens have come in, more than the burst included.
    pub(super) fn wait(&mut self, tokens: u64, now: Timestamp) -> Duration {
        self.refill(now);
        // A clock that went back waits for the refill to begin.
        let ahead = self.at - self.pace.ticks(now).min(self.at);
        match self.pace.worth(tokens).saturating_sub(self.level) {
            0 => Duration::ZERO,
            missing => self.pace.duration(missing.saturating_add(self.debt).saturating_add(ahead)),
        }
    }

    /// Takes what [`TokenBucket::wait`] said is there.
    pub(super) fn take(&mut self, cost: u32) -> Place {
        self.level = self.level.saturating_sub(self.pace.worth(cost.into()));
        Place { taken: self.at, full_at: self.full_at() }
    }

    /// What a call has not used up of its last part, in ticks; see [`Pace::unused`].
    pub(super) fn unused(&mut self, place: Place, returned: u64, cost: u32, part: u32, now: Timestamp) -> u64 {
        self.refill(now);
        self.pace.unused(place, returned, cost, part, self.at)
    }

    pub(super) fn give_back(&mut self, ticks: u64) {
        let paid = ticks.min(self.debt);
        self.debt -= paid;
        self.level = self.level.saturating_add(ticks - paid).min(self.pace.full());
    }

    /// Takes tokens whether they are there or not.
    pub(super) fn owe(&mut self, tokens: u32, now: Timestamp) {
        self.refill(now);
        let ticks = self.pace.worth(tokens.into());
        let there = ticks.min(self.level);
        self.level -= there;
        self.debt = self.debt.saturating_add(ticks - there).min(LAST_TICK);
    }

    /// Keeps no more than so many tokens.
    pub(super) fn lower_to(&mut self, tokens: u32, now: Timestamp) {
        self.refill(now);
        self.level = self.level.min(self.pace.worth(tokens.into()));
    }

    /// When it is full, if nothing is taken.
    pub(super) fn full_at(&self) -> u64 {
        self.at.saturating_add(self.pace.full() - self.level).saturating_add(self.debt)
    }

    /// Ticks in tokens, rounded up.
    pub(super) fn tokens_in(&self, ticks: u64) -> u64 {
        ticks.div_ceil(self.pace.interval)
    }

    /// The billionths of tokens that are there, below zero where they are owed.
    pub(super) fn nano_tokens(&mut self, now: Timestamp) -> i128 {
        self.refill(now);
        self.pace.nano_tokens(self.level, self.debt)
    }

    pub(super) fn reset_after(&mut self, now: Timestamp) -> Duration {
        self.refill(now);
        self.pace.duration((self.pace.full() - self.level).saturating_add(self.debt))
    }

    fn refill(&mut self, now: Timestamp) {
        let now = self.pace.ticks(now);
        self.give_back(now.saturating_sub(self.at));
        self.at = self.at.max(now);
    }
}
