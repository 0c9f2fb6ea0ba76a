//! In which form a request that is refused is answered, and which requests are not looked at at all.

use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN},
};
use tower_rampart_core::Rejection;

use crate::http::{MediaType, Refusal, ResponseBody, is_grpc};

/// In which form a request is refused.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
/// use tower_rampart::http::RefusalForm;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
/// assert_eq!(RefusalForm::of(&headers), RefusalForm::Grpc);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalForm {
    /// A status with a body of this type.
    Http(MediaType),
    /// A gRPC answer without a body, as [`Refusal::grpc`] writes it.
    Grpc,
}

impl RefusalForm {
    /// The form for a request with these headers: gRPC if its content type is, else what it accepts.
    pub fn of(headers: &HeaderMap) -> Self {
        if is_grpc(headers) { Self::Grpc } else { Self::Http(MediaType::accepted(headers)) }
    }

    /// The answer to a request that is refused, with the rejection in its extensions.
    pub fn answer<B>(self, rejection: Rejection) -> Response<ResponseBody<B>> {
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
