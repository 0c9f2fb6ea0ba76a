//! How requests are framed on their way through the gateway: where one ends and the next begins must be the same for everybody. What passes unharmed is in
//! `proxy.rs`.

mod support;

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use hyper::body::Incoming;
use support::{Backend, Body, Gateway, collect, full, raw};

/// What arrived behind: method and path, framing, body.
type Seen = Arc<Mutex<Vec<(String, Option<String>, String)>>>;

fn recording() -> (Seen, Backend) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let backend = Backend::start(move |request: Request<Incoming>, _| {
        let log = Arc::clone(&log);
        async move {
            let what = format!("{} {}", request.method(), request.uri());
            let length = request.headers().get("content-length").map(|it| it.to_str().expect("text").to_owned());
            let body = String::from_utf8_lossy(&collect(request).await).into_owned();
            log.lock().expect("a lock").push((what.clone(), length, body));
            Response::<Body>::new(full(what))
        }
    });
    (seen, backend)
}

fn taken(seen: &Seen) -> Vec<(String, Option<String>, String)> {
    std::mem::take(&mut seen.lock().expect("a lock"))
}

#[tokio::test]
async fn requests_whose_end_is_in_doubt_are_refused_and_nothing_of_them_arrives() {
    let (seen, backend) = recording();
    let gateway = Gateway::start(backend.address, &[]);
    for fields in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 4, 4",
        "Content-Length: +4",
        "Content-Length: -4",
        "Content-Length: 0x4",
        "Content-Length: 4 4",
        "Content-Length: 99999999999999999999999",
        "Content-Length:",
        "Content-Length : 4",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "X: a\r\n Transfer-Encoding: chunked",
        "X: a\rTransfer-Encoding: chunked",
        "X: \0",
    ] {
        let request = format!(
            "POST /first HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = raw(gateway.address(), request.into_bytes().leak()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{fields:?}: {answer}");
    }
    let old =
        "POST /first HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(raw(gateway.address(), old.as_bytes()).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(taken(&seen), []);
}

#[tokio::test]
async fn bodies_under_another_transfer_coding_are_refused() {
    let (seen, backend) = recording();
    let gateway = Gateway::start(backend.address, &[]);
    for codings in ["gzip, chunked", "chunked, chunked", "chunked\r\nTransfer-Encoding: chunked"] {
        let request = format!(
            "POST /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: {codings}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let answer = raw(gateway.address(), request.into_bytes().leak()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{codings}: {answer}");
    }
    assert_eq!(taken(&seen), []);
}

#[tokio::test]
async fn of_a_length_and_chunks_the_chunks_count_and_the_connection_ends() {
    let (seen, backend) = recording();
    let gateway = Gateway::start(backend.address, &[]);
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nContent-Length: 99",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: transfer-encoding",
    ] {
        let request = format!(
            "POST /first HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = raw(gateway.address(), request.into_bytes().leak()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("POST /first"), "{fields:?}: {answer}");
        assert_eq!(taken(&seen), [("POST /first".to_owned(), None, "hello".to_owned())], "{fields:?}");
    }
}

#[tokio::test]
async fn fields_of_the_framing_cannot_be_taken_away_by_naming_them_in_connection() {
    let (seen, backend) = recording();
    let gateway = Gateway::start(backend.address, &[]);
    for method in ["POST", "GET", "DELETE"] {
        let request = format!(
            "{method} /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: content-length, host, close\r\n\r\nhello"
        );
        let answer = raw(gateway.address(), request.into_bytes().leak()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (what, _, body) = taken(&seen).pop().expect("a request");
        assert_eq!((what, body), (format!("{method} /first"), "hello".to_owned()));
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_arrives_whatever_the_method() {
    let (seen, backend) = recording();
    let gateway = Gateway::start(backend.address, &[]);
    for method in ["GET", "POST", "DELETE", "OPTIONS", "REPORT"] {
        let request = format!(
            "{method} /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let answer = raw(gateway.address(), request.into_bytes().leak()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(taken(&seen), [(format!("{method} /first"), None, "hello".to_owned())], "{method}");
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let (seen, backend) = recording();
    let gateway = Gateway::start(backend.address, &[]);
    let fields = |count: usize, length: usize| -> String {
        (0..count).map(|it| ["x-", &it.to_string(), ": ", &"a".repeat(length), "\r\n"].concat()).collect()
    };
    for (fields, status) in [
        (fields(40, 1000), "200"),
        (fields(1, 60_000), "200"),
        (fields(80, 1000), "431"),
        (fields(1, 70_000), "431"),
        (fields(200, 1), "431"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        let answer = raw(gateway.address(), request.into_bytes().leak()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{} bytes: {answer:.200}", fields.len());
    }
    assert_eq!(taken(&seen).len(), 2);
}
