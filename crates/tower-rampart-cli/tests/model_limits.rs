//! Limits of model APIs through the gateway, over real sockets: tokens a minute, and limits that follow the headers of answers. What their answers are judged is in
//! `model_api.rs`.

mod support;

use std::time::Duration;

use http::{Request, Response};
use serde_json::{Value, json};
use support::{
    Answer, Backend, Gateway,
    document::{Document, over},
    full, send, status,
};

/// One attempt, under the profile of model APIs, and these limits.
fn document(limits: &Value) -> Value {
    let base = json!({
        "classify": {"profile": "model_api"},
        "retry": {"enabled": false},
        "circuit_breaker": {"enabled": false},
    });
    if limits.is_null() { base } else { over(&base, &json!({"rate_limit": limits})) }
}

fn gateway(backend: &Backend, limits: &Value) -> Gateway {
    Gateway::configured(backend.address, &document(limits).to_string())
}

/// Asks with twelve bytes, for which 3 tokens are guessed and 256 for the answer, or with what is stated.
async fn ask(gateway: &Gateway, stated: Option<&str>) -> Answer {
    let mut request = Request::post(format!("{}/v1/chat/completions", gateway.url));
    if let Some(tokens) = stated {
        request = request.header("x-resilience-tokens", tokens);
    }
    send(request.body(full("hello model!")).expect("a request")).await
}

fn answered(answer: &Answer) -> u16 {
    answer.status.as_u16()
}

/// The tokens that are left to an operation, of which 10 a second come in.
async fn left(gateway: &Gateway, operation: &str) -> f64 {
    let series = format!("rampart_tokens_remaining{{operation=\"{operation}\"}}");
    gateway.metric(&series).await.expect("a limit on tokens")
}

/// Whether what is left is what is expected, and what has come in since.
fn is_about(left: f64, expected: f64) -> bool {
    (expected..expected + 100.0).contains(&left)
}

/// Says how many tokens it used, in a body of each kind.
fn telling(used: u32) -> Backend {
    Backend::start(move |request, _| async move {
        if request.uri().path() == "/stream" {
            let events = format!(
                "data: {{\"choices\": []}}\n\ndata: {{\"choices\": [], \"usage\": {{\"total_tokens\": {used}}}}}\n\ndata: [DONE]\n\n"
            );
            let builder = Response::builder().header("content-type", "text/event-stream");
            return builder.body(full(events)).expect("a response");
        }
        Response::new(full(json!({"choices": [], "usage": {"total_tokens": used}}).to_string()))
    })
}

