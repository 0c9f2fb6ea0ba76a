//! The pipeline in front of an HTTP client: what is retried, what each attempt is told, how gRPC's answers are looked at, and what a reload changes.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{
    future::ready,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use hosts::{
    NoBody, Pieces, Script, answer, balanced, body, counted, data, get, grpc, is_silent, ms, pieces, text, trailers,
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, util::BoxCloneService};
use tower_rampart::{
    BoxError, Class, ClassKind, Error, Explain, PresetBuilder, Resilience, ResilienceConfig,
    breaker::State,
    http::{Attempt, ClientLayer, ClientService, ReplayBody, ResponseBody, capabilities as http_capabilities},
    registry::Registry,
    reload::ChangeBy,
    retry::StopReason,
};

/// Quick retries, and nothing that is in the way.
const QUICK: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "0ms", "max": "50ms"}, "jitter": {"kind": "none"}}
}"#;

fn layer(document: &str) -> ClientLayer {
    PresetBuilder::from_json(document).unwrap().http_client().unwrap()
}

fn empty(status: u16) -> Response<NoBody> {
    answer(status, NoBody::new())
}

fn with<const N: usize>(method: &str, headers: [(&'static str, &'static str); N]) -> Request<NoBody> {
    let mut request = Request::builder().method(method);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(NoBody::new()).unwrap()
}

fn explain<B>(response: &Response<B>) -> &Explain {
    response.extensions().get().expect("a remarkable call is explained")
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_retried_is_explained_in_the_extensions_of_the_last() {
    let script = Script::new([empty(503), empty(500), empty(200)]);
    let layer = layer(QUICK);
    let response = layer.layer(script.clone()).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 200);
    let explain = explain(&response);
    assert_eq!((explain.attempts, explain.class), (3, Some(ClassKind::Success)));
    assert_eq!((explain.delays.len(), explain.served_by()), (2, "primary"));
    let attempts: Vec<_> = script.requests().iter().map(|it| it.extensions().get::<Attempt>().copied()).collect();
    assert_eq!(attempts, [None, Some(Attempt(2)), Some(Attempt(3))]);
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn plain_success_has_no_report() {
    let response = layer(QUICK).layer(Script::new([empty(200)])).oneshot(get()).await.unwrap();
    assert!(response.extensions().get::<Explain>().is_none());
}

#[tokio::test(start_paused = true)]
async fn request_that_may_not_be_sent_twice_is_sent_once_unless_it_was_not_processed() {
    let once = layer(QUICK).layer(Script::new([empty(500)])).oneshot(with("POST", [])).await.unwrap();
    assert_eq!(explain(&once).stopped_by, Some(StopReason::NotIdempotent));
    let keyed = with("POST", [("idempotency-key", "7")]);
    let twice = layer(QUICK).layer(Script::new([empty(500), empty(200)])).oneshot(keyed).await.unwrap();
    assert_eq!(explain(&twice).attempts, 2);
    let refused = Script::of([Err(io::ErrorKind::ConnectionRefused.into()), Ok::<_, io::Error>(empty(200))]);
    let response = layer(QUICK).layer(refused).oneshot(with("POST", [])).await.unwrap();
    assert_eq!(explain(&response).attempts, 2, "nothing was sent the first time");
}

#[tokio::test(start_paused = true)]
async fn error_of_the_client_comes_back_as_it_is() {
    let script = Script::<NoBody, io::Error>::of((0..3).map(|_| Err(io::ErrorKind::ConnectionReset.into())));
    let error = layer(QUICK).layer(script).oneshot(get()).await.unwrap_err();
    assert_eq!(error.into_inner().unwrap().kind(), io::ErrorKind::ConnectionReset);
}

type Upload = Request<ReplayBody<Full<Bytes>>>;

/// A service that reads the bodies of its requests, and answers by their number; with how much it has read.
fn reader(
    statuses: &'static [u16],
) -> (Arc<AtomicUsize>, impl Service<Upload, Response = Response<NoBody>, Error = io::Error> + Clone) {
    let read = Arc::new(AtomicUsize::new(0));
    let (calls, sum) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&read));
    let service = tower::service_fn(move |request: Upload| {
        let (call, sum) = (calls.fetch_add(1, Ordering::Relaxed), Arc::clone(&sum));
        async move {
            let body = request.into_body().collect().await.map_err(io::Error::other)?;
            sum.fetch_add(body.to_bytes().len(), Ordering::Relaxed);
            Ok(empty(statuses[call]))
        }
    });
    (read, service)
}

