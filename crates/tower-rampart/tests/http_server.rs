//! The pipeline in front of HTTP handlers: refusals as answers, what passes untouched, how much time handlers have, and the part that a server plays.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hosts::{
    Never, NoBody, Pieces, Script, answer, balanced, body, counted, data, get, grpc, ms, pieces, secs, text, trailers,
};
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, util::BoxCloneService};
use tower_rampart::{
    BoxError, Explain, PresetBuilder, Registry, Rejection, Resilience, ResilienceConfig, Stage,
    breaker::State,
    http::{ClientLayer, Deadline, ResponseBody, ServerLayer, capabilities as http_capabilities},
    reload::ChangeBy,
};

fn layer(document: &str) -> ServerLayer {
    PresetBuilder::from_json(document).unwrap().operation("api").http_server().unwrap()
}

const PLAIN: &str = r#"{"preset": "simple"}"#;

/// A handler that answers so, and counts how often it runs.
#[derive(Clone)]
struct Handler {
    status: u16,
    runs: Arc<AtomicU32>,
}

impl Handler {
    fn new(status: u16) -> Self {
        Self { status, runs: Arc::default() }
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }
}

/// A body of a request that cannot be cloned, nor polled.
#[derive(Debug)]
struct Upload;

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("a request's body is its handler's")
    }
}

impl<Q> Service<Request<Q>> for Handler {
    type Response = Response<NoBody>;
    type Error = Never;
    type Future = std::future::Ready<Result<Response<NoBody>, Never>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Never>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Q>) -> Self::Future {
        self.runs.fetch_add(1, Ordering::Relaxed);
        ready(Ok(answer(self.status, NoBody::new())))
    }
}

