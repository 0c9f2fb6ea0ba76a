//! The four algorithms behind one face, as they live under the limiter's mutex.

use std::time::Duration;

use super::{
    Algorithm, Config,
    exceeded::Exceeded,
    gcra::Gcra,
    leased::Leased,
    pace::Pace,
    receipt::{Mark, Place, Receipt},
    sliding_log::SlidingLog,
    token_bucket::TokenBucket,
    window::{FixedWindow, Span},
};
use crate::Timestamp;

/// Billionths of a token in a token: the unit in which tokens pass from one algorithm or quota to another.
pub(super) const NANO: u64 = 1_000_000_000;

#[derive(Debug)]
pub(super) enum Machine {
    Gcra(Gcra, Pace),
    TokenBucket(TokenBucket),
    FixedWindow(FixedWindow),
    SlidingLog(SlidingLog),
    /// A part of what a fleet holds together, whatever the algorithm.
    Leased(Box<Leased>),
}

impl Machine {
    pub(super) fn full(config: &Config) -> Self {
        Self::holding(i128::from(config.most_at_once()) * i128::from(NANO), config, Timestamp::ZERO)
    }

    /// Becomes a machine of another configuration that holds what this one held, up to its own limit, and owes what this one owed: a reload
    /// mints no token.
    ///
    /// A sliding window that stays one keeps its log instead, which says more than a number of tokens. Everywhere else the places of calls
    /// are lost, and `mark` says so.
    pub(super) fn convert(&mut self, config: &Config, mark: &mut Mark, now: Timestamp) {
        if let (Self::SlidingLog(log), Algorithm::SlidingWindow, false) =
            (&mut *self, config.algorithm, config.quota.is_unlimited())
        {
            log.resize(Span::new(config.quota));
        } else if let Self::Leased(leased) = self {
            leased.convert(config, now);
        } else {
            *self = Self::holding(self.nano_tokens(now), config, now);
            mark.new_account();
        }
    }

    /// Becomes the part of a fleet's limit that holds what this machine held, as far as the share goes.
    pub(super) fn lease(&mut self, config: &Config, share: f64, mark: &mut Mark, now: Timestamp) {
        *self = Self::Leased(Box::new(Leased::new(config, share, self.nano_tokens(now), now)));
        mark.new_account();
    }

    /// Becomes a machine of its own that holds what its part of the fleet's held.
    pub(super) fn own(&mut self, config: &Config, mark: &mut Mark, now: Timestamp) {
        *self = Self::holding(self.nano_tokens(now), config, now);
        mark.new_account();
    }

    pub(super) fn holding(nano_tokens: i128, config: &Config, now: Timestamp) -> Self {
        let tokens = nano_tokens.div_euclid(i128::from(NANO));
        let tokens = i64::try_from(tokens).unwrap_or(if tokens < 0 { i64::MIN } else { i64::MAX });
        let pace = Pace::new(config.quota, config.burst_size);
        let span = Span::new(config.quota);
        match config.algorithm {
            // What never fills needs no window to be counted in.
            _ if config.quota.is_unlimited() => Self::Gcra(Gcra::holding(nano_tokens, &pace, now), pace),
            Algorithm::Gcra => Self::Gcra(Gcra::holding(nano_tokens, &pace, now), pace),
            Algorithm::TokenBucket => Self::TokenBucket(TokenBucket::holding(nano_tokens, pace, now)),
            Algorithm::FixedWindow => Self::FixedWindow(FixedWindow::holding(tokens, span, now)),
            Algorithm::SlidingWindow => Self::SlidingLog(SlidingLog::holding(tokens, span, now)),
        }
    }

    /// The most that is ever admitted at once.
    pub(super) fn capacity(&self) -> u32 {
        match self {
            Self::Gcra(_, pace) => pace.burst,
            Self::TokenBucket(bucket) => bucket.burst(),
            Self::FixedWindow(window) => window.limit(),
            Self::SlidingLog(log) => log.limit(),
            Self::Leased(leased) => leased.capacity(),
        }
    }

    pub(super) fn try_take(&mut self, cost: u32, now: Timestamp) -> Result<Place, Exceeded> {
        if let Self::Leased(leased) = self {
            leased.ask(cost);
        }
        if let Err(exceeded) = self.check(cost, now) {
            if let Self::Leased(leased) = self
                && exceeded != Exceeded::NEVER
            {
                leased.refuse(cost);
            }
            return Err(exceeded);
        }
        Ok(match self {
            Self::Gcra(gcra, pace) => {
                *gcra = gcra.take(pace, cost, now)?;
                gcra.place(pace, now)
            }
            Self::TokenBucket(bucket) => bucket.take(cost),
            Self::FixedWindow(window) => window.take(cost),
            Self::SlidingLog(log) => log.take(cost, now),
            Self::Leased(leased) => leased.take(cost, now),
        })
    }

    /// Whether [`Machine::try_take`] would succeed.
    pub(super) fn check(&mut self, cost: u32, now: Timestamp) -> Result<(), Exceeded> {
        if cost > self.capacity() {
            return Err(Exceeded::NEVER);
        }
        match self.wait(cost.into(), now) {
            Duration::ZERO => Ok(()),
            wait => Err(Exceeded::after(wait)),
        }
    }