fn upload(bytes: usize) -> Request<Full<Bytes>> {
    Request::put("/").body(Full::new(Bytes::from(vec![7; bytes]))).unwrap()
}

#[tokio::test(start_paused = true)]
async fn body_within_the_bound_is_sent_again_and_a_longer_one_is_sent_once() {
    let (read, service) = reader(&[503, 200]);
    let response = layer(QUICK).layer(service).oneshot(upload(32 * 1024)).await.unwrap();
    assert_eq!((response.status().as_u16(), read.load(Ordering::Relaxed)), (200, 64 * 1024));

    let (read, service) = reader(&[503]);
    let response = layer(QUICK).layer(service).oneshot(upload(10_000_000)).await.unwrap();
    assert_eq!((response.status().as_u16(), read.load(Ordering::Relaxed)), (503, 10_000_000));
    assert_eq!(explain(&response).stopped_by, Some(StopReason::NotIdempotent));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_its_number_and_the_time_left() {
    let document = r#"{
        "retry": {"max_attempts": 3, "backoff": {"base": "100ms", "min": "100ms", "max": "100ms"}, "jitter": {"kind": "none"}},
        "http": {"attempt_header": "x-attempt", "deadline_headers": ["x-timeout-ms", "x-timeout", "grpc-timeout"]}
    }"#;
    let script = Script::new([empty(500), empty(500), empty(200)]);
    let request = with("GET", [("x-timeout-ms", "2000"), ("x-timeout", "5")]);
    assert!(layer(document).layer(script.clone()).oneshot(request).await.is_ok());
    let sent = script.requests();
    let header = |name: &str| -> Vec<u64> {
        sent.iter().map(|it| it.headers()[name].to_str().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(header("x-attempt"), [1, 2, 3]);
    let left = header("x-timeout-ms");
    assert!(left[0] <= 2000 && left[0] >= 1995, "{left:?}");
    assert!(left[0] - left[1] >= 100 && left[1] - left[2] >= 100 && left[2] >= 1700, "{left:?}");
    assert_eq!(header("x-timeout"), [2, 1, 1], "rounded down, but never to nothing");
    assert!(sent.iter().all(|it| !it.headers().contains_key("grpc-timeout")), "what was not stated is not added");
}

#[tokio::test(start_paused = true)]
async fn time_that_a_request_states_ends_its_call() {
    let document = r#"{"http": {"deadline_headers": ["x-timeout-ms"]}, "timeout": {"total": "30s"}}"#;
    let hangs =
        tower::service_fn(|_: Request<ReplayBody<NoBody>>| std::future::pending::<io::Result<Response<NoBody>>>());
    let began = tower_rampart::clock::now();
    let error = layer(document).layer(hangs).oneshot(with("GET", [("x-timeout-ms", "300")])).await.unwrap_err();
    assert!(error.is_timeout());
    assert!(tower_rampart::clock::now().since(began).abs_diff(ms(300)) <= ms(5));
}

#[tokio::test(start_paused = true)]
async fn body_of_an_answer_that_is_retried_is_dropped_before_the_next_attempt() {
    let (feed, inner) = pieces();
    let answers = Arc::new(Mutex::new(vec![answer(200, pieces().1), answer(503, inner)]));
    let service = tower::service_fn(move |_: Request<ReplayBody<NoBody>>| {
        let mut answers = answers.lock().unwrap();
        assert_eq!(feed.is_closed(), answers.len() == 1);
        ready(Ok::<_, io::Error>(answers.pop().expect("it is called twice")))
    });
    assert_eq!(layer(QUICK).layer(service).oneshot(get()).await.unwrap().status(), 200);
}

// gRPC

/// As above, with the status of gRPC deciding.
const GRPC: &str = r#"{
    "classify": {"profile": "grpc"},
    "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "0ms", "max": "50ms"}, "jitter": {"kind": "none"}},
    "timeout": {"attempt": "1s", "total": "10s"}
}"#;

fn call() -> Request<NoBody> {
    with("POST", [("content-type", "application/grpc")])
}

fn status(code: &'static str) -> Response<Pieces> {
    grpc(body([trailers(&[("grpc-status", code)])]))
}

fn message() -> Response<Pieces> {
    grpc(body([data("m"), trailers(&[("grpc-status", "0")])]))
}

#[tokio::test(start_paused = true)]
async fn status_in_the_head_of_a_grpc_answer_is_retried_without_a_look_at_its_body() {
    let (feed, untouched) = pieces();
    feed.panic();
    let mut unavailable = grpc(untouched);
    unavailable.headers_mut().insert("grpc-status", "14".parse().unwrap());
    let script = Script::new([unavailable, message()]);
    let response = layer(GRPC).layer(script).oneshot(call()).await.unwrap();
    assert_eq!(explain(&response).attempts, 2);
    assert_eq!(text(response.into_body()).await.unwrap(), "m");
}

#[tokio::test(start_paused = true)]
async fn trailers_that_come_first_are_the_answer() {
    let layer = layer(GRPC);
    let script = Script::new([status("14"), message()]);
    let response = layer.layer(script).oneshot(call()).await.unwrap();
    assert_eq!(explain(&response).attempts, 2);
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "m");

    let response = layer.layer(Script::new([status("3")])).oneshot(call()).await.unwrap();
    assert!(!response.body().is_watched(), "they were seen already");
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "3", "they are given out as they came");
    assert_eq!(counted(&layer.handle()), [2, 0, 0, 0, 0], "a request that is at fault was answered");
}

