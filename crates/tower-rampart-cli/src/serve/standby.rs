//! What answers when the upstream does not: other upstreams, then a fixed answer. When they are asked is decided in the pipeline.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderValue, Request, Response, StatusCode, header::CACHE_CONTROL};
use tower::Service;
use tower_rampart::{
    Error, Verdict,
    fallback::{Fallback, Fault, NoFallback, Targets},
    http::ReplayCloner,
    pipeline::{Custom, NoReport, ResilienceService},
};

use super::{
    body::AnswerBody,
    classifier::GatewayClassifier,
    upstream::{RequestBody, Upstream, UpstreamError},
};

/// An upstream behind a pipeline of its own, with its own circuit.
pub(crate) type Protected = ResilienceService<Upstream, Custom<GatewayClassifier>, ReplayCloner, NoFallback, NoReport>;

type GatewayError = Error<UpstreamError>;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) enum Standby {
    Upstream(Box<Protected>),
    Fixed(FixedAnswer),
}

/// An answer that a document states.
#[derive(Clone, Debug)]
pub(crate) struct FixedAnswer {
    status: StatusCode,
    body: Bytes,
}

impl FixedAnswer {
    /// 200 without a body, except for what is given.
    pub(crate) fn new(status: Option<u16>, body: Option<&str>) -> Self {
        let status = status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_default();
        Self { status, body: Bytes::copy_from_slice(body.unwrap_or_default().as_bytes()) }
    }

    fn response(&self) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::whole(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl Service<Request<RequestBody>> for Standby {
    type Response = Response<AnswerBody>;
    type Error = GatewayError;
    type Future =
        Either<<Protected as Service<Request<RequestBody>>>::Future, Ready<Result<Response<AnswerBody>, GatewayError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        match self {
            Self::Upstream(service) => service.poll_ready(cx),
            Self::Fixed(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        match self {
            Self::Upstream(service) => Either::Left(service.call(request)),
            Self::Fixed(answer) => Either::Right(ready(Ok(answer.response()))),
        }
    }
}

/// All of them, tried in order. Without any, requests are not kept for them.
#[derive(Clone, Debug)]
pub(crate) struct Standbys {
    targets: Arc<Targets<Standby>>,
    count: usize,
}

impl Standbys {
    pub(crate) fn new(members: Vec<Standby>) -> Self {
        Self { count: members.len(), targets: Arc::new(Targets::of_services(members)) }
    }
}

impl Fallback<Request<RequestBody>, Response<AnswerBody>, GatewayError> for Standbys {
    type Future = <Targets<Standby> as Fallback<Request<RequestBody>, Response<AnswerBody>, GatewayError>>::Future;

    fn len(&self) -> usize {
        self.count
    }

    fn needs_request(&self) -> bool {
        self.count > 0
    }

    fn is_enabled(&self, index: usize, verdict: &Verdict) -> bool {
        Fallback::<Request<RequestBody>, Response<AnswerBody>, GatewayError>::is_enabled(&*self.targets, index, verdict)
    }

    fn begin(
        &self,
        index: usize,
        request: Option<Request<RequestBody>>,
        fault: Fault<Response<AnswerBody>, GatewayError>,
    ) -> Result<Self::Future, Fault<Response<AnswerBody>, GatewayError>> {
        self.targets.begin(index, request, fault)
    }
}
