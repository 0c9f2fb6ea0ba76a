//! The body of an answer: streamed from behind or made here, and counted as in flight until it is gone.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use super::counters::InFlight;

/// The body of an answer of this program.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    kind: Kind,
    /// Held only to be dropped with the body.
    _in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Kind {
    Streamed(Incoming),
    Whole(Full<Bytes>),
}

impl AnswerBody {
    pub(crate) fn streamed(body: Incoming) -> Self {
        Self { kind: Kind::Streamed(body), _in_flight: None }
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Whole(Full::new(bytes.into())), _in_flight: None }
    }

    /// What is left of an answer to HEAD: its fields, the length that the body would have among them. hyper sees to it only over HTTP/1.
    pub(crate) fn head_of(answer: Response<Self>) -> Response<Self> {
        let (mut parts, body) = answer.into_parts();
        let Kind::Whole(bytes) = &body.kind else { return Response::from_parts(parts, body) };
        if let Some(length @ 1..) = bytes.size_hint().exact() {
            parts.headers.entry(CONTENT_LENGTH).or_insert(length.into());
        }
        Response::from_parts(parts, Self { kind: Kind::Whole(Full::default()), ..body })
    }

    /// Counts the request as in flight until this body is dropped.
    pub(crate) fn holding(self, in_flight: InFlight) -> Self {
        Self { _in_flight: Some(in_flight), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().kind {
            Kind::Streamed(body) => Pin::new(body).poll_frame(cx),
            Kind::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Streamed(body) => body.is_end_stream(),
            Kind::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Streamed(body) => body.size_hint(),
            Kind::Whole(body) => body.size_hint(),
        }
    }
}
