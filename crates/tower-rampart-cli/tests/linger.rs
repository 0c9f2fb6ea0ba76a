//! What a refusal leaves of the connection that it came on: over real sockets, with bodies that come later than their heads.

mod support;

use std::time::Duration;

use support::{Backend, Gateway, collect, status, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// One request is admitted an hour.
const LIMITED: &str =
    r#"{"rate_limit": {"requests_per_minute": 0.017, "burst_size": 1}, "retry": {"max_attempts": 1}}"#;

/// Sends a head, reads the answer to it, and only then sends the body, in pieces.
async fn exchange(stream: &mut TcpStream, head: &str, pieces: usize, piece: &[u8]) -> std::io::Result<String> {
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(within(stream.read_buf(&mut answer)).await?, 0, "no end before the answer");
    }
    for _ in 0..pieces {
        within(stream.write_all(piece)).await?;
    }
    Ok(String::from_utf8(answer).expect("text"))
}

async fn limited() -> (Backend, Gateway) {
    let backend = Backend::start(async |request, _| {
        collect(request).await;
        status(200)
    });
    let gateway = Gateway::configured(backend.address, LIMITED);
    assert_eq!(support::get(&format!("{}/", gateway.url)).await.status, 200);
    (backend, gateway)
}

#[tokio::test]
async fn refused_uploads_leave_their_connection_as_it_was() {
    let (backend, gateway) = limited().await;
    let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n";
    for _ in 0..3 {
        let answer = exchange(&mut stream, head, 4, &vec![b'x'; 100_000]).await.expect("an exchange");
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    }
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn refused_upload_without_an_end_loses_its_connection() {
    let (_backend, gateway) = limited().await;
    let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    exchange(&mut stream, head, 100, &vec![b'x'; 100_000]).await.expect_err("nobody reads ten megabytes of it");
}

#[tokio::test]
async fn client_that_waits_to_be_asked_for_its_body_is_not_asked() {
    let (_backend, gateway) = limited().await;
    let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut answer = exchange(&mut stream, head, 0, b"").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    // And the connection ends, because the body will never come.
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await;
    assert_eq!(end.expect("in time").expect("the end"), 0, "{answer}");
}
