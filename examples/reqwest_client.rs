//! reqwest's client behind the pipeline: retries with the server's hint, then a circuit of its own for each host.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_rampart::Explain;
use tower_rampart_reqwest::{PerHost, ReqwestLayer};

/// A server that gives these answers, one a request, the last for ever.
async fn server(answers: &'static [&'static str]) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                let answer = answers[number.min(answers.len() - 1)];
                let head = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                let _gone = stream.write_all(head.as_bytes()).await;
            }
        }
    });
    Ok(format!("http://{address}/"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = reqwest::Client::builder().no_proxy().build()?;

    // The first answer asks for patience, the second is good.
    let busy = server(&["429 Too Many Requests\r\nretry-after: 1", "200 OK"]).await?;
    let layer = ReqwestLayer::from_json(r#"{"preset": "production", "http": {"attempt_header": "x-attempt"}}"#)?;
    let service = ServiceBuilder::new().layer(layer.clone()).service(client.clone());

    let response = service.clone().oneshot(client.get(&busy).build()?).await?;
    let explain = response.extensions().get::<Explain>().ok_or("it was retried")?;
    println!("{} after {} attempts, waited {:?}", response.status(), explain.attempts, explain.delays);
    assert_eq!((response.status().as_u16(), explain.attempts), (200, 2));
    assert_eq!(layer.handle().snapshot().retries, 1);

    // One host that fails all the time does not stop calls to another.
    let (bad, good) = (server(&["500 Internal Server Error"]).await?, server(&["200 OK"]).await?);
    let document = r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 3}}"#;
    let per_host = PerHost::from_json(document)?;
    let service = ServiceBuilder::new().layer(per_host.clone()).service(client.clone());
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(client.get(&bad).build()?).await?.status(), 500);
    }
    let refused = service.clone().oneshot(client.get(&bad).build()?).await.err().ok_or("the circuit is open")?;
    println!("{refused}");
    assert!(refused.is_circuit_open());
    assert_eq!(service.oneshot(client.get(&good).build()?).await?.status(), 200);
    for handle in per_host.handles() {
        println!("{}: {}", handle.name(), handle.breaker().state());
    }
    Ok(())
}
