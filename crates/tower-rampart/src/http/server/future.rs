//! The future: the pipeline's, with its refusals made answers; or the handler's alone, for a preflight.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tower_service::Service;

use super::refuse::Form;
use crate::{
    error::{BoxError, Error, FallbackFailed},
    http::ResponseBody,
};

/// The response of a [`ServerService`](super::ServerService); `F` is the pipeline's future.
///
/// # Cancel safety
/// As the pipeline's: dropping it gives everything back and counts the call as abandoned.
#[pin_project]
pub struct ServerFuture<F, S, Q>
where
    S: Service<Request<Q>>,
{
    #[pin]
    state: State<F, S, Q, S::Future>,
}

#[pin_project(project = StateProjection)]
#[expect(clippy::large_enum_variant, reason = "it lives in the future: a box would allocate on every call")]
enum State<F, S, Q, G> {
    Guarded {
        #[pin]
        future: F,
        form: Form,
    },
    /// A preflight waits for the handler to be ready.
    Readying {
        service: S,
        request: Option<Request<Q>>,
    },
    // Readying => Passing: the handler is ready
    Passing(#[pin] G),
}

impl<F, S, Q> ServerFuture<F, S, Q>
where
    S: Service<Request<Q>>,
{
    pub(super) const fn guarded(future: F, form: Form) -> Self {
        Self { state: State::Guarded { future, form } }
    }

    pub(super) const fn passing(service: S, request: Request<Q>) -> Self {
        Self { state: State::Readying { service, request: Some(request) } }
    }
}

impl<F, S, Q, P, E> Future for ServerFuture<F, S, Q>
where
    F: Future<Output = Result<Response<ResponseBody<P>>, Error<E>>>,
    S: Service<Request<Q>, Response = Response<P>>,
    P: Body<Data = Bytes>,
    P::Error: Into<BoxError>,
    E: Into<S::Error>,
{
    type Output = Result<Response<ResponseBody<P>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Guarded { future, form } => {
                    return Poll::Ready(ready!(future.poll(cx)).or_else(|error| answer(error, *form)));
                }
                StateProjection::Readying { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("the request is there until the handler is ready");
                    let future = service.call(request);
                    this.state.set(State::Passing(future));
                }
                StateProjection::Passing(future) => {
                    return Poll::Ready(Ok(ready!(future.poll(cx))?.map(ResponseBody::new)));
                }
            }
        }
    }
}

/// The answer to a request that the pipeline refused, or the handler's own error.
#[cold]
fn answer<P, E, F>(error: Error<E>, form: Form) -> Result<Response<ResponseBody<P>>, F>
where
    E: Into<F>,
{
    if let Some(rejection) = error.rejection() {
        return Ok(form.answer(rejection));
    }
    match error {
        Error::FallbackFailed(FallbackFailed { error, .. }) => answer(*error, form),
        Error::Inner(error) => Err(error.into()),
        _ => unreachable!("every other error is a rejection"),
    }
}

impl<F, S, Q> fmt::Debug for ServerFuture<F, S, Q>
where
    S: Service<Request<Q>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFuture").finish_non_exhaustive()
    }
}
