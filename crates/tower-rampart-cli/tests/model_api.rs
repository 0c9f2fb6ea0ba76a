//! Model APIs through the gateway (`classify.profile` is `model_api`), over real sockets: errors by their bodies, streams before and after their first item.
//! Their limits are in `model_limits.rs`.

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use support::{
    Answer, Backend, Body, FrameSender, Gateway, channel, client, collect,
    document::{Document, over},
    eventually, full, send, status, within,
};

const ITEM: &str = "data: {\"choices\": [{\"delta\": {\"content\": \"x\"}}]}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const QUOTA: &str = r#"{"error": {"code": "insufficient_quota", "message": "no more this month"}}"#;

/// Two quick attempts, a circuit that stays closed, and these sections.
fn document(sections: &Value) -> Value {
    over(
        &json!({
            "classify": {"profile": "model_api"},
            "retry": {"max_attempts": 2, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}, "jitter": {"kind": "none"}, "budget": {"enabled": false}},
            "circuit_breaker": {"failure_threshold": 1000},
        }),
        sections,
    )
}

fn gateway(backend: &Backend, sections: &Value) -> Gateway {
    Gateway::configured(backend.address, &document(sections).to_string())
}

/// With another upstream that stands by.
fn with_standby(backend: &Backend, second: &Backend) -> Gateway {
    gateway(backend, &json!({"fallback": {"targets": [format!("http://{}", second.address)]}}))
}

fn fault(code: u16, body: &'static str) -> Response<Body> {
    Response::builder().status(code).header("content-type", "application/json").body(full(body)).expect("a response")
}

fn stream(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "text/event-stream").body(body).expect("a response")
}

/// Answers every request with its own body.
fn echo() -> Backend {
    Backend::start(async |request, _| Response::new(full(collect(request).await)))
}

fn chat(gateway: &Gateway) -> Request<Body> {
    let request = Request::post(format!("{}/v1/chat/completions", gateway.url)).header("x-resilience-explain", "1");
    request.body(full("hello model!")).expect("a request")
}

async fn ask(gateway: &Gateway) -> Answer {
    send(chat(gateway)).await
}

/// Attempts, who served, the class, and that of the model API.
fn told(answer: &Answer) -> [&str; 4] {
    ["attempts", "served-by", "class", "provider-class"].map(|it| answer.header(&format!("x-resilience-{it}")))
}

/// What the answers of a backend are fed by, first call first.
type Feeds = Arc<Mutex<Vec<FrameSender>>>;

/// A backend whose answers are streams; each begins with what is said of its call, and goes on as the test says.
fn streaming(begin: fn(usize) -> Option<&'static str>) -> (Backend, Feeds) {
    let feeds = Feeds::default();
    let kept = Arc::clone(&feeds);
    let backend = Backend::start(move |_, call| {
        let kept = Arc::clone(&kept);
        async move {
            let (feed, body) = channel();
            if let Some(beginning) = begin(call) {
                feed.send(data(beginning)).await.expect("room");
            }
            kept.lock().expect("a lock").push(feed);
            stream(body)
        }
    });
    (backend, feeds)
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// The feed of the only answer so far; the backend's own is gone, so that the answer ends when this is dropped.
fn feed(feeds: &Feeds) -> FrameSender {
    let mut feeds = feeds.lock().expect("a lock");
    assert_eq!(feeds.len(), 1);
    feeds.remove(0)
}

async fn begin(gateway: &Gateway) -> Response<Incoming> {
    within(client().request(chat(gateway))).await.expect("an answer")
}

async fn next(response: &mut Response<Incoming>) -> Bytes {
    let frame = within(response.body_mut().frame()).await.expect("a frame").expect("no error");
    frame.into_data().expect("data")
}

#[tokio::test]
async fn exhausted_quota_is_not_retried_and_the_upstream_that_stands_by_answers() {
    let (backend, second) = (Backend::start(async |_, _| fault(429, QUOTA)), echo());
    let answer = ask(&with_standby(&backend, &second)).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello model!"));
    assert_eq!(told(&answer), ["1", "fallback#1", "success", ""]);
    assert_eq!((backend.calls(), second.calls()), (1, 1));
}

#[tokio::test]
async fn error_that_nobody_stands_in_for_comes_back_as_it_is() {
    let backend = Backend::start(async |_, _| fault(429, QUOTA));
    let gateway = gateway(&backend, &json!({}));
    let answer = ask(&gateway).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str(), backend.calls()), (429, QUOTA, 1));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(told(&answer), ["1", "primary", "rate_limited", "quota_exhausted"]);
    let counted = "rampart_provider_errors_total{operation=\"default\",class=\"quota_exhausted\"}";
    assert_eq!(gateway.metric(counted).await, Some(1.0));
}

