//! The future: the pipeline's, with its errors made statuses.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tonic::Status;

use crate::error::{BoxError, Error};

/// The response of a [`ClientService`](super::ClientService).
///
/// # Cancel safety
/// As the pipeline's: dropping it gives everything back and counts the call as abandoned.
#[pin_project]
pub struct ClientFuture<F> {
    #[pin]
    inner: F,
}

impl<F> ClientFuture<F> {
    pub(super) const fn new(inner: F) -> Self {
        Self { inner }
    }
}

impl<F, T, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<T, Error<E>>>,
    E: Into<BoxError>,
{
    type Output = Result<T, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map_err(Status::from)
    }
}

impl<F> fmt::Debug for ClientFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFuture").finish_non_exhaustive()
    }
}
