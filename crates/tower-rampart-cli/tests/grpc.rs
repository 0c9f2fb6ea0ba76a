//! gRPC through the gateway, over HTTP/2 on both sides: what its statuses decide, how it is refused, what it is told of time. Clients that others wrote are
//! elsewhere; the frames here are raw.

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use support::{Backend, Body, Gateway, Port, channel, eventually, full, within};

/// Quick retries, and whatever else.
fn document(more: &str) -> String {
    format!(
        r#"{{"retry": {{"max_attempts": 3, "backoff": {{"base": "10ms", "min": "10ms", "max": "50ms"}}, "jitter": {{"kind": "none"}}}}{more}}}"#
    )
}

const ONCE: &str = r#""retry": {"enabled": false}"#;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn status(code: &'static str) -> Frame<Bytes> {
    Frame::trailers(headers(&[("grpc-status", code)]))
}

/// An answer of these frames.
fn answer(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Response<Body> {
    let (sender, body) = channel();
    for frame in frames {
        sender.try_send(frame).expect("room for a few");
    }
    Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}

/// An answer that is a status alone, in its head.
fn bare(code: &'static str) -> Response<Body> {
    let mut response = answer([]);
    response.headers_mut().insert("grpc-status", HeaderValue::from_static(code));
    *response.body_mut() = full("");
    response
}

fn client() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn request(gateway: &Gateway, more: &[(&'static str, &'static str)]) -> http::request::Builder {
    let mut request = Request::post(format!("{}/shop.Shop/Buy", gateway.url)).header("te", "trailers");
    request.headers_mut().expect("headers").extend(headers(&[("content-type", "application/grpc+proto")]));
    request.headers_mut().expect("headers").extend(headers(more));
    request
}

/// What a client makes of an answer.
struct Answer {
    head: HeaderMap,
    body: String,
    trailers: HeaderMap,
}

impl Answer {
    /// From its trailers, or from the head of one that is nothing else.
    fn text(&self, name: &str) -> &str {
        let value = self.trailers.get(name).or_else(|| self.head.get(name));
        value.map_or("", |value| value.to_str().expect("text"))
    }
}

async fn read(response: Response<Incoming>) -> Answer {
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    let (head, body) = response.into_parts();
    let body = within(body.collect()).await.expect("gRPC ends with a status");
    let trailers = body.trailers().cloned().unwrap_or_default();
    Answer { head: head.headers, body: String::from_utf8(body.to_bytes().to_vec()).expect("text"), trailers }
}

async fn call(gateway: &Gateway, more: &[(&'static str, &'static str)]) -> Answer {
    let request = request(gateway, more).body(full("request")).expect("a request");
    read(within(client().request(request)).await.expect("an answer")).await
}

#[tokio::test]
async fn status_decides_wherever_it_stands_and_without_a_profile_too() {
    for profile in ["", r#", "classify": {"profile": "http"}"#, r#", "classify": {"profile": "grpc"}"#] {
        let backend = Backend::start(async |_, call| match call {
            1 => bare("14"),
            2 => answer([status("14")]),
            _ => answer([data("goods"), status("0")]),
        });
        let gateway = Gateway::configured(backend.address, &document(profile));
        let bought = call(&gateway, &[]).await;
        assert_eq!((bought.body.as_str(), bought.text("grpc-status")), ("goods", "0"), "{profile}");
        assert_eq!(backend.calls(), 3);
        gateway.outcomes_become([1, 0, 0, 0]).await;
    }
}

#[tokio::test]
async fn failure_after_a_message_counts_opens_the_circuit_and_is_not_repeated() {
    let backend = Backend::start(async |_, _| answer([data("goods"), status("13")]));
    let more = r#", "circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "60s"}"#;
    let gateway = Gateway::configured(backend.address, &document(more));
    for _ in 0..2 {
        let failed = call(&gateway, &[]).await;
        assert_eq!((failed.body.as_str(), failed.text("grpc-status")), ("goods", "13"));
    }
    gateway.outcomes_become([0, 2, 0, 0]).await;
    let refused = call(&gateway, &[]).await;
    assert_eq!((refused.text("grpc-status"), refused.body.as_str()), ("14", ""));
    assert_eq!(refused.head["content-type"], "application/grpc");
    assert_eq!(refused.text("x-resilience-stage"), "circuit_breaker");
    assert!(!refused.text("grpc-message").is_empty() && !refused.text("grpc-status-details-bin").is_empty());
    let pushback: u64 = refused.text("grpc-retry-pushback-ms").parse().expect("a number");
    assert!((50_000..=60_000).contains(&pushback), "{pushback} ms");
    assert_eq!(backend.calls(), 2);
}

#[tokio::test]
async fn statuses_that_blame_the_caller_open_nothing() {
    let backend = Backend::start(async |_, call| bare(if call.is_multiple_of(2) { "5" } else { "3" }));
    let gateway = Gateway::configured(backend.address, &document(r#", "circuit_breaker": {"failure_threshold": 2}"#));
    for _ in 0..6 {
        assert!(["3", "5"].contains(&call(&gateway, &[]).await.text("grpc-status")));
    }
    assert_eq!(backend.calls(), 6);
}

#[tokio::test]
async fn whatever_the_gateway_has_to_say_is_a_status() {
    let hanging = Backend::start(async |_, _| std::future::pending().await);
    let fine = Backend::start(async |_, _| answer([data("goods"), status("0")]));
    let nowhere = Port::reserve();
    for profile in ["http", "grpc"] {
        let classify = format!(r#"{{{ONCE}, "classify": {{"profile": "{profile}"}}"#);
        let late = Gateway::configured(hanging.address, &format!(r#"{classify}, "timeout": {{"attempt": "200ms"}}}}"#));
        let narrow = r#""rate_limit": {"requests_per_minute": 1, "burst_size": 1}"#;
        let limited = Gateway::configured(fine.address, &format!("{classify}, {narrow}}}"));
        let lost = Gateway::configured(nowhere.address, &format!("{classify}}}"));
        assert_eq!(call(&limited, &[]).await.text("grpc-status"), "0");
        for (gateway, status, message) in
            [(&late, "4", "time"), (&limited, "8", "rate"), (&lost, "14", "the upstream cannot be reached")]
        {
            let refused = call(gateway, &[]).await;
            assert_eq!((refused.text("grpc-status"), refused.body.as_str()), (status, ""), "{profile}");
            assert!(refused.text("grpc-message").contains(message), "{}", refused.text("grpc-message"));
            assert_eq!(refused.head["content-type"], "application/grpc");
        }
        assert!(!call(&limited, &[]).await.text("grpc-retry-pushback-ms").is_empty());
    }
}

#[tokio::test]
async fn time_left_is_read_clamped_and_handed_on() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&told);
    let backend = Backend::start(move |request, _| {
        let value = request.headers().get("grpc-timeout").map_or("none", |it| it.to_str().expect("text"));
        seen.lock().expect("a lock").push(value.to_owned());
        async move {
            if request.headers().contains_key("hang") {
                return std::future::pending().await;
            }
            answer([data("goods"), status("0")])
        }
    });
    let gateway = Gateway::configured(
        backend.address,
        &format!(r#"{{{ONCE}, "timeout": {{"attempt": "30s", "total": "40s"}}}}"#),
    );
    for more in
        [&[][..], &[("grpc-timeout", "90S")], &[("grpc-timeout", "2S")], &[("grpc-timeout", "300m"), ("hang", "1")]]
    {
        // The hanging one ends by its own time: no test waits for as long as the document grants.
        let expected = if more.len() == 2 { "4" } else { "0" };
        assert_eq!(call(&gateway, more).await.text("grpc-status"), expected, "{more:?}");
    }
    let told = told.lock().expect("a lock").clone();
    for (told, most) in told.iter().zip([40_000_000, 40_000_000, 2_000_000, 300_000]) {
        let (number, unit) = told.split_at(told.len() - 1);
        let unit = match unit {
            "S" => 1_000_000,
            "m" => 1000,
            "u" => 1,
            _ => 0,
        };
        let micros: u64 = number.parse::<u64>().expect("a number") * unit;
        assert!((most * 4 / 5..=most).contains(&micros), "{told} of {most} us");
    }
}

#[tokio::test]
async fn streams_of_both_sides_pass_message_by_message() {
    let backend = Backend::start(|request, _| async move {
        let (sender, body) = channel();
        tokio::spawn(async move {
            let mut requests = request.into_body();
            while let Some(frame) = requests.frame().await {
                let data = frame.expect("a frame").into_data().expect("data");
                sender.send(Frame::data(data)).await.expect("a reader");
            }
            sender.send(status("0")).await.expect("a reader");
        });
        Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
    });
    let gateway = Gateway::configured(backend.address, &document(""));
    let (sender, body) = channel();
    let response = within(client().request(request(&gateway, &[]).body(body).expect("a request"))).await;
    let mut answers = response.expect("an answer").into_body();
    for message in ["one", "two", "three"] {
        sender.send(data(message)).await.expect("the client sends");
        // Only now the next one exists.
        let echo = within(answers.frame()).await.expect("a frame").expect("no error");
        assert_eq!(echo.into_data().expect("data"), message);
    }
    assert_eq!(gateway.outcomes("default").await, [0, 0, 0, 0]);
    drop(sender);
    let end = within(answers.frame()).await.expect("a frame").expect("no error");
    assert_eq!(end.into_trailers().expect("trailers")["grpc-status"], "0");
    gateway.outcomes_become([1, 0, 0, 0]).await;
}

#[tokio::test]
async fn stream_that_its_reader_leaves_is_abandoned() {
    let held: Arc<Mutex<Vec<support::FrameSender>>> = Arc::default();
    let keep = Arc::clone(&held);
    let backend = Backend::start(move |_, _| {
        let (sender, body) = channel();
        sender.try_send(data("first")).expect("room");
        keep.lock().expect("a lock").push(sender);
        async move { Response::builder().header("content-type", "application/grpc").body(body).expect("a response") }
    });
    let gateway = Gateway::configured(backend.address, &document(""));
    let sent = request(&gateway, &[]).body(full("")).expect("a request");
    let mut response = within(client().request(sent)).await.expect("an answer");
    within(response.body_mut().frame()).await.expect("a frame").expect("no error");
    assert_eq!(gateway.metric("rampart_inflight{operation=\"default\"}").await, Some(1.0));
    drop(response);
    gateway.outcomes_become([0, 0, 0, 1]).await;
    eventually("the upstream is told", async || {
        held.lock().expect("a lock").iter().all(support::FrameSender::is_closed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn stream_that_falls_silent_or_breaks_off_ends_with_a_status() {
    let held: Arc<Mutex<Vec<support::FrameSender>>> = Arc::default();
    let keep = Arc::clone(&held);
    let silent = Backend::start(move |_, _| {
        let (sender, body) = channel();
        sender.try_send(data("first")).expect("room");
        keep.lock().expect("a lock").push(sender);
        async move { Response::builder().header("content-type", "application/grpc").body(body).expect("a response") }
    });
    let more = r#", "timeout": {"attempt": "300ms"}, "classify": {"outcome_at": "end_of_body"}"#;
    let gateway = Gateway::configured(silent.address, &document(more));
    let ended = call(&gateway, &[]).await;
    assert_eq!((ended.body.as_str(), ended.text("grpc-status")), ("first", "4"));
    assert!(ended.text("grpc-message").contains("attempt"), "{}", ended.text("grpc-message"));
    gateway.outcomes_become([0, 1, 0, 0]).await;

    let gateway = Gateway::configured(silent.address, &document(""));
    let sent = request(&gateway, &[]).body(full("")).expect("a request");
    let response = within(client().request(sent)).await.expect("an answer");
    // Its connections go with it.
    drop(silent);
    let ended = read(response).await;
    assert_eq!((ended.body.as_str(), ended.text("grpc-status")), ("first", "14"));
    assert_eq!(ended.text("grpc-message"), "the upstream broke off in its answer");
    gateway.outcomes_become([0, 1, 0, 0]).await;
}
