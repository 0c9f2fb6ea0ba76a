//! A rate limit for each key: a word a key where the GCRA refuses, a limiter of its own for each where calls wait or another algorithm counts. The map's
//! parts are those of [`keyed`](crate::keyed).

mod config;
mod shard;

use std::{collections::HashMap, fmt, sync::Arc, task::Waker};

pub use self::config::{KeyLimit, KeyedConfig};
use self::shard::{Shard, Whole, holding};
use super::{Config, RateLimiter, Receipt, exceeded::Exceeded, gcra::Gcra, machine::Machine};
use crate::{
    InvalidConfig, Timestamp,
    keyed::{Fingerprint, KeyCounts, KeyUse, MOST_SHOWN, Origin, Shards, most_used},
    rejection::RateLimited,
    sync::{Mutex, lock},
};

/// A rate limit for each key, at most so many, and one for all further keys.
///
/// With the GCRA and [`OnLimit::Reject`](super::OnLimit::Reject) the state of a key is one word beside its fingerprint: 24 bytes, up to twice that with the free places of the table. A
/// key whose calls wait, that another algorithm counts, or that has a quota of its own has a whole [`RateLimiter`], some 300 bytes.
///
/// A key is forgotten when its limit is full, because that is what a new key's is: no key comes off better by being forgotten, and none comes off worse. As
/// long as there is anything it owes it is kept. When all places are taken by such keys, further ones share the limiter that this was made over, whose
/// quota is that of one key.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tower_rampart_core::{Timestamp, rate::{Config, KeyedConfig, KeyedRateLimiter, RateLimiter}};
///
/// let shared = Arc::new(RateLimiter::new("search", Config::per_second(1.0))?);
/// let limiter = KeyedRateLimiter::over(shared, KeyedConfig::default())?;
/// let now = Timestamp::ZERO;
/// let (mut noisy, mut quiet) = (limiter.account(Some("noisy")), limiter.account(Some("quiet")));
/// assert!(limiter.try_acquire(&mut noisy, 1, now).is_ok());
/// assert!(limiter.try_acquire(&mut noisy, 1, now).is_err());
/// assert!(limiter.try_acquire(&mut quiet, 1, now).is_ok());
/// # Ok::<(), tower_rampart_core::InvalidConfig>(())
/// ```
pub struct KeyedRateLimiter {
    shared: Arc<RateLimiter>,
    shards: Shards<Shard>,
    origin: Origin,
    /// Held while the configuration is replaced, so that two writers cannot interleave.
    config: Mutex<KeyedConfig>,
}

/// A key of one [`KeyedRateLimiter`], for one call: asks that and no other.
///
/// Not kept for long: while it holds a [`limiter`](Self::limiter), that cannot be forgotten.
#[must_use = "an account is what the limiter is asked by"]
#[derive(Debug)]
pub struct Account {
    fingerprint: Fingerprint,
    limiter: Option<Arc<RateLimiter>>,
}

impl Account {
    /// The limiter of the key, where it has a whole one: the one to wait for.
    pub fn limiter(&self) -> Option<&Arc<RateLimiter>> {
        self.limiter.as_ref()
    }
}

impl KeyedRateLimiter {
    /// No keys yet; `shared` says what each key has, and is the limiter of all keys beyond `max_keys`. It stays its owner's to reconfigure, which then says
    /// so by [`reconfigure`](Self::reconfigure).
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn over(shared: Arc<RateLimiter>, config: KeyedConfig) -> Result<Self, InvalidConfig> {
        Self::make(shared, config, None)
    }

