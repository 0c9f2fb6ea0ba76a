//! Why the body of an answer has no more frames. Why a request's body has none is [`ReplayError`](crate::http::ReplayError).

use std::time::Duration;

use tower_rampart_core::Rejection;

use crate::error::BoxError;

/// Why the body of an answer has no more frames.
///
/// The inner body's own error is boxed, so that bodies whose error is a `BoxError` fit as well as those with an error of their own; it is found by
/// downcasting the [source](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The inner body failed.
    #[error("response body failed: {0}")]
    Inner(#[source] BoxError),
    /// Nothing came for as long as an attempt may take.
    #[error("response body stalled: nothing came for {after:?}")]
    Stalled {
        /// How long nothing came.
        after: Duration,
    },
    /// The time of the whole call is over.
    #[error("response body took too long: {0}")]
    TimedOut(#[source] Rejection),
}
