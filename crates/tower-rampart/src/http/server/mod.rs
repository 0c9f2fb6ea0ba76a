//! The pipeline in front of HTTP handlers: an axum `Router`, a tonic `Server`, any service that hyper serves. What stands in front of clients is `client`.
//!
//! Refusals become answers here, so that the error type of the inner service stays what it was.

mod future;
mod layer;
mod refuse;
mod service;

pub use self::{future::ServerFuture, layer::ServerLayer, service::ServerService};
