//! The service: reqwest's client behind the pipeline of a request.

use std::{
    fmt, mem,
    task::{Context, Poll},
};

use http::Method;
use reqwest::{Request, Response};
use tower_layer::Layer as _;
use tower_rampart::{
    Classify, Error,
    fallback::Fallback,
    pipeline::{Custom, Report, future::ResponseFuture},
};
use tower_service::Service;

use crate::{Attempts, InResponse, Pipelines, ReqwestCloner, ReqwestLayer};

/// A client of reqwest behind the pipeline; made by [`ReqwestLayer`] and [`PerHost`](crate::PerHost).
#[derive(Clone)]
pub struct ReqwestService<S, P = ReqwestLayer> {
    inner: S,
    pipelines: P,
}

impl<S, P> ReqwestService<S, P> {
    pub(crate) const fn new(inner: S, pipelines: P) -> Self {
        Self { inner, pipelines }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutable.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, P: fmt::Debug> fmt::Debug for ReqwestService<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestService").field("inner", &self.inner).field("pipelines", &self.pipelines).finish()
    }
}

impl<S, P> Service<Request> for ReqwestService<S, P>
where
    S: Service<Request, Response = Response> + Clone,
    P: Pipelines,
    P::Classifier: Classify<Request, Response, S::Error>,
    P::Answer: Fallback<Request, Response, Error<S::Error>>,
    P::Report: Report<Response, Error<S::Error>>,
{
    type Response = Response;
    type Error = Error<S::Error>;
    type Future =
        ResponseFuture<Attempts<S>, Request, Custom<P::Classifier>, ReqwestCloner, P::Answer, InResponse<P::Report>>;

    /// Always ready: the inner service's readiness is awaited inside the call, where it is bounded and counted.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let layer = self.pipelines.of(&request);
        // The future polls readiness of the instance that it calls.
        let fresh = self.inner.clone();
        let sent = layer.live.begin(*request.method() == Method::HEAD);
        let attempts = Attempts::new(mem::replace(&mut self.inner, fresh), sent);
        layer.pipeline.layer(attempts).call(request)
    }
}
