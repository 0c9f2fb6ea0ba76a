//! Which requests may be answered by what was kept. What of answers may be kept is in `answer`.

use http::{
    Extensions, HeaderName, Method, Request,
    header::{
        AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, PROXY_AUTHORIZATION, RANGE, TRANSFER_ENCODING, UPGRADE,
    },
};

use super::{Rules, directives::Directives};
use crate::http::is_grpc;

/// Headers that ask for something else than the whole answer.
const PARTIAL: [HeaderName; 7] =
    [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, UPGRADE];

/// Headers that say who asks, those of the usual APIs among them.
const CREDENTIALS: [HeaderName; 8] = [
    AUTHORIZATION,
    COOKIE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-amz-security-token"),
];

/// The request has a body, or may have one, that is no part of its key: in the extensions of such a GET or HEAD.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HasBody;

/// Whether a request may be answered by what was kept, and what is fetched for it may be kept.
pub(super) fn is_cacheable<B>(request: &Request<B>, rules: &Rules) -> bool {
    let headers = request.headers();
    let is_asked_by_body = match *request.method() {
        Method::GET | Method::HEAD => false,
        Method::POST => rules.model_api.is_some(),
        _ => return false,
    };
    if nested(request.extensions()).is_some_and(|path| path.contains('{')) {
        // What stood in its place is gone from the URL.
        return false;
    }
    if PARTIAL.iter().any(|name| headers.contains_key(name))
        || CREDENTIALS.iter().any(|name| headers.contains_key(name) && !rules.keys_by(name))
        || is_grpc(headers)
    {
        return false;
    }
    let asks = Directives::of(headers);
    if asks.no_store || asks.no_cache || asks.max_age.is_some() || asks.min_fresh {
        return false;
    }
    if is_asked_by_body {
        return headers.get(CONTENT_TYPE).is_some_and(|it| is_json(it.as_bytes()));
    }
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|it| it != "0")
        || request.extensions().get::<HasBody>().is_some();
    !has_body
}

/// Where the router is nested that a request has come to, which is no part of its URL any more.
#[cfg(feature = "axum")]
pub(super) fn nested(extensions: &Extensions) -> Option<&str> {
    extensions.get::<axum::extract::NestedPath>().map(axum::extract::NestedPath::as_str)
}

#[cfg(not(feature = "axum"))]
pub(super) fn nested(_extensions: &Extensions) -> Option<&str> {
    None
}

fn is_json(content_type: &[u8]) -> bool {
    let name = b"application/json";
    let rest = content_type.get(name.len()..).unwrap_or_default();
    content_type.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name))
        && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}
