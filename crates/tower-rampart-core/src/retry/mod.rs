//! Retry: sends again what failed for a passing reason, and knows when to stop.

mod config;

pub use config::{Backoff, BudgetConfig, Config, Jitter, JitterKind, Methods};
