//! Generated clients behind `tonic::ClientLayer`, through real sockets: what is sent again, what is not, and what callers read.

use std::time::Duration;

use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;
use tower::Layer as _;
use tower_rampart::{
    Explain, OperationHandle, PresetBuilder, Registry, Stage,
    clock::now,
    tonic::{ClientLayer, ClientService, refused_by},
};
use tower_rampart_tests::{
    health::{SERVING, serving, trailers_after, trailers_only},
    peer::{Act, Peer},
};

type Client = HealthClient<ClientService<Channel>>;

/// Small enough for tests, far enough apart that a slow machine changes nothing.
const DOCUMENT: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "1ms", "min": "1ms", "max": "1ms"}, "jitter": {"kind": "none"}},
    "circuit_breaker": {"failure_threshold": 3, "recovery_timeout": "300ms", "success_threshold": 1},
    "timeout": {"attempt": "off", "total": "off"}
}"#;

fn channel(peer: &Peer) -> Channel {
    Endpoint::from_shared(peer.url()).expect("a URL").connect_lazy()
}

fn client_with(peer: &Peer, document: &str) -> (Client, OperationHandle) {
    let layer: ClientLayer = PresetBuilder::from_json(DOCUMENT)
        .and_then(|builder| {
            builder.operation("health").overrides_json(document)?.registry(&Registry::new()).grpc_client()
        })
        .expect("a layer");
    (HealthClient::new(layer.layer(channel(peer))), layer.handle())
}

fn client(peer: &Peer) -> (Client, OperationHandle) {
    client_with(peer, "{}")
}

fn ask() -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest { service: "a".to_owned() })
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// Nothing is in flight, and every call has ended in one way: success, failure, ignored, abandoned.
async fn settled(handle: &OperationHandle, expected: [u64; 4]) {
    // What is dropped is dropped at once, but a body may be in the hands of a task.
    let deadline = now().after(Duration::from_secs(10));
    while handle.snapshot().inflight > 0 && now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let it = handle.snapshot();
    assert_eq!([it.success, it.failure, it.ignored, it.abandoned], expected, "{it:?}");
    assert_eq!((it.inflight, it.admitted), (0, expected.iter().sum()), "{it:?}");
    assert_eq!(handle.signals().current_inflight, 0);
}

#[tokio::test]
async fn outage_opens_the_circuit_and_recovery_closes_it() {
    let peer = Peer::start();
    peer.otherwise(serving());
    let (mut client, handle) = client_with(&peer, r#"{"retry": {"enabled": false}}"#);
    within(client.check(ask())).await.expect("the service is well");
    peer.down().await;
    for _ in 0..3 {
        let status = within(client.check(ask())).await.expect_err("the service is down");
        assert_eq!((status.code(), refused_by(&status)), (Code::Unavailable, None), "{status:?}");
    }
    let seen = peer.requests();
    let status = within(client.check(ask())).await.expect_err("the circuit is open");
    let by = refused_by(&status).expect("a refusal");
    assert_eq!(
        (status.code(), by.stage, by.here, &*by.operation),
        (Code::Unavailable, Stage::CircuitBreaker, true, "health")
    );
    let wait = by.retry_after.expect("a time to come back");
    assert_eq!(status.get_details_retry_info().and_then(|it| it.retry_delay), Some(wait));
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "CIRCUIT_OPEN");
    assert_eq!(status.metadata().get("x-resilience-stage").expect("the stage"), "circuit_breaker");
    peer.up();
    tokio::time::sleep(wait).await;
    within(client.check(ask())).await.expect("the service is well again");
    assert_eq!(peer.requests(), seen + 1, "the open circuit let nothing through");
    settled(&handle, [2, 3, 0, 0]).await;
}

