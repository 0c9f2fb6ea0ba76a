//! What answers when the upstream does not: other upstreams, then a fixed answer. When they are asked is decided in the pipeline.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderValue, Request, Response, StatusCode, header::CACHE_CONTROL};
use tower_rampart::{
    Error,
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

/// All of them, tried in order. Without upstreams among them, requests are not kept for them.
#[derive(Clone, Debug)]
pub(crate) struct Standbys {
    upstreams: Arc<Targets<Protected>>,
    /// How many upstreams there are.
    count: usize,
    last: Option<FixedAnswer>,
}

impl Standbys {
    pub(crate) fn new(upstreams: Vec<Protected>, last: Option<FixedAnswer>) -> Self {
        Self { count: upstreams.len(), upstreams: Arc::new(Targets::of_services(upstreams)), last }
    }
}

impl Fallback<Request<RequestBody>, Response<AnswerBody>, GatewayError> for Standbys {
    type Future = Either<
        <Targets<Protected> as Fallback<Request<RequestBody>, Response<AnswerBody>, GatewayError>>::Future,
        Ready<Result<Response<AnswerBody>, GatewayError>>,
    >;

    fn len(&self) -> usize {
        self.count + usize::from(self.last.is_some())
    }

    fn needs_request(&self) -> bool {
        self.count > 0
    }

    fn begin(
        &self,
        index: usize,
        request: Option<Request<RequestBody>>,
        fault: Fault<Response<AnswerBody>, GatewayError>,
    ) -> Result<Self::Future, Fault<Response<AnswerBody>, GatewayError>> {
        if index < self.count {
            // A body that went by cannot be sent elsewhere either.
            let whole = request.filter(|request| request.body().is_readable());
            return self.upstreams.begin(index, whole, fault).map(Either::Left);
        }
        match &self.last {
            Some(answer) => Ok(Either::Right(ready(Ok(answer.response())))),
            None => Err(fault),
        }
    }
}
