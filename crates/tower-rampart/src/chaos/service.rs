//! The service: draws for each call; its future does the rest.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Shared, future::ResponseFuture};
use crate::{clock, error::FromRejection};

/// A service that is late or fails on purpose; made by [`ChaosLayer`](super::ChaosLayer).
#[derive(Debug, Clone)]
pub struct ChaosService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> ChaosService<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
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

impl<S, Req> Service<Req> for ChaosService<S>
where
    S: Service<Req> + Clone,
    S::Error: FromRejection,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let injection = self.shared.chaos.draw();
        if injection.latency.is_none() && !injection.fault {
            return ResponseFuture::calling(self.inner.call(request));
        }
        let until = injection.latency.map(|latency| clock::now().after(latency));
        // The instance that was readied is kept for the end of the wait, unless it is not called at all.
        let kept = (!injection.fault).then(|| {
            let fresh = self.inner.clone();
            (mem::replace(&mut self.inner, fresh), request)
        });
        ResponseFuture::afflicted(until, kept, Arc::clone(&self.shared))
    }
}
