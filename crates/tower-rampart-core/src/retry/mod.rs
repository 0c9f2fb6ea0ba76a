//! Retry: sends again what failed for a passing reason, and knows when to stop.
//!
//! [`Attempts`] decides, [`Delays`] says how long to wait, [`Budget`] bounds what retries add to the load, [`Seeds`] makes schedules
//! differ from call to call and reproducible where wanted. Nothing here sends: the adapter waits and calls.

mod backoff;
mod budget;
mod config;
mod ladder;

pub use backoff::Delays;
pub use budget::{Budget, Withdrawal};
pub use config::{Backoff, BudgetConfig, Config, Jitter, JitterKind, Methods};
pub use ladder::{Attempts, Decision, StopReason};

pub use crate::random::Seeds;
