//! The whole stack from a preset or a document, as one layer: [`ResilienceLayer`], built by [`PresetBuilder`].
//!
//! Outermost first:
//!
//! `observe -> fallback -> rate limit -> concurrency limit -> total timeout -> [breaker, scope call] -> retry -> [breaker, scope attempt] -> attempt timeout -> inner`
//!
//! The stages are the machines that the separate layers run on, walked by one future: one clock reading, one copy of the
//! configuration and one timer serve the whole call, and nothing is allocated on a success. Every stage is there and
//! switched by its configuration, so that it can be turned on while traffic flows.
//!
//! What a stage refuses, it refuses inside the future: the service is always ready, so that hosts which clone and call once
//! (axum, tonic, reqwest-middleware) meet it as well, and an open circuit is never held up by a service that is not ready.
//! The inner service's readiness is awaited for each attempt, within the attempt's timeout.
//!
//! # Errors
//! [`Error<E>`](crate::Error): the inner service's error as it is, or a refusal. After retries the last real answer or error
//! comes back; how many attempts there were and why they ended is in the [`Explain`].

mod builder;
mod call;
mod explain;
pub mod future;
mod handle;
mod judge;
mod layer;
mod machines;
mod preflight;
mod service;
mod settings;
mod steps;

pub use builder::{BuildError, PresetBuilder};
#[cfg(feature = "http")]
pub use explain::InExtensions;
pub use explain::{Explain, NoReport, OnReport, Report};
pub use handle::OperationHandle;
pub use judge::{Custom, Judge};
pub use layer::ResilienceLayer;
pub(crate) use machines::Machines;
pub use preflight::{Admission, Preflight};
pub use service::ResilienceService;

use std::sync::Arc;

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<J, K, A, R> {
    pub(crate) machines: Arc<Machines>,
    pub(crate) judge: J,
    pub(crate) cloner: K,
    pub(crate) answer: A,
    pub(crate) report: R,
    pub(crate) report_all: bool,
}
