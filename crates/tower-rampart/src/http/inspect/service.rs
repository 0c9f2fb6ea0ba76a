//! The service: hands each attempt to a future of its own.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::InspectFuture;
use crate::{
    error::BoxError,
    http::{HttpSettings, ResponseBody, body::Origin},
};

/// A service whose answers are looked at before they are judged; see [`ResponseBody`] for what becomes of their bodies.
///
/// The HTTP layers put it around what they wrap; its settings are those with which the call began.
#[derive(Clone)]
pub struct Inspect<S> {
    inner: S,
    settings: Arc<HttpSettings>,
    /// How long an answer may be held up; `None`: nothing is looked at.
    patience: Option<Duration>,
}

impl<S> Inspect<S> {
    pub(crate) const fn new(inner: S, settings: Arc<HttpSettings>, patience: Option<Duration>) -> Self {
        Self { inner, settings, patience }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for Inspect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspect").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Inspect<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = InspectFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let origin = Origin { settings: Arc::clone(&self.settings), is_head: request.method() == Method::HEAD };
        InspectFuture::new(self.inner.call(request), origin, self.patience)
    }
}
