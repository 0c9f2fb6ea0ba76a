//! One request through the gateway: from the client's headers to an answer. How attempts are made is in `upstream`, how many in the pipeline.

use std::{future::Future, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderName, Method, Request, Response, header::ACCEPT};
use hyper::body::Incoming;
use tower::ServiceExt as _;
use tower_rampart::http::ReplayBody;

use super::{
    answer::Trouble,
    body::AnswerBody,
    counters::Counters,
    headers,
    listener::Handler,
    upstream::{Upstream, UpstreamError},
};

const OPERATION: HeaderName = HeaderName::from_static("x-resilience-operation");

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    counters: Arc<Counters>,
}

impl Gateway {
    pub(crate) fn new(upstream: Upstream, counters: Arc<Counters>) -> Self {
        Self { shared: Arc::new(Shared { upstream, counters }) }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<AnswerBody> {
        let accept: HeaderMap = request.headers().get_all(ACCEPT).iter().map(|it| (ACCEPT, it.clone())).collect();
        if request.method() == Method::CONNECT {
            return Trouble::NotImplemented.answer(None, &accept);
        }
        let (mut parts, body) = request.into_parts();
        if headers::prepare(&mut parts, peer.ip()).is_err() {
            return Trouble::BadRequest.answer(None, &accept);
        }
        parts.headers.remove(OPERATION);
        let request = Request::from_parts(parts, ReplayBody::new(body, 65536));
        match self.shared.upstream.clone().oneshot(request).await {
            Ok(mut response) => {
                headers::remove_hop_by_hop(response.headers_mut());
                response.map(AnswerBody::streamed)
            }
            Err(error) => trouble(&error).answer(None, &accept),
        }
    }
}

impl Handler for Gateway {
    fn handle(
        self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + 'static {
        async move {
            let in_flight = self.shared.counters.enter();
            let answer = self.answer(request, peer).await;
            self.shared.counters.answered(answer.status());
            answer.map(|body| body.holding(in_flight))
        }
    }
}

fn trouble(error: &UpstreamError) -> Trouble {
    match error {
        UpstreamError::Unreachable(_) => Trouble::Unreachable,
        UpstreamError::Broken(_) | UpstreamError::Switched => Trouble::Broken,
        UpstreamError::BodyLost(_) | UpstreamError::NotReplayable(_) => Trouble::BodyLost,
        UpstreamError::NoTarget(_) => Trouble::BadRequest,
    }
}
