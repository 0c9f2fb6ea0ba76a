//! Nested retries over real sockets: an axum server that calls another by hyper's client, both retrying, before one that always fails.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract::State, routing::get};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tower::{Layer as _, ServiceExt as _};
use tower_rampart::{
    OperationHandle, PresetBuilder, UnderRetry,
    http::{ClientLayer, ClientService, ReplayBody, ServerLayer},
    retry::StopReason,
};
use tower_rampart_tests::host::{Host, client, quiet, within};

type Service = ClientService<Client<HttpConnector, ReplayBody<Empty<Bytes>>>>;

/// Three quick attempts, and nothing in their way.
fn builder(nested: bool) -> PresetBuilder {
    let document = format!(
        r#"{{"retry": {{"max_attempts": 3, "backoff": {{"base": "1ms", "min": "1ms", "max": "1ms"}}, "jitter": {{"kind": "none"}},
                        "budget": {{"enabled": false}}}},
            "circuit_breaker": {{"enabled": false}}, "nested_retry": {{"enabled": {nested}}}}}"#
    );
    PresetBuilder::from_json(&document).expect("a document")
}

fn guarded(nested: bool, is_h2: bool) -> (Service, OperationHandle) {
    let layer: ClientLayer = builder(nested).http_client().expect("a layer");
    (layer.layer(client(is_h2)), layer.handle())
}

/// What a server calls, and where.
#[derive(Clone)]
struct Next {
    service: Service,
    url: String,
}

/// Asks the next server, and tells it who makes the retries.
async fn ask(State(next): State<Next>, under: UnderRetry) -> StatusCode {
    let mut request = Request::get(&next.url).body(Empty::new()).expect("a request");
    request.extensions_mut().insert(under);
    next.service.oneshot(request).await.map_or(StatusCode::BAD_GATEWAY, |response| response.status())
}

/// A server that always fails, counts its calls, and how many of them say that they are retried.
async fn failing() -> (Host, Arc<[AtomicUsize; 2]>) {
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let counted = Arc::clone(&counts);
    let fail = move |headers: HeaderMap| {
        counted[0].fetch_add(1, Ordering::SeqCst);
        counted[1].fetch_add(usize::from(headers.contains_key("x-resilience-retried")), Ordering::SeqCst);
        async { StatusCode::INTERNAL_SERVER_ERROR }
    };
    (Host::start(Router::new().route("/", get(fail))).await, counts)
}

/// How often the last of three servers is called for one call to the first, and how many of those calls said that they are retried.
async fn reached(nested: bool, is_h2: bool) -> [usize; 2] {
    let (last, counts) = failing().await;
    let (service, inner) = guarded(nested, is_h2);
    let layer: ServerLayer = builder(nested).operation("server").http_server().expect("a layer");
    let next = Next { service, url: last.url("/") };
    let middle = Host::start(Router::new().route("/", get(ask)).with_state(next).layer(layer)).await;
    let (service, outer) = guarded(nested, is_h2);
    let request = Request::get(middle.url("/")).body(Empty::new()).expect("a request");
    let response = within(service.oneshot(request)).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    drop(response);
    for handle in [&outer, &inner] {
        quiet(handle).await;
    }
    assert_eq!(outer.snapshot().attempts, 3);
    let stopped = inner.snapshot().stopped;
    let left = stopped.iter().find(|(it, _)| *it == StopReason::NestedRetry).map(|(_, count)| *count);
    assert_eq!(left, Some(if nested { 3 } else { 0 }));
    [&counts[0], &counts[1]].map(|it| it.load(Ordering::SeqCst))
}

#[tokio::test]
async fn two_hops_of_three_attempts_each_send_nine_requests_unless_the_inner_leaves_them_to_the_outer() {
    for is_h2 in [false, true] {
        assert_eq!(reached(false, is_h2).await, [9, 0]);
        assert_eq!(reached(true, is_h2).await, [3, 3]);
    }
}
