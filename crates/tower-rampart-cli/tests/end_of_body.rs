//! Answers that decide the outcome of their call with their body (`classify.outcome_at`), through the gateway and over real sockets. What gRPC's trailers
//! decide is in `grpc.rs`.

mod support;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::ETAG};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use support::{
    Backend, Body, Gateway, channel, client,
    document::{Document, reloaded, reloads},
    eventually, full, get, send, status, within,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

type Frames = mpsc::Sender<Frame<Bytes>>;

/// Every answer is a 200 with one piece of its body; the rest is up to the test.
fn slow() -> (Backend, mpsc::UnboundedReceiver<Frames>) {
    let (hand_over, bodies) = mpsc::unbounded_channel();
    let backend = Backend::start(move |_, _| {
        let hand_over = hand_over.clone();
        async move {
            let (frames, body) = channel();
            frames.send(data("first")).await.expect("a reader");
            hand_over.send(frames).expect("the test listens");
            Response::new(body)
        }
    });
    (backend, bodies)
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn document(more: &str) -> String {
    format!(r#"{{"retry": {{"enabled": false}}, "classify": {{"outcome_at": "end_of_body"}}{more}}}"#)
}

/// The head of an answer, and its first piece.
async fn begin(gateway: &Gateway) -> Response<Incoming> {
    let request = Request::get(format!("{}/", gateway.url)).body(full("")).expect("a request");
    let mut response = within(client().request(request)).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let first = within(response.body_mut().frame()).await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), "first");
    response
}

async fn end(response: Response<Incoming>) -> Result<Bytes, hyper::Error> {
    within(response.into_body().collect()).await.map(http_body_util::Collected::to_bytes)
}

#[tokio::test]
async fn permit_is_held_until_the_body_has_ended_and_follows_a_reload() {
    let (backend, mut bodies) = slow();
    let at = |outcome_at: &str| serde_json::json!({"retry": {"enabled": false}, "concurrency": {"max_inflight": 1}, "classify": {"outcome_at": outcome_at}});
    let file = Document::new(&at("headers"));
    let gateway = file.gateway(backend.address);
    let held = "rampart_concurrency_inflight{operation=\"default\"}";
    let (one, two) = (begin(&gateway).await, begin(&gateway).await);
    assert_eq!(gateway.metric(held).await, Some(0.0));
    assert_eq!(gateway.metric("rampart_gateway_in_flight").await, Some(2.0));
    assert_eq!(gateway.outcomes("default").await, [2, 0, 0, 0]);

    let mut applied = reloads(&gateway, "applied").await;
    file.write(&at("end_of_body"));
    applied = reloaded(&gateway, "applied", applied).await;
    let three = begin(&gateway).await;
    assert_eq!(gateway.metric(held).await, Some(1.0));
    let refused = get(&format!("{}/", gateway.url)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["stage"]), (503, &"concurrency".into()));
    assert_eq!(gateway.outcomes("default").await, [2, 0, 0, 0]);
    while let Ok(frames) = bodies.try_recv() {
        frames.send(data(" last")).await.expect("a reader");
    }
    for response in [one, two, three] {
        assert_eq!(end(response).await.expect("the rest"), " last");
    }
    gateway.outcomes_become([3, 0, 0, 0]).await;
    assert_eq!(gateway.metric(held).await, Some(0.0));

    file.write(&at("headers"));
    reloaded(&gateway, "applied", applied).await;
    drop((begin(&gateway).await, begin(&gateway).await));
    gateway.outcomes_become([5, 0, 0, 0]).await;
}

#[tokio::test]
async fn probe_lives_in_the_body() {
    let (frames, body) = channel();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let backend = Backend::start(move |request, _| {
        let body = body.lock().expect("a lock").take_if(|_| request.uri().path() == "/slow");
        let failing = request.uri().path() == "/failing";
        async move {
            match body {
                Some(body) => Response::new(body),
                None => status(if failing { 500 } else { 200 }),
            }
        }
    });
    let breaker = r#", "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "50ms", "half_open_max_calls": 1, "success_threshold": 1}"#;
    let gateway = Gateway::configured(backend.address, &document(breaker));
    assert_eq!(get(&format!("{}/failing", gateway.url)).await.status, 500);
    let probe = eventually("a probe is let in", async || {
        let request = Request::get(format!("{}/slow", gateway.url)).body(full("")).expect("a request");
        let response = within(client().request(request)).await.expect("an answer");
        (response.status() == 200).then_some(response)
    })
    .await;
    let state = |state: &str| format!("rampart_circuit_state{{operation=\"default\",state=\"{state}\"}}");
    assert_eq!(gateway.metric(&state("half_open")).await, Some(1.0));
    let refused = get(&format!("{}/", gateway.url)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["stage"]), (503, &"circuit_breaker".into()));
    drop(frames);
    assert_eq!(end(probe).await.expect("the end"), "");
    gateway.metric_becomes(&state("closed"), 1.0).await;
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 200);
}

#[tokio::test]
async fn client_that_leaves_in_the_middle_of_an_answer_has_abandoned_its_call() {
    let (backend, mut bodies) = slow();
    let gateway = Gateway::configured(backend.address, &document(""));
    let response = begin(&gateway).await;
    let _frames = bodies.recv().await.expect("a body");
    assert_eq!(gateway.metric("rampart_inflight{operation=\"default\"}").await, Some(1.0));
    drop(response);
    gateway.outcomes_become([0, 0, 0, 1]).await;
}

