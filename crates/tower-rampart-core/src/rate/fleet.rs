//! The limiter's side of a limit that a fleet holds together: what whoever talks to the fleet asks it and tells it. The arithmetic is in `leased`.

use super::{
    RateLimiter,
    leased::{FleetAccount, Leased, Supply},
    limiter::wake,
    machine::Machine,
    receipt::Receipt,
};
use crate::{InvalidConfig, Timestamp};

impl RateLimiter {
    /// From now on its quota is that of a fleet, and `share` of it, above 0 to 1, is this process's own part: what it may take without having
    /// asked, and what it lives on while the fleet cannot be asked. It begins so.
    ///
    /// Whatever the algorithm, the fleet and the share are held to the same as by a GCRA. Tokens, waiting calls and pauses survive; the
    /// configuration stays what it was, and may be changed as ever.
    ///
    /// # Errors
    /// The share is out of its range.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tower_rampart_core::{Timestamp, rate::{Config, RateLimiter, Supply}};
    ///
    /// let limiter = RateLimiter::new("search", Config::per_second(100.0))?;
    /// let now = Timestamp::ZERO;
    /// limiter.join_fleet(0.1, now)?;
    /// assert_eq!(limiter.remaining(now), 10.0);
    /// assert!(limiter.try_acquire(4, now).is_ok());
    /// let account = limiter.fleet_account(now).expect("it is in a fleet");
    /// assert_eq!((account.owed, account.asked), (4, 4));
    /// // Somebody paid for them, and got five more, which are the last.
    /// limiter.fleet_supply(&Supply {
    ///     granted: 5,
    ///     paid: 4,
    ///     asked_at: now,
    ///     lasting: Duration::from_secs(1),
    ///     dry_for: Some(Duration::from_millis(10)),
    ///     news_for: Duration::from_millis(500),
    ///     next_within: Duration::from_millis(20),
    /// }, now);
    /// assert!(limiter.try_acquire(5, now).is_ok());
    /// let refused = limiter.try_acquire(1, now).expect_err("the fleet has nothing left");
    /// assert_eq!(refused.retry_after, Some(Duration::from_millis(10)));
    /// # Ok::<(), tower_rampart_core::InvalidConfig>(())
    /// ```
    pub fn join_fleet(&self, share: f64, now: Timestamp) -> Result<(), InvalidConfig> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(InvalidConfig::new("local_share", share, "above 0 and at most 1"));
        }
        let mut sealed = self.seal();
        let cold = &mut *sealed;
        cold.machine.lease(&cold.config, share, &mut cold.mark, now);
        Ok(())
    }

    /// From now on its quota is its own again. What it holds is what its part of the fleet's was.
    pub fn leave_fleet(&self, now: Timestamp) {
        let mut sealed = self.seal();
        let cold = &mut *sealed;
        if matches!(cold.machine, Machine::Leased(_)) {
            cold.machine.own(&cold.config, &mut cold.mark, now);
        }
    }

    /// What there is to tell the fleet; `None` if it is in none, is off, or has no quota.
    pub fn fleet_account(&self, now: Timestamp) -> Option<FleetAccount> {
        if !self.is_enabled() {
            return None;
        }
        let mut sealed = self.seal();
        let waiting = sealed.queued_cost;
        match &mut sealed.machine {
            Machine::Leased(leased) if !leased.is_unlimited() => Some(leased.account(waiting, now)),
            _ => None,
        }
    }

    /// The receipt of a call that the fleet itself has admitted, when it was asked: if it is not made after all, its tokens come to the leased ones,
    /// less what time has made up for.
    pub fn fleet_receipt(&self, cost: u32, asked_at: Timestamp) -> Receipt {
        Receipt { cost, mark: self.seal().mark, place: Leased::place(asked_at, asked_at) }
    }

    /// What an account said was owed could not be paid: it is owed again.
    pub fn fleet_unpaid(&self, owed: u64) {
        if let Machine::Leased(leased) = &mut self.seal().machine {
            leased.unpaid(owed);
        }
    }

    /// Takes out leased tokens that nobody needs, for the fleet; how many there were.
    pub fn fleet_withdraw(&self, tokens: u64) -> u64 {
        match &mut self.seal().machine {
            Machine::Leased(leased) => leased.withdraw(tokens),
            _ => 0,
        }
    }

    /// What the fleet has given, or that it has nothing left. Whoever waits is woken to look.
    pub fn fleet_supply(&self, supply: &Supply, now: Timestamp) {
        self.tell_fleet(|leased| leased.supply(supply, now));
    }

    /// Nobody knows what the fleet has left: this process lives on its own part until the next supply.
    pub fn fleet_lost(&self) {
        self.tell_fleet(Leased::lost);
    }

    /// Whether it is held to what the fleet has left (`Some(true)`), to its own part of it, or to a quota of its own (`None`).
    pub fn in_fleet(&self) -> Option<bool> {
        match &self.seal().machine {
            Machine::Leased(leased) => Some(leased.is_shared()),
            _ => None,
        }
    }

    /// The most that it admits at once without having asked a fleet: its share of the burst, or all of it if it is in none.
    pub fn own_burst(&self) -> u32 {
        let sealed = self.seal();
        match &sealed.machine {
            Machine::Leased(leased) => leased.own_burst(),
            _ => sealed.config.most_at_once(),
        }
    }

    fn tell_fleet(&self, tell: impl FnOnce(&mut Leased)) {
        let head = {
            let mut sealed = self.seal();
            let Machine::Leased(leased) = &mut sealed.machine else { return };
            tell(leased);
            sealed.queue.head_waker()
        };
        wake(head);
    }
}
