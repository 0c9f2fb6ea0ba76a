//! axum behind `http::ServerLayer`, through real sockets, HTTP/1.1 and HTTP/2. What the layer does without a socket is in the library's own tests.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{any, get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, Semaphore, mpsc},
};
use tower_rampart::{
    OperationHandle, PresetBuilder, Registry, Rejection, Resilience, ResilienceConfig, Stage,
    axum::layer_for,
    breaker,
    clock::now,
    http::{self as rampart, Attempt, Deadline, ServerLayer},
};
use tower_rampart_tests::host::{Host, client, polled, quiet, settled, until, within};

/// Twice: by HTTP/1.1, by HTTP/2.
const VERSIONS: [bool; 2] = [false, true];

fn layer(document: &str) -> ServerLayer {
    PresetBuilder::from_json(r#"{"timeout": {"attempt": "off", "total": "off"}}"#)
        .and_then(|builder| builder.operation("shop").overrides_json(document)?.http_server())
        .expect("a layer")
}

async fn send(host: &Host, is_h2: bool, request: Request<Empty<Bytes>>) -> Result<http::Response<Incoming>, ()> {
    let (mut head, body) = request.into_parts();
    head.uri = host.url(head.uri.path()).parse().expect("a URL");
    within(client(is_h2).request(Request::from_parts(head, body))).await.map_err(|_| ())
}

async fn ask(host: &Host, is_h2: bool, path: &str) -> http::Response<Incoming> {
    send(host, is_h2, request(path)).await.expect("an answer")
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).expect("a request")
}

