//! What a shard of a keyed rate limit holds, and how it turns to another configuration.

use std::{mem, sync::Arc};

use crate::{
    InvalidConfig, Timestamp,
    keyed::{Fingerprint, Table, Top},
    rate::{
        Algorithm, Config, OnLimit, RateLimiter,
        gcra::Gcra,
        machine::{Machine, NANO},
        pace::Pace,
        receipt::Mark,
    },
    rejection::Name,
};

#[derive(Debug)]
pub(super) struct Shard {
    /// What a key without a quota of its own has.
    pub(super) config: Config,
    pub(super) pace: Pace,
    /// Counts what was returned from beneath later calls, of all keys together: the more it counts, the less the next return gives back.
    pub(super) mark: Mark,
    /// Empty while calls of new keys need a limiter of their own.
    pub(super) words: Table<Gcra>,
    pub(super) limiters: Table<Whole>,
    pub(super) top: Top,
}

#[derive(Debug)]
pub(super) struct Whole {
    pub(super) limiter: Arc<RateLimiter>,
    /// Its quota is not that of all.
    pub(super) has_own_quota: bool,
}

impl Config {
    /// Whether the state of a key under it is one word.
    pub(super) fn fits_word(&self) -> bool {
        self.algorithm == Algorithm::Gcra && self.on_limit == OnLimit::Reject
    }
}

impl Shard {
    pub(super) fn new(config: Config) -> Self {
        let pace = Pace::new(config.quota, config.burst_size);
        let (words, limiters) = (Table::new(), Table::new());
        Self { config, pace, mark: Mark::default(), words, limiters, top: Top::new() }
    }

    /// The tokens that a key has; what a new key would have where it is not known.
    pub(super) fn remaining(&mut self, fingerprint: Fingerprint, now: Timestamp) -> f64 {
        if let Some(whole) = self.limiters.get_mut(fingerprint) {
            return whole.limiter.remaining(now);
        }
        match self.words.get_mut(fingerprint) {
            Some(word) => word.nano_tokens(&self.pace, now).max(0) as f64 / NANO as f64,
            None => f64::from(self.config.most_at_once()),
        }
    }

    /// Takes out keys that are full, among so many places of either table.
    pub(super) fn sweep(&mut self, slots: usize, now: Timestamp) -> usize {
        let pace = self.pace;
        let words = self.words.sweep(slots, |word| word.debt(&pace, now) == 0);
        words + self.limiters.sweep(slots, |whole| whole.is_idle(now))
    }

    /// Turns to another quota or another kind of state, and keeps the tokens of every key. Those that are full are forgotten, as they would be anyway: how
    /// many. Whole limiters are reconfigured by the caller.
    pub(super) fn adopt(&mut self, limit: Config, name: &Name, now: Timestamp) -> Result<usize, InvalidConfig> {
        let pace = Pace::new(limit.quota, limit.burst_size);
        let old = mem::replace(&mut self.pace, pace);
        self.config = limit;
        if old == pace && limit.fits_word() {
            return Ok(0);
        }
        let full = self.words.retain(|word| word.debt(&old, now) > 0);
        if limit.fits_word() {
            for (_, word) in self.words.iter_mut() {
                *word = Gcra::holding(word.nano_tokens(&old, now), &pace, now);
            }
            self.mark.new_account();
        } else {
            for (fingerprint, word) in self.words.iter_mut() {
                let limiter = holding(word.nano_tokens(&old, now), &limit, name, now)?;
                self.limiters.insert(fingerprint, Whole { limiter, has_own_quota: false });
            }
            self.words = Table::new();
        }
        Ok(full)
    }
}

impl Whole {
    /// Only the owner of the shard's lock can give the limiter out, so that one which nobody holds stays so. One that nobody holds has nobody waiting.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        !self.has_own_quota && Arc::strong_count(&self.limiter) == 1 && self.limiter.reset_after(now).is_zero()
    }
}

/// A limiter that holds so many billionths of tokens, up to its burst.
pub(super) fn holding(
    nano_tokens: i128,
    config: &Config,
    name: &Name,
    now: Timestamp,
) -> Result<Arc<RateLimiter>, InvalidConfig> {
    let limiter = RateLimiter::new(Arc::clone(name), *config)?;
    limiter.seal().machine = Machine::holding(nano_tokens, config, now);
    Ok(Arc::new(limiter))
}

impl RateLimiter {
    /// The billionths of tokens that are there, below zero where they are owed.
    pub(super) fn nano_tokens(&self, now: Timestamp) -> i128 {
        self.seal().machine.nano_tokens(now)
    }
}
