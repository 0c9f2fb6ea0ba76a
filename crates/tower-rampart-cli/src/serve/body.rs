//! The body of an answer: the pipeline's, counted as in flight until it is gone. What of the call lives in it is `tower_rampart::http::ResponseBody`'s business.

use std::{
    error::Error as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower_rampart::http::{BodyError, ResponseBody};

use super::{answer::grpc_trailers, counters::InFlight};

/// The body of an answer of this program.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    inner: ResponseBody<Incoming>,
    /// Whether what goes wrong with it is told in trailers.
    is_grpc: bool,
    /// Held only to be dropped with the body.
    _in_flight: Option<InFlight>,
}

impl AnswerBody {
    pub(crate) fn new(inner: ResponseBody<Incoming>) -> Self {
        Self { inner, is_grpc: false, _in_flight: None }
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
        Response::from_parts(parts, Self { inner: ResponseBody::empty(), ..body })
    }

    /// Counts the request as in flight until this body is dropped.
    pub(crate) fn holding(self, in_flight: InFlight) -> Self {
        Self { _in_flight: Some(in_flight), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
            // Nothing comes after an error, so these are its last words.
            Some(Err(error)) if this.is_grpc && !is_reset(&error) => Some(Ok(Frame::trailers(grpc_trailers(&error)))),
            frame => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
