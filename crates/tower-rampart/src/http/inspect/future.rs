//! The future: awaits the head of an answer, and its first frame where that is worth it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use pin_project::pin_project;
use tower_rampart_core::Timestamp;

use super::{Peek, look::Look};
use crate::{
    clock,
    error::BoxError,
    http::{PeekedError, PeekedTrailers, ResponseBody, body::Origin},
    timer::Timer,
};

/// The response of an [`Inspect`](super::Inspect).
///
/// # Cancel safety
/// Dropping it drops the inner future or the answer that it looks at, and nothing else.
#[pin_project]
pub struct InspectFuture<F, R> {
    #[pin]
    state: State<F, R>,
    #[pin]
    timer: Timer,
    origin: Option<Origin>,
    patience: Option<Duration>,
}

#[pin_project(project = StateProjection)]
enum State<F, R> {
    Calling(#[pin] F),
    // Calling => Peeking: the head is there, and does not say enough
    Peeking {
        head: Option<Response<()>>,
        /// Boxed, because it is polled here and handed on.
        body: Option<Pin<Box<R>>>,
        /// `None` until the first frame is found not to be there yet.
        until: Option<Timestamp>,
    },
    // Calling => Looking: the head is there, and what decides stands in the body
    Looking {
        head: Option<Response<()>>,
        body: Option<Pin<Box<R>>>,
        look: Option<Box<Look>>,
    },
}

impl<F, R> InspectFuture<F, R> {
    pub(in crate::http) const fn new(future: F, origin: Origin, patience: Option<Duration>) -> Self {
        Self { state: State::Calling(future), timer: Timer::new(), origin: Some(origin), patience }
    }
}

impl<F, R, E> Future for InspectFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Calling(future) => {
                    let response = ready!(future.poll(cx))?;
                    let origin = this.origin.take().expect(NOT_AGAIN);
                    if let Some(learner) = &origin.settings.learner {
                        learner.learn(response.status(), response.headers());
                    }
                    let peek = this.patience.map_or(Peek::None, |_| Peek::at(&origin, &response));
                    if peek == Peek::None {
                        return Poll::Ready(Ok(response.map(|body| ResponseBody::new(body).with_origin(origin))));
                    }
                    let (parts, body) = response.into_parts();
                    let (head, body) = (Some(Response::from_parts(parts, ())), Some(Box::pin(body)));
                    *this.origin = Some(origin);
                    this.state.set(match peek {
                        Peek::Error => State::Looking { head, body, look: Some(Box::new(Look::at_error())) },
                        Peek::Stream => State::Looking { head, body, look: Some(Box::new(Look::at_stream())) },
                        Peek::Grpc | Peek::None => State::Peeking { head, body, until: None },
                    });
                }
                StateProjection::Looking { head, body, look } => {
                    let (inner, looking) = body.as_mut().zip(look.as_mut()).expect(NOT_AGAIN);
                    let seen = ready!(looking.poll(inner.as_mut(), cx));
                    let ((head, body), look) = head.take().zip(body.take()).zip(look.take()).expect(NOT_AGAIN);
                    let origin = this.origin.take().expect(NOT_AGAIN);
                    return Poll::Ready(Ok(look.put_back(head, body, seen, origin)));
                }
                StateProjection::Peeking { head, body, until } => {
                    let inner = body.as_mut().expect(NOT_AGAIN);
                    let first = match inner.as_mut().poll_frame(cx) {
                        Poll::Ready(frame) => First::Came(frame),
                        Poll::Pending => {
                            let until =
                                *until.get_or_insert_with(|| clock::now().after(this.patience.unwrap_or_default()));
                            ready!(this.timer.as_mut().poll_until(cx, until));
                            First::Late
                        }
                    };
                    let (head, body) = head.take().zip(body.take()).expect("both are there until here");
                    let origin = this.origin.take().expect("it is there as long as the body is");
                    return Poll::Ready(Ok(first.put_back(head, body, origin)));
                }
            }
        }
    }
}

const NOT_AGAIN: &str = "a future is not polled after it was ready";

/// What came of the look at a body.
enum First<E> {
    /// Its first frame, or its end.
    Came(Option<Result<Frame<Bytes>, E>>),
    /// Nothing yet.
    Late,
}

impl<E: Into<BoxError>> First<E> {
    /// The answer with all that it had.
    fn put_back<R>(self, mut head: Response<()>, body: Pin<Box<R>>, origin: Origin) -> Response<ResponseBody<R>> {
        let body = match self {
            Self::Late => ResponseBody::boxed(body),
            Self::Came(None) => {
                head.extensions_mut().insert(PeekedTrailers(HeaderMap::new()));
                ResponseBody::empty()
            }
            Self::Came(Some(Err(error))) => {
                let error = error.into();
                head.extensions_mut().insert(PeekedError(origin.settings.grpc.error(&*error)));
                ResponseBody::of_error(error)
            }
            Self::Came(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => ResponseBody::boxed(body).with_first(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    head.extensions_mut().insert(PeekedTrailers(trailers.clone()));
                    ResponseBody::of_trailers(trailers)
                }
            },
        };
        head.map(|()| body.with_origin(origin))
    }
}

impl<F, R> fmt::Debug for InspectFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectFuture").finish_non_exhaustive()
    }
}
