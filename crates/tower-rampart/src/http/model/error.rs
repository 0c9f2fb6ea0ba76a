//! What the body of an error says, as providers of model APIs write it. What its codes mean is in `codes`.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName};
use serde_json::Value;
use tower_rampart_core::{ProviderClass, Verdict};

use super::codes::{Said, of_status, said};
use crate::http::{reset::span, retry_after::text};

/// The most of a body that is read for an error, in bytes.
pub(in crate::http) const MAX_ERROR_BODY: usize = 16 * 1024;
/// The most of a message that is kept, in bytes.
const MAX_MESSAGE: usize = 512;
/// The most of a code, a type or an id that is kept, in bytes.
const MAX_CODE: usize = 128;

static REQUEST_IDS: [HeaderName; 5] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("apim-request-id"),
    HeaderName::from_static("x-amzn-requestid"),
    HeaderName::from_static("cf-ray"),
];
static AMAZON_ERROR: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An error that a model API answered with, in the extensions of the answer.
///
/// The class is decided by the first that says something: a code or type in the body that names one error (`context_length_exceeded`,
/// `insufficient_quota`, `overloaded_error`, `RESOURCE_EXHAUSTED`), the status, a code or type that is a word for many (`invalid_request_error`). Messages are
/// for people and never read.
///
/// # Examples
/// ```
/// use http::{HeaderMap, StatusCode};
/// use tower_rampart::{ProviderClass, http::ProviderError};
///
/// let body = br#"{"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "no"}}"#;
/// let error = ProviderError::read(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body).expect("it is an error");
/// assert_eq!(error.class, ProviderClass::QuotaExhausted);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderError {
    /// What kind of error it is.
    pub class: ProviderClass,
    /// The provider's code for it; at most 128 bytes, as those below.
    pub code: Option<String>,
    /// The provider's type for it.
    pub kind: Option<String>,
    /// What the provider says to people; at most 512 bytes.
    pub message: Option<String>,
    /// By what the provider knows the request.
    pub request_id: Option<String>,
    /// When to come back, where the body says so; what the headers say is [`retry_after`](crate::http::retry_after()).
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    /// Reads an answer. `body` may be cut off: what is no JSON says nothing, and the status decides. `None` if the status is a success.
    pub fn read(status: http::StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        of_status(status.as_u16())?;
        let body: Option<Value> = serde_json::from_slice(body.get(..MAX_ERROR_BODY).unwrap_or(body)).ok();
        Some(Self::of(Some(status.as_u16()), Some(headers), body.as_ref().unwrap_or(&Value::Null)))
    }

    /// An error of this class of which nothing else is known.
    pub const fn new(class: ProviderClass) -> Self {
        Self { class, code: None, kind: None, message: None, request_id: None, retry_after: None }
    }

    /// What breaker, retry and fallback make of it, as far as the body says.
    pub const fn verdict(&self) -> Verdict {
        self.class.verdict(self.retry_after)
    }

    /// Reads the data of an [`Event`](crate::http::Event) of a stream whose head was a success; `None` if it is no error. `name` is the event's.
    pub fn of_event(name: &str, data: &Value) -> Option<Self> {
        let kind = data["type"].as_str();
        let is_error = name == "error"
            || kind == Some("error")
            || !matches!(data["error"], Value::Null | Value::Bool(false))
            || kind == Some("response.failed");
        is_error.then(|| {
            let data = if kind == Some("response.failed") { &data["response"] } else { data };
            Self::of(None, None, data)
        })
    }

    fn of(status: Option<u16>, headers: Option<&HeaderMap>, body: &Value) -> Self {
        // Some wrap the object into a list.
        let body = body.get(0).unwrap_or(body);
        let error = if body["error"].is_object() { &body["error"] } else { body };
        let header = |name| headers.and_then(|headers| text(headers, name));
        // Amazon appends where the code is defined: `ThrottlingException:http://…`.
        let amazon = body["__type"].as_str().or_else(|| header(&AMAZON_ERROR)).and_then(|it| it.split(':').next());
        let code = error["code"].as_str().or(amazon);
        let kind = error["type"].as_str().or_else(|| error["status"].as_str()).or_else(|| body["error_type"].as_str());
        let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reason = details.iter().find_map(|it| it["reason"].as_str());
        // In a stream, whose head is a success, the code may be the status.
        let stated = error["code"].as_u64().and_then(|it| u16::try_from(it).ok());
        let status = status.or(stated.filter(|it| (400..600).contains(it)));
        let message = [&error["message"], &body["error"], &body["message"], &body["detail"], &body["detail"][0]["msg"]];
        Self {
            class: class(status, [code, reason, kind], details),
            code: code.or(reason).map(|it| cut(it, MAX_CODE)),
            kind: kind.map(|it| cut(it, MAX_CODE)),
            message: message.into_iter().find_map(Value::as_str).map(|it| cut(it, MAX_MESSAGE)),
            request_id: REQUEST_IDS
                .iter()
                .find_map(header)
                .or_else(|| body["request_id"].as_str())
                .map(|it| cut(it, MAX_CODE)),
            retry_after: details.iter().find_map(|it| span(it["retryDelay"].as_str()?)),
        }
    }
}

