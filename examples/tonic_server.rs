//! A tonic server that sheds load: refusals are statuses that any client understands, with the time to come back, and no handler sees the load.

use std::{net::SocketAddr, time::Duration};

use tonic::{
    Code, Request,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tonic_types::StatusExt as _;
use tower_rampart::{
    Stage,
    tonic::{ServerLayer, refused_by},
};

/// Two calls at once, then ten a second; nothing takes longer than a second. Retries and the circuit are off on a server.
const DOCUMENT: &str = r#"{
    "rate_limit": {"requests_per_second": 10, "burst_size": 2},
    "concurrency": {"max_inflight": 100},
    "timeout": {"attempt": "off", "total": "1s"}
}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One line between the server and its services.
    let layer: ServerLayer = ServerLayer::from_json(DOCUMENT)?;
    let (_reporter, health) = health_reporter();
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let url = format!("http://{}", incoming.local_addr()?);
    let server = Server::builder().layer(layer.clone()).add_service(health);
    let server = tokio::spawn(server.serve_with_incoming(incoming));

    // A client that knows nothing of this suite.
    let mut client = HealthClient::new(Channel::from_shared(url)?.connect_lazy());
    for call in 1..=2 {
        client.check(HealthCheckRequest::default()).await?;
        println!("call {call}: served");
    }
    let status = client.check(HealthCheckRequest::default()).await.expect_err("the burst is used up");
    println!("call 3: {}: {}", status.code(), status.message());
    assert_eq!(status.code(), Code::ResourceExhausted);
    let wait = status.get_details_retry_info().and_then(|it| it.retry_delay).expect("the time to come back");
    assert!(wait <= Duration::from_millis(100));

    // Who looks for it reads who refused.
    assert_eq!(refused_by(&status).map(|it| it.stage), Some(Stage::RateLimit));

    // What was said is true.
    tokio::time::sleep(wait).await;
    client.check(HealthCheckRequest::default()).await?;
    println!("call 4, {wait:?} later: served");

    // A service that nobody knows blames the caller: no failure of the server.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let unknown = Request::new(HealthCheckRequest { service: "unknown".to_owned() });
    let status = client.check(unknown).await.expect_err("no such service");
    assert_eq!((status.code(), refused_by(&status)), (Code::NotFound, None));
    let seen = layer.handle().snapshot();
    println!("served {}, failed {}, refused {}", seen.success, seen.failure, seen.rejections());
    assert_eq!((seen.success, seen.failure, seen.rejections(), seen.inflight), (4, 0, 1, 0));
    server.abort();
    Ok(())
}
