//! Bytes that no client would send, over raw sockets: whatever comes back is an answer of HTTP that is no 500, and the next request is served. What
//! well-formed requests may hold is in `hostile.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{MOUNT, Server, WRITER, keyed};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tower_rampart::Resilience;

/// As long as an answer may take here.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer: its status and its body.
async fn exchange(server: &Server, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may answer and close before all was written.
    let _broken = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection is closed in time");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|it| it.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (
        status.unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]))),
        body,
    )
}

fn request(method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {MOUNT}{target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-api-key: {WRITER}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn sized(method: &str, target: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("content-type: {media_type}\r\ncontent-length: {}\r\n", body.len());
    request(method, target, &headers, body)
}

async fn server() -> Server {
    Server::over(Resilience::from_preset("production").unwrap(), keyed()).await
}

/// All routes that read a body.
fn with_bodies(server: &Server) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (path, item) in server.openapi()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let media_types = operation["requestBody"]["content"].as_object();
            for media_type in media_types.into_iter().flat_map(|it| it.keys()) {
                all.push((method.to_uppercase(), path.clone(), media_type.clone()));
            }
        }
    }
    assert!(all.len() >= 9, "{all:?}");
    all
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_by_every_route_that_reads_one() {
    let server = server().await;
    let deep = "[".repeat(60_000);
    let objects = r#"{"a":"#.repeat(12_000);
    let bodies: [&[u8]; 11] = [
        b"{",
        b"nul",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xc3\x28\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":1}{\"b\":2}",
        b"{\"a\":NaN}",
        b"1e999999",
        deep.as_bytes(),
        objects.as_bytes(),
    ];
    for (method, path, media_type) in with_bodies(&server) {
        for body in bodies {
            let (status, text) = exchange(&server, &sized(&method, &path, &media_type, body)).await;
            // Validation answers 200, and says that it is none.
            let is_verdict = status == 200 && path.contains("/validate");
            let what =
                format!("{method} {path} {:?}: {status} {text}", String::from_utf8_lossy(&body[..body.len().min(40)]));
            assert!(status == 400 || is_verdict, "{what}");
            if is_verdict {
                let verdict: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(verdict["is_valid"], false, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_beyond_the_limit_and_of_other_kinds_are_refused_before_they_are_read() {
    let server = server().await;
    for (method, path, media_type) in with_bodies(&server) {
        let large = vec![b' '; 64 * 1024 + 1];
        let (status, text) = exchange(&server, &sized(&method, &path, &media_type, &large)).await;
        assert_eq!(status, 413, "{method} {path}: {text}");
        // Without a length, it is found out as it comes.
        let chunked = [format!("{:x}\r\n", large.len()).as_bytes(), &large, b"\r\n0\r\n\r\n"].concat();
        let headers = format!("content-type: {media_type}\r\ntransfer-encoding: chunked\r\n");
        let (status, text) = exchange(&server, &request(&method, &path, &headers, &chunked)).await;
        assert_eq!(status, 413, "{method} {path} in chunks: {text}");
        for other in
            ["text/html", "application/xml", "multipart/form-data; boundary=x", "application/json/", "", "\u{e9}"]
        {
            let (status, text) = exchange(&server, &sized(&method, &path, other, b"{}")).await;
            assert_eq!(status, 415, "{method} {path} {other}: {text}");
        }
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_next_one_is_served() {
    let server = server().await;
    let header = |size: usize| format!("x-long: {}\r\n", "a".repeat(size));
    let many = (0..200).fold(String::new(), |all, it| all + &format!("x-{it}: a\r\n"));
    let get = |target: &str| request("GET", target, "", b"");
    let cases: Vec<(Vec<u8>, &[u16])> = vec![
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400]),
        (b"GET\r\n\r\n".to_vec(), &[400]),
        (b"GET / HTTP/9.9\r\n\r\n".to_vec(), &[400]),
        (b"GET /health HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n".to_vec(), &[400]),
        (request("GET", "/health", &header(600_000), b""), &[431]),
        (request("GET", "/health", &many, b""), &[431]),
        (request("GET", &format!("/signals/{}", "a".repeat(70_000)), "", b""), &[414]),
        (
            request(
                "POST",
                "/config/validate",
                "content-type: application/json\r\ncontent-length: 1\r\ncontent-length: 2\r\n",
                b"{}",
            ),
            &[400],
        ),
        (request("POST", "/config/validate", "content-type: application/json\r\ncontent-length: -1\r\n", b""), &[400]),
        (
            request(
                "POST",
                "/config/validate",
                "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
                b"zz\r\n",
            ),
            &[400],
        ),
        // Names: encoded slashes are part of them, dots are no steps, what is no UTF-8 is no name.
        (get("/signals/a%2Fb"), &[422]),
        (get("/signals/%2e%2e"), &[422]),
        (get("/signals/%00"), &[422]),
        (get("/signals/%ff%fe"), &[400]),
        (get("/signals/%zz"), &[400, 422]),
        (get("/signals/a/../../health"), &[404]),
        (get("/signals/"), &[404]),
        (get("//signals"), &[404]),
        (get("/monitoring/alerts?level=%ff"), &[400]),
        (get("/monitoring/alerts?%zz=%"), &[400]),
        (get("/monitoring/alerts?&&&"), &[200]),
        (get("/monitoring/alerts?hours=1&hours=2"), &[400]),
        (request("BREW", "/health", "", b""), &[405]),
        (request("TRACE", "/health", "", b""), &[405]),
    ];
    for (bytes, expected) in cases {
        let (status, text) = exchange(&server, &bytes).await;
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        assert!(expected.contains(&status), "{what}: {status} {text}");
        // What the router answers has the shape of all errors; what hyper refuses before, no body.
        let own =
            status < 400 || text.is_empty() || serde_json::from_str::<Value>(&text).unwrap()["error_code"].is_string();
        assert!(own, "{what}: {status} {text}");
        server.get("/health").await.of(200);
    }
}

#[tokio::test]
async fn callers_that_stop_in_the_middle_hold_up_nobody() {
    let config = keyed().timeout(Duration::from_millis(300)).unwrap();
    let server = Server::over(Resilience::from_preset("production").unwrap(), config).await;
    let mut stopped = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = request("PUT", "/config", "content-type: application/json\r\ncontent-length: 100\r\n", b"{\"pre");
        stream.write_all(&head).await.unwrap();
        stopped.push(stream);
    }
    server.get("/config").await.of(200);
    for mut stream in stopped {
        let mut answer = Vec::new();
        let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer in time");
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 1"), "{text}");
    }
    server.get("/config").await.of(200);
}
