//! Concurrency limit: so many calls at once, and a bounded fair queue before it.

mod config;

pub use config::Config;
