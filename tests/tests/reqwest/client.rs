//! The client as a service.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Client, Method, Request, Response};
use tower::{Layer, ServiceExt};
use tower_rampart::{Error, Explain, breaker::State, http::BodyError};
use tower_rampart_reqwest::ReqwestLayer;
use tower_rampart_tests::peer::{Act, Peer};

use super::{ONCE, QUICK, clients, ended, until, url, within};

fn layer(sections: &str) -> ReqwestLayer {
    ReqwestLayer::from_json(&format!("{{{sections}}}")).unwrap()
}

fn request(method: Method, peer: &Peer) -> Request {
    Request::new(method, url(peer))
}

async fn send(layer: &ReqwestLayer, client: &Client, request: Request) -> Result<Response, Error<reqwest::Error>> {
    within(layer.layer(client.clone()).oneshot(request)).await
}

#[expect(clippy::disallowed_methods, reason = "the peer's sockets live in real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn outage_opens_the_circuit_and_recovery_closes_it() {
    let circuit = r#""circuit_breaker": {"failure_threshold": 3, "success_threshold": 1, "recovery_timeout": "300ms"}"#;
    for client in clients() {
        let (peer, layer) = (Peer::start(), layer(&format!("{ONCE}, {circuit}")));
        let get = || request(Method::GET, &peer);
        assert_eq!(send(&layer, &client, get()).await.unwrap().status(), 200);
        peer.down().await;
        for _ in 0..3 {
            let error = send(&layer, &client, get()).await.unwrap_err();
            assert!(error.inner().is_some(), "the real error comes back: {error:?}");
        }
        let refused = send(&layer, &client, get()).await.unwrap_err();
        assert!(refused.is_circuit_open() && refused.retry_after().is_some());
        peer.up();
        until("the circuit lets a probe in", || layer.handle().breaker().state() == State::HalfOpen).await;
        assert_eq!(send(&layer, &client, get()).await.unwrap().status(), 200);
        assert_eq!(layer.handle().breaker().state(), State::Closed);
        assert_eq!(ended(&layer.handle()), [2, 3, 0, 0]);
        assert_eq!(layer.handle().snapshot().rejections(), 1);
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_time_for_a_post_as_well() {
    for (client, method) in clients().into_iter().zip([Method::GET, Method::POST]) {
        let (peer, layer) = (Peer::start(), layer(QUICK));
        peer.next([Act::status(429).header("retry-after", "1")]);
        let began = now();
        let response = send(&layer, &client, request(method, &peer)).await.unwrap();
        let took = began.elapsed();
        assert_eq!((response.status().as_u16(), peer.requests()), (200, 2));
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
        let explain = response.extensions().get::<Explain>().unwrap();
        assert_eq!((explain.attempts, explain.delays.as_slice()), (2, &[Duration::from_secs(1)][..]));
        assert_eq!(ended(&layer.handle()), [1, 0, 0, 0]);
    }
}

const TEN_MEGABYTES: u64 = 10_000_000;

#[tokio::test]
async fn upload_of_ten_megabytes_is_streamed_once_and_its_answer_stands() {
    for client in clients() {
        let (peer, layer) = (Peer::start(), layer(QUICK));
        peer.otherwise(Act::status(503));
        let chunk = Bytes::from(vec![7; 100_000]);
        let chunks = stream::iter(std::iter::repeat_n(chunk, 100).map(Ok::<_, std::io::Error>));
        let mut upload = request(Method::PUT, &peer);
        *upload.body_mut() = Some(Body::wrap_stream(chunks));
        assert_eq!(send(&layer, &client, upload).await.unwrap().status(), 503);
        assert_eq!((peer.requests(), peer.bytes()), (1, TEN_MEGABYTES));

        let mut upload = request(Method::PUT, &peer);
        *upload.body_mut() = Some(vec![7; 10_000_000].into());
        assert_eq!(send(&layer, &client, upload).await.unwrap().status(), 503, "in memory, but longer than is kept");
        assert_eq!((peer.requests(), peer.bytes()), (2, 2 * TEN_MEGABYTES));
        assert_eq!(ended(&layer.handle()), [0, 2, 0, 0]);
    }
}

#[tokio::test]
async fn body_of_32_kib_is_replayed_whole() {
    for client in clients() {
        let (peer, layer) = (Peer::start(), layer(&format!(r#"{QUICK}, "http": {{"attempt_header": "x-attempt"}}"#)));
        peer.next([Act::status(503), Act::broken()]);
        let mut put = request(Method::PUT, &peer);
        *put.body_mut() = Some(vec![7; 32 * 1024].into());
        let response = send(&layer, &client, put).await.unwrap();
        assert_eq!((response.status().as_u16(), response.url()), (200, &url(&peer)));
        let seen = peer.seen();
        assert!(seen.iter().all(|it| it.is_complete && it.bytes == 32 * 1024), "{seen:?}");
        let numbers: Vec<_> = seen.iter().map(|it| it.headers["x-attempt"].to_str().unwrap()).collect();
        assert_eq!(numbers, ["1", "2", "3"]);
    }
}

/// Where the body decides, with one place and little patience.
fn to_the_end() -> ReqwestLayer {
    let limits = r#""timeout": {"attempt": "800ms"}, "concurrency": {"max_inflight": 1}"#;
    layer(&format!(r#"{ONCE}, {limits}, "classify": {{"outcome_at": "end_of_body"}}"#))
}

#[tokio::test]
async fn reader_that_leaves_amid_the_body_has_abandoned_the_call() {
    for client in clients() {
        let (peer, layer) = (Peer::start(), to_the_end());
        peer.next([Act::status(200).chunks(1000, 10_000).paced(Duration::from_millis(10))]);
        let mut response = send(&layer, &client, request(Method::GET, &peer)).await.unwrap();
        assert!(within(response.chunk()).await.unwrap().is_some());
        assert_eq!(layer.handle().snapshot().inflight, 1);
        let refused = send(&layer, &client, request(Method::GET, &peer)).await.unwrap_err();
        assert!(refused.is_overloaded(), "the body holds the only place");
        drop(response);
        assert_eq!(ended(&layer.handle()), [0, 0, 0, 1]);
        assert_eq!(send(&layer, &client, request(Method::GET, &peer)).await.unwrap().bytes().await.unwrap(), "");
        assert_eq!(ended(&layer.handle()), [1, 0, 0, 1]);
    }
}

#[tokio::test]
async fn slow_body_succeeds_while_it_goes_on_and_fails_once_it_stalls_or_breaks_off() {
    for client in clients() {
        let (peer, layer) = (Peer::start(), to_the_end());
        let slow = || Act::status(200).chunks(8, 100);
        peer.next([
            slow().paced(Duration::from_millis(200)),
            slow().paced(Duration::from_secs(20)),
            slow().breaking_off(),
        ]);
        // Longer in all than an attempt may take, but never silent for as long.
        let steady = send(&layer, &client, request(Method::GET, &peer)).await.unwrap();
        assert_eq!(within(steady.bytes()).await.unwrap().len(), 800);
        assert_eq!(ended(&layer.handle()), [1, 0, 0, 0]);

        let stalling = send(&layer, &client, request(Method::GET, &peer)).await.unwrap();
        let error = within(stalling.bytes()).await.unwrap_err();
        let sources = std::iter::successors(std::error::Error::source(&error), |it| it.source());
        let stalled =
            sources.filter_map(|it| it.downcast_ref::<BodyError>()).any(|it| matches!(it, BodyError::Stalled { .. }));
        assert!(stalled, "{error:?}");
        assert_eq!(ended(&layer.handle()), [1, 1, 0, 0]);

        let torn = send(&layer, &client, request(Method::GET, &peer)).await.unwrap();
        within(torn.bytes()).await.unwrap_err();
        assert_eq!(ended(&layer.handle()), [1, 2, 0, 0]);
    }
}

#[tokio::test]
async fn call_is_over_with_its_head_unless_told_otherwise() {
    let (peer, layer, [client, _]) = (Peer::start(), layer(ONCE), clients());
    peer.next([Act::status(200).chunks(3, 10).breaking_off()]);
    let response = send(&layer, &client, request(Method::GET, &peer)).await.unwrap();
    assert_eq!(ended(&layer.handle()), [1, 0, 0, 0]);
    within(response.bytes()).await.unwrap_err();
    assert_eq!(ended(&layer.handle()), [1, 0, 0, 0]);
}

#[tokio::test]
async fn cancelled_call_holds_nothing_wherever_it_was() {
    for client in clients() {
        let limits = r#""concurrency": {"max_inflight": 1, "queue_size": 1}"#;
        let patient = r#""retry": {"max_attempts": 2, "backoff": {"base": "20s", "min": "20s", "max": "30s"}}"#;
        let (peer, layer) = (Peer::start(), layer(&format!("{patient}, {limits}")));
        let spawn = || tokio::spawn(layer.layer(client.clone()).oneshot(request(Method::GET, &peer)));

        peer.next([Act::hang()]);
        let waiting_for_the_head = spawn();
        until("it is sent", || peer.requests() == 1).await;
        let queued = spawn();
        until("it is queued", || layer.handle().signals().queue_depth == 1).await;
        queued.abort();
        until("the queue is empty", || layer.handle().signals().queue_depth == 0).await;
        waiting_for_the_head.abort();
        until("nothing is in flight", || layer.handle().snapshot().inflight == 0).await;
        assert_eq!(ended(&layer.handle()), [0, 0, 0, 1], "the one that was queued was never admitted");

        peer.next([Act::status(503)]);
        let in_backoff = spawn();
        until("the peer has refused it", || peer.requests() == 2).await;
        assert_eq!(layer.handle().snapshot().inflight, 1);
        in_backoff.abort();
        until("nothing is in flight", || layer.handle().snapshot().inflight == 0).await;
        assert_eq!(ended(&layer.handle()), [0, 0, 0, 2]);
        assert_eq!(send(&layer, &client, request(Method::GET, &peer)).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn attempt_that_hangs_is_cut_off_and_the_next_answers() {
    for client in clients() {
        let (peer, layer) = (Peer::start(), layer(&format!(r#"{QUICK}, "timeout": {{"attempt": "600ms"}}"#)));
        peer.next([Act::hang()]);
        let response = send(&layer, &client, request(Method::GET, &peer)).await.unwrap();
        assert_eq!((response.status().as_u16(), peer.requests()), (200, 2));
        assert_eq!(ended(&layer.handle()), [1, 0, 0, 0]);
    }
}

#[tokio::test]
async fn body_of_the_caller_that_breaks_is_no_failure_of_the_service() {
    for client in clients() {
        let (peer, layer) = (Peer::start(), layer(r#""circuit_breaker": {"failure_threshold": 1}"#));
        let broken = stream::iter([Ok(Bytes::from("a")), Err(std::io::Error::other("mine"))]);
        let mut put = request(Method::PUT, &peer);
        *put.body_mut() = Some(Body::wrap_stream(broken));
        let error = send(&layer, &client, put).await.unwrap_err();
        assert!(error.inner().is_some(), "{error:?}");
        assert_eq!(layer.handle().breaker().state(), State::Closed);
        assert_eq!(ended(&layer.handle()), [0, 0, 1, 0]);
    }
}
