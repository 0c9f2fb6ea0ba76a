//! Hedging in front of HTTP clients: what copies carry, which requests have none, and that no server answers twice.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hosts::{data, pieces, text};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_rampart::{
    Explain, PresetBuilder,
    http::{Attempt, ClientLayer, ReplayBody, ServerLayer},
};

const HEDGED: &str =
    r#"{"hedge": {"delay": "100ms"}, "http": {"attempt_header": "x-attempt", "replay_max_bytes": 64}}"#;

fn layer() -> ClientLayer {
    PresetBuilder::from_json(HEDGED).unwrap().http_client().unwrap()
}

/// Reads every request to its end. The first answer takes 5 s, all further ones none; each says what it was sent.
fn echo<B>(
    calls: &Arc<AtomicU32>,
) -> impl Service<Request<ReplayBody<B>>, Response = Response<Full<Bytes>>, Error = io::Error, Future: Send> + Clone + use<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<tower_rampart::BoxError>> + Unpin + Send + 'static,
{
    let calls = Arc::clone(calls);
    tower::service_fn(move |request: Request<ReplayBody<B>>| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            let attempt = request.headers()["x-attempt"].to_str().unwrap().to_owned();
            assert_eq!(request.extensions().get::<Attempt>(), None, "a copy of the first attempt is the first attempt");
            let read = text(request.into_body()).await.map_err(io::Error::other)?;
            if number == 0 {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Ok(Response::new(Full::from(format!("{number} {attempt} {read}"))))
        }
    })
}

async fn told(request: Request<Full<Bytes>>) -> (String, Option<Explain>, u32) {
    let calls = Arc::default();
    let response = layer().layer(echo(&calls)).oneshot(request).await.unwrap();
    let explain = response.extensions().get().cloned();
    (text(response.into_body()).await.unwrap(), explain, calls.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn copy_carries_the_whole_body_and_the_number_of_its_attempt() {
    let put = Request::put("http://x.test/a").body(Full::from("all of it")).unwrap();
    let (answer, explain, calls) = told(put).await;
    assert_eq!((answer.as_str(), calls), ("1 1 all of it", 2));
    let explain = explain.expect("a call with copies is explained");
    assert_eq!((explain.attempts, explain.hedges, explain.copy), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn request_that_must_not_or_cannot_be_sent_twice_has_no_copy() {
    let post = || Request::post("http://x.test/a");
    let (answer, _, calls) = told(post().body(Full::from("order")).unwrap()).await;
    assert_eq!((answer.as_str(), calls), ("0 1 order", 1));
    let (answer, _, calls) = told(post().header("idempotency-key", "7").body(Full::from("order")).unwrap()).await;
    assert_eq!((answer.as_str(), calls), ("1 1 order", 2));
    let large = "x".repeat(65);
    let (answer, _, calls) = told(Request::put("http://x.test/a").body(Full::from(large)).unwrap()).await;
    assert!(answer.starts_with("0 1 xxx") && calls == 1);
}

/// Copies share one body: what one has drawn, the other is given, and either may go on.
#[tokio::test(start_paused = true)]
async fn body_that_still_streams_is_read_by_both() {
    let calls = Arc::default();
    let (feed, body) = pieces();
    feed.send(data("one "));
    let request = Request::put("http://x.test/a").body(body).unwrap();
    let answer = tokio::spawn(layer().layer(echo(&calls)).oneshot(request));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the copy has begun in the middle of the upload");
    feed.send(data("two"));
    drop(feed);
    let response = answer.await.unwrap().unwrap();
    assert_eq!(text(response.into_body()).await.unwrap(), "1 1 one two");
}

/// A copy that finds its body outgrown says nothing of the service: the other goes on alone.
#[tokio::test(start_paused = true)]
async fn body_that_outgrows_its_buffer_is_left_to_the_copy_that_has_it() {
    let calls = Arc::default();
    let (feed, body) = pieces();
    feed.send(data("0123456789012345678901234567890123456789"));
    let request = Request::put("http://x.test/a").body(body).unwrap();
    let answer = tokio::spawn(layer().layer(echo(&calls)).oneshot(request));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    feed.send(data("0123456789012345678901234567890123456789"));
    drop(feed);
    let response = answer.await.unwrap().unwrap();
    let answer = text(response.into_body()).await.unwrap();
    assert_eq!(answer.len(), "0 1 ".len() + 80, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn server_runs_no_handler_twice() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let handler = tower::service_fn(move |_request: Request<_>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("once")))
        }
    });
    let layer: ServerLayer = PresetBuilder::from_json(HEDGED).unwrap().http_server().unwrap();
    let request = Request::get("http://x.test/a").body(Full::<Bytes>::default()).unwrap();
    let response = layer.layer(handler).oneshot(request).await.unwrap();
    assert_eq!((response.status().as_u16(), runs.load(Ordering::Relaxed)), (200, 1));
    assert!(!layer.handle().config().hedge.enabled);
}
