//! The service: takes a permit, or a place in the queue for one, within what the class of the request may take.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::{
    concurrency::{Admission, Denied},
    priority::{Priority, Share},
    rejection::{Name, OverloadReason, Overloaded, Shed},
    shadow::WouldBe,
};
use tower_service::Service;

use super::Shared;
use crate::{
    concurrency::future::{Held, Place, ResponseFuture},
    error::FromRejection,
};

/// A service with a bound on the calls in flight that goes by their importance; made by [`PriorityLayer`](super::PriorityLayer).
pub struct PriorityLimit<S, P> {
    inner: S,
    shared: Arc<Shared<P>>,
}

impl<S, P> PriorityLimit<S, P> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<P>>) -> Self {
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

    fn enter(&self, share: Share) -> Result<Admission, Denied> {
        let limiter = &self.shared.limiter;
        match limiter.enter_within(share, true) {
            Err(Denied::Share) if self.shared.shadow.is_on() => {
                self.shared.shadow.count(WouldBe::Refused);
                limiter.enter_within(Share::WHOLE, true)
            }
            admission => admission,
        }
    }
}

impl<S: Clone, P> Clone for PriorityLimit<S, P> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, P> fmt::Debug for PriorityLimit<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriorityLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, P, Req> Service<Req> for PriorityLimit<S, P>
where
    S: Service<Req> + Clone,
    S::Error: FromRejection,
    P: Fn(&Req) -> Priority,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let limiter = &self.shared.limiter;
        let priority = (self.shared.classes)(&request);
        let share =
            self.shared.config.with(|config| if config.enabled { config.share(priority) } else { Share::WHOLE });
        let name = || Name::clone(limiter.name());
        match self.enter(share) {
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
            Err(Denied::Share) => ResponseFuture::refused(Shed::new(name(), priority, limiter.max_inflight()).into()),
            Err(Denied::Full) => {
                let full = Overloaded::new(name(), OverloadReason::QueueFull, limiter.max_inflight(), None);
                ResponseFuture::refused(full.into())
            }
        }
    }
}