#[tokio::test(start_paused = true)]
async fn grpc_answer_that_ends_or_fails_at_once_is_retried_if_it_may_be() {
    let idempotent = || with("POST", [("content-type", "application/grpc"), ("idempotency-key", "1")]);
    let (feed, failing) = pieces();
    feed.fail(io::ErrorKind::ConnectionReset);
    let script = Script::new([grpc(body([])), grpc(failing), message()]);
    let response = layer(GRPC).layer(script).oneshot(idempotent()).await.unwrap();
    assert_eq!(explain(&response).attempts, 3);

    let (feed, failing) = pieces();
    feed.fail(io::ErrorKind::ConnectionReset);
    let response = layer(GRPC).layer(Script::new([grpc(failing)])).oneshot(call()).await.unwrap();
    assert_eq!(explain(&response).class, Some(ClassKind::Transient));
    assert!(text(response.into_body()).await.is_err(), "the error is what the body fails with");
}

#[tokio::test(start_paused = true)]
async fn stream_is_held_up_for_a_moment_only() {
    for (patience, expected) in [(None, ms(20)), (Some(ms(5)), ms(5)), (Some(ms(0)), ms(0))] {
        let layer = layer(GRPC);
        let layer = patience.map_or_else(|| layer.clone(), |patience| layer.clone().peek_timeout(patience));
        let (feed, inner) = pieces();
        let began = tower_rampart::clock::now();
        let response = layer.layer(Script::new([grpc(inner)])).oneshot(call()).await.unwrap();
        let took = tower_rampart::clock::now().since(began);
        assert!(took >= expected && took <= expected + ms(2), "{took:?} of {expected:?}");
        let mut body = response.into_body();
        assert!(is_silent(&mut body));
        feed.send(data("late"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "late");
        feed.send(trailers(&[("grpc-status", "0")]));
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn failure_at_the_end_of_a_stream_is_counted_and_not_retried() {
    let layer = layer(GRPC);
    let failing = body([data("a"), data("b"), trailers(&[("grpc-status", "14")])]);
    let response = layer.layer(Script::new([grpc(failing)])).oneshot(call()).await.unwrap();
    assert!(response.extensions().get::<Explain>().is_none());
    assert_eq!(text(response.into_body()).await.unwrap(), "ab");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn grpc_calls_are_told_the_time_left_in_grpcs_own_header() {
    let script = Script::new([status("14"), message(), message(), message()]);
    let layer = layer(GRPC);
    let timeout =
        |request: &Request<()>| request.headers().get("grpc-timeout").map(|it| it.to_str().unwrap().to_owned());
    drop(layer.layer(script.clone()).oneshot(call()).await);
    let sent = script.requests();
    assert_eq!(timeout(&sent[0]).as_deref(), Some("10S"), "the total timeout, of which nothing is spent");
    assert!(timeout(&sent[1]).is_some_and(|left| left.starts_with("99")), "{sent:?}");
    let stated = with("POST", [("content-type", "application/grpc"), ("grpc-timeout", "500m")]);
    drop(layer.layer(script.clone()).oneshot(stated).await);
    assert_eq!(timeout(&script.requests()[0]).as_deref(), Some("500m"));
    drop(layer.layer(script.clone()).oneshot(get()).await);
    assert_eq!(timeout(&script.requests()[0]), None, "only gRPC's own requests are told so");
}

#[tokio::test(start_paused = true)]
async fn body_is_not_looked_at_under_the_profile_http() {
    let (feed, inner) = pieces();
    feed.panic();
    let response = layer(QUICK).layer(Script::new([Response::new(inner)])).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_grpc_by_their_content_type_are_read_as_grpc_under_the_profile_http() {
    let layer = layer(QUICK);
    let script = Script::new([status("14"), message()]);
    let stated = with("POST", [("content-type", "application/grpc+proto"), ("grpc-timeout", "2S")]);
    let response = layer.layer(script.clone()).oneshot(stated).await.unwrap();
    assert_eq!(explain(&response).attempts, 2);
    assert_eq!(text(response.into_body()).await.unwrap(), "m");
    let told = script.requests().iter().map(|it| it.headers()["grpc-timeout"].clone()).collect::<Vec<_>>();
    assert_eq!(told[0], "2S");
    assert!(told[1].to_str().unwrap().starts_with("19"), "{told:?}");

    let failing = body([data("a"), trailers(&[("grpc-status", "13")])]);
    let response = layer.layer(Script::new([grpc(failing)])).oneshot(call()).await.unwrap();
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 1], "the second has not ended");
    assert_eq!(text(response.into_body()).await.unwrap(), "a");
    assert_eq!(counted(&layer.handle()), [1, 1, 0, 0, 0]);
}

// what code adds

#[tokio::test(start_paused = true)]
async fn classifier_that_was_given_judges_but_does_not_say_what_may_be_sent_twice() {
    let layer = || {
        PresetBuilder::from_json(QUICK)
            .unwrap()
            .classifier(|result: Result<&Response<ResponseBody<NoBody>>, &io::Error>| match result {
                Ok(response) if response.status() == 418 => Class::Transient,
                Ok(_) => Class::Success,
                Err(_) => Class::Permanent,
            })
            .http_client()
            .unwrap()
    };
    let response = layer().layer(Script::new([empty(418), empty(500)])).oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).attempts), (500, 2));
    let response = layer().layer(Script::new([empty(418)])).oneshot(with("POST", [])).await.unwrap();
    assert_eq!(explain(&response).stopped_by, Some(StopReason::NotIdempotent));
}