fn class(status: Option<u16>, codes: [Option<&str>; 3], details: &[Value]) -> ProviderClass {
    if details.iter().any(is_of_a_day) {
        return ProviderClass::QuotaExhausted;
    }
    let said = codes.map(|code| code.and_then(said));
    let exact = said.iter().find_map(|it| match it {
        Some(Said::Exactly(class)) => Some(*class),
        _ => None,
    });
    let rough = said.iter().find_map(|it| match it {
        Some(Said::Roughly(class)) => Some(*class),
        _ => None,
    });
    exact.or_else(|| of_status(status?)).or(rough).unwrap_or(ProviderClass::ServerError)
}

/// Whether a detail of Google's names a quota by the day: nothing helps until tomorrow.
fn is_of_a_day(detail: &Value) -> bool {
    let violations = detail["violations"].as_array().map(Vec::as_slice).unwrap_or_default();
    violations.iter().filter_map(|it| it["quotaId"].as_str()).any(|it| it.contains("PerDay"))
}

/// The beginning of a text, without a character cut in two.
fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.as_str())?;
        match self.code.as_ref().or(self.kind.as_ref()) {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProviderError {}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::*;

    fn read(status: u16, body: &str) -> ProviderError {
        let status = StatusCode::from_u16(status).expect("a status");
        ProviderError::read(status, &HeaderMap::new(), body.as_bytes()).expect("an error")
    }

    fn class(status: u16, body: &str) -> ProviderClass {
        read(status, body).class
    }

    #[test]
    fn code_of_the_body_wins_over_the_status_and_the_status_over_a_rough_type() {
        use ProviderClass::*;
        for (status, body, expected) in [
            (
                400,
                r#"{"error": {"type": "invalid_request_error", "code": "context_length_exceeded"}}"#,
                RequestTooLarge,
            ),
            (401, r#"{"error": {"type": "invalid_request_error", "code": null}}"#, Authentication),
            (404, r#"{"error": {"type": "invalid_request_error", "code": "model_not_found"}}"#, NotFound),
            (429, r#"{"error": {"type": "tokens", "code": "rate_limit_exceeded"}}"#, RateLimited),
            (429, r#"{"error": {"type": "insufficient_quota", "code": null}}"#, QuotaExhausted),
            (403, r#"{"error": {"code": "billing_hard_limit_reached"}}"#, QuotaExhausted),
            (500, r#"{"type": "error", "error": {"type": "overloaded_error"}}"#, Overloaded),
            (500, r#"{"type": "error", "error": {"type": "api_error"}}"#, ServerError),
            (502, r#"{"type": "error", "error": {"type": "invalid_request_error"}}"#, ServerError),
            (
                400,
                r#"{"error": {"code": 400, "status": "INVALID_ARGUMENT",
                "details": [{"@type": "x", "reason": "API_KEY_INVALID"}]}}"#,
                Authentication,
            ),
            (503, r#"[{"error": {"code": 503, "status": "UNAVAILABLE"}}]"#, Overloaded),
            (
                429,
                r#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"violations": [
                {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}"#,
                QuotaExhausted,
            ),
            (429, r#"{"error": {"code": "429", "message": "…"}}"#, RateLimited),
            (404, r#"{"error": {"code": "DeploymentNotFound"}}"#, NotFound),
            (429, r#"{"object": "error", "type": "service_tier_capacity_exceeded", "code": "3505"}"#, Overloaded),
            (422, r#"{"detail": [{"loc": ["body"], "msg": "field required"}]}"#, InvalidRequest),
            (400, r#"{"__type": "com.amazon#ThrottlingException"}"#, InvalidRequest),
            (400, r#"{"__type": "ThrottlingException", "message": "slow"}"#, RateLimited),
            (402, r#"{"error": {"message": "Insufficient Balance"}}"#, QuotaExhausted),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn loose_words_of_a_message_say_nothing() {
        for message in
            ["Rate limit reached on your plan", "billing quota exceeded", "insufficient_quota", "overloaded_error"]
        {
            let body = format!(r#"{{"error": {{"message": "{message}"}}}}"#);
            assert_eq!(class(429, &body), ProviderClass::RateLimited, "{message}");
            assert_eq!(class(400, &format!(r#"{{"error": "{message}"}}"#)), ProviderClass::InvalidRequest, "{message}");
        }
    }

    #[test]
    fn error_is_kept_for_people() {
        let mut headers = HeaderMap::new();
        headers.insert("request-id", HeaderValue::from_static("req_1"));
        let body = br#"{"error": {"type": "rate_limit_error", "message": "slow down",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}}"#;
        let error = ProviderError::read(StatusCode::TOO_MANY_REQUESTS, &headers, body).expect("an error");
        assert_eq!(error.kind.as_deref(), Some("rate_limit_error"));
        assert_eq!(error.message.as_deref(), Some("slow down"));
        assert_eq!(error.request_id.as_deref(), Some("req_1"));
        assert_eq!(error.retry_after, Some(Duration::from_millis(34_500)));
        assert_eq!(error.to_string(), "rate_limited (rate_limit_error)");
        assert_eq!(read(400, r#"{"error": "plain text"}"#).message.as_deref(), Some("plain text"));
        assert_eq!(read(401, r#"{"message": "invalid api token"}"#).message.as_deref(), Some("invalid api token"));
        assert_eq!(read(400, r#"{"detail": "no"}"#).message.as_deref(), Some("no"));
        assert_eq!(read(400, r#"{"request_id": "r"}"#).request_id.as_deref(), Some("r"));
    }

    #[test]
    fn amazon_names_the_error_in_a_header_too() {
        let mut headers = HeaderMap::new();
        headers
            .insert(&AMAZON_ERROR, HeaderValue::from_static("ServiceUnavailableException:http://internal.amazon.com/"));
        let error = ProviderError::read(StatusCode::BAD_REQUEST, &headers, b"{}").expect("an error");
        assert_eq!(
            (error.class, error.code.as_deref()),
            (ProviderClass::Overloaded, Some("ServiceUnavailableException"))
        );
    }

    #[test]
    fn body_that_cannot_be_read_leaves_the_word_to_the_status() {
        let huge =
            format!(r#"{{"error": {{"code": "insufficient_quota", "message": "{}"}}}}"#, "x".repeat(MAX_ERROR_BODY));
        for body in ["", "<html>", "{", "null", "[]", "\"text\"", "{\"error\": {\"code\": 7}}", &huge] {
            assert_eq!(class(429, body), ProviderClass::RateLimited);
        }
        assert_eq!(ProviderError::read(StatusCode::OK, &HeaderMap::new(), b"{\"error\": {}}"), None);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let error = read(400, &format!(r#"{{"error": {{"message": "{0}", "code": "{0}"}}}}"#, "é".repeat(900)));
        assert_eq!(error.message.map(|it| it.len()), Some(MAX_MESSAGE));
        assert_eq!(error.code.map(|it| it.len()), Some(MAX_CODE));
    }

    #[test]
    fn events_of_streams_are_errors_only_if_they_say_so() {
        use ProviderClass::*;
        for (name, data, expected) in [
            ("error", r#"{"type": "error", "error": {"type": "overloaded_error"}}"#, Some(Overloaded)),
            ("message", r#"{"error": {"code": 429, "message": "…"}}"#, Some(RateLimited)),
            ("message", r#"{"error": {"type": "server_error", "code": null}}"#, Some(ServerError)),
            ("error", r#"{"type": "error", "code": "rate_limit_exceeded", "message": "…"}"#, Some(RateLimited)),
            ("error", "null", Some(ServerError)),
            (
                "response.failed",
                r#"{"type": "response.failed", "response": {"error": {"code": "insufficient_quota"}}}"#,
                Some(QuotaExhausted),
            ),
            ("message", r#"{"error": null, "choices": []}"#, None),
            ("message", r#"{"choices": [{"delta": {"content": "error"}}]}"#, None),
            ("ping", r#"{"type": "ping"}"#, None),
        ] {
            let data: Value = serde_json::from_str(data).expect("JSON");
            assert_eq!(ProviderError::of_event(name, &data).map(|it| it.class), expected, "{name} {data}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(status in 100_u16..=999, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let status = StatusCode::from_u16(status).expect("a status");
            let read = ProviderError::read(status, &HeaderMap::new(), &body);
            prop_assert_eq!(read.is_none(), status.is_success());
        }
    }
}