/// A backend that answers with a part of what it promised, and then breaks off.
async fn broken() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut seen).await.expect("bytes") == 0 {
                    break;
                }
            }
            // Whoever only looked whether somebody listens is gone.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await;
        }
    });
    address
}

#[tokio::test]
async fn body_that_breaks_off_is_a_failure() {
    let gateway = Gateway::configured(broken().await, &document(r#", "circuit_breaker": {"failure_threshold": 2}"#));
    for _ in 0..2 {
        let response = begin(&gateway).await;
        assert!(end(response).await.is_err());
    }
    gateway.outcomes_become([0, 2, 0, 0]).await;
    let refused = get(&format!("{}/", gateway.url)).await;
    assert_eq!(refused.json()["error_code"], "CircuitOpen");
}

#[tokio::test]
async fn body_that_falls_silent_is_ended_and_a_failure() {
    let (backend, mut bodies) = slow();
    let gateway = Gateway::configured(backend.address, &document(r#", "timeout": {"attempt": "300ms"}"#));
    let response = begin(&gateway).await;
    let _frames = bodies.recv().await.expect("a body");
    assert!(end(response).await.is_err());
    gateway.outcomes_become([0, 1, 0, 0]).await;
    let timeouts = "rampart_timeouts_total{operation=\"default\",kind=\"attempt\"}";
    assert_eq!(gateway.metric(timeouts).await, Some(1.0));
}

#[tokio::test]
async fn slow_body_that_goes_on_is_not_ended_by_the_time_of_an_attempt() {
    let (backend, mut bodies) = slow();
    let gateway = Gateway::configured(backend.address, &document(r#", "timeout": {"attempt": "500ms"}"#));
    let response = begin(&gateway).await;
    let frames = bodies.recv().await.expect("a body");
    let feeding = tokio::spawn(async move {
        for _ in 0..8 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            frames.send(data(".")).await.expect("a reader");
        }
    });
    assert_eq!(end(response).await.expect("all of it"), "........");
    feeding.await.expect("no panic");
    gateway.outcomes_become([1, 0, 0, 0]).await;
}

#[tokio::test]
async fn every_call_ends_in_one_outcome_whatever_becomes_of_its_body() {
    const ROUNDS: u32 = 12;
    let backend = Backend::start(|request, _| async move {
        let (frames, body) = channel();
        let path = request.uri().path().to_owned();
        tokio::spawn(async move {
            // Readers may leave at any time.
            let _ = frames.send(data("first")).await;
            if path == "/silent" {
                frames.closed().await;
            } else {
                let _ = frames.send(data("last")).await;
            }
        });
        Response::new(body)
    });
    let gateway = Gateway::configured(backend.address, &document(r#", "circuit_breaker": {"enabled": false}"#));
    let calls = (0..ROUNDS).flat_map(|_| ["/whole", "/head", "/silent", "/never"]).map(|path| {
        let request = Request::get(format!("{}{path}", gateway.url)).body(full("")).expect("a request");
        tokio::spawn(async move {
            let client = client();
            let mut response = within(client.request(request)).await.expect("an answer");
            match path {
                "/whole" => drop(end(response).await.expect("all of it")),
                "/silent" => drop(within(response.body_mut().frame()).await),
                _ => {}
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic");
    }
    eventually("all calls have ended", async || {
        (gateway.outcomes("default").await.iter().sum::<u32>() == 4 * ROUNDS).then_some(())
    })
    .await;
    let [success, failure, ignored, abandoned] = gateway.outcomes("default").await;
    assert!(success >= ROUNDS && abandoned >= ROUNDS, "{success} successes, {abandoned} abandoned");
    assert_eq!((failure, ignored), (0, 0));
    gateway.outcomes_become([success, failure, ignored, abandoned]).await;
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let backend = Backend::start(async |request, _| {
        let code = request.uri().path().trim_start_matches('/').parse().expect("a status");
        let text = if code == 200 { "12345" } else { "" };
        Response::builder().status::<u16>(code).body(full(text)).expect("a response")
    });
    let gateway = Gateway::configured(backend.address, &document(""));
    for (method, code, length) in
        [("HEAD", 200, "5"), ("GET", 204, ""), ("GET", 304, ""), ("GET", 200, "5"), ("GET", 201, "0")]
    {
        let request = Request::builder().method(method).uri(format!("{}/{code}", gateway.url));
        let answer = send(request.body(full("")).expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-length")), (code, length), "{method} {code}");
        assert_eq!(answer.header("transfer-encoding"), "", "{method} {code}");
        let expected = if method == "GET" && code == 200 { "12345" } else { "" };
        assert_eq!(answer.text(), expected);
    }
    gateway.outcomes_become([5, 0, 0, 0]).await;
}

#[tokio::test]
async fn trailers_pass_through_a_body_that_decides() {
    let backend = Backend::start(async |_, _| {
        let (frames, body) = channel();
        tokio::spawn(async move {
            frames.send(data("first")).await.expect("a reader");
            let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("\"x\""))]);
            frames.send(Frame::trailers(trailers)).await.expect("a reader");
        });
        Response::builder().header("trailer", "etag").body(body).expect("a response")
    });
    let gateway = Gateway::configured(backend.address, &document(""));
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    let request = Request::get(format!("{}/", gateway.url)).header("te", "trailers").body(full("")).expect("a request");
    let response = within(client.request(request)).await.expect("an answer");
    let body = within(response.into_body().collect()).await.expect("all of it");
    assert_eq!(body.trailers().expect("trailers")[ETAG], "\"x\"");
    assert_eq!(body.to_bytes(), "first");
    gateway.outcomes_become([1, 0, 0, 0]).await;
}
