//! The part that one process has in a limit of a whole fleet: tokens leased ahead, and a bucket of its own for what the fleet was not asked for
//! yet. What talks to the fleet is the business of the crates above; the limiter's side of it is in `fleet`.

use std::time::Duration;

use super::{Config, Quota, gcra::Gcra, machine::NANO, pace::Pace, receipt::Place};
use crate::Timestamp;

/// The least that a caller is told to wait while the fleet has nothing left: sooner nobody knows more.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// What one process knows of a limit that many hold together.
///
/// A call takes leased tokens first; they are paid for. What they do not cover is taken from a bucket of the process's own, which holds and
/// gains its share of the quota, and is owed to the fleet: it is paid with the next request. While the fleet says that nothing is left, there
/// is no such credit. So every admitted token is charged once, before or after, and what is charged too late is at most the sum of all shares.
#[derive(Debug)]
pub(super) struct Leased {
    /// The quota of the fleet.
    whole: Pace,
    share: f64,
    own_pace: Pace,
    own: Gcra,
    /// Tokens that the fleet has given.
    stock: u64,
    /// When the oldest of them was asked for.
    stock_since: Timestamp,
    /// From when on they are stale: the fleet counts them as used.
    stock_until: Timestamp,
    /// What was taken and is not paid for.
    owed: u64,
    /// What calls asked for since the last account, those that were refused included.
    asked: u64,
    /// What of it was refused.
    refused: u64,
    /// The largest call since then.
    largest: u32,
    dry: Option<Dry>,
    /// How soon the fleet is asked again.
    next_within: Duration,
    /// How long leased tokens may be used.
    lasting: Duration,
    is_shared: bool,
}

/// The fleet has said that nothing is left.
#[derive(Clone, Copy, Debug)]
struct Dry {
    /// When there is something again.
    again: Timestamp,
    /// From when on that is no news any more, and the bucket of the process's own counts again.
    stale: Timestamp,
}

/// What a process tells the fleet of one limit; taken by [`RateLimiter::fleet_account`](super::RateLimiter::fleet_account).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetAccount {
    /// Tokens that were taken and are not paid for. Whoever has the account pays, or gives it back
    /// ([`RateLimiter::fleet_unpaid`](super::RateLimiter::fleet_unpaid)).
    pub owed: u64,
    /// Tokens that calls asked for since the last account, whether they got them or not.
    pub asked: u64,
    /// Tokens of those calls among them that were refused or began to wait.
    pub refused: u64,
    /// The cost of the largest call among them.
    pub largest: u32,
    /// The cost of all calls that wait for their turn.
    pub waiting: u64,
    /// Leased tokens that are there.
    pub stock: u64,
    /// How long ago the oldest of them was asked for.
    pub stock_age: Duration,
    /// Whether the fleet's last word was that nothing is left.
    pub is_dry: bool,
}

/// What the fleet has given; told to [`RateLimiter::fleet_supply`](super::RateLimiter::fleet_supply).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Tokens for calls to come.
    pub granted: u64,
    /// Tokens that had been taken first and are paid for now. Where the fleet has more, the process's own bucket has them back: it bounds what is not
    /// paid for.
    pub paid: u64,
    /// When they were asked for.
    pub asked_at: Timestamp,
    /// How long they may be used from then on.
    pub lasting: Duration,
    /// Nothing is left beyond them, and how long until there is something; `None`: there is more.
    pub dry_for: Option<Duration>,
    /// How long this is news: afterwards nobody knows whether anything is left.
    pub news_for: Duration,
    /// How soon the fleet is asked again: whoever is refused while it has more is told to come back then.
    pub next_within: Duration,
}

impl Leased {
    pub(super) fn new(config: &Config, share: f64, nano_tokens: i128, now: Timestamp) -> Self {
        let (whole, own_pace) = paces(config, share);
        Self {
            whole,
            share,
            own_pace,
            own: Gcra::holding(nano_tokens, &own_pace, now),
            stock: 0,
            stock_since: now,
            stock_until: now,
            owed: 0,
            asked: 0,
            refused: 0,
            largest: 0,
            dry: None,
            next_within: Duration::ZERO,
            lasting: Duration::ZERO,
            is_shared: false,
        }
    }

