//! A rejection of this suite as an HTTP answer: status, headers, body. The rejection itself is plain data in the core crate.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use tower_rampart_core::{Rejection, rate::Unit};

use super::json::Object;

/// What was injected on purpose, if something was.
const CHAOS: HeaderName = HeaderName::from_static("x-resilience-chaos");
const RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// In which form the body of a refusal is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/json`.
    #[default]
    Json,
    /// `application/problem+json` (RFC 9457).
    Problem,
}

impl MediaType {
    /// Chooses by the `Accept` headers of a request: problem+json if it is named with at least the weight of plain JSON, else JSON.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let mut problem = 0;
        let mut json = 0;
        for range in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','))
        {
            let mut parts = range.split(';').map(str::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(weight).unwrap_or(1000);
            if name.eq_ignore_ascii_case("application/problem+json") {
                problem = weight;
            } else if name.eq_ignore_ascii_case("application/json") {
                json = weight;
            }
        }
        if problem > 0 && problem >= json { Self::Problem } else { Self::Json }
    }

    /// The value of `Content-Type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Problem => "application/problem+json",
        }
    }
}

/// The weight of a media range in thousandths, if `parameter` states it (RFC 9110 section 12.4.2).
fn weight(parameter: &str) -> Option<u32> {
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    let quality: f32 = value.parse().ok()?;
    Some((quality.clamp(0.0, 1.0) * 1000.0) as u32)
}

/// A [`Rejection`] as an HTTP answer.
///
/// | rejection | status | error_code |
/// |---|---|---|
/// | open circuit | 503 | `CircuitOpen` |
/// | rate limit | 429, with `RateLimit-Limit`, and `-Remaining` and `-Reset` where the time is known | `RateLimited` |
/// | concurrency limit | 503 | `Overloaded` |
/// | timeout | 504 | `Timeout` |
/// | no enabled target | 503 | `NoEnabledTargets` |
/// | throttle | 503 | `Throttled` |
/// | shedding by priority | 503 | `Shed` |
/// | a fault injected on purpose | 503, with `X-Resilience-Chaos: fault` | `Injected` |
///
/// `Retry-After` is whole seconds, rounded up, at least 1, where the time is known. `Cache-Control` is `no-store`. The body, as JSON:
/// ```json
/// {"error":"…","error_code":"CircuitOpen","stage":"circuit_breaker","operation":"summarize","retry_after_ms":1500}
/// ```
/// and as problem+json the same members with `type`, `title`, `status` and `detail` in place of `error`; `retry_after_ms` is rounded up, and null where unknown.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use http::HeaderMap;
/// use tower_rampart::http::Refusal;
/// use tower_rampart_core::{Rejection, breaker::State, rejection::CircuitOpen};
///
/// let open = CircuitOpen::new("summarize".into(), State::Open, Some(Duration::from_millis(1500)));
/// let rejection = Rejection::from(open);
/// let response = Refusal::new(&rejection).response(&HeaderMap::new());
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.headers()["retry-after"], "2");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub(super) rejection: &'a Rejection,
}

impl<'a> Refusal<'a> {
    /// The answer to a call that ended so.
    pub const fn new(rejection: &'a Rejection) -> Self {
        Self { rejection }
    }

    /// The status.
    pub const fn status(&self) -> StatusCode {
        match self.rejection {
            Rejection::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Rejection::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The machine-readable word for what happened.
    pub const fn error_code(&self) -> &'static str {
        match self.rejection {
            Rejection::CircuitOpen(_) => "CircuitOpen",
            Rejection::RateLimited(_) => "RateLimited",
            Rejection::Overloaded(_) => "Overloaded",
            Rejection::Timeout(_) => "Timeout",
            Rejection::NoEnabledTargets(_) => "NoEnabledTargets",
            Rejection::Throttled(_) => "Throttled",
            Rejection::Shed(_) => "Shed",
            Rejection::Injected(_) => "Injected",
            _ => "Rejected",
        }
    }

    /// What happened, for people.
    const fn title(self) -> &'static str {
        match self.rejection {
            Rejection::CircuitOpen(_) => "Circuit open",
            Rejection::RateLimited(_) => "Rate limited",
            Rejection::Overloaded(_) => "Too many calls in flight",
            Rejection::Timeout(_) => "Timed out",
            Rejection::NoEnabledTargets(_) => "No target enabled",
            Rejection::Throttled(_) => "Throttled",
            Rejection::Shed(_) => "Shed for more important calls",
            Rejection::Injected(_) => "Fault injected on purpose",
            _ => "Rejected",
        }
    }

