//! The service: a concurrency limit around one that tells it what becomes of calls.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::Classify;
use tower_service::Service;

use super::{
    Shared,
    future::{ResponseFuture, Running},
};
use crate::{classify::DefaultClassifier, clock, concurrency::ConcurrencyLimit};

/// A service with a bound on the calls in flight that moves; made by [`AdaptiveConcurrencyLayer`](super::AdaptiveConcurrencyLayer).
pub type AdaptiveConcurrency<S, C = DefaultClassifier> = ConcurrencyLimit<Sampled<S, C>>;

/// A service whose calls move the limit in front of it.
pub struct Sampled<S, C = DefaultClassifier> {
    inner: S,
    shared: Arc<Shared<C>>,
}

impl<S, C> Sampled<S, C> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<C>>) -> Self {
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

impl<S: Clone, C> Clone for Sampled<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Sampled<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, Req> Service<Req> for Sampled<S, C>
where
    S: Service<Req>,
    C: Classify<Req, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let shared = &self.shared;
        if !shared.limiter.is_adaptive() {
            return ResponseFuture::new(self.inner.call(request), None);
        }
        let (info, began) = (shared.classifier.request(&request), clock::now());
        let future = self.inner.call(request);
        ResponseFuture::new(future, Some(Running::new(Arc::clone(shared), info, began)))
    }
}
