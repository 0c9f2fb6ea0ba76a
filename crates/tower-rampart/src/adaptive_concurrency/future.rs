//! The future of a call that moves the limit in front of it. What waits for a permit is [`concurrency::future`](crate::concurrency::future).

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Classify, RequestInfo, Timestamp, Verdict,
    concurrency::{Ended, Sample},
};

use super::Shared;
use crate::clock;

/// The response of a [`Sampled`](super::Sampled).
///
/// # Cancel safety
/// Dropping it is no sample, unless the builder's timeout has passed: then it is a drop.
#[pin_project]
pub struct ResponseFuture<F, C, Req> {
    #[pin]
    future: F,
    /// `None` while nothing moves the limit, and once the call has ended.
    running: Option<Running<C>>,
    request: PhantomData<fn(Req)>,
}

/// A call that has not ended.
pub(crate) struct Running<C> {
    shared: Arc<Shared<C>>,
    info: RequestInfo,
    began: Timestamp,
}

impl<C> Running<C> {
    pub(crate) fn new(shared: Arc<Shared<C>>, info: RequestInfo, began: Timestamp) -> Self {
        Self { shared, info, began }
    }

    /// Whether the call is late at `now`.
    fn is_late(&self, now: Timestamp) -> bool {
        self.shared.timeout.is_some_and(|timeout| now.since(self.began) >= timeout)
    }

    fn answered(self, verdict: &Verdict) {
        let ended = clock::now();
        // Who is late is told of below.
        if !self.is_late(ended)
            && let Some(how) = Ended::of(verdict)
        {
            self.shared.limiter.record(&Sample { began: self.began, ended, how }, ended);
        }
    }
}

impl<C> Drop for Running<C> {
    fn drop(&mut self) {
        if self.shared.timeout.is_none() {
            return;
        }
        let now = clock::now();
        if self.is_late(now) {
            self.shared.limiter.record(&Sample::dropped(self.began, now), now);
        }
    }
}

impl<F, C, Req> ResponseFuture<F, C, Req> {
    pub(crate) fn new(future: F, running: Option<Running<C>>) -> Self {
        Self { future, running, request: PhantomData }
    }
}

impl<F, C, Req, Res, E> Future for ResponseFuture<F, C, Req>
where
    F: Future<Output = Result<Res, E>>,
    C: Classify<Req, Res, E>,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.future.poll(cx));
        if let Some(running) = this.running.take() {
            let verdict = running.shared.classifier.classify(&running.info, result.as_ref());
            running.answered(&verdict);
        }
        Poll::Ready(result)
    }
}

impl<F, C, Req> fmt::Debug for ResponseFuture<F, C, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("adaptive_concurrency::ResponseFuture").finish_non_exhaustive()
    }
}
