//! The service: draws for each call; its future does the rest.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Shared, future::ResponseFuture, strike};
use crate::error::FromRejection;

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
        ResponseFuture::new(strike::send(&mut self.inner, request, &self.shared.chaos, &self.shared.name))
    }
}
