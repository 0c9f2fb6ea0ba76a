//! Upstreams that want to reach the gateway's clients, its memory or its operator: split answers, endless heads, lines for the log. Over raw sockets.

mod support;

use std::time::Duration;

use support::{
    Gateway, get, rampart,
    wire::{Parrot, statuses, talk},
};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

const PATIENT: &str = r#"{"retry": {"enabled": false}, "circuit_breaker": {"enabled": false}}"#;

async fn through(answer: impl Into<Vec<u8>>) -> String {
    let upstream = Parrot::start(answer).await;
    let gateway = Gateway::configured(upstream.address, PATIENT);
    talk(gateway.address(), REQUEST).await
}

#[tokio::test]
async fn answer_that_is_split_or_no_answer_is_a_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n Set-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: \x1b[31mred\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "<html>200 OK</html>\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
    ] {
        let got = through(answer).await;
        assert_eq!(statuses(&got), [502], "{answer:?} became {got:?}");
        assert!(!got.to_ascii_lowercase().contains("evil"), "{got:?}");
    }
}

#[tokio::test]
async fn head_of_a_body_that_breaks_at_once_is_heard() {
    for _ in 0..20 {
        let got = through("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\nxyz\r\n").await;
        assert_eq!(statuses(&got), [200], "{got:?}");
        assert!(got.contains("x-a: b\r\n") && !got.contains("\r\n0\r\n"), "{got:?}");
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_are_not_passed_on() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for answer in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{second}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;evil=1\r\nok\r\n0\r\n\r\n{second}"),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{second}"
        ),
    ] {
        let got = through(answer.as_str()).await;
        assert_eq!(statuses(&got), [200], "{answer:?} became {got:?}");
        assert!(!got.contains("evil") && got.contains("ok"), "{answer:?} became {got:?}");
        assert!(!got.contains("99"), "{answer:?} became {got:?}");
    }
}

#[tokio::test]
async fn fields_that_its_connection_names_stay_behind() {
    let got = through(
        "HTTP/1.1 200 OK\r\nConnection: x-hop, close\r\nX-Hop: evil\r\nKeep-Alive: evil\r\nProxy-Authenticate: evil\r\n\
         Proxy-Connection: evil\r\nX-End: here\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert!(got.contains("x-end: here\r\n") && !got.contains("evil"), "{got:?}");
}

#[tokio::test]
async fn redirect_is_passed_on_and_not_followed() {
    let elsewhere = Parrot::start("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nelsewhere").await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://{}/x\r\n", elsewhere.address);
        let got =
            through(format!("HTTP/1.1 {status} Go\r\n{location}Connection: close\r\nContent-Length: 0\r\n\r\n")).await;
        let got = got.to_ascii_lowercase();
        assert!(
            got.starts_with(&format!("http/1.1 {status} ")) && got.contains(&location.to_ascii_lowercase()),
            "{got:?}"
        );
    }
    assert_eq!(elsewhere.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn head_that_is_too_large_or_does_not_end_is_a_502() {
    let line = format!("X-Filler: {}\r\n", "f".repeat(8 * 1024));
    let many = "x-many: y\r\n".repeat(200);
    let informs = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    for head in [
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", line.repeat(64)),
        format!("HTTP/1.1 200 OK\r\n{}", line.repeat(4096)),
        format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 {}", "O".repeat(1024 * 1024)),
    ] {
        let got = through(head.as_str()).await;
        assert_eq!(statuses(&got), [502], "{:?}", got.get(..200));
        assert!(got.len() < 1024, "{}", got.len());
    }
    let got = through(format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", informs.repeat(1000))).await;
    assert!(got.ends_with("ok"), "{got:?}");
}

#[tokio::test]
async fn upstream_that_informs_for_ever_is_given_up_in_time() {
    let upstream = Parrot::start("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(100)).await;
    let document = r#"{"retry": {"enabled": false}, "timeout": {"attempt": "300ms", "total": "600ms"}}"#;
    let gateway = Gateway::configured(upstream.address, document);
    let got = talk(gateway.address(), REQUEST).await;
    assert!(matches!(statuses(&got)[..], [502 | 504]), "{got:?}");
}

#[tokio::test]
async fn time_to_come_back_is_bounded_however_long_the_upstream_says() {
    for hint in ["99999999999999999999", "1000000000000", "Fri, 31 Dec 9999 23:59:59 GMT", "-1", "NaN", "1e9"] {
        let answer =
            format!("HTTP/1.1 503 No\r\nRetry-After: {hint}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let upstream = Parrot::start(answer).await;
        let gateway = Gateway::configured(
            upstream.address,
            r#"{"retry": {"max_attempts": 2, "backoff": {"base": "1ms", "min": "1ms", "max": "2ms"}}, "timeout": {"total": "2s"}}"#,
        );
        let asked = tokio::time::timeout(Duration::from_secs(10), get(&gateway.url)).await;
        assert_eq!(asked.unwrap_or_else(|_| panic!("{hint} is waited for")).status, 503);
    }
}

/// Whether a log consists of lines of its own making: each begins with a time, and none has a control character.
fn is_clean(log: &str) -> bool {
    log.lines().all(|line| line.starts_with("20") && !line.chars().any(char::is_control))
}

#[tokio::test]
async fn nothing_that_peers_say_makes_a_line_of_the_log() {
    let evil = "\u{1b}[31m2026-01-01T00:00:00Z ERROR \u{9b}31m \u{202e}evil";
    let upstream = Parrot::start(format!("HTTP/1.1 200 {evil}\r\nX-A: {evil}\r\n\r\n")).await;
    let mut program = rampart();
    program.env("RUST_LOG", "debug");
    let gateway = Gateway::start_as(program, upstream.address, &["--config", "-"], Some(PATIENT));
    for text in [
        format!("GET /{evil} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {evil}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nx-resilience-operation: {evil}\r\nConnection: close\r\n\r\n"),
        "GET /%0a2026%20evil%1b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nx: \u{85}\u{9b}31m\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        talk(gateway.address(), text).await;
    }
    let log = gateway.said();
    assert!(log.contains("DEBUG") && is_clean(&log), "{log:?}");
}

#[tokio::test]
async fn document_with_control_characters_makes_no_line_of_the_log_of_its_own() {
    use support::document::{Document, reloaded, reloads};
    let upstream = Parrot::start("").await;
    let document = Document::new(&serde_json::json!({"retry_attempts": 3}));
    let gateway = document.gateway(upstream.address);
    for evil in [
        r#"{"a\n2026-01-01 ERROR evil\u001b[31m": 1}"#,
        r#"{"default_strategy": "x\r\n2026-01-01 ERROR evil"}"#,
        r#"{"operation_overrides": {"a\nb\u0000\u202e": "balanced"}}"#,
        "{\"retry_attempts\": \u{1b}[31m}",
        "{\"a\n\u{9b}31mb\": 1}",
    ] {
        let refused = reloads(&gateway, "refused").await;
        std::fs::write(document.path(), evil).expect("a file");
        reloaded(&gateway, "refused", refused).await;
    }
    gateway.says("reload refused").await;
    let log = gateway.said();
    assert!(is_clean(&log), "{log:?}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01 ERROR")), "{log:?}");
}
