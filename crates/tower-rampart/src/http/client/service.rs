//! The service: wraps the request's body and hands the call to the pipeline.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    error::{BoxError, Error},
    fallback::{Fallback, NoFallback},
    http::{
        HttpSettings, Inspect, ReplayBody, ResponseBody, StandbyService,
        cache::HasBody,
        live::{Configured, InBody, Replaying},
        model::BodyLength,
    },
    pipeline::{Judge, NoReport, Report, Shared, future::ResponseFuture},
};

/// An HTTP client behind the whole pipeline; made by [`ClientLayer`](super::ClientLayer).
pub struct ClientService<S, A = NoFallback, J = Configured, R = NoReport> {
    inner: S,
    pub(super) shared: Arc<Shared<J, Replaying, A, InBody<R>>>,
    peek_timeout: Duration,
}

impl<S, A, J, R> ClientService<S, A, J, R> {
    pub(super) fn new(inner: S, shared: Arc<Shared<J, Replaying, A, InBody<R>>>, peek_timeout: Duration) -> Self {
        Self { inner, shared, peek_timeout }
    }

    /// The same client as one of the services of a [fallback](crate::PresetBuilder::fallback_services) of another.
    pub fn standby(self) -> StandbyService<S, A, J, R> {
        StandbyService::new(self)
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

impl<S: Clone, A, J, R> ClientService<S, A, J, R> {
    /// What the attempts of one call are made by.
    pub(super) fn attempts(&mut self, settings: Arc<HttpSettings>) -> Inspect<S> {
        // The future polls readiness of the instance that it calls.
        let fresh = self.inner.clone();
        Inspect::new(mem::replace(&mut self.inner, fresh), settings, Some(self.peek_timeout))
    }
}

/// The future of a call.
pub(super) type ClientFuture<S, Q, A, J, R> =
    ResponseFuture<Inspect<S>, Request<ReplayBody<Q>>, J, Replaying, A, InBody<R>>;

impl<S: Clone, A, J, R> Clone for ClientService<S, A, J, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared), self.peek_timeout)
    }
}

impl<S: fmt::Debug, A, J, R> fmt::Debug for ClientService<S, A, J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, A, J, R, Q, P> Service<Request<Q>> for ClientService<S, A, J, R>
where
    S: Service<Request<ReplayBody<Q>>, Response = Response<P>> + Clone,
    Q: Body<Data = Bytes> + Unpin,
    Q::Error: Into<BoxError>,
    P: Body<Data = Bytes>,
    P::Error: Into<BoxError>,
    J: Judge<Request<ReplayBody<Q>>, Response<ResponseBody<P>>, S::Error>,
    A: Fallback<Request<ReplayBody<Q>>, Response<ResponseBody<P>>, Error<J::Error>>,
    R: Report<Response<ResponseBody<P>>, Error<J::Error>>,
{
    type Response = Response<ResponseBody<P>>;
    type Error = Error<J::Error>;
    type Future = ClientFuture<S, Q, A, J, R>;

    /// Always ready: the inner service's readiness is awaited inside the call, where it is bounded and counted.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let settings = self.shared.machines.http.load();
        let mut request = request.map(|body| ReplayBody::new(body, settings.replay_max_bytes));
        if matches!(*request.method(), Method::GET | Method::HEAD) && !request.body().is_end_stream() {
            request.extensions_mut().insert(HasBody);
        }
        if settings.limits_tokens
            && let Some(length) = request.body().size_hint().exact()
        {
            request.extensions_mut().insert(BodyLength(length));
        }
        ResponseFuture::new(self.attempts(settings), request, Arc::clone(&self.shared))
    }
}
