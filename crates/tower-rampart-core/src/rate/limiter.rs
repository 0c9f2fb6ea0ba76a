//! The rate limiter that threads share: a fast lane for the GCRA, and everything else under a short mutex. Waiting is in `waiting`, what
//! becomes known later in `learn`.

use std::{fmt, task::Waker, time::Duration};

use super::{
    Config, OnLimit,
    exceeded::Exceeded,
    lane::Lane,
    machine::{Machine, NANO},
    receipt::{Mark, Receipt},
    waiting::Waiting,
};
use crate::{
    InvalidConfig, Timestamp,
    queue::Queue,
    rejection::Name,
    sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock},
};

/// Admits so many calls in so much time; others are refused with the exact wait, or wait in the order of their coming.
///
/// With the GCRA, admission is one compare-and-swap on one word. The word is sealed, and its state moved under a mutex, while calls wait,
/// during a pause, or while an operator reconfigures; the other algorithms always live there. In every interval of length `t` it admits at most
/// `burst + rate * t`, what was given back not counted; the windows keep their own promises, see [`Algorithm`](super::Algorithm).
///
/// Two things may be learnt after a call was admitted: what it really cost ([`RateLimiter::settle`]), and what whoever is behind says of
/// its own limit ([`RateLimiter::learn`]).
///
/// Reconfiguring mints nothing: what was there before is there after, up to the new burst, and the rest comes in at the new rate.
/// A sliding window keeps its log, so that no span holds more than the greater of both limits, unless its period is lengthened: what has
/// left the shorter span is forgotten and does not come back into the longer one, which is only kept once it has passed.
///
/// # Examples
/// ```
/// use tower_rampart_core::{Timestamp, rate::{Config, RateLimiter}};
///
/// let limiter = RateLimiter::new("search", Config::per_second(2.0))?;
/// let now = Timestamp::ZERO;
/// assert!(limiter.try_acquire(2, now).is_ok());
/// let refused = limiter.try_acquire(1, now).unwrap_err();
/// assert_eq!(refused.retry_after.map(|wait| wait.as_millis()), Some(500));
/// assert!(limiter.try_acquire(1, now.after(refused.retry_after.unwrap())).is_ok());
/// # Ok::<(), tower_rampart_core::InvalidConfig>(())
/// ```
pub struct RateLimiter {
    pub(super) lane: Lane,
    enabled: AtomicBool,
    waits: AtomicBool,
    name: Name,
    /// Boxed, so that what every call touches fills one cache line.
    cold: Box<Mutex<Cold>>,
}

/// What is only touched under the mutex.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) config: Config,
    pub(super) machine: Machine,
    pub(super) mark: Mark,
    /// Until when nothing is admitted, whatever tokens there are.
    pub(super) paused_until: Option<Timestamp>,
    pub(super) queue: Queue<Waiting>,
    /// The cost of all who wait, together.
    pub(super) queued_cost: u64,
}

/// The locked state with the lane sealed; dropping it opens the lane again if that is its time.
pub(super) struct Sealed<'a> {
    lane: &'a Lane,
    cold: MutexGuard<'a, Cold>,
}