#[tokio::test(start_paused = true)]
async fn client_that_stands_by_is_told_what_is_left_of_the_time_that_was_stated() {
    let document = r#"{"retry": {"enabled": false}, "timeout": {"attempt": "1s"},
        "http": {"deadline_headers": ["x-timeout-ms"], "attempt_header": "x-attempt"}}"#;
    let second = Script::new([empty(201)]);
    let standby = PresetBuilder::from_json(document).unwrap().operation("second").http_client().unwrap();
    let handle = standby.handle();
    let standby: ClientService<_> = standby.layer(second.clone());
    let first = PresetBuilder::from_json(document).unwrap().fallback_services([standby.standby()]);
    let hanging = tower::service_fn(|_: Request<ReplayBody<NoBody>>| {
        std::future::pending::<Result<Response<NoBody>, io::Error>>()
    });
    let first = first.http_client().unwrap().layer(hanging);
    let response = first.oneshot(with("GET", [("x-timeout-ms", "5000")])).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).served_by()), (201, "fallback 1"));
    let told = second.requests();
    let left: u32 = told[0].headers()["x-timeout-ms"].to_str().unwrap().parse().unwrap();
    assert!((3990..=4000).contains(&left), "{left} of 5000 ms, of which 1000 are over");
    assert_eq!(told[0].headers()["x-attempt"], "1");
    assert_eq!(counted(&handle), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn fallback_answers_with_bytes_of_its_own() {
    let layer = PresetBuilder::from_json(r#"{"retry": {"enabled": false}, "fallback": {"enabled": true}}"#)
        .unwrap()
        .fallback(|request: Request<ReplayBody<NoBody>>, _| {
            ready(Ok(Response::new(ResponseBody::<NoBody>::whole(format!("instead of {}", request.uri())))))
        })
        .http_client()
        .unwrap();
    let response = layer.layer(Script::new([empty(503)])).oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).served_by()), (200, "fallback"));
    assert_eq!(text(response.into_body()).await.unwrap(), "instead of /");
}

