//! The service: hands each call to a future of its own.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Judge, NoReport, Report, Shared, future::ResponseFuture};
use crate::{
    classify::DefaultClassifier,
    error::Error,
    fallback::{Fallback, NoFallback},
    retry::{CloneRequest, Cloned},
};

/// A service behind the whole pipeline; made by [`ResilienceLayer`](super::ResilienceLayer).
pub struct ResilienceService<S, J = DefaultClassifier, K = Cloned, A = NoFallback, R = NoReport> {
    inner: S,
    shared: Arc<Shared<J, K, A, R>>,
}

impl<S, J, K, A, R> ResilienceService<S, J, K, A, R> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<J, K, A, R>>) -> Self {
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

impl<S: Clone, J, K, A, R> Clone for ResilienceService<S, J, K, A, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, J, K, A, R> fmt::Debug for ResilienceService<S, J, K, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilienceService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, J, K, A, R, Req> Service<Req> for ResilienceService<S, J, K, A, R>
where
    S: Service<Req> + Clone,
    J: Judge<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
    R: Report<S::Response, Error<J::Error>>,
{
    type Response = S::Response;
    type Error = Error<J::Error>;
    type Future = ResponseFuture<S, Req, J, K, A, R>;

    /// Always ready: the inner service's readiness is awaited inside the call, where it is bounded and counted.
    #[inline]
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        // The future polls readiness of the instance that it calls.
        let fresh = self.inner.clone();
        ResponseFuture::new(mem::replace(&mut self.inner, fresh), request, Arc::clone(&self.shared))
    }
}
