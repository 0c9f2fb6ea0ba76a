//! The future of a call that the throttle lets be made.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{Classify, Rejection, RequestInfo, throttle::is_accepted};

use super::Shared;
use crate::{clock, error::FromRejection};

/// The response of a [`ClientThrottle`](super::ClientThrottle).
///
/// # Cancel safety
/// Dropping it drops the call, which is then not counted.
#[pin_project]
pub struct ResponseFuture<F, C, Req> {
    #[pin]
    state: State<F, C>,
    request: PhantomData<fn(Req)>,
}

#[pin_project(project = StateProjection)]
enum State<F, C> {
    /// The throttle refused; taken when polled.
    Refused(Option<Rejection>),
    // Calling => done: the answer is counted
    Calling {
        #[pin]
        future: F,
        info: RequestInfo,
        shared: Arc<Shared<C>>,
    },
}

impl<F, C, Req> ResponseFuture<F, C, Req> {
    #[cold]
    pub(crate) fn refused(rejection: Rejection) -> Self {
        Self { state: State::Refused(Some(rejection)), request: PhantomData }
    }

    pub(crate) fn calling(future: F, info: RequestInfo, shared: Arc<Shared<C>>) -> Self {
        Self { state: State::Calling { future, info, shared }, request: PhantomData }
    }
}

impl<F, C, Req, Res, E> Future for ResponseFuture<F, C, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: FromRejection,
    C: Classify<Req, Res, E>,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Refused(rejection) => {
                let rejection = rejection.take().expect("a future is not polled after it was ready");
                Poll::Ready(Err(E::from_rejection(rejection)))
            }
            StateProjection::Calling { future, info, shared } => {
                let result = ready!(future.poll(cx));
                let verdict = shared.classifier.classify(info, result.as_ref());
                if let Some(accepted) = is_accepted(&verdict) {
                    shared.throttle.record(accepted, clock::now());
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<F, C, Req> fmt::Debug for ResponseFuture<F, C, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("throttle::ResponseFuture").finish_non_exhaustive()
    }
}
