//! The one shape of errors: `{"error", "error_code", "context"}`. Which status and code a situation has is decided here and nowhere else.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tower_rampart_config::{ConfigError, Limits};

use crate::{moment::Moment, print};

/// What kind of error it is, as a word that programs can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum ErrorCode {
    #[serde(rename = "ValidationError")]
    Validation,
    #[serde(rename = "BusinessLogicError")]
    BusinessLogic,
    #[serde(rename = "InfrastructureError")]
    Infrastructure,
    #[serde(rename = "AuthenticationError")]
    Authentication,
    #[serde(rename = "AuthorizationError")]
    Authorization,
    #[serde(rename = "RateLimitError")]
    RateLimit,
    NotFound,
    MethodNotAllowed,
    Conflict,
    PreconditionFailed,
    PayloadTooLarge,
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct ErrorBody {
    /// What is wrong, for people.
    pub(crate) error: String,
    /// What kind of error it is, for programs.
    pub(crate) error_code: ErrorCode,
    /// `endpoint`, `operation`, `request_id`, `timestamp`, and what belongs to the kind of error: `validation_errors`, `available_breakers`…
    pub(crate) context: Map<String, Json>,
}

/// Why a request is not served.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: ErrorCode,
    error: String,
    context: Map<String, Json>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, code: ErrorCode, error: impl Into<String>) -> Self {
        Self { status, code, error: error.into(), context: Map::new(), headers: Vec::new() }
    }

    /// 400: what was sent is wrong.
    pub(crate) fn validation(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::Validation, error)
    }

    /// 415: what was sent is of another kind than what is read.
    pub(crate) fn media_type(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::Validation, error)
    }

    /// 400: the configuration is wrong; all violations are in the context.
    pub(crate) fn configuration(error: &ConfigError, kind: &'static str, size: usize) -> Self {
        let messages: Vec<&str> = error.violations().iter().map(|it| it.message.as_str()).collect();
        Self::validation("Invalid resilience configuration")
            .with("config_type", kind)
            .with("validation_errors", messages)
            .with("violations", serde_json::to_value(error.violations()).unwrap_or_default())
            .with("provided_config_size_bytes", size)
            .with("max_config_size_bytes", Limits::text().bytes)
    }

    /// 422: it is well said, but there is no such thing.
    pub(crate) fn business(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BusinessLogic, error)
    }

    /// 401: who asks is not known.
    pub(crate) fn authentication(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Authentication, error)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"resilience\""))
    }

    /// 403: who asks may not.
    pub(crate) fn authorization(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Authorization, error)
    }

    /// 404: there is no such route.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, "There is no such route; /openapi.json lists all")
    }

    /// 405: the route has other methods, which the header `Allow` names.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed, "The route has other methods")
    }

    /// 409: something else stands in the way.
    pub(crate) fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, ErrorCode::Conflict, error)
    }

    /// 412: somebody else was faster.
    pub(crate) fn precondition(error: impl Into<String>, etag: &str) -> Self {
        let refusal =
            Self::new(StatusCode::PRECONDITION_FAILED, ErrorCode::PreconditionFailed, error).with("etag", etag);
        match HeaderValue::try_from(format!("\"{etag}\"")) {
            Ok(value) => refusal.header(ETAG, value),
            Err(_) => refusal,
        }
    }

    /// 413: the body is too large.
    pub(crate) fn too_large(max: usize) -> Self {
        let error = format!("The body must have at most {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge, error).with("max_body_bytes", max)
    }

    /// 429: too often.
    pub(crate) fn rate_limit(error: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimit, error).retry_after(retry_after)
    }

    /// Says when to come back, in whole seconds, rounded up, at least 1.
    #[must_use]
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        self.with("retry_after_seconds", seconds).header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// 503: it took too long.
    pub(crate) fn timed_out(after: Duration) -> Self {
        let error = format!("The request took longer than {after:?}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Infrastructure, error).retry_after(Duration::ZERO)
    }

    /// 500: the fault is here.
    pub(crate) fn infrastructure(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Infrastructure, error)
    }

    /// Adds to the context.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.context.insert(key.to_owned(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer, which says where in the API it arose.
    pub(crate) fn into_response(self, endpoint: &str, operation: &str, request_id: &str) -> Response {
        let mut context = self.context;
        for (key, value) in [("endpoint", endpoint), ("operation", operation), ("request_id", request_id)] {
            context.insert(key.to_owned(), value.into());
        }
        context.insert("timestamp".to_owned(), Moment::now().to_string().into());
        let body = ErrorBody { error: self.error, error_code: self.code, context };
        let mut response = (self.status, print::json(&body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A name as a message or a list shows it: at most 100 characters, nothing invisible, no matter who chose it.
pub(crate) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    if name.chars().nth(100).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up_and_at_least_one() {
        for (wait, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (90_500, "91")] {
            let response =
                Refusal::rate_limit("too often", Duration::from_millis(wait)).into_response("e", "o", "req_1");
            assert_eq!(response.headers()[RETRY_AFTER], seconds, "{wait} ms");
        }
    }

    #[test]
    fn hostile_names_are_shown_short_and_visible() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(shown(&"x".repeat(5000)).chars().count(), 101);
    }
}
