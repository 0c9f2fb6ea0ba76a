//! What an answer of a model API says about it, and which verdict that is. Plain HTTP and gRPC have classifiers of their own.

use std::{error::Error, fmt, sync::Arc};

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri};
use tower_rampart_core::{Class, Classify, Code, ProviderClass, RequestInfo, TokenEstimate, Verdict};

use super::{
    ProviderError,
    codes::of_status,
    tokens::{BodyLength, estimate},
};
use crate::http::{HttpClassifier, NotReplayable, retry_after, retry_after::text};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

type Estimate = dyn Fn(&Uri, &HeaderMap) -> Option<TokenEstimate> + Send + Sync;

/// Classifies the answers of model APIs (OpenAI, Anthropic, Gemini, Mistral and those that speak like them) into thirteen classes, each with a
/// [verdict](ProviderClass::verdict) of its own.
///
/// | first that says something | e.g. |
/// |---|---|
/// | the configuration's lists of statuses | `permanent_status: [409]` |
/// | a code or type in the body, see [`ProviderError`] | `insufficient_quota`: not retried, falls back |
/// | the status | 529: retried, falls back; 401: falls back; 409: retried only |
/// | an error on the way | as [`HttpClassifier`] says |
///
/// The hint when to come back is that of [`retry_after`](crate::http::retry_after()), or the body's. `x-should-retry: false` forbids the retry, as the providers' own
/// clients obey it. All requests count as idempotent: they are POST, and asking a model twice does no harm but cost.
///
/// The body is only known where the HTTP layers have looked at it, under `classify.profile` `model_api`; they put the [`ProviderError`] into the extensions
/// of the answer.
///
/// # Examples
/// ```
/// use http::{HeaderMap, StatusCode};
/// use tower_rampart::{ProviderClass, http::{ModelApiClassifier, ProviderError}};
///
/// let (status, headers) = (StatusCode::TOO_MANY_REQUESTS, HeaderMap::new());
/// let error = ProviderError::read(status, &headers, br#"{"error": {"code": "insufficient_quota"}}"#);
/// let verdict = ModelApiClassifier::default().response(status, &headers, error.as_ref());
/// assert_eq!(verdict.provider_class, Some(ProviderClass::QuotaExhausted));
/// assert!(!verdict.is_retryable() && verdict.is_fallbackable());
/// ```
#[derive(Clone, Default)]
pub struct ModelApiClassifier {
    http: HttpClassifier,
    estimate: Option<Arc<Estimate>>,
}

impl ModelApiClassifier {
    /// A classifier whose lists of statuses and deadline headers are those of `http`.
    pub fn new(http: HttpClassifier) -> Self {
        Self { http, estimate: None }
    }

    /// Estimates the tokens of a request by `estimate` of its URI and headers instead; `None` leaves it to the rule.
    ///
    /// The rule: what the request header `x-resilience-tokens` states, else a token for every four bytes of the body and 256 for the answer.
    #[must_use]
    pub fn estimate<F>(mut self, estimate: F) -> Self
    where
        F: Fn(&Uri, &HeaderMap) -> Option<TokenEstimate> + Send + Sync + 'static,
    {
        self.estimate = Some(Arc::new(estimate));
        self
    }

    /// The verdict on an answer, with what its body says if that is known.
    pub fn response(&self, status: StatusCode, headers: &HeaderMap, error: Option<&ProviderError>) -> Verdict {
        let code = Code::Http(status.as_u16());
        let Some(class) = error.map(|it| it.class).or_else(|| of_status(status.as_u16())) else {
            return Verdict::new(self.http.listed(status).unwrap_or(Class::Success)).with_code(code);
        };
        let mut verdict = self.error_of(class, headers, error).with_code(code);
        if let Some(listed) = self.http.listed(status) {
            verdict = Verdict::new(listed).with_code(code);
            verdict.provider_class = Some(class);
        }
        if text(headers, &SHOULD_RETRY).is_some_and(|it| it.eq_ignore_ascii_case("false")) {
            verdict = verdict.with_retry(false);
        }
        verdict
    }

