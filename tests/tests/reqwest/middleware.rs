//! The client with middlewares.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Extensions;
use reqwest::{Body, Client};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tower_rampart::{Explain, Rejection, breaker::State};
use tower_rampart_reqwest::{ReqwestLayer, ResilienceMiddleware, middleware::refusal};
use tower_rampart_tests::peer::{Act, Peer};

use super::{ONCE, QUICK, clients, ended, until, url, within};

fn with(client: Client, sections: &str) -> (ReqwestLayer, ClientWithMiddleware) {
    let layer = ReqwestLayer::from_json(&format!("{{{sections}}}")).unwrap();
    (layer.clone(), ClientBuilder::new(client).with(ResilienceMiddleware::new(layer)).build())
}

#[tokio::test]
async fn outage_opens_the_circuit_and_recovery_closes_it() {
    let circuit = r#""circuit_breaker": {"failure_threshold": 2, "success_threshold": 1, "recovery_timeout": "300ms"}"#;
    for client in clients() {
        let peer = Peer::start();
        let (layer, client) = with(client, &format!("{ONCE}, {circuit}"));
        peer.down().await;
        for _ in 0..2 {
            let error = within(client.get(url(&peer)).send()).await.unwrap_err();
            assert!(error.is_connect() && error.url() == Some(&url(&peer)), "as it was: {error:?}");
            assert!(refusal(&error).is_none());
        }
        let error = within(client.get(url(&peer)).send()).await.unwrap_err();
        assert!(matches!(refusal(&error), Some(Rejection::CircuitOpen(_))), "{error:?}");
        peer.up();
        until("the circuit lets a probe in", || layer.handle().breaker().state() == State::HalfOpen).await;
        assert_eq!(within(client.get(url(&peer)).send()).await.unwrap().status(), 200);
        assert_eq!(ended(&layer.handle()), [1, 2, 0, 0]);
    }
}

#[tokio::test]
async fn streams_are_sent_once_and_bodies_in_memory_again() {
    for client in clients() {
        let peer = Peer::start();
        let (layer, client) = with(client, QUICK);
        peer.next([Act::status(503), Act::status(503), Act::status(200)]);
        let chunks = stream::iter(std::iter::repeat_n(Bytes::from(vec![7; 100_000]), 100).map(Ok::<_, std::io::Error>));
        let response = within(client.put(url(&peer)).body(Body::wrap_stream(chunks)).send()).await.unwrap();
        assert_eq!((response.status().as_u16(), peer.bytes()), (503, 10_000_000));

        let mut extensions = Extensions::new();
        let put = client.put(url(&peer)).body(vec![7; 32 * 1024]).build().unwrap();
        let response = within(client.execute_with_extensions(put, &mut extensions)).await.unwrap();
        assert_eq!((response.status().as_u16(), peer.bytes()), (200, 10_000_000 + 2 * 32 * 1024));
        assert_eq!(extensions.get::<Explain>().map(|it| it.attempts), Some(2));
        assert_eq!(ended(&layer.handle()), [1, 1, 0, 0]);
    }
}

#[tokio::test]
async fn body_decides_and_a_dropped_one_is_abandoned() {
    for client in clients() {
        let peer = Peer::start();
        let (layer, client) = with(client, &format!(r#"{ONCE}, "classify": {{"outcome_at": "end_of_body"}}"#));
        let endless = Act::status(200).chunks(1000, 1000).paced(Duration::from_millis(20));
        peer.next([endless, Act::status(200).body("whole"), Act::status(200).chunks(2, 10).breaking_off()]);
        let mut response = within(client.get(url(&peer)).send()).await.unwrap();
        assert!(within(response.chunk()).await.unwrap().is_some());
        drop(response);
        assert_eq!(ended(&layer.handle()), [0, 0, 0, 1]);
        assert_eq!(within(client.get(url(&peer)).send()).await.unwrap().bytes().await.unwrap(), "whole");
        within(within(client.get(url(&peer)).send()).await.unwrap().bytes()).await.unwrap_err();
        assert_eq!(ended(&layer.handle()), [1, 1, 0, 1]);
    }
}

#[tokio::test]
async fn cancelled_call_holds_nothing() {
    for client in clients() {
        let peer = Peer::start();
        let (layer, client) = with(client, r#""concurrency": {"max_inflight": 1}"#);
        peer.next([Act::hang()]);
        let call = tokio::spawn(client.get(url(&peer)).send());
        until("it is sent", || peer.requests() == 1).await;
        call.abort();
        until("nothing is in flight", || layer.handle().snapshot().inflight == 0).await;
        assert_eq!(ended(&layer.handle()), [0, 0, 0, 1]);
        assert_eq!(within(client.get(url(&peer)).send()).await.unwrap().status(), 200);
    }
}
