//! What answers when the upstream does not: other upstreams, then a fixed answer. When they are asked is decided in the pipeline.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderValue, Request, Response, StatusCode, header::CACHE_CONTROL};
use hyper::body::Incoming;
use tower_rampart::{
    Error,
    fallback::{self, Fallback, Fault, Targets},
    http::{ResponseBody, StandbyService},
};

use tower_rampart_core::rejection::Name;

use super::upstream::{RequestBody, Upstream, UpstreamError};

/// An upstream behind a pipeline of its own, with its own circuit.
pub(crate) type Protected = StandbyService<Upstream>;

type GatewayError = Error<UpstreamError>;
type Answer = Response<ResponseBody<Incoming>>;

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

    fn response(&self) -> Answer {
        let mut response = Response::new(ResponseBody::whole(self.body.clone()));
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
    pub(crate) fn new(upstreams: Vec<(Name, Protected)>, last: Option<FixedAnswer>) -> Self {
        let count = upstreams.len();
        let targets = upstreams.into_iter().map(|(name, upstream)| fallback::Target::new(name, upstream));
        Self { count, upstreams: Arc::new(Targets::new(targets)), last }
    }
}

impl Fallback<Request<RequestBody>, Answer, GatewayError> for Standbys {
    type Future = Either<
        <Targets<Protected> as Fallback<Request<RequestBody>, Answer, GatewayError>>::Future,
        Ready<Result<Answer, GatewayError>>,
    >;

    fn len(&self) -> usize {
        self.count + usize::from(self.last.is_some())
    }

    fn needs_request(&self) -> bool {
        self.count > 0
    }

    /// The stated answer is made of nothing.
    fn needs_request_for(&self, index: usize) -> bool {
        index < self.count
    }

    fn name(&self, index: usize) -> Option<Name> {
        Fallback::<Request<RequestBody>, Answer, GatewayError>::name(&*self.upstreams, index)
    }

    fn begin(
        &self,
        index: usize,
        request: Option<Request<RequestBody>>,
        fault: Fault<Answer, GatewayError>,
    ) -> Result<Self::Future, Fault<Answer, GatewayError>> {
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
