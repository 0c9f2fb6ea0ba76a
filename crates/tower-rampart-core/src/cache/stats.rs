//! What caches count. How full they are is counted here too, so that several caches of one operation add up.

use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// The numbers of the caches of one operation.
#[derive(Debug, Default)]
pub struct Stats {
    on: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    coalesced: AtomicU64,
    evictions: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
}

/// What the caches of one operation counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSnapshot {
    /// Calls that a fresh answer was kept for.
    pub hits: u64,
    /// Calls that none was kept for. Those without a key count nowhere.
    pub misses: u64,
    /// Answers past their time that stood in for a fault; their calls are among the misses.
    pub stale: u64,
    /// Calls that were given the answer which another fetched; they are among the misses.
    pub coalesced: u64,
    /// Answers that had to go before their time because there was no room.
    pub evictions: u64,
    /// Answers that are kept now.
    pub entries: u64,
    /// The bytes of those, where answers have a size.
    pub bytes: u64,
}

impl CacheSnapshot {
    /// Hits among all calls with a key, 0 to 1; 0 without any.
    pub fn hit_rate(&self) -> f64 {
        crate::breaker::rate(self.hits, self.hits + self.misses)
    }

    /// What was counted since `baseline`; how full the caches are stays.
    pub(crate) fn since(&self, baseline: &Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(baseline.hits),
            misses: self.misses.saturating_sub(baseline.misses),
            stale: self.stale.saturating_sub(baseline.stale),
            coalesced: self.coalesced.saturating_sub(baseline.coalesced),
            evictions: self.evictions.saturating_sub(baseline.evictions),
            entries: self.entries,
            bytes: self.bytes,
        }
    }
}

impl Stats {
    /// Says whether the stage is on: one that is off and never counted anything is not shown.
    pub fn set_on(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Whether there is anything to show.
    pub fn is_shown(&self) -> bool {
        let read = self.read();
        self.on.load(Ordering::Relaxed) || read.hits + read.misses > 0
    }

    /// What was counted.
    pub fn read(&self) -> CacheSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheSnapshot {
            hits: read(&self.hits),
            misses: read(&self.misses),
            stale: read(&self.stale),
            coalesced: read(&self.coalesced),
            evictions: read(&self.evictions),
            entries: read(&self.entries),
            bytes: read(&self.bytes),
        }
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stood_in(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn coalesced(&self) {
        self.coalesced.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn evicted(&self, evictions: u64) {
        self.evictions.fetch_add(evictions, Ordering::Relaxed);
    }

    /// A cache that held `before` (entries and bytes) holds `after`. Said under its lock.
    pub(super) fn holds(&self, before: (usize, u64), after: (usize, u64)) {
        // Wrapping: a difference below zero is one as well.
        self.entries.fetch_add((after.0 as u64).wrapping_sub(before.0 as u64), Ordering::Relaxed);
        self.bytes.fetch_add(after.1.wrapping_sub(before.1), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn cache_is_shown_while_it_is_on_and_once_it_has_counted_anything() {
        let (hit, missed, on) = (Stats::default(), Stats::default(), Stats::default());
        assert!(!hit.is_shown());
        hit.hit();
        missed.missed();
        on.set_on(true);
        assert!(hit.is_shown() && missed.is_shown() && on.is_shown());
        on.set_on(false);
        assert!(!on.is_shown());
    }
}
