//! What the gateway tells a client of its call if asked by `x-resilience-explain: 1`, over real sockets.

mod support;

use http::Request;
use support::{Answer, Backend, Gateway, Port, full, send, status};

const QUICK: &str = r#""retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}, "jitter": {"kind": "none"}}"#;

/// Attempts, who served, why it stopped, the class.
fn told(answer: &Answer) -> [&str; 4] {
    ["attempts", "served-by", "stopped-by", "class"].map(|it| answer.header(&format!("x-resilience-{it}")))
}

async fn ask(gateway: &Gateway, path: &str, question: &str) -> Answer {
    let request = Request::get(format!("{}{path}", gateway.url)).header("x-resilience-explain", question);
    send(request.body(full("")).expect("a request")).await
}

/// Fails as often as the path says; never again after that.
fn failing() -> Backend {
    Backend::start(async |request, call| {
        assert!(!request.headers().contains_key("x-resilience-explain"), "services behind are not asked");
        match request.uri().path() {
            "/twice" if call < 3 => status(503),
            "/always" => status(500),
            "/missing" => status(404),
            _ => status(200),
        }
    })
}

#[tokio::test]
async fn nothing_is_told_unless_asked() {
    let gateway = Gateway::configured(failing().address, &format!("{{{QUICK}}}"));
    let backend = failing();
    let answering = Gateway::configured(backend.address, &format!("{{{QUICK}}}"));
    for gateway in [&gateway, &answering] {
        for question in ["0", "", "true"] {
            let answer = ask(gateway, "/always", question).await;
            assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("x-resilience")), "{question}");
        }
    }
}

#[tokio::test]
async fn attempts_and_why_there_were_no_more_are_told() {
    for (path, code, expected) in [
        ("/", 200, ["1", "primary", "", "success"]),
        ("/twice", 200, ["3", "primary", "", "success"]),
        ("/always", 500, ["3", "primary", "attempts", "transient"]),
        ("/missing", 404, ["1", "primary", "class", "permanent"]),
    ] {
        let backend = failing();
        let gateway = Gateway::configured(backend.address, &format!("{{{QUICK}}}"));
        let answer = ask(&gateway, path, "1").await;
        assert_eq!((answer.status.as_u16(), told(&answer)), (code, expected), "{path}");
    }
}

#[tokio::test]
async fn upstream_that_stood_by_is_named() {
    let (backend, second) = (failing(), failing());
    let nowhere = Port::reserve();
    let [nowhere, second] = [nowhere.address, second.address].map(|it| format!("http://{it}"));
    let document = format!(r#"{{{QUICK}, "fallback": {{"targets": ["{nowhere}", "{second}"]}}}}"#);
    let gateway = Gateway::configured(backend.address, &document);
    let answer = ask(&gateway, "/always", "1").await;
    assert_eq!((answer.status.as_u16(), told(&answer)[1]), (500, "fallback#2"));
    let document = format!(r#"{{{QUICK}, "fallback": {{"status": 203, "body": "stated"}}}}"#);
    let gateway = Gateway::configured(backend.address, &document);
    let answer = ask(&gateway, "/always", "1").await;
    assert_eq!((answer.status.as_u16(), told(&answer)), (203, ["3", "fallback", "attempts", "success"]));
}

#[tokio::test]
async fn refusals_are_explained_and_nobody_served_them() {
    let backend = failing();
    let open = r#""circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "60s"}"#;
    let gateway = Gateway::configured(backend.address, &format!(r#"{{"retry": {{"enabled": false}}, {open}}}"#));
    assert_eq!(ask(&gateway, "/always", "1").await.status, 500);
    let refused = ask(&gateway, "/", "1").await;
    assert_eq!((refused.status.as_u16(), told(&refused)), (503, ["0", "", "circuit_breaker", "ignored"]));
    assert_eq!(refused.json()["error_code"], "CircuitOpen");

    let nowhere = Port::reserve();
    let gateway = Gateway::configured(nowhere.address, &format!("{{{QUICK}}}"));
    let lost = ask(&gateway, "/", "1").await;
    assert_eq!((lost.status.as_u16(), told(&lost)), (502, ["3", "", "attempts", "transient"]));

    let hanging = Backend::start(async |_, _| std::future::pending().await);
    let late = r#"{"retry": {"enabled": false}, "timeout": {"attempt": "100ms"}}"#;
    let gateway = Gateway::configured(hanging.address, late);
    let late = ask(&gateway, "/", "1").await;
    assert_eq!((late.status.as_u16(), told(&late)), (504, ["1", "", "attempts", "transient"]));
}

#[tokio::test]
async fn answer_that_was_kept_is_told_as_one_and_nobody_behind_served_it() {
    let backend = failing();
    let gateway = Gateway::configured(backend.address, &format!(r#"{{{QUICK}, "cache": {{"ttl": "60s"}}}}"#));
    let first = ask(&gateway, "/", "1").await;
    assert_eq!((told(&first), first.header("x-resilience-cache")), (["1", "primary", "", "success"], ""));
    let kept = ask(&gateway, "/", "1").await;
    assert_eq!((told(&kept), kept.header("x-resilience-cache")), (["0", "cache", "", "success"], "hit"));
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn copies_of_a_slow_attempt_are_told() {
    let backend = Backend::start(async |_, call| {
        if call == 1 {
            tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        }
        status(200)
    });
    let document = r#"{"retry": {"enabled": false}, "hedge": {"delay": "50ms"}}"#;
    let gateway = Gateway::configured(backend.address, document);
    let answer = ask(&gateway, "/", "1").await;
    assert_eq!((told(&answer), answer.header("x-resilience-hedges")), (["1", "primary", "", "success"], "1"));
    let plain = ask(&gateway, "/", "1").await;
    assert!(!plain.headers.contains_key("x-resilience-hedges"), "there was none");
}
