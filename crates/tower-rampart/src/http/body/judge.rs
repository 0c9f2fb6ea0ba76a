//! What the frames of a body say about the call: nothing in plain HTTP, the status in gRPC's trailers, errors and usage in a model API's events. When a
//! body has to end is read here too.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::{Body, Frame};
use tower_rampart_config::{OutcomeAt, Profile};
use tower_rampart_core::{Class, Code, Rejection, Timestamp, Verdict};

use super::{BodyError, ResponseBody, model::ModelFrames};
use crate::{
    classify::classify_error,
    error::BoxError,
    http::{HttpSettings, PeekedTrailers, Refusal, grpc::GRPC_STATUS},
    pipeline::Held,
};

/// Judges one body by its frames.
#[derive(Debug)]
pub(crate) struct FrameJudge {
    protocol: Protocol,
    /// Whether it is a stream by its nature, on which the total time of the configuration has no hold.
    is_stream: bool,
    /// How much of the body is still to come, where that is known; then it may end without being asked for its end.
    left: Option<u64>,
}

#[derive(Debug)]
enum Protocol {
    /// A body that ends has done what its head promised.
    Plain { promise: Verdict, settings: Option<Arc<HttpSettings>> },
    /// The status comes in the trailers, unless it is known with the head.
    Grpc { settings: Arc<HttpSettings>, status: Option<Verdict> },
    /// Errors come within a stream, and how much was used at its end.
    Model(Box<ModelFrames>),
}

impl FrameJudge {
    /// The judge of the body of this answer.
    pub(crate) fn of<B>(response: &Response<ResponseBody<B>>, held: &Held) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let headers = response.headers();
        if let Some(origin) = &response.body().origin
            && origin.settings.ends_with_a_status(response.status(), headers)
        {
            let settings = Arc::clone(&origin.settings);
            let peeked = response.extensions().get().map(|PeekedTrailers(trailers)| trailers);
            let is_known = peeked.is_some() || headers.contains_key(GRPC_STATUS);
            let status = is_known.then(|| settings.grpc.head(response.status(), headers, peeked));
            // Its status comes after its last byte.
            return Self { protocol: Protocol::Grpc { settings, status }, is_stream: true, left: None };
        }
        let is_stream = is_event_stream(headers);
        let promise = Verdict::new(Class::Success).with_code(Code::Http(response.status().as_u16()));
        let protocol = match &response.body().origin {
            Some(origin) if origin.settings.profile == Profile::ModelApi => {
                let frames = ModelFrames::of(response, &origin.settings, promise, is_stream, held.wants_usage());
                Protocol::Model(Box::new(frames))
            }
            origin => Protocol::Plain { promise, settings: origin.as_ref().map(|it| Arc::clone(&it.settings)) },
        };
        Self { protocol, is_stream, left: length(response) }
    }

    /// Whether nothing is to come.
    pub(super) fn has_all(&self) -> bool {
        self.left == Some(0)
    }

    /// Whether the answer goes on after its head for whoever counts it.
    pub(super) fn outlasts_the_head(&self, held: &Held) -> bool {
        held.outcome_at() == OutcomeAt::EndOfBody
            // The head of a gRPC answer says nothing, unless it is all there is.
            || (matches!(self.protocol, Protocol::Grpc { status: None, .. }) && !held.is_decided())
            // Nor does that of a model's stream.
            || (matches!(&self.protocol, Protocol::Model(frames) if frames.is_stream()) && !held.is_decided())
    }

    /// Whether the body tells how many tokens were used, where somebody wants to know.
    pub(super) fn may_tell_usage(&self) -> bool {
        matches!(&self.protocol, Protocol::Model(frames) if frames.may_tell_usage())
    }

    /// The tokens that were used, as far as the body has said.
    pub(super) fn usage(&self) -> Option<u32> {
        match &self.protocol {
            Protocol::Model(frames) => frames.usage(),
            Protocol::Plain { .. } | Protocol::Grpc { .. } => None,
        }
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

    /// Whether the time that a call has does not bound the body.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Takes note of a frame; says whether it is the last.
    pub(super) fn saw(&mut self, frame: &Frame<Bytes>) -> bool {
        if let (Protocol::Model(frames), Some(data)) = (&mut self.protocol, frame.data_ref()) {
            // OpenAI's own client drops the body at this point, without having read its end.
            return frames.saw(data);
        }
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            *left = left.saturating_sub(data.len() as u64);
        }
        let Some(trailers) = frame.trailers_ref() else { return self.has_all() };
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
            Protocol::Plain { .. } | Protocol::Model(_) => None,
        }
    }

    /// The verdict on an error that the frames have told of so far.
    pub(super) fn failure(&self) -> Option<Verdict> {
        match &self.protocol {
            Protocol::Model(frames) => frames.failure(),
            Protocol::Plain { .. } | Protocol::Grpc { .. } => None,
        }
    }

    /// The verdict once the body has ended.
    pub(super) fn end(&mut self) -> Verdict {
        match &self.protocol {
            Protocol::Plain { promise, .. } => *promise,
            Protocol::Grpc { settings, status } => status.unwrap_or_else(|| settings.grpc.trailers(&HeaderMap::new())),
            Protocol::Model(frames) => frames.end(),
        }
    }

    /// The verdict on a body that fails.
    pub(super) fn error(&self, error: &BodyError) -> Verdict {
        match &self.protocol {
            Protocol::Plain { settings: Some(settings), .. } => settings.classifier.error(error),
            Protocol::Plain { settings: None, .. } => classify_error(error),
            Protocol::Grpc { settings, .. } => settings.grpc.error(error),
            Protocol::Model(frames) => frames.settings.model.error(error),
        }
    }
}

/// How long a body is, where its head or the body itself says so. A server that writes as much does not ask for more, though the body may not know that it has
/// ended.
fn length<B>(response: &Response<ResponseBody<B>>) -> Option<u64>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let stated = response.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    stated.or_else(|| response.body().size_hint().exact())
}

/// Whether an answer is a stream of server-sent events.
pub(in crate::http) fn is_event_stream(headers: &HeaderMap) -> bool {
    let name = b"text/event-stream";
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.as_bytes().get(..name.len()));
    value.is_some_and(|value| value.eq_ignore_ascii_case(name))
}
