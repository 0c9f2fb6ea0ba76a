//! Rate limit: so many calls in so much time.

mod config;

pub use config::{Algorithm, Config, OnLimit, Quota, Scope, default_burst};
