//! One request through the gateway: from the client's headers to an answer. How attempts are made is in `upstream`, how many in the pipeline.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tower::ServiceExt as _;
use tower_rampart::{Error, Explain, http::RefusalForm};

use super::{
    answer::Trouble,
    body::AnswerBody,
    counters::Counters,
    explanation::{self, Failed},
    headers,
    linger::ClientBody,
    listener::{Handler, Peer},
    live::Live,
    operations::{HEADER, Operation},
    upgrade::{Handshake, Tunnels},
    upstream::UpstreamError,
};

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    live: Arc<Live>,
    counters: Arc<Counters>,
    tunnels: Tunnels,
}

impl Gateway {
    pub(crate) fn new(live: Arc<Live>, counters: Arc<Counters>, tunnels: Tunnels) -> Self {
        Self { live, counters, tunnels }
    }

    async fn answer(&self, mut request: Request<Incoming>, peer: Peer) -> Response<AnswerBody> {
        let form = RefusalForm::of(request.headers());
        if request.method() == Method::CONNECT {
            return Trouble::NotImplemented.answer(None, form);
        }
        let mut handshake = Handshake::of(&mut request);
        if handshake.as_mut().is_some_and(|it| !it.enter(&self.tunnels)) {
            return Trouble::TooManyUpgrades.answer(None, form);
        }
        // Trailers get through to the client over HTTP/2 always.
        let ends_in_trailers = form == RefusalForm::Grpc && request.version() == Version::HTTP_2;
        let (mut parts, body) = request.into_parts();
        let body = ClientBody::new(&parts, body);
        let operation = self.live.operation_of(&parts);
        if headers::prepare(&mut parts, peer).is_err() {
            return Trouble::BadRequest.answer(None, form);
        }
        headers::frame(&mut parts, &body);
        parts.headers.remove(HEADER);
        let is_asked = explanation::take_question(&mut parts.headers);
        if let Some(handshake) = &handshake {
            handshake.pass_on(&mut parts);
        }
        let Called { mut response, story, is_answered } =
            called(operation, Request::from_parts(parts, body), form).await;
        if is_asked && (is_answered || story.is_some()) {
            explanation::answer(story.as_ref(), is_answered, response.headers_mut());
        }
        match handshake {
            Some(handshake) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                handshake.complete(response, &self.tunnels)
            }
            _ if ends_in_trailers => response.map(AnswerBody::failing_as_grpc),
            _ => response,
        }
    }
}

impl Handler for Gateway {
    async fn handle(self, request: Request<Incoming>, peer: Peer) -> Response<AnswerBody> {
        let in_flight = self.counters.enter();
        let answer = self.answer(request, peer).await;
        self.counters.answered(answer.status());
        answer.map(|body| body.holding(in_flight))
    }
}

/// What became of a call.
struct Called {
    response: Response<AnswerBody>,
    /// What happened, if that is remarkable.
    story: Option<Explain>,
    /// Whether somebody behind has answered.
    is_answered: bool,
}

async fn called(operation: Operation, request: Request<ClientBody>, form: RefusalForm) -> Called {
    let Operation { name, pipeline } = operation;
    let mut response = match pipeline.oneshot(request).await {
        Ok(response) => response,
        Err(error) => return Called { response: refused(&error, &name, form), story: None, is_answered: false },
    };
    let story = response.extensions_mut().remove();
    if let Some(error) = Failed::take(response.extensions_mut()) {
        return Called { response: refused(&error, &name, form), story, is_answered: false };
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        headers::remove_hop_by_hop(response.headers_mut());
    }
    Called { response: response.map(AnswerBody::new), story, is_answered: true }
}

/// The answer to a client whose request has none from behind.
fn refused(error: &Error<UpstreamError>, operation: &str, form: RefusalForm) -> Response<AnswerBody> {
    if let Some(rejection) = error.rejection() {
        return form.answer(rejection).map(AnswerBody::new);
    }
    match error {
        Error::Inner(error) => trouble(error).answer(Some(operation), form),
        Error::FallbackFailed(failed) => match (failed.error.inner(), &failed.original) {
            // The fallback was not even tried: what it was to stand in for says more.
            (Some(UpstreamError::NotReplayable(_)), Some(original)) => refused(original, operation, form),
            _ => refused(&failed.error, operation, form),
        },
        _ => Trouble::Panicked.answer(Some(operation), form),
    }
}

fn trouble(error: &UpstreamError) -> Trouble {
    match error {
        UpstreamError::Unreachable(_) => Trouble::Unreachable,
        UpstreamError::Broken(_) | UpstreamError::Switched => Trouble::Broken,
        UpstreamError::BodyLost(_) => Trouble::BodyLost,
        UpstreamError::NotReplayable(_) => Trouble::NotSentAgain,
        UpstreamError::NoTarget(_) => Trouble::BadRequest,
    }
}
