//! A quota as integer arithmetic: what one token is worth in time. Used by the GCRA and the token bucket; windows have their `Span`.

use std::time::Duration;

use super::{Quota, machine::NANO, receipt::Place};
use crate::{Timestamp, clock::nanos};

/// The last tick. Time stands still from there on (36 years after the origin for limits up to 8 million a second, 100 days at a billion).
pub(super) const LAST_TICK: u64 = (1 << 61) - 2;

/// The most that a full refill takes in ticks.
const MOST_FULL: f64 = (1_u64 << 60) as f64;

/// The interval between tokens, and how many there are at most.
///
/// Time is counted in ticks of 2^-shift nanoseconds: nanoseconds for all but absurd quotas, finer where an interval would otherwise be
/// rounded by more than one percent, coarser where a full refill would not fit the word. The interval is rounded up, so that a
/// limiter never admits more than its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Ticks per token, at least 1.
    pub(super) interval: u64,
    /// Tokens of a full bucket.
    pub(super) burst: u32,
    /// Ticks per nanosecond, as a power of two.
    pub(super) shift: i8,
}

impl Pace {
    /// A token a nanosecond, and all that a number holds at once: no limit that a caller could meet.
    const UNLIMITED: Self = Self { interval: 1, burst: u32::MAX, shift: 0 };

    pub(super) fn new(quota: Quota, burst: u32) -> Self {
        if quota.is_unlimited() {
            return Self::UNLIMITED;
        }
        let exact = nanos(quota.period) as f64 / quota.limit;
        let ticks = |shift: i8| exact * f64::from(shift).exp2();
        let mut shift = 0;
        while shift < 7 && ticks(shift) < 128.0 {
            shift += 1;
        }
        while shift > -60 && ticks(shift) * f64::from(burst) > MOST_FULL {
            shift -= 1;
        }
        let most = MOST_FULL as u64 / u64::from(burst.max(1));
        Self { interval: (ticks(shift).ceil() as u64).min(most).max(1), burst, shift }
    }

    /// The time in which an empty bucket fills, in ticks.
    ///
    /// At most 2^60, but for a pace that the lane reads while it changes and then discards: therefore it saturates.
    #[inline]
    pub(super) fn full(&self) -> u64 {
        self.worth(self.burst.into())
    }

    /// What so many tokens are worth, in ticks; saturates, because the tokens of a whole queue may be asked for.
    #[inline]
    pub(super) fn worth(&self, tokens: u64) -> u64 {
        self.interval.saturating_mul(tokens)
    }

    /// Whether there is no quota of its own.
    pub(super) fn is_unlimited(&self) -> bool {
        *self == Self::UNLIMITED
    }

    /// The difference of what is there and what is owed, in billionths of tokens.
    pub(super) fn nano_tokens(&self, credit: u64, debt: u64) -> i128 {
        (i128::from(credit) - i128::from(debt)) * i128::from(NANO) / i128::from(self.interval)
    }

    /// What a call of this cost, taken at `place`, has not used up `now` of its last `part`, in ticks: what the bucket would hold more had
    /// it come without that part.
    ///
    /// Since then `returned` tokens were taken out from beneath later calls, of which some may have been counted before this one: they
    /// are taken to have been, but never so that the call would have been worked off sooner than after an idle limiter. Between the
    /// two the bucket was never full, so that this is never more than what the call has cost those who came later.
    pub(super) fn unused(&self, place: Place, returned: u64, cost: u32, part: u32, now: u64) -> u64 {
        let alone = place.taken.saturating_add(self.worth(cost.into()));
        let full_at = place.full_at.saturating_sub(self.worth(returned)).max(alone);
        full_at.saturating_sub(now).min(self.worth(part.into()))
    }

    /// A point in time in ticks, such that a full refill from there on still fits.
    #[inline]
    pub(super) fn ticks(&self, now: Timestamp) -> u64 {
        let nanos = now.as_nanos();
        let ticks = match u32::try_from(self.shift) {
            Ok(finer) if nanos.leading_zeros() < finer => u64::MAX,
            Ok(finer) => nanos << finer,
            Err(_) => nanos >> self.shift.unsigned_abs(),
        };
        ticks.min(LAST_TICK.saturating_sub(self.full()))
    }

    /// A number of ticks as a duration, rounded up so that it is enough.
    pub(super) fn duration(&self, ticks: u64) -> Duration {
        let nanos = if let Ok(finer) = u32::try_from(self.shift) {
            ticks.div_ceil(1 << finer)
        } else {
            let coarser = u32::from(self.shift.unsigned_abs());
            if ticks.leading_zeros() < coarser { u64::MAX } else { ticks << coarser }
        };
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::gcra::Gcra;

    /// The lane reads a pace in two steps; between them a reload may bring another.
    #[test]
    fn pace_made_of_halves_of_two_breaks_nothing() {
        let day = Quota { limit: 1.0, period: Duration::from_secs(24 * 60 * 60) };
        let second = Quota { limit: 1e6, period: Duration::from_secs(1) };
        let torn = Pace { interval: Pace::new(day, 1).interval, ..Pace::new(second, 1_000_000) };
        for now in [Timestamp::ZERO, Timestamp::from_millis(1), Timestamp::MAX] {
            for tat in [0, torn.ticks(now), LAST_TICK] {
                let gcra = Gcra { tat };
                let _ = gcra.take(&torn, 1, now);
                let _ = gcra.nano_tokens(&torn, now);
                let _ = gcra.wait(&torn, u64::MAX, now);
            }
        }
    }
}
