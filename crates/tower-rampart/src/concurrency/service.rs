//! The service: takes a permit, or a place in the queue for one.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::{
    concurrency::{Admission, Limiter},
    shadow::{Switch, WouldBe},
};
use tower_service::Service;

use super::future::{Held, Place, ResponseFuture};
use crate::error::FromRejection;

/// A service with a bound on the calls in flight; made by [`ConcurrencyLimitLayer`](super::ConcurrencyLimitLayer).
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit<S> {
    inner: S,
    limiter: Arc<Limiter>,
    shadow: Arc<Switch>,
}

impl<S> ConcurrencyLimit<S> {
    pub(crate) fn new(inner: S, limiter: Arc<Limiter>, shadow: Arc<Switch>) -> Self {
        Self { inner, limiter, shadow }
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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let limiter = &self.limiter;
        let admission = match limiter.try_acquire() {
            Ok(permit) => Ok(Admission::Granted(permit)),
            Err(_) if self.shadow.is_on() => {
                self.shadow.count(if limiter.has_room() { WouldBe::Queued } else { WouldBe::Refused });
                return ResponseFuture::calling(self.inner.call(request), Held::nothing(Arc::clone(limiter)));
            }
            Err(_) => limiter.enqueue(),
        };
        match admission {
            Ok(Admission::Granted(permit)) => {
                let held = Held::new(Arc::clone(limiter), Place::Permit(permit));
                ResponseFuture::calling(self.inner.call(request), held)
            }
            Ok(Admission::Queued(ticket)) => {
                let held = Held::new(Arc::clone(limiter), Place::Ticket(ticket));
                // Call the instance that was readied once there is a permit, keep a fresh one.
                let fresh = self.inner.clone();
                ResponseFuture::queued(mem::replace(&mut self.inner, fresh), request, held)
            }
            Err(full) => ResponseFuture::refused(full.refusal(limiter.name()).into()),
        }
    }
}