#[tokio::test]
async fn status_in_the_headers_is_retried_with_the_same_message() {
    let peer = Peer::start();
    peer.next([trailers_only(14), trailers_only(10)]).otherwise(serving());
    let (mut client, handle) = client_with(&peer, r#"{"http": {"attempt_header": "x-attempt"}}"#);
    let answer = within(client.check(ask())).await.expect("the third attempt");
    assert_eq!(answer.extensions().get::<Explain>().map(|it| it.attempts), Some(3));
    let seen = peer.seen();
    assert_eq!(seen.len(), 3);
    for (index, request) in seen.iter().enumerate() {
        assert_eq!(request.headers["x-attempt"], (index + 1).to_string());
        assert_eq!((request.bytes, request.is_complete), (5 + 3, true), "the whole message, each time");
        assert_eq!(request.uri.path(), "/grpc.health.v1.Health/Check");
    }
    settled(&handle, [1, 0, 0, 0]).await;
}

#[tokio::test]
async fn status_in_trailers_right_behind_the_headers_is_retried() {
    let peer = Peer::start();
    peer.next([trailers_after(0, 14)]).otherwise(serving());
    // A moment longer than usual: the machine may have better things to do.
    let layer: ClientLayer = PresetBuilder::from_json(DOCUMENT)
        .and_then(PresetBuilder::grpc_client)
        .map(|layer| layer.peek_timeout(Duration::from_secs(5)))
        .expect("a layer");
    let mut client = HealthClient::new(layer.layer(channel(&peer)));
    within(client.check(ask())).await.expect("the second attempt");
    assert_eq!(peer.requests(), 2);
    settled(&layer.handle(), [1, 0, 0, 0]).await;
}

#[tokio::test]
async fn status_that_comes_late_is_the_callers_and_counts_as_a_failure() {
    let peer = Peer::start();
    // After the patience of the layer: the trailers belong to an answer that is the caller's already.
    peer.next([trailers_after(1, 14).paced(Duration::from_millis(400))]);
    let (mut client, handle) = client(&peer);
    let status = within(client.check(ask())).await.expect_err("an error at the end");
    assert_eq!((status.code(), refused_by(&status)), (Code::Unavailable, None));
    assert_eq!(peer.requests(), 1);
    settled(&handle, [0, 1, 0, 0]).await;
}

#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    // Code, whether it is sent again as it is, and as an idempotent call.
    for (code, plain, idempotent) in [
        (1, false, false),
        (2, false, true),
        (3, false, false),
        (4, false, true),
        (8, false, false),
        (10, true, true),
        (13, false, true),
        (14, true, true),
        (15, false, true),
        (16, false, false),
    ] {
        for (is_idempotent, expected) in [(false, plain), (true, idempotent)] {
            let peer = Peer::start();
            peer.next([trailers_only(code)]).otherwise(serving());
            let (mut client, _) = client(&peer);
            let mut request = ask();
            if is_idempotent {
                request.extensions_mut().insert(tower_rampart::http::Idempotent);
            }
            let answer = within(client.check(request)).await;
            assert_eq!(peer.requests(), if expected { 2 } else { 1 }, "{code} {is_idempotent}");
            assert_eq!(answer.err().map(|it| it.code() as u8), (!expected).then_some(code), "{code} {is_idempotent}");
        }
    }
}

#[tokio::test]
async fn pushback_is_waited_for_and_a_negative_one_forbids_the_retry() {
    for (code, pushback, requests) in [(14, "300", 2), (8, "300", 2), (14, "-1", 1), (14, "soon", 1), (8, "-1", 1)] {
        let peer = Peer::start();
        peer.next([trailers_only(code).header("grpc-retry-pushback-ms", pushback)]).otherwise(serving());
        let (mut client, _) = client(&peer);
        let began = now();
        let answer = within(client.check(ask())).await;
        assert_eq!((peer.requests(), answer.is_ok()), (requests, requests == 2), "{code} {pushback}");
        if requests == 2 {
            assert!(now().since(began) >= Duration::from_millis(300), "{code}: {:?}", now().since(began));
        }
    }
}

#[tokio::test]
async fn plain_http_of_a_proxy_in_between_is_mapped() {
    let peer = Peer::start();
    peer.next([Act::status(503).header("content-type", "text/html").body("<h1>no</h1>")]).otherwise(serving());
    let (mut client, handle) = client(&peer);
    within(client.check(ask())).await.expect("the second attempt");
    assert_eq!(peer.requests(), 2);
    peer.next([Act::status(404)]);
    let status = within(client.check(ask())).await.expect_err("no such service");
    assert_eq!((status.code(), peer.requests()), (Code::Unimplemented, 3));
    settled(&handle, [2, 0, 0, 0]).await;
}

