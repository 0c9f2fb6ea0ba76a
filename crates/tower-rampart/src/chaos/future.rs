//! The future of a call that may be late or fail on purpose.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tower_service::Service;

use super::strike::{Attempt, Failure};
use crate::error::FromRejection;

/// The response of a [`ChaosService`](super::ChaosService).
///
/// # Cancel safety
/// Dropping it drops the call; one that is still being held up was not sent.
#[pin_project]
pub struct ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    #[pin]
    attempt: Attempt<S, Req>,
}

impl<S, Req> ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    pub(crate) fn new(attempt: Attempt<S, Req>) -> Self {
        Self { attempt }
    }
}

impl<S, Req> Future for ResponseFuture<S, Req>
where
    S: Service<Req>,
    S::Error: FromRejection,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().attempt.poll(cx).map_err(|failure| match failure {
            Failure::Service(error) => error,
            Failure::Injected(injected) => S::Error::from_rejection(injected.into()),
        })
    }
}

impl<S, Req> fmt::Debug for ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("chaos::ResponseFuture").finish_non_exhaustive()
    }
}