impl RateLimiter {
    /// A limiter that starts full.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn new(name: impl Into<Name>, config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let machine = Machine::full(&config);
        let cold =
            Cold { config, machine, mark: Mark::default(), paused_until: None, queue: Queue::new(), queued_cost: 0 };
        let limiter = Self {
            lane: Lane::new(),
            enabled: AtomicBool::new(config.enabled),
            waits: AtomicBool::new(config.on_limit == OnLimit::Wait),
            name: name.into(),
            cold: Box::new(Mutex::new(cold)),
        };
        drop(limiter.seal());
        Ok(limiter)
    }

    /// The name in refusals and metrics.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The configuration it runs on.
    pub fn config(&self) -> Config {
        lock(&self.cold).config
    }

    /// Whether it limits at all.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Whether a call that is not admitted at once waits instead of being refused.
    #[inline]
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Takes `cost` tokens if they are there and nobody waits for them. A limiter that is off admits everything and takes nothing.
    ///
    /// # Errors
    /// Says when the call would be admitted, those who wait served first; a refusal takes nothing.
    #[inline]
    pub fn try_acquire(&self, cost: u32, now: Timestamp) -> Result<Receipt, Exceeded> {
        if !self.is_enabled() {
            return Ok(Receipt::default());
        }
        match self.lane.try_take(cost, now) {
            Some(answer) => answer,
            None => self.try_acquire_sealed(cost, now),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_sealed(&self, cost: u32, now: Timestamp) -> Result<Receipt, Exceeded> {
        self.seal().try_take(cost, now)
    }

    /// Whether [`RateLimiter::try_acquire`] would admit the call now. Takes nothing.
    ///
    /// # Errors
    /// As `try_acquire`.
    pub fn peek(&self, cost: u32, now: Timestamp) -> Result<(), Exceeded> {
        if !self.is_enabled() {
            return Ok(());
        }
        let seen = self.lane.read(|gcra, pace| gcra.take(pace, cost, now).map(|_| ()));
        seen.unwrap_or_else(|| {
            let mut cold = self.seal();
            if cold.queue.is_empty() { cold.check(cost, now) } else { Err(cold.behind_queue(cost, now)) }
        })
    }

    /// Gives back what a call took that is not made after all, at any time: a stage further in has refused it, or it was dropped.
    ///
    /// A call that is given back when it was taken leaves no trace. Later it gives back what it has not used up: what would still be
    /// missing without the call is missing after it, so that in every interval what was taken in it, and is not given back by its end,
    /// stays within the promise of the limiter. Time may have used up everything: the bucket would be full by now, the span is over.
    /// A change of the quota since then, and of the algorithm, uses up what the log of a sliding window does not remember.
    pub fn give_back(&self, receipt: Receipt, now: Timestamp) {
        self.settle(receipt, 0, now);
    }

    /// The tokens that are there, with fractions; calls that wait take none before their turn. None while more are owed than there are,
    /// and none in a pause.
    pub fn remaining(&self, now: Timestamp) -> f64 {
        let seen = self.lane.read(|gcra, pace| gcra.nano_tokens(pace, now));
        let nano_tokens = seen.unwrap_or_else(|| {
            let mut cold = self.seal();
            if cold.pause_left(now).is_zero() { cold.machine.nano_tokens(now) } else { 0 }
        });
        nano_tokens.max(0) as f64 / NANO as f64
    }

    /// How long until it is full, if nothing is taken; no sooner than a pause is over.
    pub fn reset_after(&self, now: Timestamp) -> Duration {
        let seen = self.lane.read(|gcra, pace| pace.duration(gcra.debt(pace, now)));
        seen.unwrap_or_else(|| {
            let mut cold = self.seal();
            cold.machine.reset_after(now).max(cold.pause_left(now))
        })
    }

    /// The calls that wait.
    pub fn queued(&self) -> usize {
        lock(&self.cold).queue.len()
    }

    /// Runs on another configuration from now on. Tokens, a pause and waiting calls survive; those who wait are woken to be judged anew.
    ///
    /// # Errors
    /// Names the first field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config, now: Timestamp) -> Result<(), InvalidConfig> {
        self.replace(config, now)?.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Does the same, but who waits is still to be woken, once no lock is held.
    pub(super) fn replace(&self, config: Config, now: Timestamp) -> Result<Vec<Waker>, InvalidConfig> {
        config.check()?;
        let mut cold = self.seal();
        let old = cold.config;
        if (old.algorithm, old.quota, old.burst_size) != (config.algorithm, config.quota, config.burst_size) {
            let cold = &mut *cold;
            cold.machine.convert(&config, &mut cold.mark, now);
        }
        cold.config = config;
        self.enabled.store(config.enabled, Ordering::Relaxed);
        self.waits.store(config.on_limit == OnLimit::Wait, Ordering::Relaxed);
        Ok(cold.queue.wakers())
    }

    /// Locks the state and seals the lane.
    pub(super) fn seal(&self) -> Sealed<'_> {
        let mut cold = lock(&self.cold);
        if let (Some(present), Machine::Gcra(gcra, _)) = (self.lane.seal(), &mut cold.machine) {
            *gcra = present;
        }
        Sealed { lane: &self.lane, cold }
    }
}

impl Cold {
    fn try_take(&mut self, cost: u32, now: Timestamp) -> Result<Receipt, Exceeded> {
        if self.queue.is_empty() { self.take(cost, now) } else { Err(self.behind_queue(cost, now)) }
    }

    /// Takes tokens if they are there, whoever waits.
    pub(super) fn take(&mut self, cost: u32, now: Timestamp) -> Result<Receipt, Exceeded> {
        if !self.pause_left(now).is_zero() {
            self.check(cost, now)?;
        }
        self.machine.try_take(cost, now).map(|place| Receipt { cost, mark: self.mark, place })
    }

    /// Whether [`Cold::take`] would succeed.
    fn check(&mut self, cost: u32, now: Timestamp) -> Result<(), Exceeded> {
        if cost > self.machine.capacity() {
            return Err(Exceeded::NEVER);
        }
        match self.wait(cost.into(), now) {
            Duration::ZERO => Ok(()),
            wait => Err(Exceeded::after(wait)),
        }
    }

    /// How long until calls of this cost together would have been admitted one after another. During a pause tokens come in, up to the burst.
    pub(super) fn wait(&mut self, cost: u64, now: Timestamp) -> Duration {
        match self.pause_left(now) {
            Duration::ZERO => self.machine.wait(cost, now),
            pause => pause.saturating_add(self.machine.wait_later(cost, now.after(pause))),
        }
    }

    /// The refusal of a call that would have to stand behind those who wait.
    pub(super) fn behind_queue(&mut self, cost: u32, now: Timestamp) -> Exceeded {
        if cost > self.machine.capacity() {
            return Exceeded::NEVER;
        }
        Exceeded::after(self.wait(self.queued_cost + u64::from(cost), now))
    }
}

impl std::ops::Deref for Sealed<'_> {
    type Target = Cold;

    fn deref(&self) -> &Cold {
        &self.cold
    }
}

impl std::ops::DerefMut for Sealed<'_> {
    fn deref_mut(&mut self) -> &mut Cold {
        &mut self.cold
    }
}

impl Drop for Sealed<'_> {
    fn drop(&mut self) {
        let is_open = self.cold.queue.is_empty() && self.cold.paused_until.is_none();
        if let (Machine::Gcra(gcra, pace), true) = (&self.cold.machine, is_open) {
            self.lane.open(*gcra, pace, self.cold.mark);
        }
    }
}

/// Wakes outside the lock.
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("name", &self.name).field("config", &self.config()).finish_non_exhaustive()
    }
}
