//! What becomes known after a call was admitted: what it really cost, and what whoever is behind says of its own limit.

use std::time::Duration;

use super::{
    RateLimiter,
    limiter::{Cold, wake},
    machine::NANO,
    receipt::Receipt,
};
use crate::Timestamp;

/// What whoever is behind says of its own limit, for [`RateLimiter::learn`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// What it says is left; `None`: nothing was said.
    pub remaining: Option<u64>,
    /// Until when it admits nothing; `None`: nothing was said.
    pub paused_until: Option<Timestamp>,
}

impl RateLimiter {
    /// Takes what a call cost instead of what it had reserved: gives back what was too much, as [`RateLimiter::give_back`] does, and takes
    /// what was too little, whether it is there or not.
    ///
    /// What is owed is paid before anybody else is admitted: later calls wait longer, and whatever was taken in an interval that ends with an
    /// admission, debts by the time of their settling, stays within `burst + rate * t`. A fixed window owes to the following ones; a sliding
    /// window forgets with the span what it held beyond its limit. A debt beyond all time saturates.
    ///
    /// Nothing happens for a receipt of a limiter that was off.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_core::{Timestamp, rate::{Config, RateLimiter}};
    ///
    /// let limiter = RateLimiter::new("tokens", Config::per_second(100.0))?;
    /// let now = Timestamp::ZERO;
    /// let reserved = limiter.try_acquire(60, now).expect("it is full");
    /// limiter.settle(reserved, 20, now);
    /// assert_eq!(limiter.remaining(now), 80.0);
    /// let reserved = limiter.try_acquire(60, now).expect("80 are there");
    /// limiter.settle(reserved, 130, now);
    /// let refused = limiter.try_acquire(1, now).expect_err("50 are owed");
    /// assert_eq!(refused.retry_after.map(|wait| wait.as_millis()), Some(510));
    /// # Ok::<(), tower_rampart_core::InvalidConfig>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "a call is settled only once")]
    pub fn settle(&self, receipt: Receipt, actual: u32, now: Timestamp) {
        if receipt.cost == 0 || receipt.cost == actual {
            return;
        }
        let head = {
            let mut sealed = self.seal();
            let cold = &mut *sealed;
            if let Some(too_much) = receipt.cost.checked_sub(actual) {
                cold.machine.give_back(&receipt, too_much, &mut cold.mark, now);
                cold.queue.head_waker()
            } else {
                cold.machine.owe(actual - receipt.cost, now);
                None
            }
        };
        wake(head);
    }

    /// Follows what whoever is behind says of its own limit: keeps no more tokens than it says are left, and admits nothing until then.
    ///
    /// Tokens are only lowered. What was lowered is the other side's account, which has the calls in flight in it: they give nothing back
    /// after that. A pause ends by itself, is only ever lengthened, and outlives a reload; in it a refusal says the exact wait, and calls
    /// that wait go on waiting. A limiter that is off learns nothing, one without a quota ([`Quota::UNLIMITED`](super::Quota::UNLIMITED))
    /// only pauses.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tower_rampart_core::{Timestamp, rate::{Config, Learnt, RateLimiter}};
    ///
    /// let limiter = RateLimiter::new("model", Config::per_second(10.0))?;
    /// let now = Timestamp::ZERO;
    /// limiter.learn(Learnt { remaining: Some(2), paused_until: None }, now);
    /// assert_eq!(limiter.remaining(now), 2.0);
    /// limiter.learn(Learnt { remaining: None, paused_until: Some(Timestamp::from_millis(500)) }, now);
    /// let refused = limiter.try_acquire(1, now).expect_err("it pauses");
    /// assert_eq!(refused.retry_after, Some(Duration::from_millis(500)));
    /// assert!(limiter.try_acquire(1, Timestamp::from_millis(500)).is_ok());
    /// # Ok::<(), tower_rampart_core::InvalidConfig>(())
    /// ```
    pub fn learn(&self, learnt: Learnt, now: Timestamp) {
        let pause = learnt.paused_until.filter(|until| *until > now);
        if !self.is_enabled() || pause.is_none() && self.knows(learnt.remaining, now) {
            return;
        }
        let head = {
            let mut sealed = self.seal();
            let cold = &mut *sealed;
            if let Some(remaining) = learnt.remaining.filter(|_| !cold.machine.is_unlimited())
                && cold.machine.lower_to(remaining, now)
            {
                cold.mark.new_account();
            }
            cold.paused_until = cold.paused_until.max(pause);
            // Who is next may not get there in time any more.
            cold.queue.head_waker()
        };
        wake(head);
    }

    /// How long nothing is admitted yet, whatever tokens there are and whoever waits: what is left of a pause that was [learnt](Self::learn).
    pub fn pause_left(&self, now: Timestamp) -> Duration {
        // In a pause the lane is sealed.
        match self.lane.read(|_, _| Duration::ZERO) {
            Some(none) => none,
            None => self.seal().pause_left(now),
        }
    }

    /// Whether the fast lane holds no more than that anyway: what most answers say, for which it need not be sealed.
    fn knows(&self, remaining: Option<u64>, now: Timestamp) -> bool {
        let Some(remaining) = remaining else { return true };
        let most = i128::from(remaining) * i128::from(NANO);
        self.lane.read(|gcra, pace| pace.is_unlimited() || gcra.nano_tokens(pace, now) <= most).unwrap_or(false)
    }
}

impl Cold {
    /// How long nothing is admitted yet. A pause that is over is forgotten, so that the lane opens again.
    pub(super) fn pause_left(&mut self, now: Timestamp) -> Duration {
        let left = self.paused_until.map_or(Duration::ZERO, |until| until.since(now));
        if left.is_zero() {
            self.paused_until = None;
        }
        left
    }
}
