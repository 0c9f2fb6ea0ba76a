//! In which form a request that is refused is answered, and which requests are not looked at at all.

use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN},
};
use tower_rampart_core::Rejection;

use crate::http::{MediaType, Refusal, ResponseBody, is_grpc};

/// In which form a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Http(MediaType),
    Grpc,
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if is_grpc(headers) { Self::Grpc } else { Self::Http(MediaType::accepted(headers)) }
    }

    /// The answer to a request that is refused.
    pub(super) fn answer<B>(self, rejection: Rejection) -> Response<ResponseBody<B>> {
        let mut response = match self {
            Self::Grpc => Refusal::new(&rejection).grpc().map(|()| ResponseBody::empty()),
            Self::Http(media_type) => {
                let refusal = Refusal::new(&rejection);
                let mut response = Response::new(ResponseBody::whole(refusal.body(media_type)));
                *response.status_mut() = refusal.status();
                refusal.add_headers(response.headers_mut());
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type.as_str()));
                response
            }
        };
        response.extensions_mut().insert(rejection);
        response
    }
}

/// Whether a request is a CORS preflight (the Fetch standard, section "HTTP requests").
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