    /// The same, but it is reproducible which keys are forgotten first: for simulations, as whoever knows the seed can send keys that crowd one shard.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn over_with_seed(shared: Arc<RateLimiter>, config: KeyedConfig, seed: u64) -> Result<Self, InvalidConfig> {
        Self::make(shared, config, Some(seed))
    }

    fn make(shared: Arc<RateLimiter>, config: KeyedConfig, seed: Option<u64>) -> Result<Self, InvalidConfig> {
        config.check()?;
        let limit = shared.config();
        let shards = Shards::new(config.max_keys, || Shard::new(limit));
        let shards = match seed {
            Some(seed) => shards.with_seed(seed),
            None => shards,
        };
        let limiter = Self { shared, shards, origin: Origin::new(), config: Mutex::new(KeyedConfig::default()) };
        limiter.reconfigure(config, Timestamp::ZERO)?;
        Ok(limiter)
    }

    /// The limiter of all keys that find no place.
    pub fn shared(&self) -> &Arc<RateLimiter> {
        &self.shared
    }

    /// How many keys it knows, and which of them have a quota of their own.
    pub fn config(&self) -> KeyedConfig {
        lock(&self.config).clone()
    }

    /// The account of a key, and of calls that have none: counts the call among those of the key, and takes nothing. The key gets a state of its own, or finds
    /// no place, when it is asked.
    pub fn account(&self, key: Option<&str>) -> Account {
        self.count(key, key)
    }

    /// The same, but none of the key's text is kept unless it is known already: wherever the key is shown its text is empty. For keys any of which may be a
    /// secret, such as paths.
    pub fn account_untold(&self, key: Option<&str>) -> Account {
        self.count(key, key.map(|_| ""))
    }

    fn count(&self, key: Option<&str>, told: Option<&str>) -> Account {
        let fingerprint = self.shards.fingerprint(key);
        self.shards.lock(fingerprint).top.used(fingerprint, told);
        Account { fingerprint, limiter: None }
    }

    /// Says what keys are made of from now on, before the first of them comes. Once they may be secrets, operators are shown the text of none any more: those
    /// of before are still there. As long as nobody says anything they are shown none either.
    pub fn made_of(&self, source: &str, is_secret: bool) {
        self.origin.say(source, is_secret);
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Gives the account its limiter, if the key has or needs a whole one; where calls wait they wait for that.
    pub fn resolve(&self, account: &mut Account, now: Timestamp) {
        if account.limiter.is_none() {
            let mut shard = self.shards.lock(account.fingerprint);
            account.limiter = self.limiter_of(&mut shard, account.fingerprint, now);
        }
    }

    /// Takes `cost` tokens of the key if they are there and nobody waits for them. A limiter that is off admits everything and takes nothing.
    ///
    /// # Errors
    /// Says when the call would be admitted; a refusal takes nothing.
    pub fn try_acquire(&self, account: &mut Account, cost: u32, now: Timestamp) -> Result<Receipt, Exceeded> {
        if !self.shared.is_enabled() {
            return Ok(Receipt::default());
        }
        if account.limiter.is_none() {
            let mut shard = self.shards.lock(account.fingerprint);
            match self.limiter_of(&mut shard, account.fingerprint, now) {
                Some(limiter) => account.limiter = Some(limiter),
                None => match self.take(&mut shard, account.fingerprint, cost, now)? {
                    Some(receipt) => return Ok(receipt),
                    None => account.limiter = Some(Arc::clone(&self.shared)),
                },
            }
        }
        account.limiter.as_ref().unwrap_or(&self.shared).try_acquire(cost, now)
    }

    /// Gives back what a call took that is not made after all; see [`RateLimiter::give_back`]. Of a key that is a word, the returns of other keys count as
    /// its own, so that less is given back than could be, and never more.
    pub fn give_back(&self, account: &Account, receipt: Receipt, now: Timestamp) {
        if let Some(limiter) = &account.limiter {
            limiter.give_back(receipt, now);
        } else if receipt.cost() > 0 {
            let mut shard = self.shards.lock(account.fingerprint);
            let Shard { words, pace, mark, .. } = &mut *shard;
            // A key that was forgotten since was full, and has nothing to be given back.
            let Some(word) = words.get_mut(account.fingerprint) else { return };
            let mut machine = Machine::Gcra(*word, *pace);
            machine.give_back(&receipt, receipt.cost(), mark, now);
            if let Machine::Gcra(gcra, _) = machine {
                *word = gcra;
            }
        }
    }

    /// The refusal that callers see; counts it among those of the key, which it does not name.
    pub fn refusal(&self, account: &Account, exceeded: Exceeded) -> RateLimited {
        self.shards.lock(account.fingerprint).top.refused(account.fingerprint);
        exceeded.refusal(account.limiter.as_ref().unwrap_or(&self.shared)).per_key()
    }

    /// The tokens that a key has, with fractions; looking makes nothing. What a new key would have where it is not known.
    pub fn remaining(&self, key: Option<&str>, now: Timestamp) -> f64 {
        let fingerprint = self.shards.fingerprint(key);
        self.shards.lock(fingerprint).remaining(fingerprint, now)
    }

    /// Every key that is followed, in no order, and the tokens that it has.
    pub(crate) fn followed(&self, now: Timestamp) -> Vec<(KeyUse, f64)> {
        let mut all = Vec::new();
        for mut shard in self.shards.each() {
            let keys: Vec<KeyUse> = shard.top.keys(true).collect();
            all.extend(keys.into_iter().map(|it| {
                let remaining = shard.remaining(it.fingerprint, now);
                (it, remaining)
            }));
        }
        all
    }

    /// Runs on another configuration from now on, and on what [`shared`](Self::shared) runs on by now. The tokens of each key survive, up to its new burst.
    ///
    /// Shards change one after another, each under its own lock.
    ///
    /// # Errors
    /// Names the first field that is out of its range; nothing has changed then.
    pub fn reconfigure(&self, config: KeyedConfig, now: Timestamp) -> Result<(), InvalidConfig> {
        self.replace(None, config, now)
    }

    /// Does the same, and lets [`shared`](Self::shared) run on another limit before: one step, so that of two who do it at once one prevails.
    ///
    /// # Errors
    /// Names the first field that is out of its range; nothing has changed then.
    pub fn reconfigure_with(&self, limit: Config, config: KeyedConfig, now: Timestamp) -> Result<(), InvalidConfig> {
        self.replace(Some(limit), config, now)
    }

    fn replace(&self, limit: Option<Config>, config: KeyedConfig, now: Timestamp) -> Result<(), InvalidConfig> {
        config.check()?;
        let mut wakers = Vec::new();
        {
            let mut current = lock(&self.config);
            if let Some(limit) = limit {
                wakers.extend(self.shared.replace(limit, now)?);
            }
            self.adopt(&config, &mut wakers, now)?;
            *current = config;
        }
        // Who waits may come back here.
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn adopt(&self, config: &KeyedConfig, wakers: &mut Vec<Waker>, now: Timestamp) -> Result<(), InvalidConfig> {
        let limit = self.shared.config();
        let own: HashMap<_, _> =
            config.limits.iter().map(|(key, it)| (self.shards.fingerprint(Some(key)), it.over(limit))).collect();
        self.shards.room().resize(config.max_keys + own.len() as u32);
        for mut shard in self.shards.each() {
            let full = shard.adopt(limit, self.shared.name(), now)?;
            self.shards.room().evicted(full);
            for (key, whole) in shard.limiters.iter_mut() {
                let own = own.get(&key);
                // Said and done under one lock: a limiter with a quota of its own is not taken for one that a word could stand for.
                whole.has_own_quota = own.is_some();
                wakers.extend(whole.limiter.replace(*own.unwrap_or(&limit), now)?);
            }
        }
        for (fingerprint, limit) in own {
            wakers.extend(self.own(fingerprint, limit, now)?);
        }
        Ok(())
    }

    /// Gives a key a limiter with a quota of its own, for which there is always a place.
    fn own(&self, fingerprint: Fingerprint, limit: Config, now: Timestamp) -> Result<Vec<Waker>, InvalidConfig> {
        let mut shard = self.shards.lock(fingerprint);
        if let Some(whole) = shard.limiters.get_mut(fingerprint) {
            whole.has_own_quota = true;
            return whole.limiter.replace(limit, now);
        }
        let limiter = if let Some(word) = shard.words.remove(fingerprint) {
            holding(word.nano_tokens(&shard.pace, now), &shard.config, self.shared.name(), now)?
        } else {
            self.shards.room().take_beyond();
            Arc::new(RateLimiter::new(Arc::clone(self.shared.name()), limit)?)
        };
        let wakers = limiter.replace(limit, now)?;
        shard.limiters.insert(fingerprint, Whole { limiter, has_own_quota: true });
        Ok(wakers)
    }

    /// How many keys there are, and what became of the others.
    pub fn counts(&self) -> KeyCounts {
        self.shards.counts()
    }

    /// The calls that wait for the limiters of all keys, that of keys without a place not counted. All shards are looked at, one after another.
    pub fn queued(&self) -> usize {
        let of_shard = |shard: &mut Shard| shard.limiters.iter_mut().map(|(_, it)| it.limiter.queued()).sum::<usize>();
        self.shards.each().map(|mut shard| of_shard(&mut shard)).sum()
    }

    /// The keys that are used most, at most [`MOST_SHOWN`], most used first.
    pub fn most_used(&self, most: usize) -> Vec<KeyUse> {
        most_used(
            self.shards.each().flat_map(|it| it.top.keys(true).collect::<Vec<_>>()).collect(),
            most.min(MOST_SHOWN),
        )
    }

    /// The limiter of a key that has or needs a whole one: its own, or that of all if there is no place. `None`: it is a word.
    fn limiter_of(&self, shard: &mut Shard, fingerprint: Fingerprint, now: Timestamp) -> Option<Arc<RateLimiter>> {
        let needs_limiter = !shard.config.fits_word();
        if shard.limiters.is_empty() && !needs_limiter {
            return None;
        }
        if let Some(whole) = shard.limiters.get_mut(fingerprint) {
            let is_held = whole.has_own_quota || needs_limiter || Arc::strong_count(&whole.limiter) > 1;
            if is_held || !whole.limiter.pause_left(now).is_zero() {
                return Some(Arc::clone(&whole.limiter));
            }
            // A reload lets a word do from now on, and nobody waits any more.
            let tokens = whole.limiter.nano_tokens(now);
            shard.limiters.remove(fingerprint);
            let word = Gcra::holding(tokens, &shard.pace, now);
            shard.words.insert(fingerprint, word);
            return None;
        }
        if !needs_limiter {
            return None;
        }
        if !self.shards.take_place(shard, |shard, slots| shard.sweep(slots, now)) {
            return Some(Arc::clone(&self.shared));
        }
        let Ok(limiter) = RateLimiter::new(Arc::clone(self.shared.name()), shard.config) else {
            // The configuration is one that runs already, so that this does not happen; nobody is better off if it did.
            self.shards.room().give();
            return Some(Arc::clone(&self.shared));
        };
        let limiter = Arc::new(limiter);
        shard.limiters.insert(fingerprint, Whole { limiter: Arc::clone(&limiter), has_own_quota: false });
        Some(limiter)
    }

    /// Takes tokens of a key that is a word; `None` if it is not there and finds no place.
    fn take(
        &self,
        shard: &mut Shard,
        fingerprint: Fingerprint,
        cost: u32,
        now: Timestamp,
    ) -> Result<Option<Receipt>, Exceeded> {
        let (pace, mark) = (shard.pace, shard.mark);
        let receipt = |gcra: Gcra| Receipt { cost, mark, place: gcra.place(&pace, now) };
        if let Some(word) = shard.words.get_mut(fingerprint) {
            *word = word.take(&pace, cost, now)?;
            return Ok(Some(receipt(*word)));
        }
        // A key that is not known is full.
        let word = Gcra::default().take(&pace, cost, now)?;
        if !self.shards.take_place(shard, |shard, slots| shard.sweep(slots, now)) {
            return Ok(None);
        }
        shard.words.insert(fingerprint, word);
        Ok(Some(receipt(word)))
    }
}

impl fmt::Debug for KeyedRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, counts) = (self.shared.name(), self.counts());
        f.debug_struct("KeyedRateLimiter").field("name", name).field("counts", &counts).finish_non_exhaustive()
    }
}
