//! Concurrency limit: so many calls at once, and a bounded fair queue before it; and what moves a limit that adapts.

pub mod adaptive;
mod config;
mod keyed;
mod limit;
mod moving;

pub use adaptive::{Adaptive, Algorithm, Controller, Ended, Sample};
pub use config::Config;
pub use limit::{Admission, Denied, Full, Limiter, Permit, Ticket};
