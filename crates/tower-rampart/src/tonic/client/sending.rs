//! The innermost adapter: gives a channel the request body that it knows. What the body remembers is up to `ReplayBody`.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use tonic::body::Body;
use tower_service::Service;

use crate::error::BoxError;

/// Sends requests of any body through a service that takes tonic's, such as a `Channel`.
#[derive(Clone, Debug)]
pub struct Sending<S> {
    inner: S,
}

impl<S> Sending<S> {
    /// Around `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for Sending<S>
where
    S: Service<Request<Body>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        // tonic erases the type of every body, with or without this suite.
        self.inner.call(request.map(Body::new))
    }
}
