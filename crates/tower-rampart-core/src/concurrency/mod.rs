//! Concurrency limit: so many calls at once, and a bounded fair queue before it.

mod config;
mod keyed;
mod limit;

pub use config::Config;
pub use limit::{Admission, Denied, Full, Limiter, Permit, Ticket};
