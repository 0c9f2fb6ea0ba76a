//! The gRPC health server itself: that its calls end as they are told to. What the suite makes of it is told elsewhere.

use std::time::Duration;

use tonic::{
    Code, Request, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_rampart_tests::health_server::{DETAILS, HealthServer, MESSAGE};

fn about(service: &str) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    request.set_timeout(Duration::from_secs(20));
    request
}

fn start() -> (HealthServer, HealthClient<Channel>) {
    let server = HealthServer::start();
    let client = HealthClient::new(Endpoint::try_from(server.url()).expect("a URL").connect_lazy());
    (server, client)
}

fn field<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|value| value.to_str().expect("text"))
}

fn assert_is_the_fault(status: &Status, code: Code) {
    assert_eq!((status.code(), status.message(), status.details()), (code, MESSAGE, DETAILS));
    assert_eq!(field(status.metadata(), "x-why"), Some("because"));
    assert_eq!(status.metadata().get_bin("x-why-bin").expect("metadata").to_bytes().expect("base64"), DETAILS);
}

#[tokio::test]
async fn call_fails_as_often_as_it_is_told_to() {
    let (server, mut client) = start();
    let service = "status=14&times=2&pushback=30";
    for _ in 0..2 {
        let status = client.check(about(service)).await.expect_err("a fault");
        assert_is_the_fault(&status, Code::Unavailable);
        assert_eq!(field(status.metadata(), "grpc-retry-pushback-ms"), Some("30"));
    }
    let answer = client.check(about(service)).await.expect("an answer");
    assert_eq!(field(answer.metadata(), "x-calls"), Some("3"));
    assert!(answer.metadata().contains_key("x-timeout"));
    assert_eq!((server.calls(service), server.calls("other")), (3, 0));
}

#[tokio::test]
async fn stream_is_held_and_ends_with_its_fault() {
    let (server, mut client) = start();
    let mut stream = client.watch(about("items=3&hold=1&status=9")).await.expect("a stream").into_inner();
    stream.message().await.expect("no fault").expect("a message");
    let held = tokio::time::timeout(Duration::from_millis(100), stream.message()).await;
    assert!(held.is_err(), "the rest is held back");
    server.release();
    for _ in 0..2 {
        stream.message().await.expect("no fault").expect("a message");
    }
    assert_is_the_fault(&stream.message().await.expect_err("a fault"), Code::FailedPrecondition);
}
