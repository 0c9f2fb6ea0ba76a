//! The token bucket as a pure machine. It admits exactly what the GCRA does, and holds a level where that holds a time.

use std::time::Duration;

use super::{machine::NANO, pace::Pace, receipt::Place};
use crate::Timestamp;

/// A bucket that starts full and is refilled evenly (Turner, "New directions in communications", 1986).
///
/// The level is kept in ticks, the time that its tokens are worth, so that there is no fraction of a token to lose.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    pace: Pace,
    level: u64,
    /// Up to when time has been turned into tokens.
    at: u64,
}

impl TokenBucket {
    pub(super) fn holding(nano_tokens: u64, pace: Pace, now: Timestamp) -> Self {
        let level = u128::from(nano_tokens) * u128::from(pace.interval) / u128::from(NANO);
        Self { pace, level: u64::try_from(level).unwrap_or(u64::MAX).min(pace.full()), at: pace.ticks(now) }
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
            missing => self.pace.duration(missing.saturating_add(ahead)),
        }
    }

    /// Takes what [`TokenBucket::wait`] said is there.
    pub(super) fn take(&mut self, cost: u32) -> Place {
        self.level = self.level.saturating_sub(self.pace.worth(cost.into()));
        Place { taken: self.at, full_at: self.full_at() }
    }

    /// What a call has not used up, in ticks; see [`Pace::unused`].
    pub(super) fn unused(&mut self, place: Place, returned: u64, cost: u32, now: Timestamp) -> u64 {
        self.refill(now);
        self.pace.unused(place, returned, cost, self.at)
    }

    pub(super) fn give_back(&mut self, ticks: u64) {
        self.level = self.level.saturating_add(ticks).min(self.pace.full());
    }

    /// When it is full, if nothing is taken.
    pub(super) fn full_at(&self) -> u64 {
        self.at.saturating_add(self.pace.full() - self.level)
    }

    /// Ticks in tokens, rounded up.
    pub(super) fn tokens_in(&self, ticks: u64) -> u64 {
        ticks.div_ceil(self.pace.interval)
    }

    pub(super) fn nano_tokens(&mut self, now: Timestamp) -> u64 {
        self.refill(now);
        (u128::from(self.level) * u128::from(NANO) / u128::from(self.pace.interval)) as u64
    }

    pub(super) fn reset_after(&mut self, now: Timestamp) -> Duration {
        self.refill(now);
        self.pace.duration(self.pace.full() - self.level)
    }

    fn refill(&mut self, now: Timestamp) {
        let now = self.pace.ticks(now);
        self.level = self.level.saturating_add(now.saturating_sub(self.at)).min(self.pace.full());
        self.at = self.at.max(now);
    }
}