#[tokio::test]
async fn calls_beyond_the_tokens_are_refused_until_they_come_in() {
    let backend = telling(900);
    let gateway = gateway(&backend, &json!({"tokens_per_minute": 600}));
    assert_eq!(answered(&ask(&gateway, None).await), 200);
    let refused = ask(&gateway, None).await;
    // 300 are owed, and 259 wanted, of which 10 a second come in.
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((40..=56).contains(&seconds), "{seconds}");
    assert_eq!((answered(&refused), refused.header("ratelimit-remaining")), (429, "0"));
    assert_eq!(refused.header("ratelimit-reset"), refused.header("retry-after"));
    assert!(!refused.headers.contains_key("ratelimit-limit"), "that is a number of calls");
    let body = refused.json();
    assert_eq!((&body["error_code"], &body["stage"]), (&"RateLimited".into(), &"rate_limit".into()));
    let millis = Duration::from_millis(body["retry_after_ms"].as_u64().expect("a time"));
    assert!(millis <= Duration::from_secs(seconds) && millis > Duration::from_secs(seconds - 1), "{body}");
    assert!(body["error"].as_str().expect("text").contains("(tokens)"), "{body}");
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn call_of_more_tokens_than_there_ever_are_is_never_worth_another_try() {
    let backend = telling(1);
    let refused = ask(&gateway(&backend, &json!({"tokens_per_minute": 600})), Some("601")).await;
    assert_eq!((answered(&refused), refused.header("retry-after"), backend.calls()), (429, "", 0));
    assert_eq!(refused.json()["retry_after_ms"], Value::Null);
}

#[tokio::test]
async fn what_was_used_is_settled_against_what_was_guessed() {
    for path in ["/v1/chat/completions", "/stream"] {
        let backend = telling(500);
        let gateway = gateway(&backend, &json!({"tokens_per_minute": 600}));
        let request = Request::post(format!("{}{path}", gateway.url)).body(full("hello model!")).expect("a request");
        assert_eq!(answered(&send(request).await), 200);
        let left = left(&gateway, "default").await;
        assert!(is_about(left, 100.0), "{path}: {left}");
    }
    // Nothing is told, so that the guess stands.
    let backend = Backend::start(async |_, _| status(200));
    let gateway = gateway(&backend, &json!({"tokens_per_minute": 600}));
    ask(&gateway, None).await;
    let left = left(&gateway, "default").await;
    assert!(is_about(left, 341.0), "{left}");
}

#[tokio::test]
async fn stated_tokens_are_read_by_every_limit_on_the_way_and_passed_on_by_none() {
    let answering = |code: u16| {
        Backend::start(move |request, _| async move {
            // It concerns the gateway alone; a mistake of the caller is not handed over.
            status(if request.headers().contains_key("x-resilience-tokens") { 400 } else { code })
        })
    };
    let (backend, second) = (answering(500), answering(200));
    let fallback = json!({"fallback": {"targets": [format!("http://{}", second.address)]}});
    let document = over(&document(&json!({"tokens_per_minute": 600})), &fallback);
    let gateway = Gateway::configured(backend.address, &document.to_string());
    assert_eq!(answered(&ask(&gateway, Some("450")).await), 200);
    assert_eq!((backend.calls(), second.calls()), (1, 1));
    let [first, second] = [left(&gateway, "default").await, left(&gateway, "fallback#1").await];
    assert!(is_about(first, 150.0) && is_about(second, 150.0), "{first} {second}");
    // Without a limit it is not passed on either.
    let backend = answering(200);
    let gateway = Gateway::configured(backend.address, r#"{"preset": "simple"}"#);
    assert_eq!((answered(&ask(&gateway, Some("450")).await), backend.calls()), (200, 1));
}

#[tokio::test]
async fn tokens_a_minute_follow_the_document() {
    let backend = Backend::start(async |_, _| status(200));
    let file = Document::new(&document(&json!({"tokens_per_minute": 600})));
    let gateway = file.gateway(backend.address);
    let asked = async || answered(&ask(&gateway, Some("200")).await);
    assert_eq!(asked().await, 200);
    file.apply(&gateway, &document(&json!({"tokens_per_minute": 100}))).await;
    assert_eq!(asked().await, 429);
    file.apply(&gateway, &document(&Value::Null)).await;
    assert_eq!((asked().await, backend.calls()), (200, 2));
}

/// Says that its limit is used up.
fn used_up() -> Backend {
    Backend::start(async |_, _| {
        let builder = Response::builder().header("x-ratelimit-remaining-requests", "0");
        builder.header("x-ratelimit-reset-requests", "40s").body(full("")).expect("a response")
    })
}

#[tokio::test]
async fn provider_s_hint_pauses_all_calls() {
    for header in [("retry-after", "40"), ("x-ratelimit-reset-requests", "40s")] {
        let backend = Backend::start(move |_, _| async move {
            let builder = Response::builder().status(429).header("x-ratelimit-remaining-requests", "0");
            builder.header(header.0, header.1).body(full("theirs")).expect("a response")
        });
        let gateway = gateway(&backend, &json!({"learn_from_headers": true}));
        let theirs = ask(&gateway, None).await;
        assert_eq!((answered(&theirs), theirs.text().as_str()), (429, "theirs"));
        let ours = ask(&gateway, None).await;
        assert_eq!((answered(&ours), &ours.json()["stage"], backend.calls()), (429, &"rate_limit".into(), 1));
        let seconds: u64 = ours.header("retry-after").parse().expect("seconds");
        assert!((25..=40).contains(&seconds), "{header:?}: {seconds}");
    }
}

#[tokio::test]
async fn whether_headers_are_learnt_from_follows_the_document() {
    let learns = |learns: bool| document(&json!({"requests_per_second": 1000, "learn_from_headers": learns}));
    for first in [false, true] {
        let backend = used_up();
        let file = Document::new(&learns(first));
        let gateway = file.gateway(backend.address);
        if first {
            file.apply(&gateway, &learns(false)).await;
        }
        for _ in 0..3 {
            assert_eq!(answered(&ask(&gateway, None).await), 200, "learning at first: {first}");
        }
        file.apply(&gateway, &learns(true)).await;
        assert_eq!(answered(&ask(&gateway, None).await), 200, "nothing was learnt yet");
        assert_eq!(answered(&ask(&gateway, None).await), 429, "learning at first: {first}");
        assert_eq!(backend.calls(), 4);
    }
}
