//! Which requests may be answered by what was kept. What of answers may be kept is in `answer`.

use http::{
    HeaderName, Method, Request,
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

/// Headers that say who asks.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// The request has a body that is no part of its key: in the extensions of a GET or HEAD that a client sends so.
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

fn is_json(content_type: &[u8]) -> bool {
    let name = b"application/json";
    let rest = content_type.get(name.len()..).unwrap_or_default();
    content_type.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name))
        && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}
