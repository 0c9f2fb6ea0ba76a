//! The service: takes tokens, or a place in the queue for them.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::{
    Timestamp,
    rate::{Admission, Exceeded, OnLimit, RateLimiter},
    shadow::WouldBe,
};
use tower_service::Service;

use super::{
    Cost, One, Shared,
    future::{Place, ResponseFuture},
};
use crate::{clock, error::FromRejection};

/// A service with a bound on the calls in a time; made by [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimit<S, W = One> {
    inner: S,
    shared: Arc<Shared<W>>,
}

impl<S, W> RateLimit<S, W> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<W>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutable.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, W> Clone for RateLimit<S, W> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, W> fmt::Debug for RateLimit<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, W, Req> Service<Req> for RateLimit<S, W>
where
    S: Service<Req> + Clone,
    S::Error: FromRejection,
    W: Cost<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let limiter = &self.shared.limiter;
        if !limiter.is_enabled() {
            return ResponseFuture::calling(self.inner.call(request));
        }
        let cost = self.shared.cost.cost(&request);
        let now = clock::now();
        if limiter.waits() && !self.shared.shadow.is_on() {
            return self.enqueue(request, cost, now);
        }
        match limiter.try_acquire(cost, now) {
            Ok(_spent) => ResponseFuture::calling(self.inner.call(request)),
            Err(exceeded) if self.shared.shadow.is_on() => {
                self.shared.shadow.count(would_be(limiter, &exceeded));
                ResponseFuture::calling(self.inner.call(request))
            }
            Err(exceeded) => ResponseFuture::refused(limiter, exceeded),
        }
    }
}

/// What a live limit would have done.
#[cold]
fn would_be(limiter: &RateLimiter, exceeded: &Exceeded) -> WouldBe {
    let config = limiter.config();
    let fits = |wait| config.max_wait.is_none_or(|max| wait <= max);
    let waits = config.on_limit == OnLimit::Wait && exceeded.retry_after.is_some_and(fits);
    if waits { WouldBe::Queued } else { WouldBe::Refused }
}

impl<S, W> RateLimit<S, W> {
    #[inline(never)]
    fn enqueue<Req>(&mut self, request: Req, cost: u32, now: Timestamp) -> ResponseFuture<S, Req>
    where
        S: Service<Req> + Clone,
    {
        let limiter = &self.shared.limiter;
        match limiter.enqueue(cost, now, None) {
            Ok(Admission::Granted(_spent)) => ResponseFuture::calling(self.inner.call(request)),
            Ok(Admission::Queued(ticket)) => {
                let place = Place::new(Arc::clone(limiter), ticket);
                // Call the instance that was readied once it is its turn, keep a fresh one.
                let fresh = self.inner.clone();
                ResponseFuture::queued(mem::replace(&mut self.inner, fresh), request, place)
            }
            Err(exceeded) => ResponseFuture::refused(limiter, exceeded),
        }
    }
}