#[tokio::test(start_paused = true)]
async fn fallback_services_are_clients_with_a_circuit_of_their_own() {
    let registry = Registry::new();
    let opens_at_once = r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1}}"#;
    let second: ClientLayer =
        PresetBuilder::from_json(opens_at_once).unwrap().operation("second").registry(&registry).http_client().unwrap();
    let script = Script::new([empty(500), empty(500)]);
    let answers = Script::new([empty(200)]);
    let layer = PresetBuilder::from_json(r#"{"retry": {"enabled": false}, "fallback": {"enabled": true}}"#)
        .unwrap()
        .registry(&registry)
        .fallback_services([second.layer(answers)])
        .http_client()
        .unwrap();
    let service = layer.layer(script);
    let response = service.clone().oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).fallback), (200, Some(0)));
    second.handle().breaker().trip();
    let error = service.oneshot(get()).await.unwrap_err();
    assert!(matches!(&error, Error::FallbackFailed(failed) if failed.error.is_circuit_open()), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn boxed_errors_are_judged_by_what_is_in_them() {
    let inner = Script::<NoBody, BoxError>::of([
        Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        Ok(answer(200, NoBody::new())),
    ]);
    let boxed: BoxCloneService<Request<ReplayBody<NoBody>>, _, BoxError> = BoxCloneService::new(inner);
    let layer = PresetBuilder::from_json(QUICK).unwrap().http_client().unwrap();
    let response = layer.layer(boxed).oneshot(with("POST", [])).await.unwrap();
    assert_eq!(explain(&response).attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn reports_go_to_code_and_into_the_extensions() {
    let seen = Arc::new(AtomicUsize::new(0));
    let sink = Arc::clone(&seen);
    let layer = PresetBuilder::from_json(QUICK)
        .unwrap()
        .on_report(move |explain: &Explain| {
            sink.fetch_add(explain.attempts as usize, Ordering::Relaxed);
        })
        .http_client()
        .unwrap();
    let response = layer.layer(Script::new([empty(503), empty(200)])).oneshot(get()).await.unwrap();
    assert_eq!((explain(&response).attempts, seen.load(Ordering::Relaxed)), (2, 2));
}

#[test]
fn what_a_client_cannot_serve_is_refused_by_name() {
    for (document, missing) in [
        (r#"{"fallback": {"status": 503}}"#, "fallback_answer"),
        (r#"{"hedge": {"delay": "1s"}}"#, "hedge"),
        (r#"{"fallback": {"enabled": true}}"#, "fallback"),
    ] {
        let error = ClientLayer::from_json(document).map(|layer: ClientLayer| layer).unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
    }
    assert!(ClientLayer::from_preset("production").map(|layer: ClientLayer| layer).is_ok());
    assert!(ClientLayer::from_preset("prod").map(|layer: ClientLayer| layer).is_err());
}

// a live configuration

struct Live {
    resilience: Resilience,
    layer: ClientLayer,
}

impl Live {
    fn new(document: &str) -> Self {
        let config = ResilienceConfig::from_json(document).unwrap();
        let resilience = Resilience::for_host(config, &Registry::new(), http_capabilities()).unwrap();
        let layer = PresetBuilder::from_resilience(&resilience).operation("live").http_client().unwrap();
        Self { resilience, layer }
    }

    fn reload(&self, document: &str) {
        self.resilience.reload_json(document, &ChangeBy::code("test")).unwrap();
    }
}

/// A document with quick retries and this.
fn also(fields: &str) -> String {
    let quick = QUICK.trim().strip_suffix('}').unwrap();
    format!("{quick}, {fields}}}")
}

#[tokio::test(start_paused = true)]
async fn lists_of_statuses_follow_a_reload() {
    let live = Live::new(&also(r#""classify": {"transient_status": [404]}"#));
    let call = |answers: Vec<_>| live.layer.layer(Script::new(answers)).oneshot(get());
    assert_eq!(call(vec![empty(404), empty(200)]).await.unwrap().status(), 200);
    live.reload(&also(r#""classify": {"permanent_status": [500]}"#));
    assert_eq!(call(vec![empty(404)]).await.unwrap().status(), 404, "it is not retried any more");
    assert_eq!(call(vec![empty(500)]).await.unwrap().status(), 500);
    live.reload(QUICK);
    assert_eq!(call(vec![empty(500), empty(200)]).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn profile_follows_a_reload_and_a_call_is_judged_as_it_began() {
    let live = Live::new(QUICK);
    // Without the content type of gRPC.
    let status = |code: &'static str| Response::builder().header("grpc-status", code).body(body([])).unwrap();
    let call = |answers: Vec<_>| live.layer.layer(Script::new(answers)).oneshot(call());
    let response = call(vec![status("14")]).await.unwrap();
    assert!(response.extensions().get::<Explain>().is_none(), "HTTP does not look");
    live.reload(GRPC);
    let response = call(vec![status("14"), message()]).await.unwrap();
    assert_eq!(explain(&response).attempts, 2);

    let (sender, receiver) = tokio::sync::oneshot::channel();
    let receiver = Mutex::new(Some(receiver));
    let slow = tower::service_fn(move |_: Request<ReplayBody<NoBody>>| {
        let receiver = receiver.lock().unwrap().take();
        async move {
            match receiver {
                Some(receiver) => receiver.await.map_err(io::Error::other),
                None => Ok(message()),
            }
        }
    });
    let slow = tower::util::BoxService::new(slow);
    let slow = tower::buffer::Buffer::new(slow, 1);
    let layer = PresetBuilder::from_resilience(&live.resilience).operation("live").http_client().unwrap();
    let begun = tokio::spawn(layer.layer(slow).oneshot(self::call()));
    tokio::time::sleep(ms(10)).await;
    live.reload(QUICK);
    sender.send(status("14")).unwrap();
    let response = begun.await.unwrap().unwrap();
    assert_eq!(explain(&response).attempts, 2, "it began under the profile of gRPC");
}

#[tokio::test(start_paused = true)]
async fn replay_bound_follows_a_reload() {
    let live = Live::new(&also(r#""http": {"replay_max_bytes": 10}"#));
    let (read, service) = reader(&[503, 503, 200]);
    let service = live.layer.layer(service);
    assert_eq!(service.clone().oneshot(upload(11)).await.unwrap().status(), 503);
    live.reload(&also(r#""http": {"replay_max_bytes": 11}"#));
    assert_eq!(service.oneshot(upload(11)).await.unwrap().status(), 200);
    assert_eq!(read.load(Ordering::Relaxed), 33);
}

#[tokio::test(start_paused = true)]
async fn attempt_header_and_deadline_headers_follow_a_reload() {
    let live = Live::new(&also(r#""http": {"attempt_header": "x-one", "deadline_headers": ["x-time-ms"]}"#));
    let script = Script::new((0..3).map(|_| empty(200)));
    let service = live.layer.layer(script.clone());
    let sent = async || -> HeaderMap {
        let request = with("GET", [("x-time-ms", "2000000"), ("x-other-ms", "3000000")]);
        service.clone().oneshot(request).await.unwrap();
        script.requests().remove(0).headers().clone()
    };
    let headers = sent().await;
    assert_eq!((&headers["x-one"], headers.get("x-two")), (&"1".parse().unwrap(), None));
    assert_ne!(headers["x-time-ms"], "2000000", "the total timeout is shorter");
    assert_eq!(headers["x-other-ms"], "3000000");
    live.reload(&also(r#""http": {"attempt_header": "x-two", "deadline_headers": ["x-other-ms"]}"#));
    let headers = sent().await;
    assert_eq!((headers.get("x-one"), &headers["x-two"]), (None, &"1".parse().unwrap()));
    assert_eq!(headers["x-time-ms"], "2000000");
    assert_ne!(headers["x-other-ms"], "3000000");
    live.reload(QUICK);
    let headers = sent().await;
    assert!(!headers.contains_key("x-two") && headers["x-other-ms"] == "3000000");
}

#[tokio::test(start_paused = true)]
async fn end_of_the_outcome_follows_a_reload() {
    let live = Live::new(QUICK);
    let handle = live.layer.handle();
    let open = async || {
        let (feed, inner) = pieces();
        (feed, live.layer.layer(Script::new([answer(200, inner)])).oneshot(get()).await.unwrap().into_body())
    };
    let (_first, body) = open().await;
    assert_eq!((body.is_watched(), balanced(&handle).inflight), (false, 0));
    live.reload(&also(r#""classify": {"outcome_at": "end_of_body"}"#));
    let (second, watched) = open().await;
    assert_eq!((watched.is_watched(), balanced(&handle).inflight), (true, 1));
    live.reload(QUICK);
    let (_third, body) = open().await;
    assert_eq!((body.is_watched(), balanced(&handle).inflight), (false, 1), "what began in one way ends in it");
    drop(second);
    assert_eq!(text(watched).await.unwrap(), "");
    assert_eq!(counted(&handle), [3, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn open_circuit_calls_nothing() {
    let layer = layer(QUICK);
    layer.handle().breaker().force_open();
    let error = layer.layer(Script::<NoBody>::new([])).oneshot(get()).await.unwrap_err();
    assert!(error.is_circuit_open());
    assert_eq!(layer.handle().breaker().state(), State::ForcedOpen);
}
