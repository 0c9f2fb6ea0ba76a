//! What the frames of a body say about the call: nothing in plain HTTP, the status in gRPC's trailers. When a body has to end is read here too.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use http_body::Frame;
use tower_rampart_config::{OutcomeAt, Profile};
use tower_rampart_core::{Class, Code, Timestamp, Verdict};

use super::{BodyError, ResponseBody};
use crate::{
    classify::classify_error,
    http::grpc_status::{self, is_grpc},
    pipeline::Held,
};

/// Judges one body by its frames.
#[derive(Debug)]
pub(crate) struct FrameJudge {
    protocol: Protocol,
    /// Whether it is a stream by its nature, on which the total time of the configuration has no hold.
    is_stream: bool,
}

#[derive(Debug)]
enum Protocol {
    /// A body that ends has done what its head promised.
    Plain(Verdict),
    /// The status comes in the trailers, unless it came in the head.
    Grpc(Option<Verdict>),
}

impl FrameJudge {
    /// The judge of the body of this answer.
    pub(crate) fn of<B>(response: &Response<ResponseBody<B>>) -> Self {
        let profile = response.body().origin.as_ref().map_or(Profile::Http, |origin| origin.settings.profile);
        let headers = response.headers();
        if profile == Profile::Grpc && is_grpc(headers) {
            return Self { protocol: Protocol::Grpc(grpc_status::verdict(headers)), is_stream: true };
        }
        let is_stream = headers.get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
        let head = Verdict::new(Class::Success).with_code(Code::Http(response.status().as_u16()));
        Self { protocol: Protocol::Plain(head), is_stream }
    }

    /// Whether the answer goes on after its head for whoever counts it.
    pub(super) fn outlasts_the_head(&self, held: &Held) -> bool {
        held.outcome_at() == OutcomeAt::EndOfBody
            // The head of a gRPC answer says nothing, unless it is all there is.
            || (matches!(self.protocol, Protocol::Grpc(None)) && !held.is_decided())
    }

    /// The longest silence, and when the body must have ended.
    pub(super) fn times(&self, held: &Held) -> (Option<Duration>, Option<Timestamp>) {
        let stall = match self.protocol {
            // Streams of gRPC are silent for as long as there is nothing to tell, unless the configuration says otherwise.
            Protocol::Grpc(_) if held.outcome_at() == OutcomeAt::Headers => None,
            _ => held.stall(),
        };
        (stall, if self.is_stream { held.stated_deadline() } else { held.deadline() })
    }

    /// Takes note of a frame; says whether it is the last.
    pub(super) fn saw(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(trailers) = frame.trailers_ref() else { return false };
        if let Protocol::Grpc(status) = &mut self.protocol {
            *status = grpc_status::verdict(trailers).or(*status);
        }
        true
    }

    /// The verdict once the body has ended.
    pub(super) fn end(&mut self) -> Verdict {
        match self.protocol {
            Protocol::Plain(head) => head,
            Protocol::Grpc(status) => status.unwrap_or_else(grpc_status::missing),
        }
    }

    /// The verdict on a body that fails.
    pub(super) fn error(error: &BodyError) -> Verdict {
        classify_error(error)
    }
}
