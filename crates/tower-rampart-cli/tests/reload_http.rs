//! How calls are read, judged and told of time, under one document and then under another; and what of it a document may say. What else a reload changes
//! is in `reload.rs`.

mod support;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use serde_json::{Value, json};
use support::{
    Answer, Backend, Gateway, channel,
    document::{Document, over},
    full, send, status,
};

/// Quick retries, and these sections.
fn document(sections: &Value) -> Value {
    over(
        &json!({
            "retry": {"max_attempts": 2, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}, "jitter": {"kind": "none"}, "budget": {"enabled": false}},
            "circuit_breaker": {"failure_threshold": 1000},
        }),
        sections,
    )
}

/// A gateway that is given one document after the other.
struct Followed {
    file: Document,
    gateway: Gateway,
}

impl Followed {
    fn new(backend: &Backend, sections: &Value) -> Self {
        let file = Document::new(&document(sections));
        let gateway = file.gateway(backend.address);
        Self { file, gateway }
    }

    async fn reload(&self, sections: &Value) {
        self.file.apply(&self.gateway, &document(sections)).await;
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(format!("{}{path}", self.gateway.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request.body(full("")).expect("a request")).await
    }
}

#[tokio::test]
async fn lists_of_statuses_follow_the_document() {
    let backend = Backend::start(async |request, _| status(request.uri().path()[1..].parse().expect("a status")));
    let lists = |transient: &[u16], permanent: &[u16]| json!({"classify": {"transient_status": transient, "permanent_status": permanent}});
    let followed = Followed::new(&backend, &lists(&[418], &[]));
    let attempts = async |code: u16| {
        let before = backend.calls();
        assert_eq!(followed.get(&format!("/{code}"), &[]).await.status, code);
        backend.calls() - before
    };
    assert_eq!((attempts(418).await, attempts(409).await, attempts(502).await), (2, 1, 2));
    followed.reload(&lists(&[409], &[502])).await;
    assert_eq!((attempts(418).await, attempts(409).await, attempts(502).await), (1, 2, 1));
    followed.reload(&json!({})).await;
    assert_eq!((attempts(418).await, attempts(409).await, attempts(502).await), (1, 1, 2));
}

#[tokio::test]
async fn profile_follows_the_document() {
    // A status of gRPC, without its content type.
    let backend = Backend::start(async |_, call| {
        let code = if call.is_multiple_of(2) { "0" } else { "14" };
        Response::builder().header("grpc-status", code).body(full("")).expect("a response")
    });
    let profile = |profile: &str| json!({"classify": {"profile": profile}});
    let followed = Followed::new(&backend, &profile("http"));
    let shown = async || followed.get("/", &[]).await.header("grpc-status").to_owned();
    assert_eq!((shown().await.as_str(), shown().await.as_str(), backend.calls()), ("14", "0", 2));
    followed.reload(&profile("grpc")).await;
    assert_eq!((shown().await.as_str(), shown().await.as_str(), backend.calls()), ("0", "0", 6));
    followed.reload(&profile("http")).await;
    assert_eq!((shown().await.as_str(), shown().await.as_str(), backend.calls()), ("14", "0", 8));
}

#[tokio::test]
async fn attempt_header_follows_the_document() {
    let backend = Backend::start(async |request, call| {
        let numbers = ["x-a", "x-b"].map(|it| request.headers().get(it).map_or("-", |it| it.to_str().expect("text")));
        let code = if call.is_multiple_of(2) { 200 } else { 503 };
        Response::builder().status(code).body(full(numbers.join(" "))).expect("a response")
    });
    let header = |name: &str| json!({"http": {"attempt_header": name}});
    let followed = Followed::new(&backend, &header("x-a"));
    assert_eq!(followed.get("/", &[]).await.text(), "2 -");
    followed.reload(&header("x-b")).await;
    assert_eq!(followed.get("/", &[]).await.text(), "- 2");
    followed.reload(&json!({})).await;
    assert_eq!(followed.get("/", &[]).await.text(), "- -");
}

#[tokio::test]
async fn deadline_headers_are_clamped_handed_on_and_follow_the_document() {
    let backend = Backend::start(async |request, call| {
        let told = ["x-a-ms", "x-b"].map(|it| request.headers().get(it).map_or("-", |it| it.to_str().expect("text")));
        let code = if call.is_multiple_of(2) { 200 } else { 503 };
        Response::builder().status(code).body(full(told.join(" "))).expect("a response")
    });
    let sections =
        |name: &str| json!({"http": {"deadline_headers": [name]}, "timeout": {"attempt": "3s", "total": "4s"}});
    let followed = Followed::new(&backend, &sections("x-a-ms"));
    let told = async |a: &str, b: &str| {
        let text = followed.get("/", &[("x-a-ms", a), ("x-b", b)]).await.text();
        let (a, b) = text.split_once(' ').expect("two values");
        (a.to_owned(), b.to_owned())
    };
    let millis = |text: &str| text.parse::<u64>().expect("milliseconds");
    // The second attempt, after a backoff of 10 ms, hears of less than was stated.
    let (a, b) = told("2000", "60.0").await;
    assert!((1000..=1990).contains(&millis(&a)) && b == "60.0", "{a} {b}");
    let (a, _) = told("60000", "60.0").await;
    assert!((3000..=3990).contains(&millis(&a)), "{a} of the total time");
    followed.reload(&sections("x-b")).await;
    let (a, b) = told("2000", "60.0").await;
    let seconds: f64 = b.parse().expect("seconds");
    assert!(a == "2000" && (3.0..=3.99).contains(&seconds), "{a} {b}");
}

#[tokio::test]
async fn upstream_that_stands_by_is_told_what_is_left_of_the_time() {
    let hanging = Backend::start(async |_, _| std::future::pending().await);
    let second = Backend::start(async |request, _| {
        let left = request.headers()["x-a-ms"].to_str().expect("text").to_owned();
        Response::new(full(left))
    });
    let sections = json!({
        "http": {"deadline_headers": ["x-a-ms"]}, "retry": {"enabled": false}, "timeout": {"attempt": "500ms"},
        "fallback": {"targets": [format!("http://{}", second.address)]},
    });
    let followed = Followed::new(&hanging, &sections);
    let left: u64 = followed.get("/", &[("x-a-ms", "10000")]).await.text().parse().expect("milliseconds");
    assert!((5000..=9500).contains(&left), "{left} of 10 s, of which at least 500 ms are over");
}

#[tokio::test]
async fn call_is_judged_by_the_document_it_began_with() {
    let (sender, body) = channel();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let backend = Backend::start(move |_, _| {
        let body = body.lock().expect("a lock").take().unwrap_or_else(|| full(""));
        async move { Response::new(body) }
    });
    let at = |outcome_at: &str| json!({"classify": {"outcome_at": outcome_at}});
    let followed = Followed::new(&backend, &at("end_of_body"));
    sender.send(Frame::data(Bytes::from_static(b"first"))).await.expect("room");
    let url = format!("{}/", followed.gateway.url);
    let begun = tokio::spawn(async move { support::get(&url).await });
    followed.gateway.metric_becomes("rampart_inflight{operation=\"default\"}", 1.0).await;
    followed.reload(&at("headers")).await;
    assert_eq!(followed.gateway.outcomes("default").await, [0, 0, 0, 0]);
    assert_eq!(followed.get("/", &[]).await.status, 200);
    assert_eq!(followed.gateway.outcomes("default").await, [1, 0, 0, 0]);
    drop(sender);
    assert_eq!(begun.await.expect("no panic").text(), "first");
    followed.gateway.outcomes_become([2, 0, 0, 0]).await;
}
