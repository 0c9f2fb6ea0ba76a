//! The service: hands the call to the pipeline of HTTP clients, around a channel.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic::Status;
use tower_service::Service;

use super::{ClientFuture, Sending};
use crate::{
    error::{BoxError, Error},
    fallback::{Fallback, NoFallback},
    http::{self as hosts, Configured, InBody, ReplayBody, Replaying, ResponseBody},
    pipeline::{Judge, NoReport, Report, future::ResponseFuture},
};

type Pipeline<S, A, J, R> = hosts::ClientService<Sending<S>, A, J, R>;

/// A tonic `Channel` behind the whole pipeline; made by [`ClientLayer`](super::ClientLayer), given to a generated client.
pub struct ClientService<S, A = NoFallback, J = Configured, R = NoReport> {
    inner: Pipeline<S, A, J, R>,
}

impl<S, A, J, R> ClientService<S, A, J, R> {
    pub(super) const fn new(inner: Pipeline<S, A, J, R>) -> Self {
        Self { inner }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().get_ref()
    }

    /// The inner service, alone.
    pub fn into_inner(self) -> S {
        self.inner.into_inner().into_inner()
    }

    /// The same pipeline as a target of another one's [`fallback_services`](crate::PresetBuilder::fallback_services): its errors are still those
    /// of the suite.
    pub fn into_target(self) -> hosts::ClientService<Sending<S>, A, J, R> {
        self.inner
    }
}

impl<S: Clone, A, J, R> Clone for ClientService<S, A, J, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: fmt::Debug, A, J, R> fmt::Debug for ClientService<S, A, J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientService").field("inner", self.get_ref()).finish_non_exhaustive()
    }
}

impl<S, A, J, R, Q, P> Service<Request<Q>> for ClientService<S, A, J, R>
where
    S: Service<Request<tonic::body::Body>, Response = Response<P>> + Clone,
    Q: Body<Data = Bytes> + Unpin + Send + 'static,
    Q::Error: std::error::Error + Send + Sync + 'static,
    P: Body<Data = Bytes>,
    P::Error: Into<BoxError>,
    J: Judge<Request<ReplayBody<Q>>, Response<ResponseBody<P>>, S::Error>,
    J::Error: Into<BoxError>,
    A: Fallback<Request<ReplayBody<Q>>, Response<ResponseBody<P>>, Error<J::Error>>,
    R: Report<Response<ResponseBody<P>>, Error<J::Error>>,
{
    type Response = Response<ResponseBody<P>>;
    type Error = Status;
    type Future =
        ClientFuture<ResponseFuture<hosts::Inspect<Sending<S>>, Request<ReplayBody<Q>>, J, Replaying, A, InBody<R>>>;

    /// Always ready: the channel's readiness is awaited inside the call, where it is bounded and counted.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        ClientFuture::new(self.inner.call(request))
    }
}