    fn error_of(&self, class: ProviderClass, headers: &HeaderMap, error: Option<&ProviderError>) -> Verdict {
        let waits = matches!(class.verdict(None).class, Class::RateLimited { .. } | Class::Unavailable { .. });
        // The wall clock is read only where a date may have to be held against it.
        let hint = || retry_after(headers, self.http.now()).or_else(|| error.and_then(|it| it.retry_after));
        class.verdict(if waits { hint() } else { None })
    }

    /// The verdict on an error, by what its chain of sources is made of.
    pub fn error(&self, error: &(dyn Error + 'static)) -> Verdict {
        self.http.error(error)
    }

    /// The tokens that a request may use.
    pub fn tokens<B>(&self, request: &Request<B>) -> TokenEstimate {
        let own = self.estimate.as_ref().and_then(|estimate| estimate(request.uri(), request.headers()));
        let length = request.extensions().get().map(|BodyLength(length)| *length);
        own.unwrap_or_else(|| estimate(request.headers(), length))
    }
}

impl<B, R, E: Error + 'static> Classify<Request<B>, Response<R>, E> for ModelApiClassifier {
    fn request(&self, request: &Request<B>) -> RequestInfo {
        let mut info = Classify::<_, Response<R>, E>::request(&self.http, request);
        info.idempotent = true;
        info.tokens = Some(self.tokens(request));
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&Response<R>, &E>) -> Verdict {
        match result {
            Ok(response) => {
                let extensions = response.extensions();
                let verdict = self.response(response.status(), response.headers(), extensions.get());
                if extensions.get::<NotReplayable>().is_some() { verdict.with_retry(false) } else { verdict }
            }
            Err(error) => self.error(error),
        }
    }
}

