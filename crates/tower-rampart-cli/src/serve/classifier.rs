//! Judges attempts of the gateway: HTTP's table, and what only the gateway knows of its own errors.

use http::{Request, Response};
use tower_rampart::http::HttpClassifier;
use tower_rampart_core::{Class, Classify, RequestInfo, Verdict};

use super::upstream::UpstreamError;

/// [`HttpClassifier`], except that a client's broken body says nothing of the upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewayClassifier {
    http: HttpClassifier,
}

impl GatewayClassifier {
    pub(crate) fn new(http: HttpClassifier) -> Self {
        Self { http }
    }
}

impl<B, R> Classify<Request<B>, Response<R>, UpstreamError> for GatewayClassifier {
    fn request(&self, request: &Request<B>) -> RequestInfo {
        Classify::<Request<B>, Response<R>, UpstreamError>::request(&self.http, request)
    }

    fn classify(&self, request: &RequestInfo, result: Result<&Response<R>, &UpstreamError>) -> Verdict {
        match result {
            Err(UpstreamError::BodyLost(_)) => Verdict::new(Class::Ignored).with_retry(false).with_fallback(false),
            // An answer that needs no body may still stand in.
            Err(UpstreamError::NotReplayable(_)) => Verdict::new(Class::Ignored).with_retry(false).with_fallback(true),
            Err(UpstreamError::Broken { is_replayable: false, .. }) => Verdict::new(Class::Transient).with_retry(false),
            Err(UpstreamError::NoTarget(_)) => Verdict::new(Class::Permanent).not_processed(),
            other => Classify::<Request<B>, Response<R>, UpstreamError>::classify(&self.http, request, other),
        }
    }
}
