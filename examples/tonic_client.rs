//! A generated client that rides out a server's trouble: calls are sent again by what their status says, and an open circuit answers at once.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
};

use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::Layer;
use tower_rampart::{
    Explain, Stage,
    tonic::{ClientLayer, refused_by},
};

const DOCUMENT: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}},
    "circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "30s"},
    "timeout": {"attempt": "1s", "total": "5s"}
}"#;

/// Unavailable twice, then well once, then broken for good.
#[derive(Default)]
struct Shaky(AtomicU32);

#[tonic::async_trait]
impl Health for Shaky {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(Status::unavailable("starting")),
            2 => Ok(Response::new(HealthCheckResponse { status: 1 })),
            _ => Err(Status::internal("broken")),
        }
    }

    type WatchStream = Pin<Box<tokio_stream::Empty<Result<HealthCheckResponse, Status>>>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("no streams here"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let url = format!("http://{}", incoming.local_addr()?);
    let server = Server::builder().add_service(HealthServer::new(Shaky::default())).serve_with_incoming(incoming);
    let server = tokio::spawn(server);

    // One line between the channel and the generated client.
    let layer: ClientLayer = ClientLayer::from_json(DOCUMENT)?;
    let mut client = HealthClient::new(layer.layer(Channel::from_shared(url)?.connect_lazy()));

    let answer = client.check(HealthCheckRequest::default()).await?;
    let attempts = answer.extensions().get::<Explain>().map(|it| it.attempts);
    println!("answered at attempt {attempts:?}");
    assert_eq!(attempts, Some(3));

    // INTERNAL may mean that the call was carried out: it is not repeated, but it counts.
    for _ in 0..2 {
        let status = client.check(HealthCheckRequest::default()).await.expect_err("it is broken");
        assert_eq!((status.code(), status.message()), (Code::Internal, "broken"));
    }
    let status = client.check(HealthCheckRequest::default()).await.expect_err("the circuit is open");
    println!("then: {}", status.message());
    assert_eq!(refused_by(&status).map(|it| (it.stage, it.here)), Some((Stage::CircuitBreaker, true)));
    server.abort();
    Ok(())
}
