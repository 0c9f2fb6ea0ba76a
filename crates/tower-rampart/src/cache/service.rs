//! The service: looks before it calls.

use std::{
    fmt,
    hash::Hash,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::Classify;
use tower_service::Service;

use super::{Caching as _, Look, future::ResponseFuture, layer::Shared};
use crate::{classify::DefaultClassifier, clock};

/// A service with a cache; made by [`CacheLayer`](super::CacheLayer).
pub struct CacheService<S, F, K, V, C = DefaultClassifier> {
    inner: S,
    shared: Arc<Shared<F, K, V, C>>,
}

impl<S, F, K, V, C> CacheService<S, F, K, V, C> {
    pub(super) fn new(inner: S, shared: Arc<Shared<F, K, V, C>>) -> Self {
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

impl<S: Clone, F, K, V, C> Clone for CacheService<S, F, K, V, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, F, K, V, C> fmt::Debug for CacheService<S, F, K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, F, K, V, C, Req> Service<Req> for CacheService<S, F, K, V, C>
where
    S: Service<Req, Response = V> + Clone,
    F: Fn(&Req) -> Option<K>,
    K: Eq + Hash + Clone,
    V: Clone,
    C: Classify<Req, V, S::Error>,
{
    type Response = V;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, F, K, V, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let info = shared.classifier.request(&request);
        let enabled = shared.answers.cache().config().enabled;
        let look = if enabled { shared.answers.look(&request, None, clock::now()) } else { None };
        match look {
            Some(Look::Hit(answer)) => ResponseFuture::hit(answer, shared, info),
            Some(Look::Visit(visit)) if visit.follows() => {
                // The instance that was readied is the one that will be called.
                let fresh = self.inner.clone();
                let inner = mem::replace(&mut self.inner, fresh);
                ResponseFuture::following(inner, request, visit, shared, info)
            }
            look => {
                let visit = match look {
                    Some(Look::Visit(visit)) => Some(visit),
                    _ => None,
                };
                ResponseFuture::calling(self.inner.call(request), visit, shared, info)
            }
        }
    }
}
