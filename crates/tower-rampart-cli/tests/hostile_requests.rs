//! Requests that want to be taken for others: smuggled ones, ones that lead elsewhere, ones that pretend. Over raw sockets, before an upstream that writes
//! down what reaches it. The table of threats is `docs/security.md`.

mod support;

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use hyper::body::Incoming;
use support::{
    Backend, Body, Gateway, collect, full, get,
    wire::{Parrot, statuses, talk},
};

/// What reached the upstream: method, target, and how long the body was.
type Seen = Arc<Mutex<Vec<String>>>;

fn recorder() -> (Backend, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let backend = Backend::start(move |request: Request<Incoming>, _| {
        let log = Arc::clone(&log);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let length = collect(request).await.len();
            log.lock().expect("a lock").push(format!("{line} {length}"));
            Response::<Body>::new(full("fine"))
        }
    });
    (backend, seen)
}

fn take(seen: &Seen) -> Vec<String> {
    std::mem::take(&mut *seen.lock().expect("a lock"))
}

/// A second request that is to be taken for the rest of the first, or the other way round.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn request_whose_end_is_doubtful_is_refused_and_nothing_behind_it_is_read() {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(backend.address, &[]);
    let length = SMUGGLED.len();
    let heads = [
        // Two lengths, or one that is none.
        "Content-Length: 0\r\nContent-Length: 5".to_owned(),
        format!("Content-Length: {length}\r\nContent-Length: 0"),
        "Content-Length: 0, 5".to_owned(),
        "Content-Length: +0".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length: 0x0".to_owned(),
        "Content-Length: 0 0".to_owned(),
        "Content-Length: 1e1".to_owned(),
        "Content-Length: 99999999999999999999".to_owned(),
        "Content-Length:".to_owned(),
        // A coding that is none, or not the last.
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: gzip".to_owned(),
        "Transfer-Encoding: \"chunked\"".to_owned(),
        "Transfer-Encoding: chunked;q=1".to_owned(),
        "Transfer-Encoding:".to_owned(),
        // Names and lines that are not quite.
        "Transfer-Encoding : chunked".to_owned(),
        " Transfer-Encoding: chunked".to_owned(),
        "X: y\r\n Transfer-Encoding: chunked".to_owned(),
        "X: y\r\n\tz".to_owned(),
        "Transfer-Encoding\t: chunked".to_owned(),
        "Transfer\0-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked\0".to_owned(),
        "Transfer-Encoding: \x0bchunked".to_owned(),
        "X: y\rTransfer-Encoding: chunked".to_owned(),
        "X: y\r\rContent-Length: 5".to_owned(),
        "Content-Length\r\n: 5".to_owned(),
        ": y".to_owned(),
        "No colon".to_owned(),
    ];
    for head in heads {
        let text = format!("POST /outer HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{SMUGGLED}");
        let answer = talk(gateway.address(), text).await;
        assert_eq!(statuses(&answer), [400], "{head:?} got {answer:?}");
        assert_eq!(take(&seen), Vec::<String>::new(), "{head:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_none_end_the_connection_and_nothing_behind_them_is_read() {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(backend.address, &[]);
    for body in [
        "zz\r\n",
        "-1\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "5\rabcde\r\n0\r\n\r\n",
        "5\r\nabcdeX\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\n",
        "5;a\nb\r\nabcde\r\n0\r\n\r\n",
        "\r\n\r\n",
        "0\r\nbad trailer\r\n\r\n",
    ] {
        let head = "POST /outer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = talk(gateway.address(), format!("{head}{body}{SMUGGLED}")).await;
        assert!(!statuses(&answer).contains(&200), "{body:?} got {answer:?}");
        assert!(take(&seen).iter().all(|line| !line.contains("smuggled")), "{body:?}");
    }
}

#[tokio::test]
async fn what_is_framed_is_framed_anew_so_that_the_upstream_sees_one_request_with_one_length() {
    let upstream = Parrot::start("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = Gateway::start(upstream.address, &[]);
    for (head, body) in [
        // Chunk extensions carry nothing on.
        ("Transfer-Encoding: chunked", "4;ext=\"GET /smuggled\"\r\nabcd\r\n0\r\n\r\n"),
        ("Transfer-Encoding: ChUnKeD", "4\r\nabcd\r\n0\r\n\r\n"),
        ("Content-Length: 4\r\nContent-Length: 4", "abcd"),
        ("Connection: close, content-length\r\nContent-Length: 4", "abcd"),
        ("Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked", "4\r\nabcd\r\n0\r\n\r\n"),
    ] {
        let text = format!("POST /outer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n\r\n{body}");
        let answer = talk(gateway.address(), text).await;
        assert_eq!(statuses(&answer), [200], "{head:?} got {answer:?}");
        let heard = upstream.heard().pop().expect("a request").to_ascii_lowercase();
        let framings = heard.matches("\r\ncontent-length:").count() + heard.matches("\r\ntransfer-encoding:").count();
        assert_eq!(framings, 1, "{head:?} became {heard:?}");
        assert!(!heard.contains("smuggled") && !heard.contains("ext="), "{head:?} became {heard:?}");
    }
}

#[tokio::test]
async fn length_beside_chunks_is_dropped_and_the_connection_ends_with_the_answer() {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(backend.address, &[]);
    for head in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"] {
        let text = format!("POST /outer HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n{SMUGGLED}");
        let answer = talk(gateway.address(), text).await;
        assert_eq!(statuses(&answer).len(), 1, "{head:?} got {answer:?}");
        assert!(take(&seen).iter().all(|line| !line.contains("smuggled")), "{head:?}");
    }
}

#[tokio::test]
async fn target_of_any_form_goes_to_the_upstream_and_nowhere_else() {
    let elsewhere = Parrot::start("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nelsewhere").await;
    let other = elsewhere.address;
    let upstream = Parrot::start("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhere").await;
    let gateway = Gateway::start(upstream.address, &[]);
    for (target, expected) in [
        ("/../../etc/passwd".to_owned(), Some("/../../etc/passwd".to_owned())),
        (format!("//{other}/x"), Some(format!("//{other}/x"))),
        (format!("http://{other}/x"), Some("/x".to_owned())),
        (format!("http://user@{other}/x"), Some("/x".to_owned())),
        (format!("https://{other}/x"), Some("/x".to_owned())),
        (format!("/x?url=http://{other}/"), Some(format!("/x?url=http://{other}/"))),
        (format!("/@{other}/"), Some(format!("/@{other}/"))),
        ("/%0d%0aHost:%20b".to_owned(), Some("/%0d%0aHost:%20b".to_owned())),
        (other.to_string(), None),
        (format!("\\\\{other}\\x"), None),
        ("x".to_owned(), None),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = talk(gateway.address(), text).await;
        if let Some(expected) = expected {
            assert!(answer.ends_with("here"), "{target} got {answer:?}");
            let heard = upstream.heard().pop().expect("a request");
            assert!(heard.starts_with(&format!("GET {expected} HTTP/1.1\r\n")), "{target} became {heard:?}");
            assert!(heard.contains(&format!("host: {}\r\n", upstream.address)), "{heard:?}");
        } else {
            assert_eq!(statuses(&answer), [400], "{target} got {answer:?}");
        }
    }
    assert_eq!(elsewhere.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn path_does_not_lead_out_of_the_base_of_the_upstream_and_blames_nobody_else() {
    let upstream = Parrot::start("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhere").await;
    let base = format!("http://{}/public", upstream.address);
    let gateway = Gateway::start_before(
        support::rampart(),
        &base,
        &["--config", "-"],
        Some(r#"{"retry_attempts": 3, "circuit_breaker_threshold": 1}"#),
    );
    for path in
        ["/..", "/../private", "/a/../../private", "/%2e%2e/private", "/..%2fprivate", "/..%5Cprivate", "/..;/private"]
    {
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = talk(gateway.address(), text).await;
        assert_eq!(statuses(&answer), [400], "{path} got {answer:?}");
    }
    assert_eq!(upstream.heard(), Vec::<String>::new());
    // None of it opened the circuit.
    let answer = get(&format!("{}/a/.../b", gateway.url)).await;
    assert_eq!(answer.text(), "here");
    assert!(upstream.heard()[0].starts_with("GET /public/a/.../b "), "{:?}", upstream.heard());
}

#[tokio::test]
async fn tunnels_are_not_opened_over_either_version() {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(backend.address, &[]);
    for target in ["127.0.0.1:80", "a:443"] {
        let text = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
        assert_eq!(statuses(&talk(gateway.address(), text).await), [501], "{target}");
    }
    assert_eq!(take(&seen), Vec::<String>::new());
}

#[tokio::test]
async fn what_operators_ask_for_is_asked_of_the_upstream_where_clients_ask() {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(backend.address, &[]);
    for path in ["/metrics", "/health", "/internal/resilience/config", "/internal/resilience/dashboard"] {
        assert_eq!(get(&format!("{}{path}", gateway.url)).await.text(), "fine");
        assert_eq!(take(&seen), [format!("GET {path} 0")]);
    }
}

#[tokio::test]
async fn names_of_operations_that_nobody_knows_leave_no_trace() {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(backend.address, &[]);
    let series = async || get(&format!("{}/metrics", gateway.admin)).await.text().lines().count();
    talk(gateway.address(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let before = (series().await, gateway.metric("rampart_operations").await);
    let long = "n".repeat(4000);
    let mut names: Vec<String> = (0..300).map(|number| format!("unknown-{number}")).collect();
    names.extend(
        ["default\"} 1", "__proto__", "constructor", "../default", "DEFAULT", "fallback#1", "\u{fe}", &long]
            .map(str::to_owned),
    );
    let mut text = String::new();
    for name in &names {
        text.extend(["GET / HTTP/1.1\r\nHost: a\r\nx-resilience-operation: ", name, "\r\n\r\n"]);
    }
    text += "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = talk(gateway.address(), text).await;
    let answers = statuses(&answer);
    assert_eq!((answers.len(), answers.iter().all(|it| *it == 200)), (names.len() + 1, true));
    assert_eq!((series().await, gateway.metric("rampart_operations").await), before);
    assert_eq!(take(&seen).len(), names.len() + 2);
}

#[tokio::test]
async fn heads_that_are_too_large_or_too_many_are_refused() {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(backend.address, &[]);
    let many = "x-many: y\r\n".repeat(200);
    let large = format!("x: {}\r\n", "y".repeat(256 * 1024));
    let target = "t".repeat(70 * 1024);
    for (target, fields, expected) in [("", &*many, 431), ("", &large, 431), (&target, "", 414)] {
        let text = format!("GET /{target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let answer = talk(gateway.address(), text).await;
        assert!(
            matches!(statuses(&answer)[..], [status] if status == expected || status == 431),
            "{expected}: {answer:?}"
        );
    }
    assert_eq!(take(&seen), Vec::<String>::new());
}
