//! Cache: an answer that is kept stands in for a call. What may be kept, and under which key, is the caller's business; over Tower it is the crate
//! `tower-rampart`'s.
//!
//! | somebody asks for a key | what happens |
//! |---|---|
//! | its answer is fresh | it is a hit |
//! | it is not, and nobody fetches it | this call leads: it fetches the answer, for itself and whoever comes meanwhile |
//! | somebody is fetching it | this call follows: it waits for that answer, at most [`Config::max_wait`] |
//!
//! | the leader | its followers |
//! |---|---|
//! | lands an answer | have it |
//! | is dropped | the one that waits longest leads on |
//! | has an answer that cannot be kept, or a fault | all go on by themselves: what could not be shared is not waited for twice |
//! | is slow, and another call lands an answer meanwhile | have that one; the leader goes on by itself |
//!
//! An answer whose time is over stands in for a fault for [`Config::stale_if_error`] more (RFC 5861, section 4).
//!
//! An answer that is withdrawn by a newer one which is not kept stands in for nothing any more. What was fetched for before the cache was cleared or switched off goes to those who wait
//! for it and is not kept.
//!
//! The bound is exact: the answer that was used longest ago goes first, after those whose time is over. That order holds for the whole cache, so it has one short
//! lock. Keys are hashed, compared, cloned and dropped under it; answers are neither cloned nor dropped there, and nobody is woken.
//!
//! # Examples
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tower_rampart_core::{Timestamp, cache::{Cache, Config, Keep, Look}};
//!
//! let config = Config::new(Duration::from_secs(60));
//! let cache = Cache::new(config)?;
//! let Look::Visit(visit) = cache.look(&"key", Timestamp::ZERO) else { unreachable!("it is empty") };
//! visit.land(Arc::new(7), 0, Keep::of(&config), Timestamp::ZERO);
//! let Look::Hit(found) = cache.look(&"key", Timestamp::from_millis(59_999)) else { unreachable!("it is fresh") };
//! assert_eq!(*found.value, 7);
//! assert!(matches!(cache.look(&"key", Timestamp::from_millis(60_000)), Look::Visit(_)));
//! # Ok::<(), tower_rampart_core::InvalidConfig>(())
//! ```

mod config;
mod flight;
mod shared;
mod stats;
mod store;
mod visit;

pub use config::Config;
pub use shared::{Bounded, Cache, Look};
pub use stats::{CacheSnapshot, Stats};
pub use store::{Found, Keep};
pub use visit::Visit;

use crate::{ClassKind, Verdict};

/// Whether an answer past its time may stand in for what was judged so: a refusal of this suite, or an answer that is transient, rate limited or unavailable.
pub fn may_stand_in(verdict: &Verdict) -> bool {
    let kind = verdict.class.kind();
    verdict.is_fallbackable() && (kind.is_retryable() || kind == ClassKind::Ignored)
}
