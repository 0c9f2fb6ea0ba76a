//! The body of an answer: the pipeline's, counted as in flight until it is gone, or the management API's. What of the call lives in the former is
//! `tower_rampart::http::ResponseBody`'s business.

use std::{
    error::Error as _,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::BoxError;
use tower_rampart::http::{BodyError, ResponseBody};

use super::{answer::grpc_trailers, counters::InFlight};

/// The body of an answer of this program.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    inner: Inner,
    /// Whether what goes wrong with it is told in trailers.
    is_grpc: bool,
    broken: Broken,
    /// Held only to be dropped with the body.
    _in_flight: Option<InFlight>,
}

/// Where a body is that breaks. The connection would end with what came before the error still in its buffer, the head among it if all came at once, and the
/// client would not hear what the upstream answered: so the error waits for one more poll, before which all of that is written.
#[derive(Debug)]
enum Broken {
    NotYet,
    // NotYet => Waits: an error came
    Waits(BodyError),
    // Waits => Told
    Told,
}

#[derive(Debug)]
enum Inner {
    Pipeline(ResponseBody<Incoming>),
    Admin(axum::body::Body),
}

impl AnswerBody {
    pub(crate) fn new(inner: ResponseBody<Incoming>) -> Self {
        Self { inner: Inner::Pipeline(inner), is_grpc: false, broken: Broken::NotYet, _in_flight: None }
    }

    /// One of the management API's.
    pub(crate) fn of_admin(inner: axum::body::Body) -> Self {
        Self { inner: Inner::Admin(inner), is_grpc: false, broken: Broken::NotYet, _in_flight: None }
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::new(ResponseBody::whole(bytes))
    }

    /// Ends with a status of gRPC instead of an error. What the upstream itself has reset is reset for the client too: the reason is a status of its own
    /// (gRPC over HTTP/2, section "Errors").
    pub(crate) fn failing_as_grpc(self) -> Self {
        Self { is_grpc: true, ..self }
    }

    /// What is left of an answer to HEAD: its fields, the length that the body would have among them. hyper sees to it only over HTTP/1.
    pub(crate) fn head_of(answer: Response<Self>) -> Response<Self> {
        let (mut parts, body) = answer.into_parts();
        // What came from behind without a body has none here either.
        let Some(length @ 1..) = body.size_hint().exact() else { return Response::from_parts(parts, body) };
        parts.headers.entry(CONTENT_LENGTH).or_insert(length.into());
        Response::from_parts(parts, Self { inner: Inner::Pipeline(ResponseBody::empty()), ..body })
    }

    /// Counts the request as in flight until this body is dropped.
    pub(crate) fn holding(self, in_flight: InFlight) -> Self {
        Self { _in_flight: Some(in_flight), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let inner = match &mut this.inner {
            Inner::Pipeline(inner) => inner,
            Inner::Admin(inner) => return Pin::new(inner).poll_frame(cx).map_err(Into::into),
        };
        if let Broken::Waits(_) = this.broken
            && let Broken::Waits(error) = mem::replace(&mut this.broken, Broken::Told)
        {
            return Poll::Ready(Some(Err(error.into())));
        }
        Poll::Ready(match ready!(Pin::new(inner).poll_frame(cx)) {
            // Nothing comes after an error, so these are its last words.
            Some(Err(error)) if this.is_grpc && !is_reset(&error) => Some(Ok(Frame::trailers(grpc_trailers(&error)))),
            Some(Err(error)) if matches!(this.broken, Broken::NotYet) => {
                this.broken = Broken::Waits(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            frame => frame.map(|it| it.map_err(Into::into)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Pipeline(inner) => inner.is_end_stream(),
            Inner::Admin(inner) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Pipeline(inner) => inner.size_hint(),
            Inner::Admin(inner) => inner.size_hint(),
        }
    }
}

/// Whether the upstream has reset the stream.
fn is_reset(error: &BodyError) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset() && error.is_remote();
        }
        next = error.source();
    }
    false
}
