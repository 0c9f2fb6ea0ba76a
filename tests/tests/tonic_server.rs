//! tonic's own server behind `tonic::ServerLayer`, through real sockets: what clients read that know nothing of this suite, and what handlers see.

use std::{net::SocketAddr, time::Duration};

use tokio::task::JoinHandle;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient, health_server::HealthServer};
use tonic_types::StatusExt as _;
use tower::Layer as _;
use tower_rampart::{
    OperationHandle, PresetBuilder, Registry, Stage,
    clock::now,
    http::Deadline,
    tonic::{ClientLayer, ServerLayer, refused_by},
};
use tower_rampart_tests::health::{Health, Item, Reply};

/// A server of its own for each test. Gone when dropped.
struct Peer {
    address: SocketAddr,
    health: Health,
    handle: OperationHandle,
    task: JoinHandle<()>,
}

impl Peer {
    fn start(document: &str) -> Self {
        let layer: ServerLayer = PresetBuilder::from_json(r#"{"timeout": {"attempt": "off", "total": "off"}}"#)
            .and_then(|builder| builder.operation("health").overrides_json(document)?.grpc_server())
            .expect("a layer");
        let handle = layer.handle();
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = incoming.local_addr().expect("an address");
        let health = Health::default();
        let router = Server::builder().layer(layer).add_service(HealthServer::new(health.clone()));
        let task = tokio::spawn(async move { router.serve_with_incoming(incoming).await.expect("it serves") });
        Self { address, health, handle, task }
    }

    fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL").connect_lazy()
    }

