//! The service: asks the circuit first.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tower_rampart_core::{
    Classify, Outcome,
    breaker::{Refused, State},
    shadow::{Switch, WouldBe},
};
use tower_service::Service;

use super::{
    Shared,
    future::ResponseFuture,
    guard::{Guard, Unwinding},
};
use crate::{classify::DefaultClassifier, clock, error::FromRejection};

/// A service behind a circuit; made by [`CircuitBreakerLayer`](super::CircuitBreakerLayer).
pub struct CircuitBreaker<S, C = DefaultClassifier> {
    inner: S,
    /// Whether `inner` was found ready since the last call. While the circuit is open it is not even asked.
    ready: bool,
    shared: Arc<Shared<C>>,
    shadow: Arc<Switch>,
}

impl<S, C> CircuitBreaker<S, C> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<C>>, shadow: Arc<Switch>) -> Self {
        Self { inner, ready: false, shared, shadow }
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

impl<S: Clone, C> Clone for CircuitBreaker<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared), Arc::clone(&self.shadow))
    }
}

impl<S: fmt::Debug, C> fmt::Debug for CircuitBreaker<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, Req> Service<Req> for CircuitBreaker<S, C>
where
    S: Service<Req>,
    S::Error: FromRejection,
    C: Classify<Req, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, Req>;

    /// Ready at once while the circuit refuses, so that a service that is never ready cannot hold up the refusal.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.ready || (self.shared.breaker.peek(clock::now).is_err() && !self.shadow.is_on()) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.inner.poll_ready(cx))?;
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let ready = mem::take(&mut self.ready);
        let mut permit = match self.shared.breaker.try_acquire_uncounted(clock::now) {
            Ok(permit) => Some(permit),
            // In shadow the call goes on without a permit, and its outcome is not told. One that found the circuit live when it asked for readiness, and
            // so did not make the inner service ready, is refused as it was told then.
            Err(_) if ready && self.shadow.is_on() => {
                self.shadow.count(WouldBe::Refused);
                None
            }
            Err(refused) => {
                self.shared.breaker.count_refusal();
                return ResponseFuture::refused(&self.shared, refused);
            }
        };
        if !ready && let Some(permit) = permit.take() {
            // The circuit refused when readiness was asked for and would admit now: the inner service was not made ready.
            self.shared.breaker.record(permit, Outcome::Ignored, None, clock::now);
            let refused = Refused { state: State::Open, retry_after: Some(Duration::ZERO) };
            return ResponseFuture::refused(&self.shared, refused);
        }
        // Only looked at if something panics: the guard is made where it stays.
        let mut unwinding = Unwinding { shared: &self.shared, permit: &mut permit, outcome: Outcome::Abandoned };
        let info = self.shared.classifier.request(&request);
        unwinding.outcome = Outcome::Failure;
        let future = self.inner.call(request);
        mem::forget(unwinding);
        ResponseFuture::calling(future, Guard::new(Arc::clone(&self.shared), permit), info)
    }
}