    /// The value of `Retry-After`: whole seconds, rounded up, at least 1.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.rejection.retry_after().map(|wait| seconds_up(wait).max(1))
    }

    /// Adds `Retry-After`, `Cache-Control`, to a rate limit's answer the `RateLimit` fields, and to an injected fault `X-Resilience-Chaos`.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self.rejection, Rejection::Injected(_)) {
            headers.insert(CHAOS, HeaderValue::from_static("fault"));
        }
        let seconds = self.retry_after_seconds();
        if let Some(seconds) = seconds {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Rejection::RateLimited(limited) = self.rejection {
            // The field counts requests.
            if limited.unit == Unit::Requests && limited.burst < u32::MAX {
                headers.insert(RATELIMIT_LIMIT, limited.burst.into());
            }
            // Without a time the call can never be admitted, and then the limit may be untouched.
            if let Some(seconds) = seconds {
                headers.insert(RATELIMIT_REMAINING, HeaderValue::from_static("0"));
                headers.insert(RATELIMIT_RESET, seconds.into());
            }
        }
    }

    /// The body.
    pub fn body(&self, media_type: MediaType) -> String {
        let message = self.rejection.to_string();
        let head = match media_type {
            MediaType::Json => Object::new().text("error", &message),
            MediaType::Problem => Object::new()
                .text("type", "about:blank")
                .text("title", self.title())
                .number("status", Some(self.status().as_u16().into()))
                .text("detail", &message),
        };
        let millis = |wait: Duration| u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        head.text("error_code", self.error_code())
            .text("stage", self.rejection.stage().as_str())
            .text("operation", self.rejection.operation())
            .number("retry_after_ms", self.rejection.retry_after().map(millis))
            .finish()
    }

    /// The whole answer to a request with these headers (`Accept` chooses the form of the body).
    pub fn response(&self, request: &HeaderMap) -> Response<Bytes> {
        let media_type = MediaType::accepted(request);
        let mut response = Response::new(Bytes::from(self.body(media_type)));
        *response.status_mut() = self.status();
        self.add_headers(response.headers_mut());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type.as_str()));
        response
    }
}

