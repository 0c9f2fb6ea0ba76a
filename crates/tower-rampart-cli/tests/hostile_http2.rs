//! Requests over HTTP/2 that would be others over HTTP/1.1: fields with line ends in them, framing that is none there, targets in odd places. By frames made by
//! hand, before an upstream of HTTP/1.1 that writes down what reaches it. Floods of frames are in `hostile_clients.rs`.

mod support;

use support::{
    Gateway, get,
    wire::{Parrot, frame, preface},
    within,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What came of the one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Answered, with the status as HPACK's static table has it (RFC 7541 appendix A).
    Answered(u8),
    /// The stream was reset, or the connection ended.
    Refused,
}

const OK: Outcome = Outcome::Answered(0x88);

/// Fields as they are, without compression.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Sends the frames of a request and reads until its stream has an answer or none.
async fn outcome(gateway: &Gateway, frames: &[Vec<u8>]) -> Outcome {
    let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    stream.write_all(&[preface(), frames.concat()].concat()).await.expect("a reader");
    within(async move {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return Outcome::Refused;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.expect("a whole frame");
            match head[3] {
                1 => return Outcome::Answered(payload[0]),
                3 | 7 => return Outcome::Refused,
                _ => {}
            }
        }
    })
    .await
}

/// A request of these fields and no body.
async fn asked(gateway: &Gateway, block: &[(&str, &str)]) -> Outcome {
    outcome(gateway, &[frame(1, 0x5, 1, &fields(block))]).await
}

async fn here() -> (Parrot, Gateway) {
    let upstream = Parrot::start("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhere").await;
    let gateway = Gateway::start(upstream.address, &[]);
    (upstream, gateway)
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "a");

#[tokio::test]
async fn what_would_be_another_request_over_http1_is_refused() {
    let (upstream, gateway) = here().await;
    for field in [
        ("x", "y\r\nx-smuggled: 1"),
        ("x", "y\nx-smuggled: 1"),
        ("x", "y\rz"),
        ("x", "y\0z"),
        ("x\r\nx-smuggled", "1"),
        ("x: y\r\nx-smuggled", "1"),
        ("x y", "z"),
        ("x:", "y"),
        ("X-Upper", "y"),
        ("", "y"),
        ("transfer-encoding", "chunked"),
        ("connection", "x-forwarded-for"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        // Of a request without a body.
        ("content-length", "5"),
        ("content-length", "-1"),
        ("content-length", "0, 5"),
        // Fields that begin a request stand at its beginning, once, and are known.
        PATH,
        (":path", "/other"),
        (":method", "POST"),
        (":unheard-of", "1"),
        (":status", "200"),
        (":protocol", "websocket"),
    ] {
        let got = asked(&gateway, &[METHOD, SCHEME, PATH, AUTHORITY, field]).await;
        assert_ne!(got, OK, "{field:?}");
        assert_eq!(upstream.heard(), Vec::<String>::new(), "{field:?}");
    }
    assert_eq!(get(&gateway.url).await.text(), "here");
}

#[tokio::test]
async fn target_that_is_no_target_is_refused() {
    let (upstream, gateway) = here().await;
    for block in [
        &[METHOD, SCHEME, (":path", "/ HTTP/1.1\r\nx-smuggled: 1"), AUTHORITY][..],
        &[METHOD, SCHEME, (":path", "/ HTTP/1.1"), AUTHORITY],
        &[METHOD, SCHEME, (":path", "/a\tb"), AUTHORITY],
        &[METHOD, SCHEME, (":path", ""), AUTHORITY],
        &[METHOD, SCHEME, AUTHORITY],
        &[METHOD, PATH, AUTHORITY, ("x", "y")],
        &[SCHEME, PATH, AUTHORITY],
        &[("x", "y"), METHOD, SCHEME, PATH, AUTHORITY],
        &[("method", "GET"), SCHEME, PATH, AUTHORITY],
        &[(":method", "GET / HTTP/1.1\r\nx-smuggled: 1\r\n\r\nGET"), SCHEME, PATH, AUTHORITY],
        &[(":method", "G T"), SCHEME, PATH, AUTHORITY],
        &[METHOD, SCHEME, PATH, (":authority", "a\r\nx-smuggled: 1")],
        &[METHOD, SCHEME, PATH, (":authority", "a b")],
        &[METHOD, (":scheme", "http://evil/?"), PATH, AUTHORITY],
    ] {
        assert_ne!(asked(&gateway, block).await, OK, "{block:?}");
        assert_eq!(upstream.heard(), Vec::<String>::new(), "{block:?}");
    }
    assert_eq!(get(&gateway.url).await.text(), "here");
}

#[tokio::test]
async fn authority_and_host_that_differ_change_neither_the_upstream_nor_each_other() {
    let (upstream, gateway) = here().await;
    let own = format!("host: {}\r\n", upstream.address);
    for (block, meant) in [
        (&[METHOD, SCHEME, PATH, AUTHORITY, ("host", "b")][..], "a"),
        (&[METHOD, SCHEME, (":path", "//evil/x"), AUTHORITY], "a"),
        (&[METHOD, (":scheme", "https"), PATH, AUTHORITY], "a"),
        (&[METHOD, SCHEME, PATH, ("host", "b")], "b"),
    ] {
        assert_eq!(asked(&gateway, block).await, OK, "{block:?}");
        let heard = upstream.heard().pop().expect("a request");
        assert!(heard.starts_with("GET /") && heard.contains(&own), "{block:?} became {heard:?}");
        assert_eq!(heard.matches("\r\nhost: ").count(), 1, "{block:?} became {heard:?}");
        assert!(heard.contains(&format!("x-forwarded-host: {meant}\r\n")), "{block:?} became {heard:?}");
    }
}

#[tokio::test]
async fn body_of_another_length_than_it_says_is_no_beginning_of_the_next_request() {
    let (upstream, gateway) = here().await;
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (length, body) in [("0", &smuggled[..]), ("4", smuggled), ("999", smuggled)] {
        let block = fields(&[(":method", "POST"), SCHEME, PATH, AUTHORITY, ("content-length", length)]);
        // An answer may come before the body does.
        let _ = outcome(&gateway, &[frame(1, 0x4, 1, &block), frame(0, 0x1, 1, body)]).await;
        assert_eq!(get(&format!("{}/next", gateway.url)).await.text(), "here");
        let heard = upstream.heard();
        assert!(heard.iter().all(|head| head.starts_with("POST / ") || head.starts_with("GET /next ")), "{heard:?}");
    }
}