#[tokio::test]
async fn stream_that_ends_in_an_error_counts_as_a_failure_and_is_not_sent_for_again() {
    let peer = Peer::start();
    peer.next([trailers_after(2, 14)]).otherwise(serving());
    let (mut client, handle) = client(&peer);
    let mut stream = within(client.watch(ask())).await.expect("a stream").into_inner();
    for _ in 0..2 {
        assert!(within(stream.message()).await.expect("a message").is_some());
    }
    assert_eq!(handle.snapshot().inflight, 1, "the outcome comes at the end");
    let status = within(stream.message()).await.expect_err("the end");
    assert_eq!((status.code(), peer.requests()), (Code::Unavailable, 1));
    settled(&handle, [0, 1, 0, 0]).await;
}

#[tokio::test]
async fn stream_that_breaks_off_counts_as_a_failure() {
    let peer = Peer::start();
    let head = Act::status(200).header("content-type", "application/grpc");
    peer.next([head.clone().pieces([SERVING]).breaking_off(), head.pieces([SERVING])]);
    let (mut client, handle) = client(&peer);
    for failures in 1..=2 {
        let mut stream = within(client.watch(ask())).await.expect("a stream").into_inner();
        assert!(within(stream.message()).await.expect("a message").is_some());
        // First a reset; then an end without a status, which tonic leaves to whoever asks for the trailers.
        let _ = within(stream.message()).await;
        drop(stream);
        settled(&handle, [0, failures, 0, 0]).await;
    }
    assert_eq!(peer.requests(), 2);
}

#[tokio::test]
async fn stream_is_not_held_up_by_a_first_message_that_comes_late() {
    let peer = Peer::start();
    peer.next([trailers_after(1, 0).paced(Duration::from_secs(3))]);
    let (mut client, handle) = client(&peer);
    let began = now();
    let mut stream = within(client.watch(ask())).await.expect("a stream").into_inner();
    assert!(now().since(began) < Duration::from_millis(1500), "{:?}", now().since(began));
    assert!(within(stream.message()).await.expect("a message").is_some());
    assert!(within(stream.message()).await.expect("the end").is_none());
    settled(&handle, [1, 0, 0, 0]).await;
}

#[tokio::test]
async fn time_left_bounds_the_call_and_is_told_to_every_attempt() {
    let peer = Peer::start();
    peer.next([trailers_only(14).after(Duration::from_millis(50))]).otherwise(serving());
    let (mut client, _) = client_with(&peer, r#"{"timeout": {"total": "60s"}}"#);
    let mut request = ask();
    request.set_timeout(Duration::from_secs(10));
    within(client.check(request)).await.expect("the second attempt");
    // Also where only the configuration bounds the call.
    within(client.check(ask())).await.expect("an answer");
    let told: Vec<u64> = peer.seen().iter().map(|seen| micros(&seen.headers["grpc-timeout"])).collect();
    assert!(told[0] <= 10_000_000 && told[0] > 5_000_000, "{told:?}");
    assert!(told[1] + 50_000 <= told[0], "{told:?}");
    assert!(told[2] <= 60_000_000 && told[2] > 30_000_000, "{told:?}");
}

fn micros(value: &http::HeaderValue) -> u64 {
    const UNITS: [(&str, u64); 3] = [("u", 1), ("m", 1000), ("S", 1_000_000)];
    let text = value.to_str().expect("ASCII");
    let read = |(unit, micros): (&str, u64)| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * micros);
    UNITS.into_iter().find_map(read).expect("a timeout of more than a microsecond")
}

