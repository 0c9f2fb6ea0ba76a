//! The innermost adapter: notes in each answer what its call was sent under, and looks at the beginning of its body where that decides the class.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use reqwest::{Body, Request, Response};
use tower_rampart::http::{DEFAULT_PEEK_TIMEOUT, InspectFuture, Sent};
use tower_service::Service;

use crate::convert::{from_http, into_http};

/// A service of reqwest's requests, as the pipeline calls it.
#[derive(Clone)]
pub struct Attempts<S> {
    inner: S,
    sent: Sent,
}

impl<S> Attempts<S> {
    pub(crate) const fn new(inner: S, sent: Sent) -> Self {
        Self { inner, sent }
    }
}

impl<S: fmt::Debug> fmt::Debug for Attempts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S> Service<Request> for Attempts<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = AttemptFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        AttemptFuture::new(self.inner.call(request), self.sent.clone())
    }
}

/// The answer to one attempt.
///
/// # Cancel safety
/// Dropping it drops the inner future or the answer that it looks at, and nothing else.
#[pin_project]
pub struct AttemptFuture<F> {
    #[pin]
    state: State<F>,
    sent: Option<Sent>,
}

#[pin_project(project = StateProjection)]
enum State<F> {
    /// The head decides: reqwest's answer stays as it is.
    Head(#[pin] F),
    /// The beginning of the body may decide. Boxed, because it is large and few calls need it.
    Body(Pin<Box<InspectFuture<IntoHttp<F>, Body>>>),
}

impl<F, E> AttemptFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    fn new(answer: F, sent: Sent) -> Self {
        let state = if sent.looks_inside() {
            State::Body(Box::pin(sent.clone().inspect(IntoHttp(answer), DEFAULT_PEEK_TIMEOUT)))
        } else {
            State::Head(answer)
        };
        Self { state, sent: Some(sent) }
    }
}

impl<F, E> Future for AttemptFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.state.project() {
            StateProjection::Head(answer) => ready!(answer.poll(cx)),
            StateProjection::Body(answer) => ready!(answer.as_mut().poll(cx)).map(from_http),
        };
        Poll::Ready(answer.map(|mut response| {
            let sent = this.sent.take().expect("a future is not polled after it was ready");
            response.extensions_mut().insert(sent);
            response
        }))
    }
}

impl<F> fmt::Debug for AttemptFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptFuture").finish_non_exhaustive()
    }
}

/// The same answer as one of `http`.
#[pin_project]
struct IntoHttp<F>(#[pin] F);

impl<F, E> Future for IntoHttp<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<http::Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx).map_ok(into_http)
    }
}
