//! What every request passes, whatever it asks for: its number, who makes it, how often that may be, and the headers of every answer.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{
    HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
};
use tower_rampart::clock;

use crate::{api::Api, caller::Caller, refusal::Refusal};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// On every answer that has none of its own.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What is known of a request before it is routed.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) request_id: Arc<str>,
    pub(crate) caller: Caller,
    /// Why the caller is not served, whatever is asked for.
    pub(crate) refused: Option<Refusal>,
}

/// Lets a request pass, or answers it.
pub(crate) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let request_id = request_id(parts.headers.get(&REQUEST_ID));
    let (caller, identified) = Caller::of(&parts, &api.keys());
    let method = parts.method.clone();
    let who = Arc::clone(&caller.name);
    let admitted = api.callers().admit(&caller.id, clock::now());
    let mut response = match admitted {
        Ok(()) => {
            let about = About { request_id: Arc::clone(&request_id), caller, refused: identified.err() };
            parts.extensions.insert(about);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(wait) => {
            let refusal = Refusal::rate_limit("Too many requests; come back later", wait);
            refusal.into_response("management_api", "rate_limit", &request_id)
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::try_from(&*request_id) {
        headers.insert(REQUEST_ID, value);
    }
    // Neither the path nor a header: they may hold what is nobody's business, or steer a terminal.
    tracing::debug!(%method, status = response.status().as_u16(), %who, %request_id, "management request");
    response
}

/// The number that the client gave, if it is harmless wherever it is printed, or else a new one.
fn request_id(given: Option<&HeaderValue>) -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let harmless = |it: &&str| {
        (1..=128).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if let Some(given) = given.and_then(|it| it.to_str().ok()).filter(harmless) {
        return given.into();
    }
    // A keyed hash of a count: never twice in a process, and not to be guessed.
    let number = RandomState::new().hash_one(NEXT.fetch_add(1, Ordering::Relaxed));
    format!("req_{number:016x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_number_is_kept_and_any_other_replaced() {
        let of = |text: &str| request_id(HeaderValue::from_bytes(text.as_bytes()).ok().as_ref());
        assert_eq!(&*of("req-1.a_B"), "req-1.a_B");
        for text in ["", "a b", "a\"b", "<script>", &"a".repeat(129), "é"] {
            assert!(of(text).starts_with("req_"), "{text}");
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