fn request(pairs: &[(header::HeaderName, &str)]) -> Request<NoBody> {
    let mut request = get();
    for (name, value) in pairs {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

const USED_UP: &str = r#"{"rate_limit": {"limit": 1, "period": "24h", "burst_size": 1}}"#;

/// A layer whose rate limit is used up.
async fn used_up() -> ServerLayer {
    let layer = layer(USED_UP);
    let response = layer.layer(Handler::new(200)).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 200);
    layer
}

#[tokio::test(start_paused = true)]
async fn handler_answers_through_the_layer_whatever_its_requests_are() {
    let handler = Handler::new(201);
    let response = layer(PLAIN).layer(handler.clone()).oneshot(Request::new(Upload)).await.unwrap();
    assert_eq!((response.status().as_u16(), handler.runs()), (201, 1));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_answers_in_the_form_that_was_asked_for() {
    let layer = used_up().await;
    for (accept, expected) in [("*/*", "application/json"), ("application/problem+json", "application/problem+json")] {
        let handler = Handler::new(200);
        let response: Result<_, Infallible> =
            layer.layer(handler.clone()).oneshot(request(&[(header::ACCEPT, accept)])).await;
        let response = response.unwrap();
        assert_eq!((response.status(), handler.runs()), (StatusCode::TOO_MANY_REQUESTS, 0));
        assert_eq!(response.headers()["content-type"], expected);
        assert_eq!(response.headers()["retry-after"], "86400");
        assert_eq!(response.headers()["ratelimit-limit"], "1");
        assert!(matches!(response.extensions().get(), Some(Rejection::RateLimited(_))));
        let body: serde_json::Value = serde_json::from_str(&text(response.into_body()).await.unwrap()).unwrap();
        assert_eq!((&body["error_code"], &body["operation"]), (&"RateLimited".into(), &"api".into()));
    }
    let rejected = layer.handle().snapshot().rejected;
    assert_eq!(rejected.iter().find(|(stage, _)| *stage == Stage::RateLimit).map(|(_, count)| *count), Some(2));
}

#[tokio::test(start_paused = true)]
async fn grpc_requests_are_refused_with_a_status_of_grpc() {
    let layer = used_up().await;
    let asked = request(&[(header::CONTENT_TYPE, "application/grpc+proto")]);
    let response = layer.layer(Handler::new(200)).oneshot(asked).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(response.headers()["grpc-status"], "8");
    assert!(http_body::Body::is_end_stream(response.body()));
    let web = request(&[(header::CONTENT_TYPE, "application/grpc-web")]);
    assert_eq!(layer.layer(Handler::new(200)).oneshot(web).await.unwrap().status(), 429);
}

#[tokio::test(start_paused = true)]
async fn handler_that_takes_too_long_is_answered_for() {
    let layer = layer(r#"{"timeout": {"attempt": "1s", "total": "5s"}}"#);
    let hangs = tower::service_fn(|_: Request<NoBody>| pending::<Result<Response<NoBody>, Infallible>>());
    let response = layer.layer(hangs).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn load_is_shed_while_handlers_are_busy_with_their_bodies() {
    let layer = layer(r#"{"concurrency": {"max_inflight": 1}, "classify": {"outcome_at": "end_of_body"}}"#);
    let (feed, inner) = pieces();
    let first = layer.layer(Script::new([answer(200, inner)])).oneshot(get()).await.unwrap();
    let refused = layer.layer(Handler::new(200)).oneshot(get()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    feed.send(data("x"));
    drop(feed);
    assert_eq!(text(first.into_body()).await.unwrap(), "x");
    assert_eq!(layer.layer(Handler::new(200)).oneshot(get()).await.unwrap().status(), 200);

    let (_feed, inner) = pieces();
    let left = layer.layer(Script::new([answer(200, inner)])).oneshot(get()).await.unwrap();
    drop(left);
    assert_eq!(counted(&layer.handle()), [2, 0, 0, 1, 0], "a client that hangs up abandons");
}

#[tokio::test(start_paused = true)]
async fn state_is_shared_however_often_the_layer_is_applied() {
    let layer = layer(r#"{"rate_limit": {"limit": 2, "period": "24h", "burst_size": 2}}"#);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let service = layer.clone().layer(Handler::new(200));
        statuses.push(service.oneshot(get()).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

fn preflight() -> Request<NoBody> {
    let mut preflight =
        request(&[(header::ORIGIN, "https://example.test"), (header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")]);
    *preflight.method_mut() = Method::OPTIONS;
    preflight
}

#[tokio::test(start_paused = true)]
async fn preflight_passes_untouched() {
    let layer = used_up().await;
    layer.handle().breaker().force_open();
    let before = layer.handle().snapshot();
    let handler = Handler::new(204);
    let response = layer.layer(handler.clone()).oneshot(preflight()).await.unwrap();
    assert_eq!((response.status().as_u16(), handler.runs()), (204, 1));
    let after = layer.handle().snapshot();
    assert_eq!((before.admitted, before.rejections()), (after.admitted, after.rejections()));
    for missing in [header::ORIGIN, header::ACCESS_CONTROL_REQUEST_METHOD] {
        let mut plain = preflight();
        plain.headers_mut().remove(missing);
        assert_eq!(layer.layer(Handler::new(204)).oneshot(plain).await.unwrap().status(), 429);
    }
    let mut post = preflight();
    *post.method_mut() = Method::POST;
    assert_eq!(layer.layer(Handler::new(204)).oneshot(post).await.unwrap().status(), 429);
}

#[tokio::test(start_paused = true)]
async fn preflight_waits_for_a_handler_that_is_not_ready() {
    #[derive(Clone)]
    struct Unready(u32);

    impl Service<Request<NoBody>> for Unready {
        type Response = Response<NoBody>;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<Response<NoBody>>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            cx.waker().wake_by_ref();
            self.0 -= 1;
            if self.0 == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn call(&mut self, _request: Request<NoBody>) -> Self::Future {
            assert_eq!(self.0, 0, "the instance that was readied is called");
            ready(Ok(answer(204, NoBody::new())))
        }
    }

    assert_eq!(layer(PLAIN).layer(Unready(3)).oneshot(preflight()).await.unwrap().status(), 204);
}

#[tokio::test(start_paused = true)]
async fn handlers_own_error_comes_through_as_it_is() {
    let failing =
        tower::service_fn(|_: Request<NoBody>| async { Err::<Response<NoBody>, _>(io::Error::other("disk")) });
    let layer = layer(PLAIN);
    let error: io::Error = layer.layer(failing).oneshot(get()).await.unwrap_err();
    assert_eq!(error.to_string(), "disk");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);

    let boxed: BoxCloneService<Request<NoBody>, Response<NoBody>, BoxError> =
        BoxCloneService::new(tower::service_fn(|_: Request<NoBody>| async {
            Err::<Response<NoBody>, BoxError>("no".into())
        }));
    let layer = ServerLayer::from_preset("simple").unwrap();
    let error: BoxError = layer.layer(boxed).oneshot(get()).await.unwrap_err();
    assert_eq!(error.to_string(), "no");
}

/// The deadline that a handler is told.
async fn told(layer: &ServerLayer, request: Request<NoBody>) -> Option<std::time::Duration> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let handler = tower::service_fn(move |request: Request<NoBody>| {
        let left = request.extensions().get::<Deadline>().map(|deadline| deadline.left());
        sender.send(left).unwrap();
        ready(Ok::<_, Never>(answer(200, NoBody::new())))
    });
    layer.layer(handler).oneshot(request).await.unwrap();
    receiver.recv().unwrap()
}

#[tokio::test(start_paused = true)]
async fn handlers_are_told_how_much_time_they_have() {
    let header = header::HeaderName::from_static("x-timeout-ms");
    let timed = layer(r#"{"http": {"deadline_headers": ["x-timeout-ms"]}, "timeout": {"total": "3s"}}"#);
    assert_eq!(told(&timed, get()).await, Some(secs(3)));
    assert_eq!(told(&timed, request(&[(header.clone(), "500")])).await, Some(ms(500)));
    assert_eq!(told(&timed, request(&[(header.clone(), "60000")])).await, Some(secs(3)));
    assert_eq!(told(&timed, request(&[(header, "soon")])).await, Some(secs(3)));
    let untimed = layer(r#"{"timeout": {"total": "off", "attempt": "off"}}"#);
    assert_eq!(told(&untimed, get()).await, None);
    let grpc_timeout = header::HeaderName::from_static("grpc-timeout");
    let stated = [(header::CONTENT_TYPE, "application/grpc"), (grpc_timeout, "250m")];
    assert_eq!(told(&layer(r#"{"classify": {"profile": "grpc"}}"#), request(&stated)).await, Some(ms(250)));
}

#[tokio::test(start_paused = true)]
async fn no_handler_runs_twice_and_no_circuit_opens_unless_asked_for() {
    let layer = ServerLayer::from_preset("production").unwrap();
    let handler = Handler::new(503);
    for _ in 0..30 {
        assert_eq!(layer.layer(handler.clone()).oneshot(get()).await.unwrap().status(), 503);
    }
    assert_eq!(handler.runs(), 30);
    let config = layer.handle().config();
    assert!(!config.retry.enabled && !config.circuit_breaker.enabled, "and the configuration says so");
}

#[tokio::test(start_paused = true)]
async fn retries_of_a_document_are_not_the_servers() {
    let handler = Handler::new(503);
    let layer = layer(r#"{"retry": {"enabled": true, "max_attempts": 5}, "http": {"attempt_header": "x-attempt"}}"#);
    layer.layer(handler.clone()).oneshot(get()).await.unwrap();
    assert_eq!(handler.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn circuit_of_a_document_is_the_servers() {
    let handler = Handler::new(500);
    let layer = layer(r#"{"circuit_breaker": {"failure_threshold": 2}}"#);
    for _ in 0..2 {
        layer.layer(handler.clone()).oneshot(get()).await.unwrap();
    }
    let refused = layer.layer(handler.clone()).oneshot(get()).await.unwrap();
    assert_eq!((refused.status().as_u16(), handler.runs()), (503, 2));
    assert!(matches!(refused.extensions().get(), Some(Rejection::CircuitOpen(_))));
    let code =
        PresetBuilder::from_json(PLAIN).unwrap().overrides_json(r#"{"circuit_breaker": {"failure_threshold": 2}}"#);
    let layer: ServerLayer = code.unwrap().http_server().unwrap();
    assert!(layer.handle().config().circuit_breaker.enabled);
}

#[tokio::test(start_paused = true)]
async fn part_of_a_server_is_played_through_every_reload() {
    let by = ChangeBy::code("test");
    let config = ResilienceConfig::from_json(r#"{"preset": "production"}"#).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), http_capabilities()).unwrap();
    let layer: ServerLayer = PresetBuilder::from_resilience(&resilience).operation("api").http_server().unwrap();
    let again: ServerLayer = PresetBuilder::from_resilience(&resilience).operation("api").http_server().unwrap();
    let client: ClientLayer = PresetBuilder::from_resilience(&resilience).operation("peer").http_client().unwrap();
    let is_on = || {
        let config = layer.handle().config();
        assert_eq!(config, again.handle().config());
        assert!(!config.retry.enabled);
        assert_eq!(*config, resilience.config().operation("api"), "what is shown is what runs");
        config.circuit_breaker.enabled
    };
    assert!(!is_on());
    assert!(client.handle().config().retry.enabled && client.handle().config().circuit_breaker.enabled);
    resilience.reload_json(r#"{"preset": "production", "retry_attempts": 7}"#, &by).unwrap();
    assert!(!is_on());
    assert_eq!(client.handle().config().retry.max_attempts, 7);
    resilience.reload_json(r#"{"circuit_breaker": {"failure_threshold": 3}}"#, &by).unwrap();
    assert!(is_on());
    resilience.reload_json(r#"{"operation_overrides": {"api": {"circuit_breaker_threshold": 9}}}"#, &by).unwrap();
    assert!(is_on());
    resilience.reload_json(PLAIN, &by).unwrap();
    assert!(!is_on());
    let id = resilience.override_operation("api", r#"{"circuit_breaker": {"enabled": true}}"#, None, &by).unwrap();
    assert!(is_on());
    resilience.revert(id, &by).unwrap();
    assert!(!is_on());
    let refused = resilience.override_operation("api", r#"{"retry": {"enabled": true}}"#, None, &by).unwrap_err();
    assert!(refused.to_string().contains("clone_request"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_handlers_meet_follows_a_reload() {
    let by = ChangeBy::code("test");
    let config = ResilienceConfig::from_json(PLAIN).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), http_capabilities()).unwrap();
    let layer: ServerLayer = PresetBuilder::from_resilience(&resilience).operation("api").http_server().unwrap();
    let handle = layer.handle();
    layer.layer(Handler::new(404)).oneshot(get()).await.unwrap();
    assert_eq!(counted(&handle), [1, 0, 0, 0, 0]);
    let document = r#"{
        "classify": {"transient_status": [404], "outcome_at": "end_of_body"}, "concurrency": {"max_inflight": 3},
        "http": {"deadline_headers": ["x-timeout-ms"]}
    }"#;
    resilience.reload_json(document, &by).unwrap();
    layer.layer(Handler::new(404)).oneshot(get()).await.unwrap();
    assert_eq!(counted(&handle), [1, 1, 0, 0, 0]);
    let header = header::HeaderName::from_static("x-timeout-ms");
    assert_eq!(told(&layer, request(&[(header, "500")])).await, Some(ms(500)));
    let (_feed, inner) = pieces();
    let _held = layer.layer(Script::new([answer(200, inner)])).oneshot(get()).await.unwrap();
    assert_eq!(balanced(&handle).inflight, 1);
    resilience.reload_json(r#"{"classify": {"profile": "grpc"}}"#, &by).unwrap();
    let failing = body([data("m"), trailers(&[("grpc-status", "13")])]);
    let response = layer.layer(Script::new([grpc(failing)])).oneshot(get()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().trailers().unwrap()["grpc-status"], "13");
    assert_eq!(counted(&handle), [2, 2, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn answer_of_a_handler_is_not_held_up() {
    let layer = layer(r#"{"classify": {"profile": "grpc"}}"#);
    let (_feed, inner) = pieces();
    let began = tower_rampart::clock::now();
    let response = layer.layer(Script::new([grpc(inner)])).oneshot(get()).await.unwrap();
    assert_eq!(tower_rampart::clock::now(), began);
    assert!(response.body().is_watched(), "its trailers decide");
}

#[tokio::test(start_paused = true)]
async fn fallback_answers_for_a_status_in_trailers_where_they_are_waited_for() {
    for (patience, expected) in [(None, ""), (Some(ms(20)), "stale")] {
        let layer = PresetBuilder::from_json(r#"{"classify": {"profile": "grpc"}}"#)
            .unwrap()
            .fallback_with(|_| ready(Ok(Response::new(ResponseBody::<Pieces>::whole("stale")))))
            .http_server()
            .unwrap();
        let layer = if let Some(patience) = patience { layer.peek_timeout(patience) } else { layer };
        let failing = body([trailers(&[("grpc-status", "14")])]);
        let response = layer.layer(Script::new([grpc(failing)])).oneshot(get()).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn fallback_answers_for_handlers() {
    let layer = PresetBuilder::from_json(USED_UP)
        .unwrap()
        .fallback_with(|_| ready(Ok(Response::new(ResponseBody::<NoBody>::whole("stale")))))
        .http_server()
        .unwrap();
    let service = layer.layer(Handler::new(200));
    assert_eq!(text(service.clone().oneshot(get()).await.unwrap().into_body()).await.unwrap(), "");
    let refused = service.oneshot(get()).await.unwrap();
    assert_eq!(refused.extensions().get::<Explain>().map(Explain::served_by), Some("fallback"));
    assert_eq!(text(refused.into_body()).await.unwrap(), "stale");
}

#[test]
fn operation_is_a_client_or_a_server() {
    let registry = Registry::new();
    let builder = || PresetBuilder::from_json(PLAIN).unwrap().operation("both").registry(&registry);
    let _server: ServerLayer = builder().http_server().unwrap();
    let _again: ServerLayer = builder().http_server().unwrap();
    assert!(builder().http_client().map(|layer: ClientLayer| layer).is_err());
    let odd = PresetBuilder::from_json(PLAIN).unwrap().operation("GET /").http_server();
    assert!(odd.map(|layer: ServerLayer| layer).unwrap_err().to_string().contains("cannot name an operation"));
}

/// Whatever the number of polls after which everything is dropped: nothing is held, and the sums are right.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_wherever_a_client_hangs_up() {
    let layer = layer(
        r#"{"concurrency": {"max_inflight": 1, "queue_size": 1, "queue_timeout": "1s"}, "classify": {"outcome_at": "end_of_body"}}"#,
    );
    for polls in 0..10 {
        let (feed, inner) = pieces();
        let answer = Arc::new(Mutex::new(Some(answer(200, inner))));
        let handler = tower::service_fn(move |_: Request<Full<Bytes>>| {
            let answer = answer.lock().unwrap().take().expect("it is called once");
            async move {
                tokio::task::yield_now().await;
                Ok::<_, Never>(answer)
            }
        });
        let call = layer.layer(handler).oneshot(Request::new(Full::default()));
        let mut task = tokio_test::task::spawn(async move {
            let response = call.await.unwrap();
            text(response.into_body()).await
        });
        let mut feed = Some(feed);
        for poll in 0..polls {
            if task.poll().is_ready() {
                break;
            }
            if poll == 5 {
                feed = None;
            }
            tokio::task::yield_now().await;
        }
        drop((task, feed));
        assert_eq!(balanced(&layer.handle()).inflight, 0, "after {polls} polls");
    }
    let snapshot = balanced(&layer.handle());
    assert!(snapshot.abandoned > 0 && snapshot.success > 0, "{snapshot:?}");
}

#[test]
fn services_are_what_hosts_ask_for() {
    fn hosted<S, B>(_service: S)
    where
        S: Service<
                Request<B>,
                Response = Response<ResponseBody<NoBody>>,
                Error = Infallible,
                Future: Future + Send + 'static,
            > + Clone
            + Send
            + Sync
            + 'static,
    {
    }
    hosted::<_, Upload>(layer(PLAIN).layer(Handler::new(200)));
    assert_eq!(layer(PLAIN).handle().breaker().state(), State::Disabled);
}