    /// How long until calls of this cost together, more than the capacity included, would have been admitted one after another.
    pub(super) fn wait(&mut self, cost: u64, now: Timestamp) -> Duration {
        match self {
            Self::Gcra(gcra, pace) => gcra.wait(pace, cost, now),
            Self::TokenBucket(bucket) => bucket.wait(cost, now),
            Self::FixedWindow(window) => window.wait(cost, now),
            Self::SlidingLog(log) => log.wait(cost, now),
            Self::Leased(leased) => leased.wait(cost, now),
        }
    }

    /// The same from a later point in time on, which changes nothing yet.
    pub(super) fn wait_later(&self, cost: u64, then: Timestamp) -> Duration {
        match self {
            Self::Gcra(gcra, pace) => gcra.wait(pace, cost, then),
            Self::TokenBucket(bucket) => bucket.clone().wait(cost, then),
            Self::FixedWindow(window) => window.clone().wait(cost, then),
            Self::SlidingLog(log) => log.wait_later(cost, then),
            Self::Leased(leased) => leased.wait(cost, then),
        }
    }

    /// Takes tokens whether they are there or not.
    pub(super) fn owe(&mut self, tokens: u32, now: Timestamp) {
        match self {
            Self::Gcra(gcra, pace) => *gcra = gcra.owe(pace, tokens, now),
            Self::TokenBucket(bucket) => bucket.owe(tokens, now),
            Self::FixedWindow(window) => window.owe(tokens, now),
            Self::SlidingLog(log) => log.owe(tokens, now),
            Self::Leased(leased) => leased.owe(tokens, now),
        }
    }

    /// Keeps no more than so many tokens; whether there were more.
    pub(super) fn lower_to(&mut self, tokens: u64, now: Timestamp) -> bool {
        let Some(tokens) =
            u32::try_from(tokens).ok().filter(|it| self.nano_tokens(now) > i128::from(*it) * i128::from(NANO))
        else {
            return false;
        };
        match self {
            Self::Gcra(gcra, pace) => *gcra = gcra.lower_to(pace, tokens, now),
            Self::TokenBucket(bucket) => bucket.lower_to(tokens, now),
            Self::FixedWindow(window) => window.lower_to(tokens, now),
            Self::SlidingLog(log) => log.lower_to(tokens, now),
            Self::Leased(leased) => leased.lower_to(tokens, now),
        }
        true
    }

    /// Whether it has no quota of its own.
    pub(super) fn is_unlimited(&self) -> bool {
        match self {
            Self::Gcra(_, pace) => pace.is_unlimited(),
            Self::Leased(leased) => leased.is_unlimited(),
            _ => false,
        }
    }

    /// Gives back what a call has not used up of its last `part`. Nothing if another quota has come since, under which its place says nothing.
    ///
    /// In a bucket the calls that came later stand upon it: their places are lowered by what is taken out from beneath them, which `mark`
    /// counts. A call upon which nothing stands is undone without a trace.
    pub(super) fn give_back(&mut self, receipt: &Receipt, part: u32, mark: &mut Mark, now: Timestamp) {
        let &Receipt { cost, place, mark: then } = receipt;
        let Some(returned) = mark.since(then) else { return };
        let beneath = match self {
            Self::Gcra(gcra, pace) => {
                let ticks = pace.unused(place, returned, cost, part, pace.ticks(now));
                let is_last = returned == 0 && gcra.tat == place.full_at;
                *gcra = gcra.give_back(pace, ticks, now);
                if is_last { 0 } else { ticks.div_ceil(pace.interval) }
            }
            Self::TokenBucket(bucket) => {
                let ticks = bucket.unused(place, returned, cost, part, now);
                let is_last = returned == 0 && bucket.full_at() == place.full_at;
                bucket.give_back(ticks);
                if is_last { 0 } else { bucket.tokens_in(ticks) }
            }
            Self::FixedWindow(window) => {
                window.give_back(place, part, now);
                0
            }
            Self::SlidingLog(log) => {
                log.give_back(place, part, now);
                0
            }
            Self::Leased(leased) => {
                leased.give_back(place, part, now);
                0
            }
        };
        mark.returned(beneath);
    }

    /// The billionths of tokens that are there, below zero where they are owed.
    pub(super) fn nano_tokens(&mut self, now: Timestamp) -> i128 {
        match self {
            Self::Gcra(gcra, pace) => gcra.nano_tokens(pace, now),
            Self::TokenBucket(bucket) => bucket.nano_tokens(now),
            Self::FixedWindow(window) => i128::from(window.tokens(now)) * i128::from(NANO),
            Self::SlidingLog(log) => i128::from(log.tokens(now)) * i128::from(NANO),
            Self::Leased(leased) => leased.nano_tokens(now),
        }
    }

    /// How long until it is full.
    pub(super) fn reset_after(&mut self, now: Timestamp) -> Duration {
        match self {
            Self::Gcra(gcra, pace) => pace.duration(gcra.debt(pace, now)),
            Self::TokenBucket(bucket) => bucket.reset_after(now),
            Self::FixedWindow(window) => window.reset_after(now),
            Self::SlidingLog(log) => log.reset_after(now),
            Self::Leased(leased) => leased.reset_after(now),
        }
    }
}