#[tokio::test]
async fn call_whose_time_is_over_is_a_deadline_exceeded() {
    let peer = Peer::start();
    peer.otherwise(Act::hang());
    for (document, stated) in [
        (r#"{"timeout": {"total": "200ms"}}"#, None),
        (r#"{"timeout": {"attempt": "200ms"}, "retry": {"enabled": false}}"#, None),
        ("{}", Some(Duration::from_millis(200))),
    ] {
        let (mut client, handle) = client_with(&peer, document);
        let mut request = ask();
        if let Some(stated) = stated {
            request.set_timeout(stated);
        }
        let status = within(client.check(request)).await.expect_err("too late");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{document}: {status:?}");
        settled(&handle, [0, 1, 0, 0]).await;
    }
}

#[tokio::test]
async fn stream_is_bounded_by_what_the_request_stated_and_by_nothing_else() {
    let peer = Peer::start();
    peer.otherwise(trailers_after(1, 0).paced(Duration::from_secs(2)));
    let (mut client, handle) = client_with(&peer, r#"{"timeout": {"total": "500ms", "attempt": "500ms"}}"#);
    let mut stream = within(client.watch(ask())).await.expect("a stream").into_inner();
    assert!(within(stream.message()).await.expect("a message, long after the total time").is_some());
    assert!(within(stream.message()).await.expect("the end").is_none());
    let mut request = ask();
    request.set_timeout(Duration::from_millis(300));
    let mut stream = within(client.watch(request)).await.expect("a stream").into_inner();
    let status = within(stream.message()).await.expect_err("too late");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(refused_by(&status).map(|it| it.stage), Some(Stage::Timeout));
    settled(&handle, [1, 1, 0, 0]).await;
}

#[tokio::test]
async fn call_can_be_cancelled_at_every_stage() {
    let peer = Peer::start();
    let one = r#"{"concurrency": {"max_inflight": 1, "queue_size": 4, "queue_timeout": "60s"}}"#;
    let (client, handle) = client_with(&peer, one);
    let cut = Duration::from_millis(150);
    let cancelled = |mut client: Client| async move {
        tokio::time::timeout(cut, client.check(ask())).await.expect_err("it takes longer");
    };
    // Before the head of the answer.
    peer.next([Act::hang()]);
    within(cancelled(client.clone())).await;
    settled(&handle, [0, 0, 0, 1]).await;
    // In the wait before another attempt.
    peer.next([trailers_only(14).header("grpc-retry-pushback-ms", "5000")]);
    within(cancelled(client.clone())).await;
    settled(&handle, [0, 0, 0, 2]).await;
    // In the second attempt.
    peer.next([trailers_only(14), Act::hang()]);
    within(cancelled(client.clone())).await;
    settled(&handle, [0, 0, 0, 3]).await;
    // In a stream, before its first message and after it; meanwhile another call waits for the only place and is cancelled there.
    for messages in [0, 1] {
        let head = Act::status(200).header("content-type", "application/grpc");
        let first = head.pieces(vec![SERVING; messages]);
        peer.next([first.falling_silent()]);
        let mut stream = within(client.clone().watch(ask())).await.expect("a stream").into_inner();
        for _ in 0..messages {
            assert!(within(stream.message()).await.expect("a message").is_some());
        }
        within(cancelled(client.clone())).await;
        drop(stream);
    }
    settled(&handle, [0, 0, 0, 5]).await;
    // And everything is free.
    peer.next([serving()]);
    within(client.clone().check(ask())).await.expect("an answer");
    settled(&handle, [1, 0, 0, 5]).await;
}

#[tokio::test]
async fn refusal_of_the_rate_limit_says_when_to_come_back() {
    let peer = Peer::start();
    peer.otherwise(serving());
    let (mut client, handle) = client_with(&peer, r#"{"rate_limit": {"limit": 1, "period": "60s", "burst_size": 1}}"#);
    within(client.check(ask())).await.expect("the first");
    let status = within(client.check(ask())).await.expect_err("the second is refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(refused_by(&status).map(|it| it.stage), Some(Stage::RateLimit));
    let delay = status.get_details_retry_info().and_then(|it| it.retry_delay).expect("a time to come back");
    assert!(delay > Duration::from_secs(30) && delay <= Duration::from_secs(60), "{delay:?}");
    assert!(status.metadata().get("grpc-retry-pushback-ms").is_some());
    assert_eq!(peer.requests(), 1);
    settled(&handle, [1, 0, 0, 0]).await;
}

#[tokio::test]
async fn second_channel_answers_where_the_first_cannot() {
    let (first, second) = (Peer::start(), Peer::start());
    first.otherwise(trailers_only(14));
    second.otherwise(serving());
    let registry = Registry::new();
    let stand_by: ClientLayer = PresetBuilder::from_json(DOCUMENT)
        .and_then(|builder| builder.operation("stand_by").registry(&registry).grpc_client())
        .expect("a layer");
    let layer = PresetBuilder::from_json(DOCUMENT)
        .map(|builder| builder.operation("health").registry(&registry))
        .map(|builder| builder.fallback_services([stand_by.layer(channel(&second)).into_target()]))
        .and_then(PresetBuilder::grpc_client)
        .expect("a layer");
    let layer: ClientLayer<_> = layer;
    let mut client = HealthClient::new(layer.layer(channel(&first)));
    let answer = within(client.check(ask())).await.expect("the second channel");
    assert_eq!((first.requests(), second.requests()), (3, 1));
    assert!(answer.extensions().get::<Explain>().is_some());
    assert_eq!(stand_by.handle().snapshot().success, 1);
}
