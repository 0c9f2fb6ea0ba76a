//! What a keyed rate limit is told beside the quota that each key has.

use std::collections::BTreeMap;

use crate::{
    InvalidConfig,
    keyed::check_most,
    rate::{Config, Quota},
};

/// How many keys a keyed limit knows, and which of them have a quota of their own.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KeyedConfig {
    /// Keys that have a state of their own beside those of `limits`, 1 to 1 000 000. Default: 100 000.
    pub max_keys: u32,
    /// Quotas of single keys, in place of the one that all others have. Default: none.
    pub limits: BTreeMap<String, KeyLimit>,
}

/// The quota of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyLimit {
    /// The quota.
    pub quota: Quota,
    /// Calls admitted at once after a pause, 1 to 1 000 000.
    pub burst_size: u32,
}

impl Default for KeyedConfig {
    fn default() -> Self {
        Self { max_keys: 100_000, limits: BTreeMap::new() }
    }
}

impl KeyedConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        check_most("rate_limit.max_keys", self.max_keys)?;
        self.limits.values().try_for_each(|it| it.over(Config::default()).check())
    }
}

impl KeyLimit {
    /// This quota in place of that of `limit`.
    pub(super) fn over(self, limit: Config) -> Config {
        Config { quota: self.quota, burst_size: self.burst_size, ..limit }
    }
}
