//! State by key: a limiter or a circuit for each host, tenant, model or client, bounded in number and in memory.
//!
//! [`Keyed`] keeps a whole machine for each key, [`KeyedRateLimiter`](crate::rate::KeyedRateLimiter) a word for each where that is enough. Which part of a
//! request is the key is up to whoever asks.
//!
//! | question | answer |
//! |---|---|
//! | what stands in memory for a key | a [`Fingerprint`] of 127 bits and its state. Its text only beside a whole machine and for the few keys that are used most, for operators to read, and of that no more than 256 bytes |
//! | how many keys have a state of their own | at most so many; then all further ones share **one** state, that of the operation itself. A flood of keys therefore neither opens the gate nor closes it for those who are there |
//! | which keys are forgotten | those whose state is what a new key's would be, so that nothing is lost and nobody gains: a limiter that is full, a bulkhead that is empty, a closed circuit without failed or abandoned calls; and, ten minutes after its last call ([`IDLE_AFTER`]), one that has learnt something which is out of date by then: a run of failures, a recovery time that is over. Never a circuit that is still open, a debt, or a machine that a call still holds |
//! | when | whenever a key comes that is not there, a few places are looked at: no thread, no sweep, O(1) a call |
//! | who waits for whom | keys of one shard for the few steps of a lookup under its lock; of shards there are 64 |
//!
//! Calls without a key are those of one more key, so that they are no better off than others.
//!
//! # Examples
//! ```
//! use std::sync::Arc;
//! use tower_rampart_core::{Timestamp, keyed::Keyed, breaker::{Breaker, Config}};
//!
//! let config = Config::default();
//! let shared = Arc::new(Breaker::new("search", config.clone())?);
//! let breakers = Keyed::new("search".into(), shared, &config, 100)?;
//! let now = Timestamp::ZERO;
//! breakers.get(Some("a.example"), now).force_open(now);
//! assert!(breakers.get(Some("a.example"), now).try_acquire(now).is_err());
//! assert!(breakers.get(Some("b.example"), now).try_acquire(now).is_ok());
//! # Ok::<(), tower_rampart_core::InvalidConfig>(())
//! ```

mod fingerprint;
mod look;
mod machines;
mod origin;
mod room;
mod shards;
mod table;
mod top;

pub use self::{
    fingerprint::{Fingerprint, KeyId, NoKeyId},
    look::{KeyLook, KeyMap, KeyOrder, KeyState},
    machines::{AT_ONCE, IDLE_AFTER, Keyed, Machine, Worth},
    room::KeyCounts,
    top::KeyUse,
};
pub(crate) use self::{origin::Origin, shards::Shards, table::Table, top::Top, top::most_used};

use crate::{InvalidConfig, invalid::MAX_COUNT};

/// The most keys that can be asked about at once, of those that are used most.
pub const MOST_SHOWN: usize = 100;

/// The longest text of a key that is kept for operators, in bytes.
const MAX_TEXT: usize = 256;

/// As much of a key's text as is kept.
pub(crate) fn kept(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Checks how many keys there may be.
pub(crate) fn check_most(field: &'static str, max_keys: u32) -> Result<(), InvalidConfig> {
    InvalidConfig::range(field, max_keys, 1, MAX_COUNT)
}
