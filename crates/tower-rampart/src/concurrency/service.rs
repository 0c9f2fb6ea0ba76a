//! The service: takes a permit, or a place in the queue for one.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::concurrency::{Admission, Limiter, Permit};
use tower_service::Service;

use super::future::{Held, Place, ResponseFuture, Unwinding};
use crate::error::FromRejection;

/// A service with a bound on the calls in flight; made by [`ConcurrencyLimitLayer`](super::ConcurrencyLimitLayer).
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit<S> {
    inner: S,
    limiter: Arc<Limiter>,
}

impl<S> ConcurrencyLimit<S> {
    pub(crate) fn new(inner: S, limiter: Arc<Limiter>) -> Self {
        Self { inner, limiter }
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

impl<S, Req> Service<Req> for ConcurrencyLimit<S>
where
    S: Service<Req> + Clone,
    S::Error: FromRejection,
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
        match self.limiter.try_acquire() {
            Ok(permit) => self.call_with(permit, request),
            Err(_) => self.enqueue(request),
        }
    }
}

impl<S> ConcurrencyLimit<S> {
    #[inline]
    fn call_with<Req>(&mut self, permit: Permit, request: Req) -> ResponseFuture<S, Req>
    where
        S: Service<Req>,
    {
        let mut permit = Some(permit);
        // Only looked at if the inner service panics: what holds the permit is made where it stays.
        let unwinding = Unwinding { limiter: &self.limiter, permit: &mut permit };
        let future = self.inner.call(request);
        mem::forget(unwinding);
        ResponseFuture::calling(future, Held::new(Arc::clone(&self.limiter), permit.map(Place::Permit)))
    }

    #[cold]
    #[inline(never)]
    fn enqueue<Req>(&mut self, request: Req) -> ResponseFuture<S, Req>
    where
        S: Service<Req> + Clone,
    {
        let limiter = &self.limiter;
        match limiter.enqueue() {
            Ok(Admission::Granted(permit)) => self.call_with(permit, request),
            Ok(Admission::Queued(ticket)) => {
                let held = Held::new(Arc::clone(limiter), Some(Place::Ticket(ticket)));
                // Call the instance that was readied once there is a permit, keep a fresh one.
                let fresh = self.inner.clone();
                ResponseFuture::queued(mem::replace(&mut self.inner, fresh), request, held)
            }
            Err(full) => ResponseFuture::refused(full.refusal(limiter.name()).into()),
        }
    }
}
