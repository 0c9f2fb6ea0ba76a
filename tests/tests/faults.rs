//! The peer itself: that it does to a connection what a story tells it to, over HTTP/1.1 and HTTP/2. What the suite makes of it is told elsewhere.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower_rampart_tests::peer::{Act, Peer};

/// Twice: by HTTP/1.1, by HTTP/2.
const VERSIONS: [bool; 2] = [false, true];

async fn send(peer: &Peer, is_h2: bool, body: &'static [u8]) -> Result<Response<Incoming>, ()> {
    let client = Client::builder(TokioExecutor::new()).http2_only(is_h2).build_http::<Full<Bytes>>();
    let request = Request::post(format!("{}/path?query", peer.url())).body(Full::from(body)).expect("a request");
    within(client.request(request)).await.map_err(|_| ())
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

#[tokio::test]
async fn script_is_played_one_act_a_request_and_then_the_last_word_holds() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.next([Act::status(503).header("retry-after", "1"), Act::status(204)])
            .otherwise(Act::status(200).body("hi"));
        let first = send(&peer, is_h2, b"one").await.expect("an answer");
        assert_eq!((first.status().as_u16(), &first.headers()["retry-after"]), (503, &"1".parse().expect("a value")));
        assert_eq!(send(&peer, is_h2, b"").await.expect("an answer").status(), 204);
        for _ in 0..2 {
            let answer = send(&peer, is_h2, b"four").await.expect("an answer");
            assert_eq!(answer.headers()["content-length"], "2");
            assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "hi");
        }
        assert_eq!((peer.requests(), peer.bytes()), (4, 3 + 4 + 4));
        let seen = &peer.seen()[0];
        assert_eq!(
            (seen.method.as_str(), seen.uri.path_and_query().expect("a path").as_str()),
            ("POST", "/path?query")
        );
        assert!(seen.is_complete);
    }
}

#[tokio::test]
async fn broken_connection_gives_no_answer() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.next([Act::broken()]);
        send(&peer, is_h2, b"one").await.expect_err("no answer");
        assert_eq!(send(&peer, is_h2, b"one").await.expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn body_breaks_off_after_the_last_chunk() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.next([Act::status(200).chunks(3, 1000).breaking_off()]);
        let mut body = send(&peer, is_h2, b"").await.expect("a head").into_body();
        let mut bytes = 0;
        while let Ok(frame) = within(body.frame()).await.expect("no end before the error") {
            bytes += frame.into_data().expect("data").len();
        }
        assert_eq!(bytes, 3000);
    }
}

#[tokio::test]
async fn slow_body_arrives_chunk_by_chunk_and_ends_with_trailers() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        let act = Act::status(200).header("trailer", "x-end").chunks(3, 10).paced(Duration::from_millis(30));
        peer.next([act.trailer("x-end", "1")]);
        let client = Client::builder(TokioExecutor::new()).http2_only(is_h2).build_http::<Full<Bytes>>();
        let request = Request::get(peer.url()).header("te", "trailers").body(Full::default()).expect("a request");
        let mut body = within(client.request(request)).await.expect("an answer").into_body();
        let mut trailers = HeaderMap::new();
        let mut sizes = Vec::new();
        while let Some(frame) = within(body.frame()).await {
            match frame.expect("no error").into_data() {
                Ok(data) => sizes.push(data.len()),
                Err(frame) => trailers = frame.into_trailers().expect("trailers"),
            }
        }
        assert_eq!(sizes, [10, 10, 10]);
        assert_eq!(trailers["x-end"], "1");
    }
}

#[tokio::test]
async fn peer_that_hangs_never_answers() {
    let peer = Peer::start();
    peer.next([Act::hang()]);
    let asked = tokio::time::timeout(Duration::from_millis(200), send(&peer, false, b"one")).await;
    assert!(asked.is_err(), "no answer");
    assert!(peer.seen()[0].is_complete);
}

#[tokio::test]
async fn peer_that_is_down_refuses_and_comes_back_on_its_port() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        send(&peer, is_h2, b"").await.expect("an answer");
        peer.down().await;
        send(&peer, is_h2, b"").await.expect_err("nobody listens");
        peer.up();
        assert_eq!(send(&peer, is_h2, b"").await.expect("an answer").status(), 200);
    }
}
