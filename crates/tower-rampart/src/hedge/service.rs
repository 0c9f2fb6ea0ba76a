//! The service: sends the first copy; its future does the rest.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::Classify;
use tower_service::Service;

use super::{Shared, future::ResponseFuture, run::Schedule};
use crate::{
    classify::DefaultClassifier,
    clock,
    clone_request::{CloneRequest, Cloned},
};

/// A service whose slow calls are hedged; made by [`HedgeLayer`](super::HedgeLayer).
pub struct Hedge<S, C = DefaultClassifier, K = Cloned> {
    inner: S,
    shared: Arc<Shared<C, K>>,
}

impl<S, C, K> Hedge<S, C, K> {
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

impl<S: Clone, C, K> Clone for Hedge<S, C, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, C, K> fmt::Debug for Hedge<S, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, K, Req> Service<Req> for Hedge<S, C, K>
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
    fn call(&mut self, request: Req) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let info = shared.classifier.request(&request);
        let config = shared.hedging.config();
        let (mut schedule, mut spare) = (Schedule::OFF, None);
        if config.enabled && info.idempotent {
            shared.budget.deposit();
            let now = clock::now();
            schedule = Schedule::new(now, shared.hedging.delay(now));
            spare = schedule.may_hedge().then(|| shared.cloner.clone_request(&request)).flatten();
        }
        // Call the instance that was readied, keep a fresh one.
        let fresh = self.inner.clone();
        let mut service = mem::replace(&mut self.inner, fresh);
        let future = service.call(request);
        ResponseFuture::new(future, service, shared, spare, info, schedule, config.max_hedges)
    }
}