    /// Goes on under another quota: what was leased and what is owed stays.
    pub(super) fn convert(&mut self, config: &Config, now: Timestamp) {
        let own = self.own.nano_tokens(&self.own_pace, now);
        (self.whole, self.own_pace) = paces(config, self.share);
        self.own = Gcra::holding(own, &self.own_pace, now);
        self.stock = self.stock.min(self.whole.burst.into());
    }

    pub(super) fn capacity(&self) -> u32 {
        self.whole.burst
    }

    pub(super) fn own_burst(&self) -> u32 {
        self.own_pace.burst
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.whole.is_unlimited()
    }

    fn fresh(&self, now: Timestamp) -> u64 {
        if now < self.stock_until { self.stock } else { 0 }
    }

    fn dry(&self, now: Timestamp) -> Option<Dry> {
        self.dry.filter(|dry| now < dry.stale)
    }

    /// Counts what calls ask for, whatever they get.
    pub(super) fn ask(&mut self, cost: u32) {
        self.asked = self.asked.saturating_add(cost.into());
        self.largest = self.largest.max(cost);
    }

    /// Counts what a call that asked did not get.
    pub(super) fn refuse(&mut self, cost: u32) {
        self.refused = self.refused.saturating_add(cost.into());
    }

    /// How long until so many tokens are there, as far as this process can tell.
    pub(super) fn wait(&self, cost: u64, now: Timestamp) -> Duration {
        let missing = cost.saturating_sub(self.fresh(now));
        if missing == 0 {
            return Duration::ZERO;
        }
        if let Some(dry) = self.dry(now) {
            let further = self.whole.duration(self.whole.worth(missing - 1));
            return dry.again.since(now).saturating_add(further).max(LEAST_WAIT);
        }
        // More than its own bucket ever holds is taken from a full one, and the rest is owed.
        let own = self.own.wait(&self.own_pace, missing.min(self.own_pace.burst.into()), now);
        // The fleet has more, as far as anybody knows, and is asked for it next.
        if self.is_shared && !own.is_zero() { own.min(self.next_within.max(LEAST_WAIT)) } else { own }
    }

    /// Takes what [`Leased::wait`] said is there; where the call stands.
    pub(super) fn take(&mut self, cost: u32, now: Timestamp) -> Place {
        // Of leased tokens and credit together all count as old as the older.
        let since = if cost > 0 && self.fresh(now) > 0 { self.stock_since } else { now };
        self.owe(cost, now);
        Self::place(now, since)
    }

    /// Takes tokens whether they are there or not.
    pub(super) fn owe(&mut self, tokens: u32, now: Timestamp) {
        let leased = self.fresh(now).min(tokens.into());
        self.stock -= leased;
        let credit = u64::from(tokens) - leased;
        self.owed = self.owed.saturating_add(credit);
        self.own = self.own.owe(&self.own_pace, credit as u32, now);
    }

    /// Where a call stands that is admitted now, with tokens that the fleet was asked for since then.
    pub(super) fn place(now: Timestamp, since: Timestamp) -> Place {
        Place { taken: now.as_nanos(), full_at: since.as_nanos() }
    }

    /// Puts back what a call has not used: it was paid for, or will be. Of tokens that were held for longer than a lease, time has used up
    /// as many as the fleet would have gained had nobody taken them. They are no younger than they were: what is there counts as old as the oldest.
    pub(super) fn give_back(&mut self, place: Place, tokens: u32, now: Timestamp) {
        let held = now.since(Timestamp::from_nanos(place.taken)).saturating_sub(self.lasting);
        let gained = u64::try_from(held.as_nanos() / self.whole.duration(self.whole.interval).as_nanos().max(1));
        let tokens = u64::from(tokens).saturating_sub(gained.unwrap_or(u64::MAX));
        if tokens == 0 {
            return;
        }
        let since = Timestamp::from_nanos(place.full_at);
        if self.fresh(now) == 0 {
            (self.stock, self.stock_since) = (0, since);
            self.stock_until = self.stock_until.max(now.after(Duration::from_secs(1)));
        }
        self.stock_since = self.stock_since.min(since);
        self.stock = (self.stock + tokens).min(self.whole.burst.into());
    }

