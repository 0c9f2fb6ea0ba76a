//! The service: sends the first attempt; its future does the rest.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::Classify;
use tower_service::Service;

use super::{CloneRequest, Cloned, Shared, future::ResponseFuture};
use crate::{UnderRetry, classify::DefaultClassifier, clock};

/// A service whose calls are retried; made by [`RetryLayer`](super::RetryLayer).
pub struct Retry<S, C = DefaultClassifier, K = Cloned> {
    inner: S,
    shared: Arc<Shared<C, K>>,
}

impl<S, C, K> Retry<S, C, K> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<C, K>>) -> Self {
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

impl<S: Clone, C, K> Clone for Retry<S, C, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, C, K> fmt::Debug for Retry<S, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, K, Req> Service<Req> for Retry<S, C, K>
where
    S: Service<Req> + Clone,
    C: Classify<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C, K>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let mut attempts = shared.plan.with(|plan| plan.attempts.seeded(shared.seeds.next()));
        let sender = shared.cloner.under_retry(&request);
        if sender.0 {
            attempts.leave_to_sender();
        }
        let info = shared.classifier.request(&request);
        let deadline = info.time_left.map(|left| clock::now().after(left));
        let spare = attempts.may_retry().then(|| shared.cloner.clone_request(&request)).flatten();
        shared.budget.deposit();
        shared.cloner.stamp(&mut request, attempts.attempt(), || None);
        shared.cloner.mark(&mut request, UnderRetry(sender.0 || (spare.is_some() && attempts.may_repeat(&info))));
        // Call the instance that was readied, keep a fresh one.
        let fresh = self.inner.clone();
        let mut service = mem::replace(&mut self.inner, fresh);
        let future = service.call(request);
        ResponseFuture::new(shared, service, future, spare, info, attempts, deadline)
    }
}
