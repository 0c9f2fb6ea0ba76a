//! One request through the gateway: from the client's headers to an answer. How attempts are made is in `upstream`, how many in the pipeline.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, header::ACCEPT};
use hyper::body::Incoming;
use tower::ServiceExt as _;
use tower_rampart::{
    Error,
    http::{Refusal, ReplayBody},
};

use super::{
    answer::Trouble,
    body::AnswerBody,
    counters::Counters,
    headers,
    linger::ClientBody,
    listener::{Handler, Peer},
    live::Live,
    operations::HEADER,
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
        let accept = request.headers().get_all(ACCEPT).iter().map(|value| (ACCEPT, value.clone())).collect();
        if request.method() == Method::CONNECT {
            return Trouble::NotImplemented.answer(None, &accept);
        }
        let handshake = Handshake::of(&mut request);
        let (mut parts, body) = request.into_parts();
        let body = ClientBody::new(&parts, body);
        let operation = self.live.operation_of(&parts);
        if headers::prepare(&mut parts, peer).is_err() {
            return Trouble::BadRequest.answer(None, &accept);
        }
        parts.headers.remove(HEADER);
        if let Some(handshake) = &handshake {
            handshake.pass_on(&mut parts);
        }
        let request = Request::from_parts(parts, ReplayBody::new(body, operation.replay_max_bytes));
        match operation.pipeline.oneshot(request).await {
            Ok(mut response) => match handshake {
                Some(handshake) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    handshake.complete(response, &self.tunnels)
                }
                _ => {
                    headers::remove_hop_by_hop(response.headers_mut());
                    response
                }
            },
            Err(error) => explain(&error, &operation.name, &accept),
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

/// The answer to a client whose request has none from behind.
fn explain(error: &Error<UpstreamError>, operation: &str, accept: &HeaderMap) -> Response<AnswerBody> {
    if let Some(rejection) = error.rejection() {
        return Refusal::new(&rejection).response(accept).map(AnswerBody::whole);
    }
    match error {
        Error::Inner(error) => trouble(error).answer(Some(operation), accept),
        Error::FallbackFailed(failed) => match (failed.error.inner(), &failed.original) {
            // The fallback was not even tried: what it was to stand in for says more.
            (Some(UpstreamError::NotReplayable(_)), Some(original)) => explain(original, operation, accept),
            _ => explain(&failed.error, operation, accept),
        },
        _ => Trouble::Panicked.answer(Some(operation), accept),
    }
}

fn trouble(error: &UpstreamError) -> Trouble {
    match error {
        UpstreamError::Unreachable(_) => Trouble::Unreachable,
        UpstreamError::Broken { .. } | UpstreamError::Switched => Trouble::Broken,
        UpstreamError::BodyLost(_) => Trouble::BodyLost,
        UpstreamError::NotReplayable(_) => Trouble::NotSentAgain,
        UpstreamError::NoTarget(_) => Trouble::BadRequest,
    }
}
