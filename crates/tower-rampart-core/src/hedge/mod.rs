//! Hedging: when a second copy of a slow attempt begins. Whether a failed attempt is made again is the business of [`retry`](crate::retry).
//!
//! After Dean and Barroso, "The Tail at Scale" (Communications of the ACM 56(2), 2013): a request that has been outstanding for longer than most requests of
//! its kind take is sent once more, and the first answer counts. Sent at the 95th percentile this adds at most one request in twenty.
//!
//! What is here decides *when*: after a fixed delay, or after a percentile of the latencies of the last minute. Copies, answers and losers are the adapter's.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use tower_rampart_core::{Timestamp, hedge::{Config, Hedging}};
//!
//! let hedging = Hedging::new(Config::percentile(95.0))?;
//! let mut now = Timestamp::ZERO;
//! assert_eq!(hedging.delay(now), None, "nothing is known yet");
//! for call in 0..200 {
//!     now = now.after(Duration::from_millis(100));
//!     hedging.record(now, Duration::from_millis(if call % 50 == 0 { 900 } else { 10 }));
//! }
//! let delay = hedging.delay(now).expect("a hundred latencies are enough for the 95th percentile");
//! assert!(delay >= Duration::from_millis(10) && delay < Duration::from_millis(12));
//! # Ok::<(), tower_rampart_core::InvalidConfig>(())
//! ```

mod config;
mod counts;
mod recent;
mod shared;

pub use self::{
    config::{Config, Trigger},
    counts::{Counts, End},
    shared::Hedging,
};
