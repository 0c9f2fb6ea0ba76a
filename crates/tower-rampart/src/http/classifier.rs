//! What a status or an error of an HTTP call says about the service behind. gRPC and model APIs have classifiers of their own.

use std::{collections::BTreeSet, error::Error, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use tower_rampart_core::{Class, Classify, Code, RequestInfo, Verdict, classify::Method};

use super::{Idempotent, NotDispatched, NotReplayable, deadline::time_left, retry_after};
use crate::classify::classify_error;

/// Classifies HTTP answers by status and headers, errors by their chain of sources; text is never matched.
///
/// | answer | class |
/// |---|---|
/// | 1xx, 2xx, 3xx | success |
/// | 408, 425, 5xx other than below | transient |
/// | 429 | rate limited, not processed |
/// | 503, 529 | unavailable; not processed if it says when to come back |
/// | 501, 505, 4xx other than above | permanent |
/// | [`NotDispatched`] | transient, not processed |
/// | a request that could not be built ([`http::Error`]) | permanent, not processed |
/// | any other error | as the [default classifier](crate::classify) says |
///
/// A 429 or 503 carries the hint of [`retry_after`](super::retry_after()). A request counts as idempotent by its method (GET, HEAD, OPTIONS,
/// TRACE, PUT, DELETE; RFC 9110 section 9.2.2), if it has an `Idempotency-Key`, or an [`Idempotent`] in its extensions. An answer marked
/// [`NotReplayable`] is not retried.
///
/// # Examples
/// ```
/// use http::StatusCode;
/// use tower_rampart::http::HttpClassifier;
/// use tower_rampart_core::Class;
///
/// let classifier = HttpClassifier::default().transient_status([418]);
/// assert_eq!(classifier.status(StatusCode::IM_A_TEAPOT), Class::Transient);
/// assert_eq!(classifier.status(StatusCode::NOT_FOUND), Class::Permanent);
/// ```
#[derive(Clone, Debug)]
pub struct HttpClassifier {
    transient: Arc<BTreeSet<u16>>,
    permanent: Arc<BTreeSet<u16>>,
    deadlines: Arc<[HeaderName]>,
    wall: fn() -> SystemTime,
}

impl Default for HttpClassifier {
    fn default() -> Self {
        Self {
            transient: Arc::default(),
            permanent: Arc::default(),
            deadlines: Arc::default(),
            wall: crate::clock::wall,
        }
    }
}

impl HttpClassifier {
    /// The classifier with the table above.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts these statuses as transient, whatever the table says. A status in both lists is permanent.
    #[must_use]
    pub fn transient_status(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        Arc::make_mut(&mut self.transient).extend(statuses);
        self
    }

    /// Counts these statuses as permanent, whatever the table says.
    #[must_use]
    pub fn permanent_status(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        Arc::make_mut(&mut self.permanent).extend(statuses);
        self
    }

    /// Reads the time left for a call from these request headers; the shortest counts. Default: none.
    ///
    /// `grpc-timeout` is read as gRPC writes it (`250m`), names that end in `-ms` as milliseconds, all others as seconds or as a span
    /// with units (`1.5`, `250ms`). What cannot be read is passed over.
    #[must_use]
    pub fn deadline_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.deadlines = names.into_iter().collect();
        self
    }

    /// Reads the time of day, against which an HTTP-date is held, from `wall` instead of the system's clock.
    #[must_use]
    pub fn wall_clock(mut self, wall: fn() -> SystemTime) -> Self {
        self.wall = wall;
        self
    }

    /// One more deadline header.
    pub(super) fn also_deadline_header(mut self, name: HeaderName) -> Self {
        if !self.deadlines.contains(&name) {
            self.deadlines = self.deadlines.iter().cloned().chain([name]).collect();
        }
        self
    }

    /// The time of day.
    pub(super) fn now(&self) -> SystemTime {
        (self.wall)()
    }

    /// The class that the lists give a status.
    pub(super) fn listed(&self, status: StatusCode) -> Option<Class> {
        let code = status.as_u16();
        if self.permanent.contains(&code) {
            return Some(Class::Permanent);
        }
        self.transient.contains(&code).then_some(Class::Transient)
    }

    /// What must be known of a request, out of its method and headers: whether it may be sent twice, and the time left.
    pub fn request_info(&self, method: &http::Method, headers: &HeaderMap) -> RequestInfo {
        let method = self::method(method);
        let mut info = RequestInfo::default();
        info.idempotent = is_idempotent(method)
            || headers.get("idempotency-key").is_some_and(|key| !key.as_bytes().trim_ascii().is_empty());
        info.method = Some(method);
        info.time_left = time_left(headers, &self.deadlines);
        info
    }

    /// The class of a status alone, without hints out of headers.
    pub fn status(&self, status: StatusCode) -> Class {
        if let Some(class) = self.listed(status) {
            return class;
        }
        match status.as_u16() {
            0..=399 => Class::Success,
            429 => Class::RateLimited { retry_after: None },
            503 | 529 => Class::Unavailable { retry_after: None },
            408 | 425 => Class::Transient,
            400..=499 | 501 | 505 => Class::Permanent,
            _ => Class::Transient,
        }
    }

    /// The verdict on a status with its headers.
    pub fn response(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        let verdict = match self.status(status) {
            // The wall clock is read only here, where a date may have to be held against it.
            Class::RateLimited { .. } => {
                Verdict::new(Class::RateLimited { retry_after: retry_after(headers, (self.wall)()) }).not_processed()
            }
            Class::Unavailable { .. } => {
                let retry_after = retry_after(headers, (self.wall)());
                let verdict = Verdict::new(Class::Unavailable { retry_after });
                if retry_after.is_some() { verdict.not_processed() } else { verdict }
            }
            class => Verdict::new(class),
        };
        verdict.with_code(Code::Http(status.as_u16()))
    }

    /// The verdict on an error, by what its chain of sources is made of.
    pub fn error(&self, error: &(dyn Error + 'static)) -> Verdict {
        let verdict = chain(error).find_map(known).unwrap_or_else(|| classify_error(error));
        if chain(error).any(<dyn Error>::is::<NotReplayable>) { verdict.with_retry(false) } else { verdict }
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What only HTTP knows of one error of a chain.
fn known(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if error.is::<NotDispatched>() {
        return Some(Verdict::new(Class::Transient).not_processed());
    }
    error.is::<http::Error>().then(|| Verdict::new(Class::Permanent).not_processed())
}

impl<B, R, E: Error + 'static> Classify<Request<B>, Response<R>, E> for HttpClassifier {
    fn request(&self, request: &Request<B>) -> RequestInfo {
        let mut info = self.request_info(request.method(), request.headers());
        info.idempotent = info.idempotent || request.extensions().get::<Idempotent>().is_some();
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&Response<R>, &E>) -> Verdict {
        match result {
            Ok(response) => {
                let verdict = self.response(response.status(), response.headers());
                let stands = response.extensions().get::<NotReplayable>().is_some();
                if stands { verdict.with_retry(false) } else { verdict }
            }
            Err(error) => self.error(error),
        }
    }
}

fn method(method: &http::Method) -> Method {
    match *method {
        http::Method::GET => Method::Get,
        http::Method::HEAD => Method::Head,
        http::Method::OPTIONS => Method::Options,
        http::Method::TRACE => Method::Trace,
        http::Method::PUT => Method::Put,
        http::Method::DELETE => Method::Delete,
        http::Method::POST => Method::Post,
        http::Method::PATCH => Method::Patch,
        _ => Method::Other,
    }
}

fn is_idempotent(method: Method) -> bool {
    match method {
        Method::Get | Method::Head | Method::Options | Method::Trace | Method::Put | Method::Delete => true,
        Method::Post | Method::Patch | Method::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        time::{Duration, UNIX_EPOCH},
    };

    use http::header::RETRY_AFTER;
    use tower_rampart_core::{ClassKind, Rejection, rejection};

    use super::*;

    fn classify(response: &Response<()>) -> Verdict {
        let classifier = HttpClassifier::default().wall_clock(|| UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        Classify::<Request<()>, _, io::Error>::classify(&classifier, &RequestInfo::default(), Ok(response))
    }

    fn info(method: &str, key: Option<&str>) -> RequestInfo {
        let mut request = Request::builder().method(method);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request.body(()).expect("a request");
        Classify::<_, Response<()>, io::Error>::request(&HttpClassifier::default(), &request)
    }

    #[test]
    fn every_status_has_the_class_of_the_table() {
        for code in 100..=999 {
            let expected = match code {
                100..=399 => ClassKind::Success,
                408 | 425 => ClassKind::Transient,
                429 => ClassKind::RateLimited,
                503 | 529 => ClassKind::Unavailable,
                400..=499 | 501 | 505 => ClassKind::Permanent,
                _ => ClassKind::Transient,
            };
            let response = Response::builder().status(code).body(()).expect("a response");
            let verdict = classify(&response);
            assert_eq!(verdict.class.kind(), expected, "{code}");
            assert_eq!(verdict.code, Some(Code::Http(code)));
            assert_eq!(verdict.unprocessed, code == 429, "{code}");
        }
    }

    #[test]
    fn hint_comes_from_the_headers_of_429_and_503_only() {
        for (code, hint) in [(429, true), (503, true), (529, true), (500, false), (200, false), (413, false)] {
            let response = Response::builder().status(code).header(RETRY_AFTER, "3").body(()).expect("a response");
            let verdict = classify(&response);
            assert_eq!(verdict.class.retry_after(), hint.then_some(Duration::from_secs(3)), "{code}");
            assert_eq!(verdict.unprocessed, hint, "{code}");
        }
    }

    #[test]
    fn date_is_held_against_the_wall_clock() {
        let date = "Tue, 14 Nov 2023 22:13:30 GMT";
        let response = Response::builder().status(503).header(RETRY_AFTER, date).body(()).expect("a response");
        assert_eq!(classify(&response).class, Class::Unavailable { retry_after: Some(Duration::from_secs(10)) });
    }

    #[test]
    fn lists_win_over_the_table_and_permanent_over_transient() {
        let classifier = HttpClassifier::new().transient_status([404, 409]).permanent_status([500, 409, 429]);
        let class = |code| classifier.status(StatusCode::from_u16(code).expect("a status")).kind();
        assert_eq!(class(404), ClassKind::Transient);
        assert_eq!(class(500), ClassKind::Permanent);
        assert_eq!(class(409), ClassKind::Permanent);
        assert_eq!(class(429), ClassKind::Permanent);
        assert!(!classifier.response(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new()).unprocessed);
    }

    #[test]
    fn method_or_key_makes_a_request_idempotent() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(info(method, None).idempotent, "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "PROPFIND"] {
            assert!(!info(method, None).idempotent, "{method}");
            assert!(info(method, Some("k")).idempotent, "{method}");
            assert!(!info(method, Some(" ")).idempotent, "{method}");
        }
        let mut marked = Request::post("/").body(()).expect("a request");
        marked.extensions_mut().insert(Idempotent);
        assert!(Classify::<_, Response<()>, io::Error>::request(&HttpClassifier::default(), &marked).idempotent);
        assert_eq!(info("PATCH", None).method, Some(Method::Patch));
        assert_eq!(info("PROPFIND", None).method, Some(Method::Other));
    }

    #[test]
    fn deadline_is_read_from_the_headers_that_were_named() {
        let classifier = HttpClassifier::new().deadline_headers([HeaderName::from_static("x-timeout-ms")]);
        let request =
            Request::get("/").header("x-timeout-ms", "250").header("grpc-timeout", "1m").body(()).expect("a request");
        let info = Classify::<_, Response<()>, io::Error>::request(&classifier, &request);
        assert_eq!(info.time_left, Some(Duration::from_millis(250)));
        let info = Classify::<_, Response<()>, io::Error>::request(&HttpClassifier::new(), &request);
        assert_eq!(info.time_left, None);
    }

    #[test]
    fn errors_before_dispatch_are_not_processed() {
        let classifier = HttpClassifier::new();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(classifier.error(&refused).unprocessed);
        let marked = io::Error::other(NotDispatched::new(io::Error::from(io::ErrorKind::TimedOut)));
        // `io::Error::other` hides its payload from `source()` behind the payload's own source, so the marker is wrapped once more.
        let nested = NotDispatched::new(marked);
        assert!(classifier.error(&nested).unprocessed);
        assert_eq!(classifier.error(&nested).class, Class::Transient);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(!classifier.error(&reset).unprocessed);
        assert_eq!(classifier.error(&reset).class, Class::Transient);
    }

    #[test]
    fn request_that_cannot_be_built_is_permanent() {
        let error = Request::builder().uri("\n").body(()).expect_err("no URI");
        let verdict = HttpClassifier::new().error(&error);
        assert_eq!((verdict.class, verdict.unprocessed), (Class::Permanent, true));
    }

    #[test]
    fn own_refusals_are_ignored() {
        let limit = Duration::from_secs(1);
        let overloaded = rejection::Overloaded::new("op".into(), rejection::OverloadReason::QueueFull, 1, None);
        let verdict = HttpClassifier::new().error(&Rejection::from(overloaded));
        assert_eq!(verdict.class, Class::Ignored);
        let timeout = rejection::TimedOut::new("op".into(), rejection::TimeoutKind::Attempt, limit);
        assert_eq!(HttpClassifier::new().error(&Rejection::from(timeout)).class, Class::Transient);
    }

    #[test]
    fn answer_to_a_body_that_is_gone_is_not_retried() {
        let mut response = Response::builder().status(503).body(()).expect("a response");
        assert!(classify(&response).is_retryable());
        response.extensions_mut().insert(NotReplayable);
        let verdict = classify(&response);
        assert!(!verdict.is_retryable());
        assert_eq!(verdict.class, Class::Unavailable { retry_after: None });
        assert!(!HttpClassifier::new().error(&NotReplayable).is_retryable());
    }
}
