//! The service: hands each request to the pipeline, and preflights past it.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    ServerFuture,
    layer::Manner,
    refuse::{RefusalForm, is_preflight},
};
use crate::{
    UnderRetry,
    error::{BoxError, Error},
    fallback::{Fallback, NoFallback},
    http::{
        Inspect, ResponseBody,
        cache::HasBody,
        live::{Configured, InBody, Once},
    },
    pipeline::{Judge, NoReport, OperationHandle, Report, Shared, future::ResponseFuture},
};

/// HTTP handlers behind the pipeline; made by [`ServerLayer`](super::ServerLayer).
pub struct ServerService<S, A = NoFallback, J = Configured, R = NoReport> {
    inner: S,
    shared: Arc<Shared<J, Once, A, InBody<R>>>,
    manner: Manner,
}

impl<S, A, J, R> ServerService<S, A, J, R> {
    pub(super) fn new(inner: S, shared: Arc<Shared<J, Once, A, InBody<R>>>, manner: Manner) -> Self {
        Self { inner, shared, manner }
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

impl<S: Clone, A, J, R> Clone for ServerService<S, A, J, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared), self.manner)
    }
}

impl<S: fmt::Debug, A, J, R> fmt::Debug for ServerService<S, A, J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, A, J, R, Q, P> Service<Request<Q>> for ServerService<S, A, J, R>
where
    S: Service<Request<Q>, Response = Response<P>> + Clone,
    Q: Body,
    P: Body<Data = Bytes>,
    P::Error: Into<BoxError>,
    J: Judge<Request<Q>, Response<ResponseBody<P>>, S::Error>,
    J::Error: Into<S::Error>,
    A: Fallback<Request<Q>, Response<ResponseBody<P>>, Error<J::Error>>,
    R: Report<Response<ResponseBody<P>>, Error<J::Error>>,
{
    type Response = Response<ResponseBody<P>>;
    type Error = S::Error;
    type Future = ServerFuture<ResponseFuture<Inspect<S>, Request<Q>, J, Once, A, InBody<R>>, S, Q>;

    /// Always ready: the inner service's readiness is awaited inside the call, where it is bounded and counted.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        // The future polls readiness of the instance that it calls.
        let fresh = self.inner.clone();
        let inner = mem::replace(&mut self.inner, fresh);
        if self.manner.exposes_handle {
            request.extensions_mut().insert(OperationHandle::new(Arc::clone(&self.shared.machines)));
        }
        if is_preflight(&request) {
            return ServerFuture::passing(inner, request);
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) && !request.body().is_end_stream() {
            request.extensions_mut().insert(HasBody);
        }
        let form = RefusalForm::of(request.headers());
        let settings = self.shared.machines.http.load();
        // Extensions allocate: only what says something is put there.
        if settings.nested_retry
            && request.extensions().get::<UnderRetry>().is_none()
            && settings.cloner.reads(request.headers(), None).0
        {
            request.extensions_mut().insert(UnderRetry(true));
        }
        let inner = Inspect::new(inner, settings, self.manner.peek_timeout);
        ServerFuture::guarded(ResponseFuture::new(inner, request, Arc::clone(&self.shared)), form)
    }
}