    /// A client that knows nothing of this suite.
    fn client(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    /// Nothing is in flight, and every call has ended in one way: success, failure, ignored, abandoned.
    async fn settled(&self, expected: [u64; 4]) {
        within(async {
            while self.handle.snapshot().inflight > 0 || self.health.running() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let it = self.handle.snapshot();
        assert_eq!([it.success, it.failure, it.ignored, it.abandoned], expected, "{it:?}");
        assert_eq!(it.admitted, expected.iter().sum::<u64>());
        assert_eq!(self.handle.signals().current_inflight, 0);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ask() -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest::default())
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// What every client can read of a refusal, whoever wrote it.
fn assert_refusal(status: &Status, code: Code, stage: Stage, reason: &str, has_time: bool) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains("health"), "{status:?}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((&*info.reason, &*info.domain, &*info.metadata["stage"]), (reason, "tower-rampart", stage.as_str()));
    assert_eq!(status.get_details_retry_info().is_some(), has_time, "{status:?}");
    let metadata = |name| status.metadata().get(name).map(|it| it.to_str().expect("ASCII"));
    assert_eq!(metadata("x-resilience-stage"), Some(stage.as_str()));
    assert_eq!(metadata("x-resilience-operation"), Some("health"));
    assert_eq!(metadata("grpc-retry-pushback-ms").is_some(), has_time);
    let by = refused_by(status).expect("a refusal");
    assert_eq!((by.stage, &*by.operation, by.retry_after.is_some(), by.here), (stage, "health", has_time, false));
}

#[tokio::test]
async fn rate_limit_is_a_status_and_the_connection_lives_on() {
    let peer = Peer::start(r#"{"rate_limit": {"limit": 1, "period": "500ms", "burst_size": 1}}"#);
    let mut client = peer.client();
    within(client.check(ask())).await.expect("the first");
    let status = within(client.check(ask())).await.expect_err("the second is refused");
    assert_refusal(&status, Code::ResourceExhausted, Stage::RateLimit, "RATE_LIMITED", true);
    let wait = status.get_details_retry_info().and_then(|it| it.retry_delay).expect("a time to come back");
    tokio::time::sleep(wait).await;
    within(client.check(ask())).await.expect("what was said was true");
    assert_eq!(peer.health.seen().len(), 2);
    peer.settled([2, 0, 0, 0]).await;
}

#[tokio::test]
async fn place_is_taken_until_the_stream_has_ended() {
    let peer = Peer::start(r#"{"concurrency": {"max_inflight": 1}}"#);
    peer.health.next([Reply::Items(vec![Item::Message, Item::Silence])]);
    let mut client = peer.client();
    let mut stream = within(client.watch(ask())).await.expect("a stream").into_inner();
    assert!(within(stream.message()).await.expect("a message").is_some());
    let status = within(client.check(ask())).await.expect_err("the only place is taken");
    assert_refusal(&status, Code::Unavailable, Stage::Concurrency, "OVERLOADED", false);
    drop(stream);
    peer.settled([0, 0, 0, 1]).await;
    within(client.check(ask())).await.expect("the place is free");
    peer.settled([1, 0, 0, 1]).await;
}

#[tokio::test]
async fn circuit_that_the_document_asks_for_opens_in_an_outage_and_closes_after_it() {
    let document =
        r#"{"circuit_breaker": {"failure_threshold": 3, "recovery_timeout": "300ms", "success_threshold": 1}}"#;
    let peer = Peer::start(document);
    let mut client = peer.client();
    peer.health.next(vec![Reply::Fail(Status::internal("down")); 3]);
    for _ in 0..3 {
        let status = within(client.check(ask())).await.expect_err("an outage");
        assert_eq!((status.code(), status.message(), refused_by(&status)), (Code::Internal, "down", None));
    }
    let status = within(client.check(ask())).await.expect_err("the circuit is open");
    assert_refusal(&status, Code::Unavailable, Stage::CircuitBreaker, "CIRCUIT_OPEN", true);
    assert_eq!(peer.health.seen().len(), 3, "the open circuit let nothing through");
    tokio::time::sleep(Duration::from_millis(350)).await;
    within(client.check(ask())).await.expect("the service is well again");
    peer.settled([1, 3, 0, 0]).await;
}

#[tokio::test]
async fn without_a_word_of_the_document_nothing_is_repeated_and_no_circuit_opens() {
    let peer = Peer::start(r#"{"classify": {"profile": "http"}}"#);
    assert!(!peer.handle.config().retry.enabled && !peer.handle.config().circuit_breaker.enabled);
    peer.health.next(vec![Reply::Fail(Status::unavailable("down")); 20]);
    for calls in 1..=20 {
        let status = within(peer.client().check(ask())).await.expect_err("an outage");
        assert_eq!((status.message(), peer.health.seen().len()), ("down", calls));
    }
    // The profile is gRPC's whatever the document says: HTTP sees twenty answers with status 200.
    peer.settled([0, 20, 0, 0]).await;
}

#[tokio::test]
async fn each_status_counts_by_its_code() {
    let peer = Peer::start("{}");
    for (status, expected) in [
        (Status::not_found("x"), [1, 0, 0, 0]),
        (Status::cancelled("x"), [1, 0, 1, 0]),
        (Status::data_loss("x"), [1, 1, 1, 0]),
        (Status::resource_exhausted("x"), [2, 1, 1, 0]),
    ] {
        peer.health.next([Reply::Fail(status.clone())]);
        let read = within(peer.client().check(ask())).await.expect_err("an error");
        assert_eq!(read.code(), status.code());
        peer.settled(expected).await;
    }
}

#[tokio::test]
async fn stream_that_ends_in_an_error_counts_as_a_failure_and_passes_as_it_was() {
    let peer = Peer::start("{}");
    let mut last = Status::data_loss("torn");
    last.metadata_mut().insert("x-mine", "1".parse().expect("a value"));
    peer.health.next([Reply::Items(vec![Item::Message, Item::Message, Item::End(last)])]);
    let mut stream = within(peer.client().watch(ask())).await.expect("a stream").into_inner();
    for _ in 0..2 {
        assert!(within(stream.message()).await.expect("a message").is_some());
    }
    let status = within(stream.message()).await.expect_err("the end");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "torn"));
    assert_eq!(status.metadata().get("x-mine").expect("the metadata"), "1");
    peer.settled([0, 1, 0, 0]).await;
}

#[tokio::test]
async fn stream_is_not_held_up_by_a_first_message_that_comes_late() {
    let peer = Peer::start("{}");
    peer.health.next([Reply::Items(vec![Item::Pause(Duration::from_secs(3)), Item::Message])]);
    let began = now();
    let mut stream = within(peer.client().watch(ask())).await.expect("a stream").into_inner();
    assert!(now().since(began) < Duration::from_millis(1500), "{:?}", now().since(began));
    assert!(within(stream.message()).await.expect("a message").is_some());
    assert!(within(stream.message()).await.expect("the end").is_none());
    peer.settled([1, 0, 0, 0]).await;
}

#[tokio::test]
async fn handler_that_takes_too_long_is_a_deadline_exceeded() {
    let peer = Peer::start(r#"{"timeout": {"total": "200ms"}}"#);
    peer.health.next([Reply::Hang, Reply::After(Duration::from_secs(5), Box::new(Reply::Items(Vec::new())))]);
    for failures in 1..=2 {
        let status = within(peer.client().check(ask())).await.expect_err("too late");
        assert_refusal(&status, Code::DeadlineExceeded, Stage::Timeout, "TIMEOUT", false);
        peer.settled([0, failures, 0, 0]).await;
    }
}

#[tokio::test]
async fn handler_sees_how_much_time_is_left() {
    let peer = Peer::start(r#"{"timeout": {"total": "10s"}}"#);
    let mut client = peer.client();
    for (stated, longest) in [(None, 10), (Some(5), 5), (Some(60), 10)] {
        let mut request = ask();
        if let Some(seconds) = stated {
            request.set_timeout(Duration::from_secs(seconds));
        }
        within(client.check(request)).await.expect("an answer");
        let seen = peer.health.seen();
        let (_, extensions) = seen.last().expect("a call");
        let left = extensions.get::<Deadline>().expect("a deadline").left();
        assert!(
            left <= Duration::from_secs(longest) && left > Duration::from_secs(longest / 2),
            "{stated:?}: {left:?}"
        );
    }
}

#[tokio::test]
async fn stream_is_cut_at_the_time_that_the_request_stated_and_ends_with_a_status() {
    let peer = Peer::start(r#"{"timeout": {"total": "10s"}}"#);
    peer.health.next([Reply::Items(vec![Item::Message, Item::Silence])]);
    let mut request = ask();
    request.set_timeout(Duration::from_millis(500));
    let mut stream = within(peer.client().watch(request)).await.expect("a stream").into_inner();
    assert!(within(stream.message()).await.expect("a message").is_some());
    let status = within(stream.message()).await.expect_err("too late");
    assert_refusal(&status, Code::DeadlineExceeded, Stage::Timeout, "TIMEOUT", false);
    peer.settled([0, 1, 0, 0]).await;
}

#[tokio::test]
async fn caller_can_hang_up_at_every_stage() {
    let peer = Peer::start(r#"{"concurrency": {"max_inflight": 1, "queue_size": 4, "queue_timeout": "60s"}}"#);
    let cut = Duration::from_millis(200);
    let cancelled = |mut client: HealthClient<Channel>| async move {
        tokio::time::timeout(cut, client.check(ask())).await.expect_err("it takes longer");
    };
    // In the handler.
    peer.health.next([Reply::Hang]);
    within(cancelled(peer.client())).await;
    peer.settled([0, 0, 0, 1]).await;
    // In a stream, before its first message and after it; meanwhile another waits for the only place and hangs up there.
    for (index, items) in [vec![Item::Silence], vec![Item::Message, Item::Silence]].into_iter().enumerate() {
        peer.health.next([Reply::Items(items)]);
        let mut stream = within(peer.client().watch(ask())).await.expect("a stream").into_inner();
        if index == 1 {
            assert!(within(stream.message()).await.expect("a message").is_some());
        }
        within(cancelled(peer.client())).await;
        within(async {
            while peer.handle.signals().queue_depth > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        drop(stream);
        peer.settled([0, 0, 0, 2 + index as u64]).await;
    }
    assert_eq!(peer.health.seen().len(), 3, "who hangs up in the queue is never handled");
    within(peer.client().check(ask())).await.expect("an answer");
    peer.settled([1, 0, 0, 3]).await;
}

#[tokio::test]
async fn client_of_this_suite_comes_back_when_the_server_of_this_suite_says() {
    let peer = Peer::start(r#"{"rate_limit": {"limit": 1, "period": "400ms", "burst_size": 1}}"#);
    let document = r#"{"retry": {"backoff": {"base": "1ms", "min": "1ms", "max": "1ms"}, "jitter": {"kind": "none"}}}"#;
    let layer: ClientLayer = PresetBuilder::from_json(document)
        .and_then(|builder| builder.operation("caller").registry(&Registry::new()).grpc_client())
        .expect("a layer");
    let mut client = HealthClient::new(layer.layer(peer.channel()));
    let began = now();
    for _ in 0..3 {
        within(client.check(ask())).await.expect("it waits as long as it is told");
    }
    assert!(now().since(began) >= Duration::from_millis(700), "{:?}", now().since(began));
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.success, snapshot.retries), (3, 2));
    peer.settled([3, 0, 0, 0]).await;
}

#[tokio::test]
async fn limit_by_client_knows_the_address_of_the_connection() {
    let peer = Peer::start(r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 1, "per_key": "client_ip"}}"#);
    within(peer.client().check(ask())).await.expect("the first");
    let status = within(peer.client().check(ask())).await.expect_err("the second is refused");
    assert_refusal(&status, Code::ResourceExhausted, Stage::RateLimit, "RATE_LIMITED", true);
    let seen = peer.handle.keys(Stage::RateLimit).expect("it is kept by key").most_used;
    assert_eq!(seen.iter().map(|it| (it.key.as_deref(), it.used)).collect::<Vec<_>>(), [(Some("127.0.0.1"), 2)]);
}
