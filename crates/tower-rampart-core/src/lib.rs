//! The machines behind `tower-rampart`: circuit breaker, retry ladder, rate limit, concurrency limit, and the registry that every number comes from.
//!
//! Nothing here reads a clock, does I/O, spawns a task or knows an async runtime: time is a [`clock::Timestamp`] that the caller passes in.
//! The Tower layers live in the crate `tower-rampart`, the JSON document in `tower-rampart-config`.

pub mod breaker;
pub mod cache;
pub mod chaos;
pub mod classify;
pub mod clock;
pub mod concurrency;
pub mod control;
pub mod event;
pub mod fallback;
pub mod hedge;
pub mod invalid;
pub mod keyed;
pub mod outcome;
pub mod priority;
mod queue;
mod random;
pub mod rate;
pub mod registry;
pub mod rejection;
pub mod retry;
pub mod shadow;
pub mod signals;
mod stripes;
mod sync;
pub mod throttle;
pub mod timeout;

pub use classify::{Class, ClassKind, Classify, Code, ProviderClass, RequestInfo, TokenEstimate, Verdict};
pub use clock::{Now, Timestamp};
pub use invalid::InvalidConfig;
pub use outcome::Outcome;
pub use rejection::{Rejection, Stage};
