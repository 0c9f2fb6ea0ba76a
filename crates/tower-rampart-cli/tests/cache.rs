//! The cache of the gateway, over real sockets: what clients are told, what reaches the upstream, through reloads and an outage.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use http::{Request, Response};
use serde_json::json;
use support::{Answer, Backend, Gateway, api::Operator, channel, eventually, full, get, send};

/// An upstream that numbers its answers, with this status.
fn numbering(status: &Arc<AtomicU16>) -> Backend {
    let (status, calls) = (Arc::clone(status), Arc::new(AtomicUsize::new(0)));
    Backend::start(move |_, _| {
        let (status, number) = (status.load(Ordering::Relaxed), calls.fetch_add(1, Ordering::Relaxed) + 1);
        async move { Response::builder().status(status).body(full(number.to_string())).expect("an answer") }
    })
}

fn gateway(document: &str) -> (Backend, Gateway, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let backend = numbering(&status);
    let gateway = Gateway::configured(backend.address, document);
    (backend, gateway, status)
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    get(&format!("{}{path}", gateway.url)).await
}

#[tokio::test]
async fn answer_is_given_out_again_and_says_so() {
    let (backend, gateway, _) = gateway(r#"{"cache": {"ttl": "1h"}}"#);
    let first = ask(&gateway, "/a").await;
    assert_eq!((first.text().as_str(), first.header("cache-status")), ("1", "rampart; fwd=miss"));
    for _ in 0..3 {
        let again = ask(&gateway, "/a").await;
        assert_eq!(again.text(), "1");
        assert!(again.header("cache-status").starts_with("rampart; hit; ttl=35"), "{}", again.header("cache-status"));
        assert!(again.header("age").parse::<u32>().is_ok());
    }
    assert_eq!(ask(&gateway, "/b").await.text(), "2");
    let private = Request::get(format!("{}/a", gateway.url)).header("authorization", "Bearer x").body(full(""));
    assert_eq!(send(private.expect("a request")).await.text(), "3");
    assert_eq!(backend.calls(), 3);
    let series = |name: &str| format!(r#"rampart_cache_{name}{{operation="default"}}"#);
    assert_eq!(gateway.metric(&series("hits_total")).await, Some(3.0));
    assert_eq!(gateway.metric(&series("misses_total")).await, Some(2.0));
    assert_eq!(gateway.metric(&series("entries")).await, Some(2.0));
}

#[tokio::test]
async fn many_that_ask_at_once_are_one_call() {
    let (feed, body) = channel();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let backend = Backend::start(move |_, _| {
        let body = body.lock().expect("nobody panics").take();
        async move { Response::new(body.expect("it is called once")) }
    });
    let gateway = Gateway::configured(
        backend.address,
        r#"{"cache": {"max_wait": "1m"}, "timeout": {"total": "1m", "attempt": "1m"}}"#,
    );
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let url = format!("{}/", gateway.url);
            tokio::spawn(async move { get(&url).await })
        })
        .collect();
    gateway.metric_becomes(r#"rampart_cache_misses_total{operation="default"}"#, 20.0).await;
    feed.send(http_body::Frame::data("once".into())).await.expect("the gateway reads");
    drop(feed);
    for answer in asked {
        assert_eq!(answer.await.expect("an answer").text(), "once");
    }
    assert_eq!(backend.calls(), 1);
    assert_eq!(gateway.metric(r#"rampart_cache_coalesced_total{operation="default"}"#).await, Some(19.0));
}

#[tokio::test]
async fn reload_keeps_what_is_kept_and_turns_the_stage_off_and_on() {
    let (backend, gateway, _) = gateway(r#"{"cache": {"ttl": "1h"}}"#);
    let operator = Operator::of(&gateway);
    ask(&gateway, "/").await;
    operator.apply(&json!({"retry": {"max_attempts": 2}})).await;
    assert_eq!(
        (ask(&gateway, "/").await.text().as_str(), backend.calls()),
        ("1", 1),
        "the pipelines are new, the answers are not"
    );
    operator.apply(&json!({"cache": {"enabled": false}})).await;
    assert_eq!((ask(&gateway, "/").await.text().as_str(), ask(&gateway, "/").await.text().as_str()), ("2", "3"));
    operator.apply(&json!({"cache": {"enabled": true, "key_headers": ["x-tenant"]}})).await;
    let of = async |tenant: &str| {
        let request = Request::get(format!("{}/", gateway.url)).header("x-tenant", tenant).body(full(""));
        send(request.expect("a request")).await.text()
    };
    assert_eq!([of("a").await, of("b").await, of("a").await], ["4", "5", "4"]);
    operator.apply(&json!({"cache": {"max_body_bytes": 0}})).await;
    assert_eq!([of("c").await, of("c").await], ["6", "7"]);
}

#[tokio::test]
async fn stale_answers_ride_through_an_outage() {
    let document = r#"{"cache": {"ttl": "1ms", "stale_if_error": "1h"}, "retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 3}}"#;
    let (backend, gateway, status) = gateway(document);
    assert_eq!(ask(&gateway, "/kept").await.text(), "1");
    let before = backend.calls();
    status.store(503, Ordering::Relaxed);
    let is_stale = |answer: &Answer| answer.header("cache-status").starts_with("rampart; fwd=stale; ttl=-");
    eventually("a millisecond is over", async || is_stale(&ask(&gateway, "/kept").await).then_some(())).await;
    for number in 0..10 {
        let answer = ask(&gateway, "/kept").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "1"), "call {number}");
        assert!(is_stale(&answer), "{}", answer.header("cache-status"));
    }
    assert_eq!(
        backend.calls(),
        before + 3,
        "then the circuit is open, and what is kept stands in for its refusals too"
    );
    assert_eq!(ask(&gateway, "/other").await.status.as_u16(), 503);
    drop(backend);
    assert_eq!(ask(&gateway, "/kept").await.text(), "1");
    assert_eq!(gateway.metric(r#"rampart_cache_stale_total{operation="default"}"#).await, Some(12.0));
}

#[tokio::test]
async fn questions_to_a_model_are_kept_by_what_they_ask_for() {
    let (backend, gateway, _) = gateway(r#"{"classify": {"profile": "model_api"}, "cache": {"model_api": true}}"#);
    let ask = async |question: &'static str| {
        let request = Request::post(format!("{}/v1/chat", gateway.url)).header("content-type", "application/json");
        send(request.body(full(question)).expect("a request")).await.text()
    };
    assert_eq!(ask(r#"{"model": "m", "messages": [], "user": "a"}"#).await, "1");
    assert_eq!(ask(r#"{"user":"b","messages":[],"model":"m"}"#).await, "1");
    assert_eq!(ask(r#"{"model": "m", "messages": [], "stream": true}"#).await, "2");
    assert_eq!(ask(r#"{"model": "m", "messages": [], "max_tokens": 5}"#).await, "3");
    assert_eq!(backend.calls(), 3);
}
