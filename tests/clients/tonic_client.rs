//! `tonic-client STORY URL`: a plain tonic client, without any of this suite, tells one story to whatever is at the URL and fails if it does not hold.
//! What stands at the URL, and what comes of it there, is in `tonic_client.py`.

use std::{process::ExitCode, time::Duration};

use tonic::{
    Code, Request, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
use tower_rampart_tests::health_server::{DETAILS, MESSAGE};

/// The longest that a story may take.
const PATIENCE: Duration = Duration::from_secs(20);

type Client = HealthClient<Channel>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [story, url] = arguments.as_slice() else { return usage() };
    let Ok(endpoint) = Endpoint::try_from(url.clone()) else { return usage() };
    let client = HealthClient::new(endpoint.connect_lazy());
    let told = tokio::time::timeout(PATIENCE, async {
        match story.as_str() {
            "unary" => unary(client).await,
            "codes" => codes(client).await,
            "streaming" => streaming(client).await,
            "deadline" => deadline(client).await,
            "leaving" => leaving(client).await,
            "many" => many(client).await,
            "retried" => retried(client).await,
            "limited" => limited(client).await,
            "down" => down(client).await,
            _ => return false,
        }
        true
    });
    if told.await.expect("in time") { ExitCode::SUCCESS } else { usage() }
}

fn usage() -> ExitCode {
    eprintln!("tonic-client: STORY URL");
    ExitCode::from(2)
}

fn about(service: &str) -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest { service: service.to_owned() })
}

async fn check(client: &mut Client, service: &str) -> Result<tonic::Response<HealthCheckResponse>, Status> {
    client.check(about(service)).await
}

fn field<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|value| value.to_str().expect("text"))
}

fn assert_is_the_fault(status: &Status, code: Code) {
    assert_eq!((status.code(), status.message(), status.details()), (code, MESSAGE, DETAILS));
    assert_eq!(field(status.metadata(), "x-why"), Some("because"));
    assert_eq!(status.metadata().get_bin("x-why-bin").expect("metadata").to_bytes().expect("base64"), DETAILS);
}

/// An answer comes with its metadata.
async fn unary(mut client: Client) {
    let answer = check(&mut client, "").await.expect("an answer");
    assert_eq!(answer.get_ref().status, 1);
    assert_eq!(field(answer.metadata(), "x-calls"), Some("1"));
}

/// Every error comes as it was: code, message, details and metadata.
async fn codes(mut client: Client) {
    // Of those that are never tried again.
    for number in [2, 3, 5, 6, 7, 9, 11, 12, 13, 15, 16] {
        let status = check(&mut client, &format!("status={number}")).await.expect_err("a fault");
        assert_is_the_fault(&status, Code::from_i32(number));
    }
}

/// Messages arrive one by one, and the end comes after them.
async fn streaming(mut client: Client) {
    let mut stream = client.watch(about("items=3&hold=1&status=15")).await.expect("a stream").into_inner();
    stream.message().await.expect("no fault").expect("a message");
    // The server goes on only now, that the first message has been seen.
    check(&mut client, "release").await.expect("an answer");
    for _ in 0..2 {
        stream.message().await.expect("no fault").expect("a message");
    }
    assert_is_the_fault(&stream.message().await.expect_err("a fault"), Code::DataLoss);
    let mut stream = client.watch(about("items=1000")).await.expect("a stream").into_inner();
    let mut count = 0;
    while stream.message().await.expect("no fault").is_some() {
        count += 1;
    }
    assert_eq!(count, 1000);
}

/// What the client says of its deadline reaches the server, and is kept.
async fn deadline(mut client: Client) {
    let mut request = about("");
    request.set_timeout(Duration::from_secs(10));
    let answer = client.check(request).await.expect("an answer");
    let said = field(answer.metadata(), "x-timeout").expect("the server was told");
    assert!(said.len() > 1, "{said}");
    let mut request = about("hang");
    request.set_timeout(Duration::from_millis(300));
    let status = client.check(request).await.expect_err("no time left");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
}

/// Calls and streams are dropped in the middle.
async fn leaving(mut client: Client) {
    let hanging = tokio::time::timeout(Duration::from_millis(200), check(&mut client, "hang")).await;
    hanging.expect_err("no answer");
    let mut stream = client.watch(about("items=3&hold=1")).await.expect("a stream").into_inner();
    stream.message().await.expect("no fault").expect("a message");
    drop(stream);
}

/// Many calls at once on one connection all have their answer.
async fn many(client: Client) {
    let calls = (0..200).map(|_| {
        let mut client = client.clone();
        async move { check(&mut client, "delay=20").await }
    });
    for answer in futures_util::future::join_all(calls).await {
        answer.expect("an answer");
    }
}

/// Faults that pass are not seen.
async fn retried(mut client: Client) {
    let answer = check(&mut client, "status=14&times=2").await.expect("an answer");
    assert_eq!(field(answer.metadata(), "x-calls"), Some("3"));
}

/// The second call is one too many.
async fn limited(mut client: Client) {
    check(&mut client, "").await.expect("an answer");
    let status = check(&mut client, "").await.expect_err("a refusal");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(field(status.metadata(), "x-resilience-stage"), Some("rate_limit"), "{status:?}");
    let pushback: u64 = field(status.metadata(), "grpc-retry-pushback-ms").expect("a time").parse().expect("a number");
    assert!((1..=3000).contains(&pushback), "{pushback}");
    let status = client.watch(about("items=1")).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
}

/// Nobody is there, and after two calls the circuit is open.
async fn down(mut client: Client) {
    for _ in 0..2 {
        let status = check(&mut client, "").await.expect_err("nobody is there");
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    let status = check(&mut client, "").await.expect_err("a refusal");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(field(status.metadata(), "x-resilience-stage"), Some("circuit_breaker"), "{status:?}");
}
