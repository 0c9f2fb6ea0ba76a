//! The retry budget: what retries may add to the load. What an attempt may cost in time is the ladder's business.

use std::fmt;

use super::BudgetConfig;
use crate::{
    InvalidConfig, Timestamp,
    sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, lock},
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
/// assert!(budget.try_withdraw(Timestamp::ZERO));
/// assert!(!budget.try_withdraw(Timestamp::ZERO));
/// budget.deposit();
/// budget.deposit();
/// assert!(budget.try_withdraw(Timestamp::ZERO));
/// assert!(budget.try_withdraw(Timestamp::from_millis(1000)));
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

#[derive(Debug)]
struct Refill {
    config: BudgetConfig,
    /// Up to when time has been turned into tokens.
    at: Timestamp,
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
            refill: Mutex::new(Refill { config, at: Timestamp::ZERO }),
        })
    }

    /// Adds what a first attempt deposits. At most one atomic addition; nothing if the bucket is full.
    pub fn deposit(&self) {
        self.add(self.ratio.load(Ordering::Relaxed));
    }

    /// Pays for a retry that is about to be made, if there is a token.
    pub fn try_withdraw(&self, now: Timestamp) -> bool {
        if !self.enabled.load(Ordering::Relaxed) {
            return true;
        }
        let mut refill = lock(&self.refill);
        self.refill(&mut refill, now);
        let capacity = units(refill.config.capacity);
        let paid = self
            .level
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| level.min(capacity).checked_sub(TOKEN));
        paid.is_ok()
    }

    /// Gives back what a retry paid that was dropped in its wait.
    pub fn refund(&self) {
        self.add(TOKEN);
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
        let mut refill: MutexGuard<'_, Refill> = lock(&self.refill);
        let capacity = units(config.capacity);
        refill.config = config;
        self.capacity.store(capacity, Ordering::Relaxed);
        self.ratio.store(units(config.ratio), Ordering::Relaxed);
        self.enabled.store(config.enabled, Ordering::Relaxed);
        self.level.fetch_min(capacity, Ordering::Relaxed);
        Ok(())
    }

    fn add(&self, amount: u64) {
        let has_room = self.level.load(Ordering::Relaxed) < self.capacity.load(Ordering::Relaxed);
        if has_room && amount > 0 && self.enabled.load(Ordering::Relaxed) {
            self.level.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// Turns the time since the last refill into tokens, up to the floor. Time above the floor is not saved.
    fn refill(&self, refill: &mut Refill, now: Timestamp) {
        let (floor, per_second) = (floor(&refill.config), units(refill.config.min_per_second));
        let elapsed = now.since(refill.at).as_nanos();
        let gained = u64::try_from(elapsed * u128::from(per_second) / 1_000_000_000).unwrap_or(u64::MAX);
        if gained >= floor || self.level.load(Ordering::Relaxed) >= floor.saturating_sub(gained) {
            refill.at = refill.at.max(now);
        } else if gained > 0 {
            // Only whole units are taken out of the time, so that slow rates lose nothing to frequent looks.
            let spent = (u128::from(gained) * 1_000_000_000).div_ceil(u128::from(per_second));
            refill.at = refill.at.after(std::time::Duration::from_nanos(spent as u64));
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