#[tokio::test]
async fn overloaded_provider_is_asked_again_with_the_same_post() {
    let backend = Backend::start(async |request, call| match call {
        1 => fault(529, r#"{"type": "error", "error": {"type": "overloaded_error"}}"#),
        _ => Response::new(full(collect(request).await)),
    });
    let answer = ask(&gateway(&backend, &json!({}))).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello model!"));
    assert_eq!(told(&answer), ["2", "primary", "success", ""]);
}

#[tokio::test]
async fn rejected_key_is_not_retried_and_falls_over() {
    let (backend, second) = (Backend::start(async |_, _| status(401)), echo());
    let answer = ask(&with_standby(&backend, &second)).await;
    assert_eq!((answer.status.as_u16(), told(&answer)[1]), (200, "fallback#1"));
    assert_eq!((backend.calls(), second.calls()), (1, 1));
}

#[tokio::test]
async fn conflict_is_retried_and_does_not_fall_over() {
    let (backend, second) = (Backend::start(async |_, _| status(409)), echo());
    let answer = ask(&with_standby(&backend, &second)).await;
    assert_eq!((answer.status.as_u16(), told(&answer)), (409, ["2", "primary", "permanent", "conflict"]));
    assert_eq!((backend.calls(), second.calls()), (2, 0));
}

#[tokio::test]
async fn profile_follows_the_document() {
    let backend = Backend::start(async |_, _| status(409));
    let profile = |profile: &str| document(&json!({"classify": {"profile": profile}}));
    let file = Document::new(&profile("http"));
    let gateway = file.gateway(backend.address);
    let attempts = async || told(&ask(&gateway).await)[0].to_owned();
    assert_eq!(attempts().await, "1");
    file.apply(&gateway, &profile("model_api")).await;
    assert_eq!(attempts().await, "2");
    file.apply(&gateway, &profile("http")).await;
    assert_eq!(attempts().await, "1");
}

#[tokio::test]
async fn stream_whose_first_event_is_an_error_is_retried_before_the_client_sees_any_of_it() {
    for first in [ERROR, ": waiting\n\nevent: error\ndata: {\"error\": {\"code\": \"server_error\"}}\n\n", DONE] {
        let backend = Backend::start(move |_, call| async move {
            stream(full(if call == 1 { first.to_owned() } else { [ITEM, DONE].concat() }))
        });
        let answer = ask(&gateway(&backend, &json!({}))).await;
        assert_eq!((answer.text(), backend.calls()), ([ITEM, DONE].concat(), 2));
        assert_eq!(told(&answer), ["2", "primary", "success", ""]);
    }
}

#[tokio::test]
async fn error_after_items_is_passed_on_and_a_failure_of_the_circuit() {
    let (backend, feeds) = streaming(|_| Some(ITEM));
    let gateway = gateway(&backend, &json!({"circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "60s"}}));
    let mut response = begin(&gateway).await;
    assert_eq!(next(&mut response).await, ITEM);
    assert_eq!(gateway.outcomes("default").await, [0, 0, 0, 0], "nothing is decided yet");
    let feed = feed(&feeds);
    feed.send(data(ERROR)).await.expect("a reader");
    assert_eq!(next(&mut response).await, ERROR);
    drop(feed);
    assert!(within(response.body_mut().frame()).await.is_none());
    gateway.outcomes_become([0, 1, 0, 0]).await;
    let refused = ask(&gateway).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error_code"]), (503, &"CircuitOpen".into()));
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn chunks_are_passed_on_one_by_one() {
    let (backend, feeds) = streaming(|_| Some(": waiting\n\n"));
    let gateway = gateway(&backend, &json!({}));
    let begun = tokio::spawn(client().request(chat(&gateway)));
    let feed = eventually("the request arrives", async || feeds.lock().expect("a lock").pop()).await;
    feed.send(data(ITEM)).await.expect("a reader");
    let mut response = within(begun).await.expect("no panic").expect("an answer");
    assert_eq!(next(&mut response).await, [": waiting\n\n", ITEM].concat());
    // Each is sent only after the one before was read: nothing waits for what follows.
    for chunk in ["data: {\"cho", "ices\": []}\n\n", ITEM, DONE] {
        feed.send(data(chunk)).await.expect("a reader");
        assert_eq!(next(&mut response).await, chunk);
    }
    drop(feed);
    assert!(within(response.body_mut().frame()).await.is_none());
    gateway.outcomes_become([1, 0, 0, 0]).await;
}

#[tokio::test]
async fn stream_that_is_silent_for_longer_than_an_attempt_may_take_is_ended() {
    let (backend, feeds) = streaming(|_| Some(ITEM));
    let gateway = gateway(&backend, &json!({"timeout": {"attempt": "1s"}}));
    let mut response = begin(&gateway).await;
    assert_eq!(next(&mut response).await, ITEM);
    let feed = feed(&feeds);
    // Slower than that as a whole, but never silent for so long.
    for _ in 0..4 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        feed.send(data(ITEM)).await.expect("a reader");
        assert_eq!(next(&mut response).await, ITEM);
    }
    let broken = within(response.body_mut().frame()).await.expect("an end that shows");
    assert!(broken.is_err(), "{broken:?}");
    within(feed.closed()).await;
    gateway.outcomes_become([0, 1, 0, 0]).await;
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn first_item_that_is_late_is_an_attempt_that_took_too_long() {
    let (backend, feeds) = streaming(|call| Some(if call == 1 { ": waiting\n\n" } else { ITEM }));
    let gateway = gateway(&backend, &json!({"timeout": {"attempt": "1s"}}));
    let mut response = begin(&gateway).await;
    assert_eq!((&response.headers()["x-resilience-attempts"], backend.calls()), (&"2".parse().expect("a value"), 2));
    assert_eq!(next(&mut response).await, ITEM);
    let first = feeds.lock().expect("a lock").remove(0);
    within(first.closed()).await;
    drop(feed(&feeds));
    assert!(within(response.body_mut().frame()).await.is_none());
    gateway.outcomes_become([1, 0, 0, 0]).await;
}

#[tokio::test]
async fn client_that_leaves_a_stream_ends_it_upstream_and_has_abandoned_it() {
    let (backend, feeds) = streaming(|_| Some(ITEM));
    let gateway = gateway(&backend, &json!({}));
    let mut response = begin(&gateway).await;
    assert_eq!(next(&mut response).await, ITEM);
    drop(response);
    within(feed(&feeds).closed()).await;
    gateway.outcomes_become([0, 0, 0, 1]).await;
}
