//! The service: remembers the limit of the call.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::rejection::TimeoutKind;
use tower_service::Service;

use super::{Config, Shared, future::ResponseFuture};
use crate::error::FromRejection;

/// A service that answers in time or fails; made by [`TimeoutLayer`](super::TimeoutLayer).
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Timeout<S> {
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

impl<S, Req> Service<Req> for Timeout<S>
where
    S: Service<Req>,
    S::Error: FromRejection,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let limit = self.shared.config.with(limit);
        ResponseFuture::new(self.inner.call(request), limit, Arc::clone(&self.shared))
    }
}

/// The limit that acts, and what it is called.
fn limit(config: &Config) -> Option<(std::time::Duration, TimeoutKind)> {
    let attempt = config.attempt.map(|limit| (limit, TimeoutKind::Attempt));
    let total = config.total.map(|limit| (limit, TimeoutKind::Total));
    attempt.into_iter().chain(total).min_by_key(|(limit, _)| *limit)
}
