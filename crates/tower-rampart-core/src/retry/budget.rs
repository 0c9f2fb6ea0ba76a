//! The retry budget: what retries may add to the load. What an attempt may cost in time is the ladder's business.

use std::{fmt, time::Duration};

use super::BudgetConfig;
use crate::{
    InvalidConfig, Timestamp,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock},
};

/// One token in the integer unit of the bucket.
const TOKEN: u64 = 1_000_000;

/// A token bucket that first attempts fill and retries empty (after Finagle's `RetryBudget` and tower's `TpsBudget`).
///
/// It starts with `min_per_second` tokens and time alone refills it up to that; each first attempt deposits `ratio`, up to `capacity`.
/// A retry pays one token just before its wait and gets it back if it is dropped in that wait. A rate below one a second saves up
/// to one token, so that it pays a retry now and then. Differs from both models in that deposits cost one atomic addition and no
/// clock read: time is only looked at when a retry asks.
///
/// Shared by all clones, and by the hedges, of one operation. The level is a word of millionths of a token that is never negative.
///
/// # Examples
/// ```
/// use tower_rampart_core::{Timestamp, retry::{Budget, BudgetConfig}};
///
/// let budget = Budget::new(BudgetConfig { ratio: 0.5, min_per_second: 1.0, ..BudgetConfig::default() })?;
/// assert!(budget.try_withdraw(Timestamp::ZERO).is_some());
/// assert!(budget.try_withdraw(Timestamp::ZERO).is_none());
/// budget.deposit();
/// budget.deposit();
/// assert!(budget.try_withdraw(Timestamp::ZERO).is_some());
/// assert!(budget.try_withdraw(Timestamp::from_millis(1000)).is_some());
/// # Ok::<(), tower_rampart_core::InvalidConfig>(())
/// ```
pub struct Budget {
    /// Millionths of a token. May stand above the capacity by what racing deposits added; what lies above is never paid out.
    level: AtomicU64,
    capacity: AtomicU64,
    ratio: AtomicU64,
    enabled: AtomicBool,
    refill: Mutex<Refill>,
}

/// What a retry was allowed with, for [`Budget::refund`] where it is not made after all.
///
/// Dropped, the token is spent. The default is free, like that of a budget that is off.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    paid: bool,
}

impl Withdrawal {
    /// Whether a token was taken for it; if not, there is nothing to refund.
    pub fn is_paid(&self) -> bool {
        self.paid
    }
}

#[derive(Debug)]
struct Refill {
    config: BudgetConfig,
    /// Up to when time has been turned into tokens; `None`: from the next look on.
    at: Option<Timestamp>,
}

impl Budget {
    /// A budget that starts with what one second pays for.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn new(config: BudgetConfig) -> Result<Self, InvalidConfig> {
        config.check()?;
        Ok(Self {
            level: AtomicU64::new(floor(&config)),
            capacity: AtomicU64::new(units(config.capacity)),
            ratio: AtomicU64::new(units(config.ratio)),
            enabled: AtomicBool::new(config.enabled),
            refill: Mutex::new(Refill { config, at: None }),
        })
    }

    /// Adds what a first attempt deposits. At most one atomic addition; nothing if the bucket is full.
    #[inline]
    pub fn deposit(&self) {
        let ratio = self.ratio.load(Ordering::Relaxed);
        if ratio > 0 && self.enabled.load(Ordering::Relaxed) {
            self.add(ratio);
        }
    }

    /// Pays for a retry that is about to be made; `None` if there is no token. A budget that is off allows every retry and takes nothing.
    pub fn try_withdraw(&self, now: Timestamp) -> Option<Withdrawal> {
        if !self.enabled.load(Ordering::Relaxed) {
            return Some(Withdrawal::default());
        }
        let mut refill = lock(&self.refill);
        self.refill(&mut refill, now);
        let capacity = units(refill.config.capacity);
        let paid = self
            .level
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| level.min(capacity).checked_sub(TOKEN));
        paid.is_ok().then_some(Withdrawal { paid: true })
    }

    /// Gives back what a retry paid that was dropped in its wait; nothing if it paid nothing, whatever the configuration is by now.
    #[expect(clippy::needless_pass_by_value, reason = "a retry is refunded only once")]
    pub fn refund(&self, withdrawal: Withdrawal) {
        if withdrawal.paid {
            self.add(TOKEN);
        }
    }

    /// The tokens there are, 0 to `capacity`.
    pub fn level(&self, now: Timestamp) -> f64 {
        let mut refill = lock(&self.refill);
        self.refill(&mut refill, now);
        let level = self.level.load(Ordering::Relaxed).min(units(refill.config.capacity));
        level as f64 / TOKEN as f64
    }

    /// The configuration it runs on.
    pub fn config(&self) -> BudgetConfig {
        lock(&self.refill).config
    }

    /// Runs on another configuration from now on. Tokens survive up to the new capacity, and none are added.
    ///
    /// # Errors
    /// Names the first field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: BudgetConfig) -> Result<(), InvalidConfig> {
        config.check()?;
        let mut refill = lock(&self.refill);
        if refill.config == config {
            return Ok(());
        }
        let capacity = units(config.capacity);
        *refill = Refill { config, at: None };
        self.capacity.store(capacity, Ordering::Relaxed);
        self.ratio.store(units(config.ratio), Ordering::Relaxed);
        self.enabled.store(config.enabled, Ordering::Relaxed);
        self.level.fetch_min(capacity, Ordering::Relaxed);
        Ok(())
    }

    #[inline]
    fn add(&self, amount: u64) {
        let has_room = self.level.load(Ordering::Relaxed) < self.capacity.load(Ordering::Relaxed);
        if has_room {
            self.level.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// Turns the time since the last refill into tokens, up to the floor. Time above the floor is not saved.
    fn refill(&self, refill: &mut Refill, now: Timestamp) {
        let (floor, per_second) = (floor(&refill.config), units(refill.config.min_per_second));
        let at = *refill.at.get_or_insert(now);
        let elapsed = now.since(at).as_nanos();
        let gained = u64::try_from(elapsed * u128::from(per_second) / 1_000_000_000).unwrap_or(u64::MAX);
        if gained >= floor || self.level.load(Ordering::Relaxed) >= floor.saturating_sub(gained) {
            refill.at = Some(at.max(now));
        } else if gained > 0 {
            // Only whole units are taken out of the time, so that slow rates lose nothing to frequent looks.
            let spent = (u128::from(gained) * 1_000_000_000).div_ceil(u128::from(per_second));
            refill.at = Some(at.after(Duration::from_nanos(spent as u64)));
        }
        if gained > 0 {
            let _ = self.level.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| {
                (level < floor).then(|| level.saturating_add(gained).min(floor))
            });
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("config", &self.config()).finish_non_exhaustive()
    }
}

/// What the bucket starts with and time refills it to.
fn floor(config: &BudgetConfig) -> u64 {
    match units(config.min_per_second) {
        0 => 0,
        floor => floor.max(TOKEN).min(units(config.capacity)),
    }
}

/// Tokens in the unit of the bucket; the ranges of the configuration keep this below 10^12.
fn units(tokens: f64) -> u64 {
    (tokens * TOKEN as f64).round() as u64
}