    pub(super) fn lower_to(&mut self, tokens: u32, now: Timestamp) {
        self.stock = self.fresh(now).min(tokens.into());
        self.own = self.own.lower_to(&self.own_pace, (u64::from(tokens) - self.stock) as u32, now);
    }

    pub(super) fn nano_tokens(&self, now: Timestamp) -> i128 {
        let own = if self.dry(now).is_some() { 0 } else { self.own.nano_tokens(&self.own_pace, now) };
        i128::from(self.fresh(now)) * i128::from(NANO) + own
    }

    pub(super) fn reset_after(&self, now: Timestamp) -> Duration {
        let own = self.own_pace.duration(self.own.debt(&self.own_pace, now));
        self.dry(now).map_or(own, |dry| dry.again.since(now).max(own))
    }

    /// What there is to tell the fleet. After it has been away, no more is owed than is missing in the process's own bucket: the fleet has gained
    /// the rest meanwhile.
    pub(super) fn account(&mut self, waiting: u64, now: Timestamp) -> FleetAccount {
        let mut owed = std::mem::take(&mut self.owed);
        if !self.is_shared {
            let missing = self.own.debt(&self.own_pace, now).div_ceil(self.own_pace.interval);
            owed = owed.min(missing);
        }
        FleetAccount {
            owed,
            asked: std::mem::take(&mut self.asked),
            refused: std::mem::take(&mut self.refused),
            largest: std::mem::take(&mut self.largest),
            waiting,
            stock: self.stock,
            stock_age: now.since(self.stock_since),
            is_dry: self.dry(now).is_some(),
        }
    }

    /// An account that was not paid, as far as is known.
    pub(super) fn unpaid(&mut self, owed: u64) {
        self.owed = self.owed.saturating_add(owed);
    }

    /// Takes out leased tokens, to give them back to the fleet; how many there were of them.
    pub(super) fn withdraw(&mut self, tokens: u64) -> u64 {
        let taken = tokens.min(self.stock);
        self.stock -= taken;
        taken
    }

    pub(super) fn supply(&mut self, supply: &Supply, now: Timestamp) {
        if self.fresh(now) == 0 {
            (self.stock, self.stock_since) = (0, supply.asked_at);
        }
        if supply.granted > 0 {
            self.stock = (self.stock + supply.granted).min(self.whole.burst.into());
            self.stock_until = supply.asked_at.after(supply.lasting);
        }
        if supply.dry_for.is_none() {
            // All of it, beyond the burst too: each token that is paid had been one of debt.
            self.own = self.own.give_back(&self.own_pace, self.own_pace.worth(supply.paid), now);
        }
        self.dry =
            supply.dry_for.map(|wait| Dry { again: now.after(wait), stale: now.after(wait.max(supply.news_for)) });
        (self.next_within, self.lasting) = (supply.next_within, supply.lasting);
        self.is_shared = true;
    }

    /// Nobody knows any more what the fleet has left.
    pub(super) fn lost(&mut self) {
        (self.dry, self.is_shared) = (None, false);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }
}

/// The pace of the fleet, and that of a share of it: at least one token at once, or a call of the process could never be admitted alone.
fn paces(config: &Config, share: f64) -> (Pace, Pace) {
    let burst = config.most_at_once();
    let whole = Pace::new(config.quota, burst);
    if config.quota.is_unlimited() {
        return (whole, whole);
    }
    let own_burst = ((f64::from(burst) * share) as u32).max(1);
    (whole, Pace::new(Quota { limit: config.quota.limit * share, period: config.quota.period }, own_burst))
}
