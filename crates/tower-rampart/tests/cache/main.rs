//! The cache: the layer that stands alone, the stage of the pipeline, the one of HTTP hosts, and what the vectors say of it.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "http")]
#[path = "../hosts/mod.rs"]
mod hosts;
#[cfg(feature = "http")]
mod http;
mod layer;
mod pipeline;
mod vectors;
