//! What the guards read of HTTP requests: how important a call is.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_rampart::{http::ServerLayer, priority::Priority};

type Body = Full<Bytes>;

fn request(criticality: &[&str]) -> Request<Body> {
    let mut request = Request::get("http://shop.example/").body(Body::default()).unwrap();
    for it in criticality {
        request.headers_mut().append("x-criticality", it.parse().unwrap());
    }
    request
}

async fn hang(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    pending().await
}

/// Whether a service with one of two places taken sheds the request.
async fn is_shed(document: &str, request: Request<Body>) -> bool {
    let service = ServerLayer::from_json(document).unwrap().layer(service_fn(hang));
    let mut first = tokio_test::task::spawn(service.clone().oneshot(self::request(&["critical_plus"])));
    assert!(first.poll().is_pending());
    let answer = tokio::time::timeout(Duration::from_millis(1), service.oneshot(request)).await;
    let Ok(answer) = answer else { return false };
    let (parts, body) = answer.unwrap().into_parts();
    let body: serde_json::Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((parts.status.as_u16(), &body["error_code"], &body["stage"]), (503, &"Shed".into(), &"priority".into()));
    assert!(!parts.headers.contains_key("retry-after"));
    true
}

const READS: &str = r#"{"concurrency": {"max_inflight": 2}, "timeout": {"attempt": "off", "total": "off"},
    "priority": {"header": "X-Criticality", "default": "critical_plus"}}"#;

#[tokio::test(start_paused = true)]
async fn header_that_the_document_names_states_the_class() {
    for (values, expected) in [
        (&["sheddable"][..], true),
        (&[" SHEDDABLE "], true),
        (&["critical_plus"], false),
        (&["urgent"], false),
        (&["sheddable", "sheddable"], false),
        (&[], false),
    ] {
        assert_eq!(is_shed(READS, request(values)).await, expected, "{values:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_header_is_believed_unless_the_document_names_it() {
    let deaf = READS.replace(r#""header": "X-Criticality", "#, "");
    assert!(!is_shed(&deaf, request(&["sheddable"])).await);
    let careful = deaf.replace("critical_plus", "sheddable");
    assert!(is_shed(&careful, request(&["critical_plus"])).await);
}

#[tokio::test(start_paused = true)]
async fn what_this_process_says_wins_over_the_header() {
    let mut said = request(&["critical_plus"]);
    said.extensions_mut().insert(Priority::Sheddable);
    assert!(is_shed(READS, said).await);
}
