//! The service: keeps the request where the fallback needs it.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::Classify;
use tower_service::Service;

use super::{Fallback, Shared, Walk, future::ResponseFuture};
use crate::{
    classify::DefaultClassifier,
    clone_request::{CloneRequest, Cloned},
};

/// A service with a fallback; made by [`FallbackLayer`](super::FallbackLayer).
pub struct FallbackService<S, A, C = DefaultClassifier, K = Cloned> {
    inner: S,
    shared: Arc<Shared<A, C, K>>,
}

impl<S, A, C, K> FallbackService<S, A, C, K> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<A, C, K>>) -> Self {
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

impl<S: Clone, A, C, K> Clone for FallbackService<S, A, C, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, A, C, K> fmt::Debug for FallbackService<S, A, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, A, C, K, Req> Service<Req> for FallbackService<S, A, C, K>
where
    S: Service<Req>,
    A: Fallback<Req, S::Response, S::Error>,
    C: Classify<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, A::Future, Req, A, C, K>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let info = shared.classifier.request(&request);
        let keep = shared.answer.needs_request() && shared.config.with(|config| config.enabled);
        let spare = keep.then(|| shared.cloner.clone_request(&request)).flatten();
        ResponseFuture::new(self.inner.call(request), shared, Walk::new(spare), info)
    }
}