async fn text(response: http::Response<Incoming>) -> String {
    let bytes = within(response.into_body().collect()).await.expect("a whole body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

async fn json(response: http::Response<Incoming>) -> Value {
    serde_json::from_str(&text(response).await).expect("JSON")
}

/// A handler that runs until it is let go, and tells when it was dropped.
#[derive(Clone, Default)]
struct Gate {
    open: Arc<Notify>,
    runs: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
}

struct Running(Gate, bool);

impl Drop for Running {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Gate {
    async fn pass(State(gate): State<Self>) -> &'static str {
        let mut running = Running(gate.clone(), false);
        gate.runs.fetch_add(1, Ordering::SeqCst);
        gate.open.notified().await;
        running.1 = true;
        "passed"
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn layer_is_one_state_wherever_it_is_put() {
    for is_h2 in VERSIONS {
        let layer = layer("{}");
        let hello = || get(|| async { "hello" });
        let router = Router::new()
            .route("/method", hello().layer(layer.clone()))
            .nest("/nested", Router::new().route("/inside", hello()).layer(layer.clone()))
            .merge(Router::new().route("/merged/{id}", hello()).route_layer(layer.clone()))
            .merge(Router::new().route("/a", hello()).route("/b", hello()).layer(layer.clone()))
            .route_service("/service", tower::Layer::layer(&layer, tower::service_fn(greet)))
            .fallback(any(|| async { StatusCode::NOT_FOUND }).layer(layer.clone()));
        let host = Host::start(router).await;
        for (path, status) in
            [("/method", 200), ("/nested/inside", 200), ("/merged/7", 200), ("/a", 200), ("/b", 200), ("/service", 200)]
        {
            assert_eq!(ask(&host, is_h2, path).await.status(), status, "{path}");
        }
        settled(&layer.handle(), [6, 0, 0, 0]).await;
        assert_eq!(ask(&host, is_h2, "/nowhere").await.status(), 404);
        quiet(&layer.handle()).await;
        assert_eq!(layer.handle().snapshot().admitted, 7);
    }
}

async fn greet(_: Request<Body>) -> Result<Response, Infallible> {
    Ok("hello".into_response())
}

#[tokio::test]
async fn fallback_is_covered_by_layer_and_not_by_route_layer() {
    for (layer, admitted) in [(layer("{}"), 1), (layer("{}"), 0)] {
        let router = Router::new().route("/", get(|| async { "hello" }));
        let router = if admitted == 1 { router.layer(layer.clone()) } else { router.route_layer(layer.clone()) };
        let host = Host::start(router).await;
        assert_eq!(ask(&host, false, "/nowhere").await.status(), 404);
        quiet(&layer.handle()).await;
        assert_eq!(layer.handle().snapshot().admitted, admitted);
    }
}

#[tokio::test]
async fn handlers_extract_the_handle_the_time_left_and_the_attempt() {
    async fn look(operation: OperationHandle, deadline: Deadline, attempt: Attempt) -> Json<Value> {
        let inflight = operation.signals().current_inflight;
        let left = u64::try_from(deadline.left().as_millis()).expect("not that long");
        Json(serde_json::json!({"name": operation.name(), "inflight": inflight, "left": left, "attempt": attempt.0}))
    }
    let bare = |deadline: Option<Deadline>, attempt: Option<Attempt>, handle: Option<OperationHandle>| async move {
        format!("{} {} {}", deadline.is_some(), attempt.is_some(), handle.is_some())
    };
    let document = r#"{"timeout": {"total": "5s"}, "http": {"deadline_headers": ["x-timeout-ms"], "attempt_header": "x-attempt"}}"#;
    let (open, closed) = (layer(document).expose_handle(), layer("{}"));
    let router = Router::new()
        .route("/look", get(look).layer(open.clone()))
        .route("/bare", get(bare).layer(closed.clone()))
        .route("/missing", get(look).layer(closed.clone()));
    let host = Host::start(router).await;
    for is_h2 in VERSIONS {
        let mut asked = request("/look");
        asked.headers_mut().insert("x-timeout-ms", 2000.into());
        asked.headers_mut().insert("x-attempt", 3.into());
        let said = json(send(&host, is_h2, asked).await.expect("an answer")).await;
        assert_eq!((&said["name"], &said["inflight"], &said["attempt"]), (&"shop".into(), &1.into(), &3.into()));
        assert!(said["left"].as_u64().is_some_and(|left| (1..=2000).contains(&left)), "{said}");
        let said = json(ask(&host, is_h2, "/look").await).await;
        assert_eq!(said["attempt"], 1);
        assert!(said["left"].as_u64().is_some_and(|left| (2000..=5000).contains(&left)), "{said}");
        assert_eq!(text(ask(&host, is_h2, "/bare").await).await, "false false false");
        let missing = ask(&host, is_h2, "/missing").await;
        assert_eq!(missing.status(), 500);
        assert!(text(missing).await.contains("expose_handle"));
    }
    settled(&open.handle(), [4, 0, 0, 0]).await;
    settled(&closed.handle(), [2, 2, 0, 0]).await;
}

#[tokio::test]
async fn routes_are_operations_of_one_configuration() {
    let config = ResilienceConfig::from_json(
        r#"{"operation_overrides": {"export": {"rate_limit": {"limit": 1, "period": "24h", "burst_size": 1}}}}"#,
    )
    .expect("a configuration");
    let registry = Registry::new();
    let resilience = Resilience::for_host(config, &registry, rampart::capabilities()).expect("it can be served");
    let export = layer_for(&resilience, "export").expect("a layer");
    let search = layer_for(&resilience, "search").expect("a layer");
    let live = |State(resilience): State<Resilience>| async move { resilience.registry().prometheus_text() };
    let router = Router::new()
        .nest("/export", Router::new().route("/csv", get(|| async { "1,2" })).route_layer(export.clone()))
        .merge(Router::new().route("/search", get(|| async { "found" })).route_layer(search.clone()))
        .route("/metrics", get(live))
        .with_state(resilience);
    let host = Host::start(router).await;
    for (path, status) in [("/export/csv", 200), ("/export/csv", 429), ("/search", 200), ("/search", 200)] {
        assert_eq!(ask(&host, false, path).await.status(), status, "{path}");
    }
    assert!(text(ask(&host, false, "/metrics").await).await.contains(r#"operation="search""#));
    settled(&export.handle(), [1, 0, 0, 0]).await;
    settled(&search.handle(), [2, 0, 0, 0]).await;
}

#[tokio::test]
async fn events_flow_one_by_one() {
    for is_h2 in VERSIONS {
        let layer = layer(r#"{"classify": {"outcome_at": "end_of_body"}}"#);
        let (sender, receiver) = mpsc::unbounded_channel::<u32>();
        let receiver = Arc::new(Mutex::new(Some(receiver)));
        let events = move || async move {
            let receiver = receiver.lock().expect("nobody panics").take().expect("asked once");
            Sse::new(stream::unfold(receiver, |mut receiver| async move {
                let number = receiver.recv().await?;
                Some((Ok::<_, Infallible>(Event::default().data(number.to_string())), receiver))
            }))
        };
        let host = Host::start(Router::new().route("/events", get(events)).layer(layer.clone())).await;
        let mut body = ask(&host, is_h2, "/events").await.into_body();
        for number in 0..3 {
            sender.send(number).expect("the stream is there");
            let frame = within(body.frame()).await.expect("a frame").expect("no error").into_data().expect("data");
            assert_eq!(frame, format!("data: {number}\n\n"));
            assert_eq!(layer.handle().snapshot().inflight, 1);
        }
        drop(sender);
        assert_eq!(within(body.collect()).await.expect("its end").to_bytes(), "");
        settled(&layer.handle(), [1, 0, 0, 0]).await;
    }
}

/// What websockets begin with; the handler is given the connection, as axum's own is.
#[tokio::test]
async fn upgraded_connection_is_the_handlers() {
    async fn upgrade(mut request: Request<Body>) -> Response {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgrade.await.expect("it is upgraded"));
            let mut said = [0; 4];
            io.read_exact(&mut said).await.expect("four bytes");
            io.write_all(&said).await.expect("the client is there");
        });
        let head = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket")];
        (StatusCode::SWITCHING_PROTOCOLS, head).into_response()
    }
    for document in ["{}", r#"{"classify": {"outcome_at": "end_of_body"}}"#] {
        let layer = layer(document);
        let host = Host::start(Router::new().route("/socket", any(upgrade)).layer(layer.clone())).await;
        let mut io = TcpStream::connect(host.address()).await.expect("a connection");
        io.write_all(b"GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await
            .expect("it is read");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(io.read_u8()).await.expect("a head"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        settled(&layer.handle(), [1, 0, 0, 0]).await;
        io.write_all(b"ping").await.expect("it is read");
        let mut echo = [0; 4];
        within(io.read_exact(&mut echo)).await.expect("an echo");
        assert_eq!(&echo, b"ping");
    }
}

#[tokio::test]
async fn load_is_shed_before_a_handler_sees_it() {
    for is_h2 in VERSIONS {
        let gate = Gate::default();
        let layer = layer(r#"{"concurrency": {"max_inflight": 1, "queue_size": 1, "queue_timeout": "20s"}}"#);
        let router = Router::new().route("/", get(Gate::pass)).with_state(gate.clone()).layer(layer.clone());
        let host = Arc::new(Host::start(router).await);
        let call = || {
            let host = Arc::clone(&host);
            tokio::spawn(async move { text(ask(&host, is_h2, "/").await).await })
        };
        let first = call();
        until(|| gate.runs() == 1).await;
        let second = call();
        let places = || layer.handle().snapshot().concurrency.expect("the stage is on");
        until(|| places().queued == 1).await;
        let shed = ask(&host, is_h2, "/").await;
        assert_eq!(shed.status(), 503);
        let said = json(shed).await;
        assert_eq!((&said["error_code"], &said["stage"]), (&"Overloaded".into(), &"concurrency".into()));
        assert_eq!(gate.runs(), 1);
        gate.open.notify_one();
        until(|| gate.runs() == 2).await;
        gate.open.notify_one();
        for call in [first, second] {
            assert_eq!(within(call).await.expect("no panic"), "passed");
        }
        settled(&layer.handle(), [2, 0, 0, 0]).await;
    }
}

#[tokio::test]
async fn rate_limit_says_when_to_come_back_and_means_it() {
    for is_h2 in VERSIONS {
        let layer = layer(r#"{"rate_limit": {"limit": 1, "period": "900ms", "burst_size": 1}}"#);
        let host = Host::start(Router::new().route("/", get(|| async { "hello" })).layer(layer.clone())).await;
        assert_eq!(ask(&host, is_h2, "/").await.status(), 200);
        let refused = ask(&host, is_h2, "/").await;
        assert_eq!(refused.status(), 429);
        for (name, value) in
            [("retry-after", "1"), ("ratelimit-limit", "1"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "1")]
        {
            assert_eq!(refused.headers()[name], value, "{name}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&host, is_h2, "/").await.status(), 200);
        settled(&layer.handle(), [2, 0, 0, 0]).await;
        assert_eq!(layer.handle().snapshot().rejections(), 1);
    }
}

#[tokio::test]
async fn deadline_of_the_caller_ends_the_handler() {
    for is_h2 in VERSIONS {
        let gate = Gate::default();
        let layer = layer(r#"{"http": {"deadline_headers": ["x-timeout-ms"]}, "classify": {"profile": "grpc"}}"#);
        let router = Router::new().route("/", any(Gate::pass)).with_state(gate.clone()).layer(layer.clone());
        let host = Host::start(router).await;
        let mut asked = request("/");
        asked.headers_mut().insert("x-timeout-ms", 50.into());
        let began = now();
        let response = send(&host, is_h2, asked).await.expect("an answer");
        assert!((Duration::from_millis(50)..Duration::from_secs(10)).contains(&now().since(began)));
        assert_eq!(response.status(), 504);
        assert_eq!(json(response).await["error_code"], "Timeout");
        let mut asked = request("/");
        *asked.method_mut() = Method::POST;
        asked.headers_mut().insert(header::CONTENT_TYPE, "application/grpc".parse().expect("a value"));
        asked.headers_mut().insert("grpc-timeout", "50m".parse().expect("a value"));
        let response = send(&host, is_h2, asked).await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &"4".parse().expect("a value"))
        );
        until(|| gate.dropped() == 2).await;
        settled(&layer.handle(), [0, 2, 0, 0]).await;
    }
}

#[tokio::test]
async fn preflight_reaches_the_router() {
    for is_h2 in VERSIONS {
        let layer = layer(r#"{"rate_limit": {"limit": 1, "period": "24h", "burst_size": 1}}"#);
        let allow = || async { [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://example.test")] };
        let router = Router::new().route("/", get(|| async { "hello" }).options(allow)).layer(layer.clone());
        let host = Host::start(router).await;
        assert_eq!(ask(&host, is_h2, "/").await.status(), 200);
        for is_preflight in [true, false] {
            let mut asked = request("/");
            *asked.method_mut() = Method::OPTIONS;
            asked.headers_mut().insert(header::ORIGIN, "https://example.test".parse().expect("a value"));
            if is_preflight {
                asked.headers_mut().insert(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT".parse().expect("a value"));
            }
            let response = send(&host, is_h2, asked).await.expect("an answer");
            assert_eq!(response.status().as_u16(), if is_preflight { 200 } else { 429 });
            assert_eq!(response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), is_preflight);
        }
        settled(&layer.handle(), [1, 0, 0, 0]).await;
        assert_eq!(layer.handle().snapshot().rejections(), 1);
    }
}

#[tokio::test]
async fn outage_opens_the_circuit_that_was_asked_for_and_recovery_closes_it() {
    for is_h2 in VERSIONS {
        let layer = layer(
            r#"{"circuit_breaker": {"failure_threshold": 3, "recovery_timeout": "300ms", "success_threshold": 1}}"#,
        );
        let is_down = Arc::new(AtomicBool::new(true));
        let runs = Arc::new(AtomicU32::new(0));
        let (down, count) = (Arc::clone(&is_down), Arc::clone(&runs));
        let work = move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            if down.load(Ordering::SeqCst) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
        };
        let host = Host::start(Router::new().route("/", get(work)).layer(layer.clone())).await;
        for _ in 0..3 {
            assert_eq!(ask(&host, is_h2, "/").await.status(), 500);
        }
        let refused = ask(&host, is_h2, "/").await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (503, &"1".parse().expect("a value"))
        );
        assert_eq!(json(refused).await["error_code"], "CircuitOpen");
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        is_down.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(350)).await;
        assert_eq!(ask(&host, is_h2, "/").await.status(), 200);
        assert_eq!(layer.handle().breaker().state(), breaker::State::Closed);
        settled(&layer.handle(), [1, 3, 0, 0]).await;
    }
}

#[tokio::test]
async fn client_that_goes_away_ends_the_handler_and_gives_the_place_back() {
    for is_h2 in VERSIONS {
        let gate = Gate::default();
        let layer = layer(r#"{"concurrency": {"max_inflight": 1}}"#);
        let router = Router::new().route("/", get(Gate::pass)).with_state(gate.clone()).layer(layer.clone());
        let host = Arc::new(Host::start(router).await);
        let call = tokio::spawn({
            let host = Arc::clone(&host);
            async move { ask(&host, is_h2, "/").await.status() }
        });
        until(|| gate.runs() == 1).await;
        call.abort();
        until(|| gate.dropped() == 1).await;
        settled(&layer.handle(), [0, 0, 0, 1]).await;
        gate.open.notify_one();
        assert_eq!(ask(&host, is_h2, "/").await.status(), 200);
        settled(&layer.handle(), [1, 0, 0, 1]).await;
    }
}

/// A body that sends a chunk for each permit, without an end.
fn drip(permits: Arc<Semaphore>) -> Body {
    Body::from_stream(stream::unfold(permits, |permits| async move {
        permits.acquire().await.ok()?.forget();
        Some((Ok::<_, Infallible>(Bytes::from_static(b"drip")), permits))
    }))
}

#[tokio::test]
async fn slow_body_keeps_its_place_and_the_client_that_leaves_it_gives_it_back() {
    for is_h2 in VERSIONS {
        let layer = layer(r#"{"concurrency": {"max_inflight": 1}, "classify": {"outcome_at": "end_of_body"}}"#);
        let permits = Arc::new(Semaphore::new(1));
        let shared = Arc::clone(&permits);
        let router = Router::new().route("/", get(move || async move { drip(shared) })).layer(layer.clone());
        let host = Host::start(router).await;
        let client = client::<Empty<Bytes>>(is_h2);
        let get = || Request::get(host.url("/")).body(Empty::new()).expect("a request");
        let mut body = within(client.request(get())).await.expect("an answer").into_body();
        for _ in 0..3 {
            let frame = within(body.frame()).await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), "drip");
            let refused = ask(&host, is_h2, "/").await;
            assert_eq!(refused.status(), 503);
            permits.add_permits(1);
        }
        drop((body, client));
        // A server over HTTP/1.1 hears of it when it writes.
        permits.add_permits(1000);
        settled(&layer.handle(), [0, 0, 0, 1]).await;
        permits.close();
        assert_eq!(ask(&host, is_h2, "/").await.status(), 200);
        quiet(&layer.handle()).await;
    }
}

#[tokio::test]
async fn upload_of_ten_megabytes_streams_through_once() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 160;
    for is_h2 in VERSIONS {
        let layer: ServerLayer = ServerLayer::from_preset("production").expect("a layer");
        let (runs, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, bytes) = (Arc::clone(&runs), Arc::clone(&seen));
        let upload = move |body: Body| async move {
            count.fetch_add(1, Ordering::SeqCst);
            let mut stream = body.into_data_stream();
            while let Some(chunk) = stream.next().await {
                let Ok(chunk) = chunk else { return StatusCode::BAD_REQUEST };
                bytes.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
            StatusCode::INTERNAL_SERVER_ERROR
        };
        let host = Host::start(Router::new().route("/", post(upload)).layer(layer.clone())).await;
        let (sender, receiver) = mpsc::channel::<Bytes>(1);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            Some((Ok::<_, Infallible>(Frame::data(receiver.recv().await?)), receiver))
        });
        let request = Request::post(host.url("/")).body(StreamBody::new(Box::pin(frames))).expect("a request");
        let answer = tokio::spawn(client(is_h2).request(request));
        for sent in 1..=CHUNKS {
            within(sender.send(Bytes::from(vec![b'x'; CHUNK]))).await.expect("the body is read");
            // The handler sees each chunk before the next is sent.
            until(|| seen.load(Ordering::SeqCst) == (sent * CHUNK) as u64).await;
        }
        drop(sender);
        let answer = within(answer).await.expect("no panic").expect("an answer");
        assert_eq!((answer.status().as_u16(), runs.load(Ordering::SeqCst)), (500, 1));
        assert_eq!(seen.load(Ordering::SeqCst), 10 * 1024 * 1024);
        settled(&layer.handle(), [0, 1, 0, 0]).await;
    }
}

#[tokio::test]
async fn handler_that_panics_has_failed_and_holds_nothing() {
    for is_h2 in VERSIONS {
        let layer = layer(r#"{"concurrency": {"max_inflight": 1}}"#);
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/panic", get(|| async { if now_is_later() { "later" } else { panic!("on purpose") } }))
            .layer(layer.clone());
        let host = Host::start(router).await;
        send(&host, is_h2, request("/panic")).await.expect_err("the connection is gone");
        quiet(&layer.handle()).await;
        assert_eq!(ask(&host, is_h2, "/").await.status(), 200);
        settled(&layer.handle(), [1, 1, 0, 0]).await;
    }
}

/// Never; the compiler need not know.
fn now_is_later() -> bool {
    Registry::new().operations().len() > 1
}

#[tokio::test]
async fn call_that_is_dropped_at_any_point_leaves_nothing_behind() {
    for is_h2 in VERSIONS {
        let layer = layer(
            r#"{"concurrency": {"max_inflight": 2, "queue_size": 4, "queue_timeout": "5s"}, "classify": {"outcome_at": "end_of_body"},
                "rate_limit": {"limit": 500, "period": "1s", "burst_size": 2, "on_limit": "wait", "max_wait": "5s"}}"#,
        );
        let work = || async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            let frames = (0..3).map(|_| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok::<_, Infallible>(Bytes::from_static(b"x"))
            });
            Body::from_stream(stream::iter(frames).then(|frame| frame))
        };
        let host = Host::start(Router::new().route("/", get(work)).layer(layer.clone())).await;
        let client = client::<Full<Bytes>>(is_h2);
        let calls = (0..160).map(|step| {
            let call = client.request(Request::get(host.url("/")).body(Full::default()).expect("a request"));
            // From before anything was sent to after the whole answer.
            polled(step % 16, async { call.await.expect("an answer").into_body().collect().await.expect("a body") })
        });
        let ended: Vec<Option<_>> = within(stream::iter(calls).buffer_unordered(4).collect()).await;
        assert!(ended.iter().any(Option::is_some) && ended.iter().any(Option::is_none), "the points are chosen badly");
        drop(client);
        quiet(&layer.handle()).await;
        let it = layer.handle().snapshot();
        assert!(it.success > 0 && it.abandoned > 0, "{it:?}");
        assert_eq!(it.failure, 0, "{it:?}");
    }
}

/// Stacked by hand: every layer with a handler for its errors, and refusals that are answers.
#[tokio::test]
async fn error_handler_answers_for_layers_that_are_stacked_by_hand() {
    use axum::error_handling::HandleErrorLayer;
    use tower::ServiceBuilder;
    use tower_rampart::{Error, RateLimitLayer, rate_limit};

    let limit = RateLimitLayer::new(rate_limit::Config::per_second(1.0)).expect("a layer");
    let layers = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|error: Error<Infallible>| async { error }))
        .layer(limit)
        .map_err(Error::Inner);
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let look = axum::middleware::map_response(move |response: Response| {
        *keep.lock().expect("nobody panics") = response.extensions().get::<Rejection>().map(Rejection::stage);
        std::future::ready(response)
    });
    let host = Host::start(Router::new().route("/", get(|| async { "hello" })).layer(layers).layer(look)).await;
    assert_eq!(ask(&host, false, "/").await.status(), 200);
    let refused = ask(&host, false, "/").await;
    let headers: &HeaderMap = refused.headers();
    assert_eq!((refused.status().as_u16(), &headers["retry-after"]), (429, &"1".parse().expect("a value")));
    assert_eq!(json(refused).await["error_code"], "RateLimited");
    assert_eq!(*kept.lock().expect("nobody panics"), Some(Stage::RateLimit));
}

#[tokio::test]
async fn clients_are_told_apart_by_the_address_of_their_connection() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 1, "per_key": "client_ip"}}"#;
    let app = Router::new().route("/", get(|| async { "hello" })).layer(layer(document));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await.expect("it serves");
    });
    let ask_from = |last: u8| async move {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("the loopback has many addresses");
        let mut stream = within(socket.connect(address)).await.expect("the server listens");
        let head = "GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 198.51.100.7\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.expect("an answer");
        answer.split(' ').nth(1).map(str::to_owned).expect("an answer has a status")
    };
    assert_eq!(ask_from(2).await, "200");
    assert_eq!(ask_from(2).await, "429");
    assert_eq!(ask_from(3).await, "200");
    serving.abort();
}
