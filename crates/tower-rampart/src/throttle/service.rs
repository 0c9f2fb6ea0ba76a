//! The service: asks the throttle first.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::{Classify, shadow::WouldBe};
use tower_service::Service;

use super::{Shared, future::ResponseFuture};
use crate::{classify::DefaultClassifier, clock, error::FromRejection};

/// A service behind a throttle; made by [`ThrottleLayer`](super::ThrottleLayer).
pub struct ClientThrottle<S, C = DefaultClassifier> {
    inner: S,
    shared: Arc<Shared<C>>,
}

impl<S, C> ClientThrottle<S, C> {
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

impl<S: Clone, C> Clone for ClientThrottle<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, C> fmt::Debug for ClientThrottle<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientThrottle").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, Req> Service<Req> for ClientThrottle<S, C>
where
    S: Service<Req>,
    S::Error: FromRejection,
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
        let now = clock::now();
        if let Err(refused) = shared.throttle.ask(now) {
            if !shared.shadow.is_on() {
                shared.throttle.count_refusal(now);
                return ResponseFuture::refused(refused.refusal(shared.throttle.name()).into());
            }
            shared.shadow.count(WouldBe::Refused);
        }
        let info = shared.classifier.request(&request);
        ResponseFuture::calling(self.inner.call(request), info, Arc::clone(&self.shared))
    }
}
