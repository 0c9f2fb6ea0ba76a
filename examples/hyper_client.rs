//! hyper's pooled client that rides out an outage, and waits as long as it is told to. The server's side is `axum_server`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, http::StatusCode, response::IntoResponse, routing::post};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::{TcpListener, TcpSocket};
use tower::{Layer, ServiceExt};
use tower_rampart::{Explain, clock, http::ClientLayer};

const DOCUMENT: &str = r#"{
    "retry": {"max_attempts": 5, "backoff": {"base": "100ms", "min": "50ms", "max": "200ms"}},
    "classify": {"outcome_at": "end_of_body"},
    "timeout": {"attempt": "2s", "total": "20s"}
}"#;

/// Too busy for the first order.
async fn order(body: String) -> axum::response::Response {
    static ORDERS: AtomicU32 = AtomicU32::new(0);
    if ORDERS.fetch_add(1, Ordering::SeqCst) == 0 {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response();
    }
    format!("ordered {body}").into_response()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One line between the client and who uses it.
    let layer: ClientLayer = ClientLayer::from_json(DOCUMENT)?;
    let handle = layer.handle();
    let client = layer.layer(Client::builder(TokioExecutor::new()).build_http());

    // The port is there, and nobody listens until a moment later.
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let url = format!("http://{}", socket.local_addr()?);
    let server = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(80)).await;
        let listener: TcpListener = socket.listen(16)?;
        axum::serve(listener, Router::new().route("/", post(order))).await
    });

    // A POST is not repeated if it may have been carried out. One that was never sent, or that was refused, is.
    let began = clock::now();
    let answer = client.oneshot(Request::post(url).body(Full::<Bytes>::from("tea"))?).await?;
    let took = clock::now().since(began);
    let attempts = answer.extensions().get::<Explain>().map_or(0, |it| it.attempts);
    assert_eq!(answer.into_body().collect().await?.to_bytes(), "ordered tea");
    println!("ordered at attempt {attempts}, after {took:?}");
    assert!(attempts >= 3 && took >= Duration::from_secs(1), "one found nobody, one was told to come back in a second");

    let seen = handle.snapshot();
    assert_eq!((seen.admitted, seen.success, seen.inflight), (1, 1, 0));
    server.abort();
    Ok(())
}
