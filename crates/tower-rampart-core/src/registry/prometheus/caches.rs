//! The families about the answers that caches keep.

use super::{Encoder, Reading};
use crate::cache::CacheSnapshot;

impl Encoder {
    pub(super) fn caches(&mut self, readings: &[Reading]) {
        type Read = fn(&CacheSnapshot) -> u64;
        let counters: [(&str, &str, Read); 5] = [
            ("rampart_cache_hits_total", "Calls that a fresh answer was kept for.", |it| it.hits),
            ("rampart_cache_misses_total", "Calls with a key that no fresh answer was kept for.", |it| it.misses),
            ("rampart_cache_stale_total", "Answers past their time that stood in for a fault.", |it| it.stale),
            ("rampart_cache_coalesced_total", "Calls that were given what another fetched.", |it| it.coalesced),
            ("rampart_cache_evictions_total", "Answers that had to go before their time.", |it| it.evictions),
        ];
        for (name, help, read) in counters {
            self.counter(name, help);
            self.each(readings, name, |it| it.cache.as_ref().map(read));
        }
        self.gauge("rampart_cache_entries", "Answers that are kept.");
        self.each(readings, "rampart_cache_entries", |it| it.cache.map(|cache| cache.entries));
        self.gauge("rampart_cache_bytes", "Bytes of the answers that are kept, where they have a size.");
        self.each(readings, "rampart_cache_bytes", |it| it.cache.map(|cache| cache.bytes));
    }
}