fn seconds_up(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::{
        breaker::State,
        priority::Priority,
        rejection::{
            CircuitOpen, Injected, NoEnabledTargets, OverloadReason, Overloaded, RateLimitReason, RateLimited, Shed,
            Throttled, TimedOut, TimeoutKind,
        },
    };

    use super::*;

    fn limited(reason: RateLimitReason, wait: Option<Duration>) -> Rejection {
        RateLimited::new("op".into(), reason, wait, 20).into()
    }

    fn response(rejection: &Rejection, accept: &'static str) -> (Response<Bytes>, serde_json::Value) {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT, HeaderValue::from_static(accept));
        let response = Refusal::new(rejection).response(&request);
        let body = serde_json::from_slice(response.body()).expect("a JSON body");
        (response, body)
    }

    #[test]
    fn every_stage_has_its_status_and_code() {
        let wait = Some(Duration::from_millis(1));
        for (rejection, status, code) in [
            (CircuitOpen::new("op".into(), State::Open, wait).into(), 503, "CircuitOpen"),
            (limited(RateLimitReason::Exceeded, wait), 429, "RateLimited"),
            (Overloaded::new("op".into(), OverloadReason::QueueFull, 4, wait).into(), 503, "Overloaded"),
            (TimedOut::new("op".into(), TimeoutKind::Total, Duration::from_secs(1)).into(), 504, "Timeout"),
            (NoEnabledTargets::new("op".into()).into(), 503, "NoEnabledTargets"),
            (Throttled::new("op".into(), 40).into(), 503, "Throttled"),
            (Shed::new("op".into(), Priority::Sheddable, 4).into(), 503, "Shed"),
            (Injected::new("op".into()).into(), 503, "Injected"),
        ] {
            let (response, body) = response(&rejection, "*/*");
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(body["error_code"], code);
            assert_eq!(body["stage"], rejection.stage().as_str());
            assert_eq!(body["operation"], "op");
            assert_eq!(body["error"], rejection.to_string());
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            let is_injected = response.headers().get(CHAOS).is_some_and(|it| it == "fault");
            assert_eq!(is_injected, code == "Injected", "nobody is to take it for a real one");
            let known = rejection.retry_after().is_some();
            assert_eq!(response.headers().get(RETRY_AFTER).is_some_and(|it| it == "1"), known);
            assert_eq!(body["retry_after_ms"].as_u64(), known.then_some(1));
        }
    }

    #[test]
    fn waits_are_rounded_up_and_at_least_one_second() {
        for (wait, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_millis(1001), 2),
            (Duration::MAX, u64::MAX),
        ] {
            let rejection = CircuitOpen::new("op".into(), State::Open, Some(wait)).into();
            assert_eq!(Refusal::new(&rejection).retry_after_seconds(), Some(seconds));
        }
    }

    #[test]
    fn rate_limit_states_its_quota() {
        let (known, _) = response(&limited(RateLimitReason::Exceeded, Some(Duration::from_millis(2500))), "*/*");
        assert_eq!(known.headers()["ratelimit-limit"], "20");
        assert_eq!(known.headers()["ratelimit-remaining"], "0");
        assert_eq!(known.headers()["ratelimit-reset"], "3");
        let (never, _) = response(&limited(RateLimitReason::CostAboveBurst, None), "*/*");
        assert_eq!(never.headers()["ratelimit-limit"], "20");
        assert!(!never.headers().contains_key("ratelimit-remaining"));
        assert!(!never.headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn limit_of_tokens_or_without_a_quota_states_no_number_of_requests() {
        let refused =
            |burst| RateLimited::new("op".into(), RateLimitReason::Exceeded, Some(Duration::from_secs(1)), burst);
        for rejection in [refused(20).counting(Unit::Tokens), refused(u32::MAX)] {
            let (response, _) = response(&rejection.into(), "*/*");
            assert!(!response.headers().contains_key("ratelimit-limit"));
            assert_eq!(response.headers()["ratelimit-reset"], "1");
        }
    }

    #[test]
    fn accept_chooses_the_form() {
        let rejection = CircuitOpen::new("op".into(), State::Open, None).into();
        for (accept, problem) in [
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("application/problem+json", true),
            ("application/json, application/problem+json", true),
            ("application/json;q=0.9, Application/Problem+JSON;q=0.5", false),
            ("text/html, application/problem+json; q=0.1", true),
            ("application/problem+json;q=0", false),
            ("application/problem+json;q=NaN", false),
            (";;,=,q=", false),
        ] {
            let (response, body) = response(&rejection, accept);
            assert_eq!(response.headers()[CONTENT_TYPE] == "application/problem+json", problem, "{accept}");
            assert_eq!(body["status"].as_u64(), problem.then_some(503), "{accept}");
            assert_eq!(body["error_code"], "CircuitOpen");
        }
    }

    #[test]
    fn operation_cannot_break_out_of_the_body() {
        let rejection = CircuitOpen::new("a\"},{\u{1}\n<".into(), State::Open, None).into();
        assert_eq!(response(&rejection, "*/*").1["operation"], "a\"},{\u{1}\n<");
    }
}
