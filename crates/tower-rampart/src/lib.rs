//! Resilience for Tower.

#[cfg(feature = "http")]
pub mod http;
