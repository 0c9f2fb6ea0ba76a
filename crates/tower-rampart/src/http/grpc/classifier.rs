//! What the status of a gRPC call says about the service behind. What a single code says is in `code`, HTTP's own classifier beside this folder.

use std::{collections::BTreeSet, error::Error, sync::Arc};

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header::CONTENT_TYPE};
use tower_rampart_core::{Class, Classify, Code, RequestInfo, Verdict};

use super::{
    code::{self, UNAUTHENTICATED, UNAVAILABLE, UNKNOWN},
    is_grpc,
    pushback::Pushback,
};
use crate::{
    classify::find_rejection,
    http::{HttpClassifier, NotReplayable, PeekedError, PeekedTrailers, retry_after},
};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Classifies gRPC answers by their status, which stands in the headers of an answer without a body and in the trailers of all others.
///
/// | status | class | sent again |
/// |---|---|---|
/// | `OK` | success | no |
/// | `UNAVAILABLE` | unavailable | yes |
/// | `ABORTED` | transient | yes |
/// | `RESOURCE_EXHAUSTED` with pushback | rate limited | yes |
/// | `DEADLINE_EXCEEDED`, `INTERNAL`, `UNKNOWN`, `DATA_LOSS` | transient | if idempotent |
/// | `CANCELLED` | ignored | no |
/// | every other one | permanent | no |
/// | an error on the way, such as a lost connection | transient, with the code `UNAVAILABLE` | if idempotent or not dispatched |
///
/// `grpc-retry-pushback-ms` is obeyed: it is the hint when to come back (a code of the fifth row then counts as unavailable, the class that
/// carries one), and a negative or unreadable one forbids the retry. Without it, `UNAVAILABLE` takes [HTTP's hints](crate::http::retry_after()).
///
/// An answer without a gRPC status has the one that its HTTP status stands for, as gRPC's mapping says (429, 502, 503 and 504 are
/// `UNAVAILABLE`, 404 is `UNIMPLEMENTED`, …); one with status 200 and the content type of something else is `UNKNOWN`. The lists of
/// [`HttpClassifier`] win over that mapping, and over nothing else.
///
/// Every gRPC request is a POST, so its method says nothing. A call counts as idempotent if it has an `Idempotency-Key` in its metadata, an
/// [`Idempotent`](crate::http::Idempotent) in its extensions, or if its [path was named](Self::idempotent_methods); `retry.methods` can widen it to all.
/// The time left is always read from `grpc-timeout`.
///
/// With the head of an answer whose trailers are still to come, nothing is decided: it counts as a success until [`trailers`](Self::trailers) say otherwise.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use tower_rampart::http::GrpcClassifier;
/// use tower_rampart_core::ClassKind;
///
/// let classifier = GrpcClassifier::default();
/// let mut trailers = HeaderMap::new();
/// trailers.insert("grpc-status", HeaderValue::from_static("13"));
/// assert_eq!(classifier.trailers(&trailers).class.kind(), ClassKind::Transient);
/// ```
#[derive(Clone, Debug)]
pub struct GrpcClassifier {
    http: HttpClassifier,
    idempotent: Arc<BTreeSet<String>>,
}

impl Default for GrpcClassifier {
    fn default() -> Self {
        Self::new(HttpClassifier::new())
    }
}

impl GrpcClassifier {
    /// The classifier with the table above, over the lists, deadline headers and clock of `http`.
    pub fn new(http: HttpClassifier) -> Self {
        Self { http: http.also_deadline_header(GRPC_TIMEOUT), idempotent: Arc::default() }
    }

    /// Counts calls of these methods as idempotent: `/package.Service/Method`, or `/package.Service/` for all of a service.
    #[must_use]
    pub fn idempotent_methods<T: Into<String>>(mut self, paths: impl IntoIterator<Item = T>) -> Self {
        Arc::make_mut(&mut self.idempotent).extend(paths.into_iter().map(Into::into));
        self
    }

    /// The verdict on the head of an answer, and on its trailers where they are known already.
    pub fn head(&self, status: StatusCode, headers: &HeaderMap, trailers: Option<&HeaderMap>) -> Verdict {
        if let Some(code) = code::read(headers) {
            return self.judge(code, headers);
        }
        if status != StatusCode::OK {
            let code = code::of_http(status);
            return match self.http.listed(status) {
                Some(class) => Verdict::new(class).with_code(Code::Grpc(code)),
                None => self.judge(code, headers),
            };
        }
        if headers.contains_key(CONTENT_TYPE) && !is_grpc(headers) {
            return self.judge(UNKNOWN, headers);
        }
        trailers.map_or_else(|| Verdict::new(Class::Success), |trailers| self.trailers(trailers))
    }

