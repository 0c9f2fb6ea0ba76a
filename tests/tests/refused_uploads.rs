//! What a client hears that is refused while it still sends: axum behind `ServerLayer`, through real sockets. What the gateway does about it is in
//! `crates/tower-rampart-cli/tests/linger.rs`.
//!
//! hyper closes an HTTP/1.1 connection whose request was not read to its end. A client that goes on sending may then fail before it looks for an answer, and
//! hyper's own does, if the upload is longer than what the system holds of it (some MiB). That is so of every handler that answers early, with or without the
//! layer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, middleware::map_request, routing::post};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tower_rampart::http::ServerLayer;
use tower_rampart_tests::host::{Host, client, within};

const MIB: usize = 1024 * 1024;

/// A host that refuses all requests but the first, which was made.
async fn refusing(outermost: impl FnOnce(Router) -> Router) -> Host {
    let document = r#"{"rate_limit": {"requests_per_minute": 0.017, "burst_size": 1}}"#;
    let layer = ServerLayer::from_json(document).expect("a layer");
    let host = Host::start(outermost(Router::new().route("/", post(async || "hello")).layer(layer))).await;
    assert_eq!(upload(&host, false, 0).await, Ok(StatusCode::OK));
    host
}

async fn upload(host: &Host, is_h2: bool, length: usize) -> Result<StatusCode, String> {
    let request = Request::post(host.url("/")).body(Full::new(Bytes::from(vec![7; length]))).expect("a request");
    let answer = within(client(is_h2).request(request)).await.map_err(|error| format!("{error:?}"))?;
    Ok(answer.status())
}

#[tokio::test]
async fn upload_is_told_why_over_http2_whatever_its_length() {
    let host = refusing(|router| router).await;
    for length in [1, MIB, 16 * MIB] {
        assert_eq!(upload(&host, true, length).await, Ok(StatusCode::TOO_MANY_REQUESTS), "{length}");
    }
}

#[tokio::test]
async fn short_upload_is_told_why_over_http1() {
    let host = refusing(|router| router).await;
    for length in [1, 1024, 64 * 1024] {
        assert_eq!(upload(&host, false, length).await, Ok(StatusCode::TOO_MANY_REQUESTS), "{length}");
    }
}

/// A body that is read to its end, or as long as a host likes, whoever drops it.
struct ReadOn(Option<Body>);

impl http_body::Body for ReadOn {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for ReadOn {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take() else { return };
        let reading = async move { while let Some(Ok(_)) = body.frame().await {} };
        tokio::spawn(tokio::time::timeout(Duration::from_secs(10), reading));
    }
}

#[tokio::test]
async fn long_upload_is_told_why_over_http1_by_a_host_that_reads_on() {
    let reads_on = map_request(async |request: Request<Body>| request.map(|body| Body::new(ReadOn(Some(body)))));
    let host = refusing(|router| router.layer(reads_on)).await;
    for _ in 0..5 {
        assert_eq!(upload(&host, false, 16 * MIB).await, Ok(StatusCode::TOO_MANY_REQUESTS));
    }
}