impl fmt::Debug for ModelApiClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelApiClassifier").field("http", &self.http).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use http::HeaderValue;
    use serde_json::Value;
    use tower_rampart_core::ClassKind;

    use super::*;

    fn judge(classifier: &ModelApiClassifier, status: u16, headers: &HeaderMap, body: &str) -> Verdict {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = ProviderError::read(status, headers, body.as_bytes());
        classifier.response(status, headers, error.as_ref())
    }

    fn verdict(status: u16, body: &str) -> Verdict {
        judge(&ModelApiClassifier::default(), status, &HeaderMap::new(), body)
    }

    #[test]
    fn answers_are_classified_as_every_vector_says() {
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
        let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
        let text = std::fs::read(shared).or_else(|_| std::fs::read(copy)).expect("the vectors are in the workspace");
        let all: Value = serde_json::from_slice(&text).expect("the vectors are JSON");
        let mut seen = 0;
        for vector in all["vectors"].as_array().expect("a list of vectors") {
            if vector["kind"] != "classify" {
                continue;
            }
            let body = if vector["body"].is_null() { String::new() } else { vector["body"].to_string() };
            let status = vector["status"].as_u64().and_then(|it| u16::try_from(it).ok()).expect("a status");
            let (verdict, expect) = (verdict(status, &body), &vector["expect"]);
            assert_eq!(
                verdict.provider_class.map(ProviderClass::as_str),
                expect["class"].as_str(),
                "{}",
                vector["name"]
            );
            assert_eq!(Some(verdict.is_retryable()), expect["retryable"].as_bool(), "{}", vector["name"]);
            assert_eq!(Some(verdict.is_fallbackable()), expect["fallbackable"].as_bool(), "{}", vector["name"]);
            seen += 1;
        }
        assert_eq!(seen, 15);
    }

    #[test]
    fn success_is_one() {
        for status in [200, 201, 204] {
            assert_eq!((verdict(status, "").class, verdict(status, "").provider_class), (Class::Success, None));
        }
    }

    #[test]
    fn verdict_of_the_class_is_that_of_its_table() {
        assert_eq!(verdict(429, r#"{"error": {"code": "insufficient_quota"}}"#).class.kind(), ClassKind::RateLimited);
        assert!(!verdict(429, r#"{"error": {"code": "insufficient_quota"}}"#).is_retryable());
        let conflict = verdict(409, "");
        assert!(conflict.is_retryable() && !conflict.is_fallbackable() && conflict.class == Class::Permanent);
        assert!(verdict(401, "").is_fallbackable() && !verdict(401, "").is_retryable());
        assert_eq!(verdict(499, "").class, Class::Ignored);
    }

    #[test]
    fn hint_comes_from_the_headers_or_else_from_the_body() {
        let body = r#"{"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "7s"}]}}"#;
        assert_eq!(verdict(429, body).class.retry_after(), Some(Duration::from_secs(7)));
        let mut headers = HeaderMap::new();
        headers.insert("retry-after-ms", HeaderValue::from_static("250"));
        let classifier = ModelApiClassifier::default();
        let hint = |status| judge(&classifier, status, &headers, body).class.retry_after();
        assert_eq!(hint(429), Some(Duration::from_millis(250)));
        assert_eq!(judge(&classifier, 529, &headers, "").class.retry_after(), Some(Duration::from_millis(250)));
        assert_eq!(judge(&classifier, 500, &headers, "").class, Class::Transient);
    }

    #[test]
    fn provider_may_forbid_the_retry() {
        let mut headers = HeaderMap::new();
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("False"));
        let forbidden = judge(&ModelApiClassifier::default(), 503, &headers, "");
        assert!(!forbidden.is_retryable() && forbidden.is_fallbackable());
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
        assert!(judge(&ModelApiClassifier::default(), 503, &headers, "").is_retryable());
        assert!(!judge(&ModelApiClassifier::default(), 400, &headers, "").is_retryable());
    }

    #[test]
    fn lists_of_the_configuration_win() {
        let http = HttpClassifier::new().permanent_status([429, 200]).transient_status([404]);
        let classifier = ModelApiClassifier::new(http);
        let limited = judge(&classifier, 429, &HeaderMap::new(), r#"{"error": {"code": "rate_limit_exceeded"}}"#);
        assert_eq!((limited.class, limited.provider_class), (Class::Permanent, Some(ProviderClass::RateLimited)));
        assert!(!limited.is_fallbackable());
        assert_eq!(judge(&classifier, 404, &HeaderMap::new(), "").class, Class::Transient);
        assert_eq!(judge(&classifier, 200, &HeaderMap::new(), "").class, Class::Permanent);
    }

    #[test]
    fn every_request_is_idempotent_and_estimated() {
        let info = |classifier: &ModelApiClassifier| {
            let request = Request::post("/v1/chat").header("content-length", "400").body(()).expect("a request");
            Classify::<_, Response<()>, io::Error>::request(classifier, &request)
        };
        let by_rule = info(&ModelApiClassifier::default());
        assert!(by_rule.idempotent);
        assert_eq!(by_rule.tokens, Some(TokenEstimate::Guessed(356)));
        let own = ModelApiClassifier::default()
            .estimate(|uri, _| (uri.path() == "/v1/chat").then_some(TokenEstimate::Stated(9)));
        assert_eq!(info(&own).tokens, Some(TokenEstimate::Stated(9)));
        assert_eq!(info(&ModelApiClassifier::default().estimate(|_, _| None)).tokens, by_rule.tokens);
    }

    #[test]
    fn answer_with_its_error_in_the_extensions_is_judged_by_it() {
        let mut answer = Response::builder().status(429).body(()).expect("a response");
        let body = br#"{"error": {"type": "insufficient_quota"}}"#;
        let error = ProviderError::read(answer.status(), answer.headers(), body).expect("an error");
        answer.extensions_mut().insert(error);
        let classify = |answer: &Response<()>| {
            let info = RequestInfo::default();
            Classify::<Request<()>, _, io::Error>::classify(&ModelApiClassifier::default(), &info, Ok(answer))
        };
        assert_eq!(classify(&answer).provider_class, Some(ProviderClass::QuotaExhausted));
        let mut busy = Response::builder().status(529).body(()).expect("a response");
        assert!(classify(&busy).is_retryable());
        busy.extensions_mut().insert(NotReplayable);
        assert!(!classify(&busy).is_retryable());
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let verdict = Classify::<Request<()>, Response<()>, _>::classify(
            &ModelApiClassifier::default(),
            &RequestInfo::default(),
            Err(&reset),
        );
        assert_eq!(verdict.class, Class::Transient);
    }
}
