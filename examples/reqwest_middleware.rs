//! The pipeline as a middleware of reqwest-middleware: what it refuses, and what an outage looks like.

use std::{error::Error, time::Duration};

use reqwest_middleware::ClientBuilder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tower_rampart::PresetBuilder;
use tower_rampart_reqwest::{BuildReqwest, ResilienceMiddleware, middleware::refusal};

/// A server that answers 200 as long as its task runs.
fn serve(listener: TcpListener) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
                let _gone = stream.write_all(answer).await;
            }
        }
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}/");
    let server = serve(listener);

    let document = r#"{
        "retry": {"max_attempts": 2, "backoff": {"base": "10ms", "min": "10ms"}},
        "circuit_breaker": {"failure_threshold": 2, "success_threshold": 1, "recovery_timeout": "200ms"}
    }"#;
    let layer = PresetBuilder::from_json(document)?.operation("greeting").reqwest()?;
    let client = ClientBuilder::new(reqwest::Client::builder().no_proxy().build()?)
        .with(ResilienceMiddleware::new(layer.clone()))
        .build();
    assert_eq!(client.get(&url).send().await?.text().await?, "hello");

    // An outage: the real error comes back, until the circuit opens.
    server.abort();
    let _stopped = server.await;
    for _ in 0..2 {
        let error = client.get(&url).send().await.err().ok_or("nobody is there")?;
        println!("{error}");
        assert!(error.is_connect() && refusal(&error).is_none());
    }
    let error = client.get(&url).send().await.err().ok_or("the circuit is open")?;
    let refused = refusal(&error).ok_or("it is a refusal")?;
    println!("{error}");
    assert_eq!(refused.operation(), "greeting");

    // It comes back, and the next call after the wait closes the circuit.
    let server = serve(TcpListener::bind(address).await?);
    tokio::time::sleep(refused.retry_after().unwrap_or_default() + Duration::from_millis(50)).await;
    assert_eq!(client.get(&url).send().await?.text().await?, "hello");
    println!("the circuit is {}, {} retries", layer.handle().breaker().state(), layer.handle().snapshot().retries);
    assert_eq!(layer.handle().breaker().state().to_string(), "closed");
    server.abort();
    Ok(())
}
