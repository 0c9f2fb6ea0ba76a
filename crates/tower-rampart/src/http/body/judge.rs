//! What the frames of a body say about the call: nothing in plain HTTP, the status in gRPC's trailers. When a body has to end is read here too.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, header::CONTENT_TYPE};
use http_body::Frame;
use tower_rampart_config::{OutcomeAt, Profile};
use tower_rampart_core::{Class, Code, Rejection, Timestamp, Verdict};

use super::{BodyError, ResponseBody};
use crate::{
    classify::classify_error,
    http::{HttpSettings, PeekedTrailers, Refusal, grpc::GRPC_STATUS, is_grpc},
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
    /// The status comes in the trailers, unless it is known with the head.
    Grpc { settings: Arc<HttpSettings>, status: Option<Verdict> },
}

impl FrameJudge {
    /// The judge of the body of this answer.
    pub(crate) fn of<B>(response: &Response<ResponseBody<B>>) -> Self {
        let headers = response.headers();
        if let Some(origin) = &response.body().origin
            && origin.settings.profile == Profile::Grpc
            && is_grpc(headers)
        {
            let settings = Arc::clone(&origin.settings);
            let peeked = response.extensions().get().map(|PeekedTrailers(trailers)| trailers);
            let is_known = peeked.is_some() || headers.contains_key(GRPC_STATUS);
            let status = is_known.then(|| settings.grpc.head(response.status(), headers, peeked));
            return Self { protocol: Protocol::Grpc { settings, status }, is_stream: true };
        }
        let is_stream = headers.get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
        let head = Verdict::new(Class::Success).with_code(Code::Http(response.status().as_u16()));
        Self { protocol: Protocol::Plain(head), is_stream }
    }

    /// Whether the answer goes on after its head for whoever counts it.
    pub(super) fn outlasts_the_head(&self, held: &Held) -> bool {
        held.outcome_at() == OutcomeAt::EndOfBody
            // The head of a gRPC answer says nothing, unless it is all there is.
            || (matches!(self.protocol, Protocol::Grpc { status: None, .. }) && !held.is_decided())
    }

    /// The longest silence, and when the body must have ended.
    pub(super) fn times(&self, held: &Held) -> (Option<Duration>, Option<Timestamp>) {
        let stall = match self.protocol {
            // Streams of gRPC are silent for as long as there is nothing to tell, unless the configuration says otherwise.
            Protocol::Grpc { .. } if held.outcome_at() == OutcomeAt::Headers => None,
            _ => held.stall(),
        };
        (stall, if self.is_stream { held.stated_deadline() } else { held.deadline() })
    }

    /// Takes note of a frame; says whether it is the last.
    pub(super) fn saw(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(trailers) = frame.trailers_ref() else { return false };
        if let Protocol::Grpc { settings, status } = &mut self.protocol {
            // What came in the head stands, unless the trailers say it again.
            if status.is_none() || trailers.contains_key(GRPC_STATUS) {
                *status = Some(settings.grpc.trailers(trailers));
            }
        }
        true
    }

    /// What a body ends with whose time is over, where the protocol has a place for it: a status in gRPC's trailers. Elsewhere only an error can say it.
    pub(super) fn cut_short(&self, rejection: &Rejection) -> Option<Frame<Bytes>> {
        match self.protocol {
            Protocol::Grpc { .. } => Some(Frame::trailers(Refusal::new(rejection).grpc_trailers())),
            Protocol::Plain(_) => None,
        }
    }

    /// The verdict once the body has ended.
    pub(super) fn end(&mut self) -> Verdict {
        match &self.protocol {
            Protocol::Plain(head) => *head,
            Protocol::Grpc { settings, status } => status.unwrap_or_else(|| settings.grpc.trailers(&HeaderMap::new())),
        }
    }

    /// The verdict on a body that fails.
    pub(super) fn error(&self, error: &BodyError) -> Verdict {
        match &self.protocol {
            Protocol::Plain(_) => classify_error(error),
            Protocol::Grpc { settings, .. } => settings.grpc.error(error),
        }
    }
}
