//! The four algorithms behind one face, as they live under the limiter's mutex.

use std::time::Duration;

use super::{
    Algorithm, Config,
    exceeded::Exceeded,
    gcra::Gcra,
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
}

impl Machine {
    pub(super) fn full(config: &Config) -> Self {
        Self::holding(u64::from(config.most_at_once()) * NANO, config, Timestamp::ZERO)
    }

    /// Becomes a machine of another configuration that holds what this one held, up to its own limit: a reload mints no token.
    ///
    /// A sliding window that stays one keeps its log instead, which says more than a number of tokens. Everywhere else the places of calls
    /// are lost, and `mark` says so.
    pub(super) fn convert(&mut self, config: &Config, mark: &mut Mark, now: Timestamp) {
        if let (Self::SlidingLog(log), Algorithm::SlidingWindow) = (&mut *self, config.algorithm) {
            log.resize(Span::new(config.quota));
        } else {
            *self = Self::holding(self.nano_tokens(now), config, now);
            mark.new_quota();
        }
    }

    fn holding(nano_tokens: u64, config: &Config, now: Timestamp) -> Self {
        let tokens = u32::try_from(nano_tokens / NANO).unwrap_or(u32::MAX);
        let pace = Pace::new(config.quota, config.burst_size);
        let span = Span::new(config.quota);
        match config.algorithm {
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
        }
    }

    pub(super) fn try_take(&mut self, cost: u32, now: Timestamp) -> Result<Place, Exceeded> {
        self.check(cost, now)?;
        Ok(match self {
            Self::Gcra(gcra, pace) => {
                *gcra = gcra.take(pace, cost, now)?;
                gcra.place(pace, now)
            }
            Self::TokenBucket(bucket) => bucket.take(cost),
            Self::FixedWindow(window) => window.take(cost),
            Self::SlidingLog(log) => log.take(cost, now),
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
        }
    }

    /// Gives back what a call has not used up. Nothing if another quota has come since, under which its place says nothing.
    ///
    /// In a bucket the calls that came later stand upon it: their places are lowered by what is taken out from beneath them, which `mark`
    /// counts. A call upon which nothing stands is undone without a trace.
    pub(super) fn give_back(&mut self, receipt: &Receipt, mark: &mut Mark, now: Timestamp) {
        let &Receipt { cost, place, mark: then } = receipt;
        let Some(returned) = mark.since(then) else { return };
        let beneath = match self {
            Self::Gcra(gcra, pace) => {
                let ticks = pace.unused(place, returned, cost, pace.ticks(now));
                let is_last = returned == 0 && gcra.tat == place.full_at;
                *gcra = gcra.give_back(pace, ticks, now);
                if is_last { 0 } else { ticks.div_ceil(pace.interval) }
            }
            Self::TokenBucket(bucket) => {
                let ticks = bucket.unused(place, returned, cost, now);
                let is_last = returned == 0 && bucket.full_at() == place.full_at;
                bucket.give_back(ticks);
                if is_last { 0 } else { bucket.tokens_in(ticks) }
            }
            Self::FixedWindow(window) => {
                window.give_back(place, cost, now);
                0
            }
            Self::SlidingLog(log) => {
                log.give_back(place, cost, now);
                0
            }
        };
        mark.returned(beneath);
    }

    pub(super) fn nano_tokens(&mut self, now: Timestamp) -> u64 {
        match self {
            Self::Gcra(gcra, pace) => gcra.nano_tokens(pace, now),
            Self::TokenBucket(bucket) => bucket.nano_tokens(now),
            Self::FixedWindow(window) => u64::from(window.tokens(now)) * NANO,
            Self::SlidingLog(log) => u64::from(log.tokens(now)) * NANO,
        }
    }

    /// How long until it is full.
    pub(super) fn reset_after(&mut self, now: Timestamp) -> Duration {
        match self {
            Self::Gcra(gcra, pace) => pace.duration(gcra.debt(pace, now)),
            Self::TokenBucket(bucket) => bucket.reset_after(now),
            Self::FixedWindow(window) => window.reset_after(now),
            Self::SlidingLog(log) => log.reset_after(now),
        }
    }
}
