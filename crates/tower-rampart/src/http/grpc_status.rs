//! The status that a gRPC answer carries in its head or its trailers, and what it says about the service behind.

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue, Response,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tower_rampart_core::{Class, Code, Rejection, Verdict};

use super::{HttpSettings, PeekedTrailers, Refusal};

const STATUS: &str = "grpc-status";
const UNKNOWN: u8 = 2;
/// What a status message may not hold as it is ("gRPC over HTTP2", section Responses).
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether these are the headers of a gRPC message.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let value = value.as_bytes();
    let Some((start, rest)) = value.split_at_checked(GRPC.len()) else { return false };
    start.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The verdict on an answer by its head, and its trailers where they came first.
pub(crate) fn response<B>(settings: &HttpSettings, response: &Response<B>) -> Verdict {
    let peeked = response.extensions().get::<PeekedTrailers>();
    if let Some(verdict) = verdict(response.headers()) {
        return verdict;
    }
    match peeked {
        Some(PeekedTrailers(trailers)) => verdict(trailers).unwrap_or_else(missing),
        // The trailers will say.
        None if is_grpc(response.headers()) => Verdict::new(Class::Success),
        None => settings.classifier.response(response.status(), response.headers()),
    }
}

/// The verdict that these headers or trailers carry.
pub(crate) fn verdict(headers: &HeaderMap) -> Option<Verdict> {
    let status = headers.get(STATUS)?;
    let code = status.to_str().ok().and_then(|it| it.parse().ok()).filter(|code| *code <= 16).unwrap_or(UNKNOWN);
    let class = match code {
        0 => Class::Success,
        1 => Class::Ignored,
        14 => Class::Unavailable { retry_after: None },
        2 | 4 | 10 | 13 | 15 => Class::Transient,
        _ => Class::Permanent,
    };
    Some(Verdict::new(class).with_code(Code::Grpc(code)))
}

/// The verdict on an answer that ended without a status.
pub(crate) fn missing() -> Verdict {
    Verdict::new(Class::Transient).with_code(Code::Grpc(UNKNOWN))
}

/// A refusal as a gRPC answer of trailers only.
pub(crate) fn refusal(rejection: &Rejection) -> Response<()> {
    let status = match rejection {
        Rejection::RateLimited(_) | Rejection::Overloaded(_) => "8",
        Rejection::Timeout(_) => "4",
        _ => "14",
    };
    let message = utf8_percent_encode(&rejection.to_string(), ESCAPED).to_string();
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from_static(status));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
    if let Some(seconds) = Refusal::new(rejection).retry_after_seconds() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The value of `grpc-timeout` for the time that is left: at most eight digits, rounded down, at least one millisecond.
pub(crate) fn timeout(left: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let millis = left.as_millis().max(1);
    let text = if millis <= MOST { format!("{millis}m") } else { format!("{}S", (millis / 1000).min(MOST)) };
    HeaderValue::try_from(text).expect("digits and a letter are a header's value")
}