    /// The verdict at the end of an answer, by its trailers; empty ones if there were none, which is a failure: every gRPC answer ends with a status.
    pub fn trailers(&self, trailers: &HeaderMap) -> Verdict {
        self.judge(code::read(trailers).unwrap_or(UNKNOWN), trailers)
    }

    /// The verdict on an error, by what its chain of sources is made of.
    ///
    /// What fails on the way to the service has the code `UNAVAILABLE`, as gRPC has it, so that `monitor` and `exclude` can name it.
    pub fn error(&self, error: &(dyn Error + 'static)) -> Verdict {
        let verdict = self.http.error(error);
        let on_the_way = verdict.class == Class::Transient && verdict.code.is_none() && find_rejection(error).is_none();
        if on_the_way { verdict.with_code(Code::Grpc(UNAVAILABLE)) } else { verdict }
    }

    /// The verdict on a status code, 0 to 16 (any other one is unknown to gRPC), with the metadata that came with it.
    pub fn status(&self, code: u8, metadata: &HeaderMap) -> Verdict {
        self.judge(if code <= UNAUTHENTICATED { code } else { UNKNOWN }, metadata)
    }

    fn judge(&self, code: u8, metadata: &HeaderMap) -> Verdict {
        let pushback = Pushback::read(metadata);
        // The clock is only read for what can have a date.
        let hint =
            if code == UNAVAILABLE && pushback.is_none() { retry_after(metadata, self.http.now()) } else { None };
        code::verdict(code, pushback, hint)
    }

    fn is_idempotent(&self, path: &str) -> bool {
        let service = || path.rfind('/').map(|end| &path[..=end]);
        !self.idempotent.is_empty()
            && (self.idempotent.contains(path) || service().is_some_and(|service| self.idempotent.contains(service)))
    }
}

impl<B, R, E: Error + 'static> Classify<Request<B>, Response<R>, E> for GrpcClassifier {
    fn request(&self, request: &Request<B>) -> RequestInfo {
        let mut info = Classify::<Request<B>, Response<R>, E>::request(&self.http, request);
        info.idempotent = info.idempotent || self.is_idempotent(request.uri().path());
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&Response<R>, &E>) -> Verdict {
        match result {
            Ok(answer) => {
                let trailers = answer.extensions().get().map(|PeekedTrailers(trailers)| trailers);
                let verdict = match answer.extensions().get() {
                    Some(PeekedError(verdict)) => *verdict,
                    None => self.head(answer.status(), answer.headers(), trailers),
                };
                let stands = answer.extensions().get::<NotReplayable>().is_some();
                if stands { verdict.with_retry(false) } else { verdict }
            }
            Err(error) => self.error(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        time::{Duration, UNIX_EPOCH},
    };

    use http::{HeaderValue, header::RETRY_AFTER};
    use tower_rampart_core::{
        ClassKind, Rejection,
        breaker::State,
        rejection::{CircuitOpen, TimedOut, TimeoutKind},
    };

    use super::*;
    use crate::http::{Idempotent, NotDispatched};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn head(status: u16, pairs: &[(&'static str, &'static str)], trailers: Option<&HeaderMap>) -> Verdict {
        let http = HttpClassifier::new().wall_clock(|| UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        GrpcClassifier::new(http).head(StatusCode::from_u16(status).expect("a status"), &headers(pairs), trailers)
    }

    fn info(classifier: &GrpcClassifier, request: &Request<()>) -> RequestInfo {
        Classify::<_, Response<()>, io::Error>::request(classifier, request)
    }

    fn post(path: &str) -> Request<()> {
        Request::post(path).body(()).expect("a request")
    }

    #[test]
    fn status_in_the_headers_decides_whatever_http_says() {
        for status in [200, 404, 503] {
            assert_eq!(head(status, &[("grpc-status", "0")], None).class, Class::Success);
            assert_eq!(head(status, &[("grpc-status", "5")], None).class, Class::Permanent);
            assert_eq!(head(status, &[("grpc-status", "5")], None).code, Some(Code::Grpc(5)));
            // Trailers come after a body, and such an answer has none.
            let trailers = headers(&[("grpc-status", "0")]);
            assert_eq!(head(status, &[("grpc-status", "13")], Some(&trailers)).class, Class::Transient);
        }
    }

    #[test]
    fn answer_whose_trailers_are_to_come_is_undecided_and_counts_as_a_success() {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let verdict = head(200, &[("content-type", content_type)], None);
            assert_eq!((verdict.class, verdict.code), (Class::Success, None));
        }
        assert_eq!(head(200, &[], None).class, Class::Success);
    }

    #[test]
    fn trailers_decide_and_their_absence_is_a_failure() {
        for (trailers, class, code) in [
            (headers(&[("grpc-status", "0")]), ClassKind::Success, 0),
            (headers(&[("grpc-status", "14")]), ClassKind::Unavailable, 14),
            (headers(&[("grpc-status", "1")]), ClassKind::Ignored, 1),
            (headers(&[("grpc-status", "nonsense")]), ClassKind::Transient, 2),
            (HeaderMap::new(), ClassKind::Transient, 2),
        ] {
            let verdict = head(200, &[("content-type", "application/grpc")], Some(&trailers));
            assert_eq!((verdict.class.kind(), verdict.code), (class, Some(Code::Grpc(code))), "{trailers:?}");
            assert_eq!(verdict, GrpcClassifier::default().trailers(&trailers));
        }
    }

    #[test]
    fn answer_of_something_else_is_a_failure() {
        for content_type in ["text/html", "application/json", "application/grpc-web+proto"] {
            let verdict = head(200, &[("content-type", content_type)], None);
            assert_eq!((verdict.class, verdict.code), (Class::Transient, Some(Code::Grpc(2))), "{content_type}");
            assert!(!verdict.unprocessed);
        }
    }

    #[test]
    fn http_status_without_a_grpc_status_is_mapped_and_keeps_its_hint() {
        for (status, class, code) in [
            (400, ClassKind::Transient, 13),
            (401, ClassKind::Permanent, 16),
            (403, ClassKind::Permanent, 7),
            (404, ClassKind::Permanent, 12),
            (429, ClassKind::Unavailable, 14),
            (500, ClassKind::Transient, 2),
            (502, ClassKind::Unavailable, 14),
            (503, ClassKind::Unavailable, 14),
            (504, ClassKind::Unavailable, 14),
            (204, ClassKind::Transient, 2),
            (302, ClassKind::Transient, 2),
        ] {
            let verdict = head(status, &[], None);
            assert_eq!((verdict.class.kind(), verdict.code), (class, Some(Code::Grpc(code))), "{status}");
        }
        let hinted = head(503, &[("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT")], None);
        assert_eq!(hinted.class.retry_after(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn lists_of_http_win_over_the_mapping_only() {
        let http = HttpClassifier::new().permanent_status([503]).transient_status([404]);
        let classifier = GrpcClassifier::new(http);
        let class = |status, pairs: &[(&'static str, &'static str)]| {
            classifier.head(StatusCode::from_u16(status).expect("a status"), &headers(pairs), None).class
        };
        assert_eq!(class(503, &[]), Class::Permanent);
        assert_eq!(class(404, &[]), Class::Transient);
        assert_eq!(class(503, &[("grpc-status", "14")]).kind(), ClassKind::Unavailable);
    }

    #[test]
    fn pushback_wins_over_http_hints_in_headers_and_trailers() {
        let both = [("grpc-status", "14"), ("grpc-retry-pushback-ms", "250"), ("retry-after", "9")];
        let wait = Some(Duration::from_millis(250));
        assert_eq!(head(200, &both, None).class.retry_after(), wait);
        assert_eq!(GrpcClassifier::default().trailers(&headers(&both)).class.retry_after(), wait);
        let never = head(200, &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1"), ("retry-after", "9")], None);
        assert!(!never.is_retryable());
        let exhausted = head(200, &[("grpc-status", "8"), ("grpc-retry-pushback-ms", "250")], None);
        assert_eq!((exhausted.class, exhausted.unprocessed), (Class::RateLimited { retry_after: wait }, true));
        assert_eq!(head(200, &[("grpc-status", "8"), ("retry-after", "9")], None).class, Class::Permanent);
    }

    #[test]
    fn call_is_idempotent_only_if_it_says_so_or_was_named() {
        let classifier = GrpcClassifier::default().idempotent_methods(["/a.Reads/Get", "/a.Health/"]);
        for (path, expected) in [
            ("/a.Reads/Get", true),
            ("/a.Reads/Set", false),
            ("/a.Health/Check", true),
            ("/a.Healthy/Check", false),
            ("/a.Health/x/Check", false),
            ("/", false),
        ] {
            assert_eq!(info(&classifier, &post(path)).idempotent, expected, "{path}");
        }
        let mut keyed = post("/a.Reads/Set");
        keyed.headers_mut().insert("idempotency-key", HeaderValue::from_static("k"));
        assert!(info(&classifier, &keyed).idempotent);
        let mut marked = post("/a.Reads/Set");
        marked.extensions_mut().insert(Idempotent);
        assert!(info(&classifier, &marked).idempotent);
    }

    #[test]
    fn time_left_is_read_from_grpc_timeout_and_from_what_else_was_named() {
        let http = HttpClassifier::new().deadline_headers([HeaderName::from_static("x-timeout-ms")]);
        for classifier in [GrpcClassifier::default(), GrpcClassifier::new(http)] {
            let mut request = post("/a.B/C");
            assert_eq!(info(&classifier, &request).time_left, None);
            request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("2S"));
            assert_eq!(info(&classifier, &request).time_left, Some(Duration::from_secs(2)));
        }
        let http = HttpClassifier::new().deadline_headers([HeaderName::from_static("x-timeout-ms")]);
        let mut request = post("/a.B/C");
        request.headers_mut().insert("x-timeout-ms", HeaderValue::from_static("250"));
        assert_eq!(info(&GrpcClassifier::new(http), &request).time_left, Some(Duration::from_millis(250)));
    }

    #[test]
    fn error_on_the_way_is_unavailable_and_a_refusal_of_our_own_has_no_code() {
        let classifier = GrpcClassifier::default();
        let refused = classifier.error(&io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!((refused.class, refused.code), (Class::Transient, Some(Code::Grpc(UNAVAILABLE))));
        assert!(refused.unprocessed);
        let reset = classifier.error(&io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!((reset.code, reset.unprocessed), (Some(Code::Grpc(UNAVAILABLE)), false));
        assert!(classifier.error(&NotDispatched::new("no address")).unprocessed);
        let open = Rejection::from(CircuitOpen::new("op".into(), State::Open, None));
        assert_eq!((classifier.error(&open).class, classifier.error(&open).code), (Class::Ignored, None));
        let slow = Rejection::from(TimedOut::new("op".into(), TimeoutKind::Attempt, Duration::from_secs(1)));
        assert_eq!((classifier.error(&slow).class, classifier.error(&slow).code), (Class::Transient, None));
        let broken = Request::builder().uri("\n").body(()).expect_err("no URI");
        assert_eq!(classifier.error(&broken).class, Class::Permanent);
    }

    #[test]
    fn answer_whose_request_is_gone_is_not_retried() {
        let mut answer = Response::builder().header("grpc-status", "14").body(()).expect("a response");
        let classify = |answer: &Response<()>| {
            let info = RequestInfo::default();
            Classify::<Request<()>, _, io::Error>::classify(&GrpcClassifier::default(), &info, Ok(answer))
        };
        assert!(classify(&answer).is_retryable());
        answer.extensions_mut().insert(NotReplayable);
        assert!(!classify(&answer).is_retryable());
    }

    #[test]
    fn what_was_peeked_at_decides() {
        let classify = |answer: &Response<()>| {
            let info = RequestInfo::default();
            Classify::<Request<()>, _, io::Error>::classify(&GrpcClassifier::default(), &info, Ok(answer))
        };
        let mut answer = Response::new(());
        answer.extensions_mut().insert(PeekedTrailers(headers(&[("grpc-status", "13")])));
        assert_eq!(classify(&answer).code, Some(Code::Grpc(13)));
        let reset = GrpcClassifier::default().error(&io::Error::from(io::ErrorKind::ConnectionReset));
        answer.extensions_mut().insert(PeekedError(reset));
        assert_eq!(classify(&answer), reset);
    }

    proptest::proptest! {
        #[test]
        fn any_head_and_any_trailers_have_a_verdict(
            status in 100_u16..=999,
            status_text: Option<Vec<u8>>,
            pushback: Option<Vec<u8>>,
            content_type: Option<Vec<u8>>,
            after: Option<Vec<u8>>,
        ) {
            let mut all = HeaderMap::new();
            for (name, value) in [
                ("grpc-status", status_text),
                ("grpc-retry-pushback-ms", pushback),
                ("content-type", content_type),
                (RETRY_AFTER.as_str(), after),
            ] {
                if let Some(Ok(value)) = value.map(|it| HeaderValue::from_bytes(&it)) {
                    all.insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
                }
            }
            let classifier = GrpcClassifier::default();
            let status = StatusCode::from_u16(status).expect("a status");
            let _ = classifier.head(status, &all, Some(&all));
            let _ = classifier.trailers(&all);
        }
    }
}
