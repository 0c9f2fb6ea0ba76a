//! Headers that others wrote, a line each: hints when to come back, families of limits, deadlines, addresses of clients.

use std::{
    cell::LazyCell,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tower_rampart::{
    PresetBuilder, UnderRetry,
    http::{
        Deadline, GrpcClassifier, HttpClassifier, ModelApiClassifier, RateLimitHeaders, ServerLayer, grpc_timeout,
        key::{Authority, ClientIp, ForwardedBy, Header, Key},
        reset, retry_after,
    },
};
use tower_rampart_core::{Class, Classify, RequestInfo, Timestamp, Verdict};

type Body = Empty<Bytes>;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TOTAL: Duration = Duration::from_secs(5);
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const DOCUMENT: &str = r#"{
    "http": {"deadline_headers": ["grpc-timeout", "x-timeout-ms", "x-deadline"]}, "timeout": {"attempt": "1s", "total": "5s"},
    "nested_retry": {"header": "x-retried"}
}"#;

thread_local! {
    static LAYER: LazyCell<ServerLayer> = LazyCell::new(|| {
        PresetBuilder::from_json(DOCUMENT).and_then(PresetBuilder::http_server).expect("a document that can run")
    });
}

/// Checks the headers of a text: a name, a colon and a value on each line.
pub fn check(bytes: &[u8]) {
    let headers = read(bytes);
    hints(&headers);
    limits(&headers);
    clients(&headers);
    deadlines(&headers);
}

fn read(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|it| *it == b'\n').take(64) {
        let mut parts = line.splitn(2, |it| *it == b':');
        let name = parts.next().and_then(|it| HeaderName::from_bytes(it).ok());
        let value = parts.next().and_then(|it| HeaderValue::from_bytes(it.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// What each classifier says of an answer with these headers is what the headers say.
fn hints(headers: &HeaderMap) {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let hint = retry_after(headers, now);
    for value in headers.values().filter_map(|it| it.to_str().ok()) {
        let _ = reset(value, now);
    }
    let request = RequestInfo::default();
    for status in [200_u16, 408, 429, 500, 503, 529] {
        let mut response = Response::new(());
        *response.status_mut() = status.try_into().expect("a status");
        *response.headers_mut() = headers.clone();
        let verdicts: [Verdict; 3] = [
            Classify::<Request<()>, _, Infallible>::classify(&HttpClassifier::default(), &request, Ok(&response)),
            Classify::<Request<()>, _, Infallible>::classify(&GrpcClassifier::default(), &request, Ok(&response)),
            Classify::<Request<()>, _, Infallible>::classify(&ModelApiClassifier::default(), &request, Ok(&response)),
        ];
        let [http, ..] = verdicts;
        assert_eq!(http.class == Class::Success, status == 200);
        // Dates are read by the clock of the day, which has moved on since.
        if let (429, Class::RateLimited { retry_after }) = (status, http.class) {
            assert_eq!(retry_after.is_some(), hint.is_some());
        }
    }
}

/// Whatever a provider claims, a limiter learns no pause beyond a day.
fn limits(headers: &HeaderMap) {
    let read = RateLimitHeaders::read(headers, UNIX_EPOCH);
    let now = Timestamp::from_millis(1);
    for learnt in [read.learnt_of_requests(now), read.learnt_of_tokens(now)] {
        assert!(learnt.paused_until.is_none_or(|until| until >= now && until.since(now) <= DAY));
    }
}

/// Whoever is not trusted says nothing about who the client is, and no key is unbounded.
fn clients(headers: &HeaderMap) {
    let extensions = Extensions::new();
    let uri = Uri::from_static("http://example.test/");
    for by in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
        let of = |hops: u32| ClientIp::by(|_: &Extensions| Some(PEER)).trusted_hops(hops).forwarded_by(by);
        assert_eq!(of(0).address(headers, &extensions), Some(PEER));
        let name = if by == ForwardedBy::XForwardedFor { "x-forwarded-for" } else { "forwarded" };
        for hops in 1..4 {
            let believed = of(hops).address(headers, &extensions);
            assert!(believed.is_some());
            // As many hops stand there as are trusted: what a client writes before them changes nothing.
            if headers.contains_key(name) && of(hops + 1).address(headers, &extensions) != believed {
                let mut forged = HeaderMap::new();
                forged.append(name, HeaderValue::from_static("for=203.0.113.66"));
                headers.get_all(name).iter().for_each(|it| {
                    forged.append(name, it.clone());
                });
                assert_eq!(of(hops).address(&forged, &extensions), believed, "a client chose its address");
            }
            bounded(of(hops).of(headers, &extensions));
        }
    }
    bounded(Authority::new().of(&uri, headers));
    headers.keys().for_each(|name| bounded(Header::new(name.clone()).of(headers)));
}

fn bounded(key: Option<Key>) {
    assert!(key.is_none_or(|it| (1..=Key::MAX_LEN).contains(&it.as_str().len())));
}

fn request(headers: &HeaderMap) -> Request<Body> {
    let mut request = Request::new(Empty::new());
    *request.headers_mut() = headers.clone();
    request
}

/// A handler has the time that was stated, and never more than the configuration gives. It is told that its request is retried if exactly one value says so.
fn deadlines(headers: &HeaderMap) {
    let values: Vec<_> = headers.get_all("x-retried").iter().collect();
    let is_retried = values == ["?1"];
    let handler = service_fn(move |request: Request<Body>| async move {
        assert_eq!(request.extensions().get().is_some_and(|it: &UnderRetry| it.0), is_retried);
        let left = request.extensions().get::<Deadline>().map(|it| it.left());
        assert!(left.is_none_or(|it| it <= TOTAL), "{left:?}");
        let mut response = Response::new(Body::new());
        response.headers_mut().insert("grpc-timeout", grpc_timeout(left.unwrap_or(TOTAL)));
        Ok::<_, Infallible>(response)
    });
    LAYER.with(|layer| {
        let answer = layer.layer(handler).oneshot(request(headers)).now_or_never();
        let answer = answer.expect("a handler that answers at once is waited for by nobody");
        let response = answer.unwrap_or_else(|never| match never {});
        assert!(response.status().is_success() || response.status().is_server_error() || response.status() == 429);
    });
}
