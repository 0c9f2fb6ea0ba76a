//! Bodies that decide the outcome of their call: what ends them, what they hold until then, and what their readers are told.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{error::Error as _, io, panic::AssertUnwindSafe};

use bytes::Bytes;
use futures_util::FutureExt;
use hosts::{
    Feed, Pieces, Script, Sized, answer, balanced, body, counted, data, get, grpc, is_silent, ms, next, pieces, secs,
    text, trailers,
};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_rampart::{
    OperationHandle, PresetBuilder,
    breaker::State,
    fallback::{Target, Targets},
    http::{BodyError, ClientLayer, Inspect, ReplayError, ResponseBody},
    rejection::TimeoutKind,
};

const END_OF_BODY: &str = r#"{
    "classify": {"outcome_at": "end_of_body"},
    "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "30s", "half_open_max_calls": 1, "success_threshold": 1},
    "concurrency": {"max_inflight": 1},
    "retry": {"enabled": false},
    "timeout": {"attempt": "1s", "total": "5s"}
}"#;

fn layer(document: &str) -> ClientLayer {
    PresetBuilder::from_json(document).unwrap().http_client().unwrap()
}

/// The answer of a call through a layer around a service that answers so.
async fn answered<P>(layer: &ClientLayer, response: Response<P>) -> Response<ResponseBody<P>>
where
    P: Body<Data = Bytes, Error = io::Error>,
{
    layer.layer(Script::new([response])).oneshot(get()).await.unwrap()
}

async fn open(layer: &ClientLayer) -> (Feed, ResponseBody<Pieces>) {
    let (feed, inner) = pieces();
    (feed, answered(layer, answer(200, inner)).await.into_body())
}

/// How many attempts and how many whole calls took too long.
fn timeouts(handle: &OperationHandle) -> (u64, u64) {
    let all = balanced(handle).timeouts;
    let of = |kind| all.iter().find(|(it, _)| *it == kind).map_or(0, |(_, count)| *count);
    (of(TimeoutKind::Attempt), of(TimeoutKind::Total))
}

fn is_full(handle: &OperationHandle) -> bool {
    handle.snapshot().concurrency.unwrap().inflight == 1
}

#[tokio::test(start_paused = true)]
async fn call_is_in_flight_until_its_body_has_ended() {
    let layer = layer(END_OF_BODY);
    let handle = layer.handle();
    let (feed, mut body) = open(&layer).await;
    assert!(body.is_watched() && is_full(&handle));
    assert_eq!(counted(&handle), [0, 0, 0, 0, 1]);
    feed.send(data("a"));
    assert!(next(&mut body).unwrap().is_ok());
    assert!(is_silent(&mut body) && is_full(&handle));
    let refused = layer.layer(Script::<Pieces>::new([])).oneshot(get()).await.unwrap_err();
    assert!(refused.is_overloaded());
    drop(feed);
    assert!(next(&mut body).is_none());
    assert_eq!(counted(&handle), [1, 0, 0, 0, 0]);
    assert!(!body.is_watched() && body.is_end_stream());
    drop(body);
    assert_eq!(counted(&handle), [1, 0, 0, 0, 0], "it is counted once");
}

#[tokio::test(start_paused = true)]
async fn headers_decide_unless_told_otherwise() {
    let layer = layer(r#"{"concurrency": {"max_inflight": 1}}"#);
    let (feed, body) = open(&layer).await;
    assert!(!body.is_watched());
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
    feed.fail(io::ErrorKind::ConnectionReset);
    drop(feed);
    assert!(matches!(text(body).await, Err(BodyError::Inner(_))));
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn body_that_fails_is_a_failure_and_its_error_is_the_source() {
    let layer = layer(END_OF_BODY);
    let (feed, mut body) = open(&layer).await;
    feed.send(data("a"));
    feed.fail(io::ErrorKind::ConnectionReset);
    assert!(next(&mut body).unwrap().is_ok());
    let error = next(&mut body).unwrap().unwrap_err();
    let source = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    assert_eq!(layer.handle().breaker().state(), State::Open);
    assert!(next(&mut body).is_none(), "nothing follows an error");
    assert!(feed.is_closed(), "the inner body was dropped");
}

#[tokio::test(start_paused = true)]
async fn error_that_blames_the_request_is_no_failure_of_the_service() {
    let layer = layer(END_OF_BODY);
    let (feed, body) = open(&layer).await;
    feed.fail(io::ErrorKind::InvalidInput);
    assert!(text(body).await.is_err());
    assert_eq!(layer.handle().breaker().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn silence_as_long_as_an_attempt_may_take_is_a_stall() {
    let layer = layer(END_OF_BODY);
    let began = tower_rampart::clock::now();
    let (feed, mut body) = open(&layer).await;
    for _ in 0..3 {
        tokio::time::sleep(ms(900)).await;
        feed.send(data("a"));
        assert!(body.frame().await.unwrap().is_ok());
    }
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::Stalled { after } if after == secs(1)), "{error}");
    let took = tower_rampart::clock::now().since(began);
    assert!(took.abs_diff(ms(3700)) <= ms(5), "{took:?}");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    assert_eq!(timeouts(&layer.handle()), (1, 0));
    assert!(feed.is_closed(), "the inner body is dropped with its connection");
    assert!(next(&mut body).is_none());
}

#[tokio::test(start_paused = true)]
async fn reader_who_takes_time_is_no_silence() {
    let layer = layer(END_OF_BODY);
    let (feed, mut body) = open(&layer).await;
    tokio::time::sleep(secs(3)).await;
    feed.send(data("a"));
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::sleep(ms(1500)).await;
    drop(feed);
    assert!(body.frame().await.is_none());
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn body_ends_with_the_time_of_the_call() {
    let layer = layer(END_OF_BODY);
    let (feed, mut body) = open(&layer).await;
    for _ in 0..6 {
        tokio::time::sleep(ms(800)).await;
        feed.send(data("a"));
        assert!(body.frame().await.unwrap().is_ok());
    }
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(&error, BodyError::TimedOut(rejection) if rejection.to_string().contains("5s")), "{error}");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    assert_eq!(timeouts(&layer.handle()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn reader_who_comes_back_too_late_has_abandoned_the_call() {
    let layer = layer(END_OF_BODY);
    let (feed, mut body) = open(&layer).await;
    feed.send(data("a"));
    feed.send(data("b"));
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::sleep(secs(6)).await;
    assert!(matches!(body.frame().await, Some(Err(BodyError::TimedOut(_)))));
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 1, 0]);
    assert_eq!(layer.handle().breaker().state(), State::Closed);
}

/// A layer whose limit of ten is nine after a drop.
async fn adaptive() -> ClientLayer {
    let moves = r#""max_inflight": 10, "adaptive": {"algorithm": "aimd", "max": 20}"#;
    let layer = layer(&END_OF_BODY.replace(r#""max_inflight": 1"#, moves));
    tokio::time::sleep(ms(1)).await;
    layer
}

fn limit(layer: &ClientLayer) -> u32 {
    let snapshot = layer.handle().snapshot().concurrency.unwrap();
    assert_eq!(snapshot.inflight, 0);
    snapshot.max_inflight
}

#[tokio::test(start_paused = true)]
async fn body_that_runs_out_of_time_is_a_drop_for_a_limit_that_moves() {
    let stalls = adaptive().await;
    let (_feed, mut body) = open(&stalls).await;
    assert!(matches!(body.frame().await, Some(Err(BodyError::Stalled { .. }))));
    assert_eq!(limit(&stalls), 9);
    let lasts = adaptive().await;
    let (feed, mut body) = open(&lasts).await;
    for _ in 0..6 {
        tokio::time::sleep(ms(800)).await;
        feed.send(data("a"));
        assert!(body.frame().await.unwrap().is_ok());
    }
    assert!(matches!(body.frame().await, Some(Err(BodyError::TimedOut(_)))));
    assert_eq!(limit(&lasts), 9);
}

#[tokio::test(start_paused = true)]
async fn reader_who_comes_back_too_late_is_no_drop_for_a_limit_that_moves() {
    let layer = adaptive().await;
    let (_feed, mut body) = open(&layer).await;
    tokio::time::sleep(secs(6)).await;
    assert!(matches!(body.frame().await, Some(Err(BodyError::TimedOut(_)))));
    assert_eq!(limit(&layer), 10);
}

#[tokio::test(start_paused = true)]
async fn dropped_body_is_abandoned() {
    let layer = layer(END_OF_BODY);
    let (feed, mut body) = open(&layer).await;
    feed.send(data("a"));
    assert!(next(&mut body).is_some());
    assert!(is_silent(&mut body));
    drop(body);
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 1, 0]);
    assert!(!is_full(&layer.handle()));
}

#[tokio::test(start_paused = true)]
async fn body_that_panics_is_a_failure() {
    let layer = layer(END_OF_BODY);
    let (feed, mut body) = open(&layer).await;
    feed.panic();
    let caught = AssertUnwindSafe(body.frame()).catch_unwind().await;
    assert!(caught.is_err());
    drop(body);
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn failure_at_the_head_is_counted_so_and_holds_its_place_until_its_body_has_ended() {
    let layer = layer(END_OF_BODY);
    let (feed, inner) = pieces();
    let body = answered(&layer, answer(500, inner)).await.into_body();
    assert_eq!(layer.handle().breaker().state(), State::Open, "the head has decided");
    assert!(is_full(&layer.handle()));
    drop(feed);
    assert_eq!(text(body).await.unwrap(), "");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn probe_lives_in_the_body() {
    let layer = layer(&END_OF_BODY.replace(r#""max_inflight": 1"#, r#""max_inflight": 9"#));
    let handle = layer.handle();
    handle.breaker().trip();
    tokio::time::sleep(secs(31)).await;
    let (feed, body) = open(&layer).await;
    assert_eq!(handle.breaker().state(), State::HalfOpen);
    let refused = layer.layer(Script::<Pieces>::new([])).oneshot(get()).await.unwrap_err();
    assert!(refused.is_circuit_open(), "the only slot is taken: {refused}");
    drop(feed);
    assert_eq!(text(body).await.unwrap(), "");
    assert_eq!(handle.breaker().state(), State::Closed);

    handle.breaker().trip();
    tokio::time::sleep(secs(31)).await;
    let (_feed, body) = open(&layer).await;
    drop(body);
    assert_eq!(handle.breaker().state(), State::HalfOpen, "a dropped probe gives its slot back without a verdict");
    let (feed, body) = open(&layer).await;
    feed.fail(io::ErrorKind::ConnectionReset);
    assert!(text(body).await.is_err());
    assert_eq!(handle.breaker().state(), State::Open, "a body that fails fails its probe");
}

#[tokio::test(start_paused = true)]
async fn body_that_knows_its_end_is_not_asked_again() {
    let layer = layer(END_OF_BODY);
    let mut body = answered(&layer, answer(200, Sized(2))).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(2));
    assert!(next(&mut body).unwrap().is_ok());
    assert!(is_full(&layer.handle()) && !body.is_end_stream());
    assert!(next(&mut body).unwrap().is_ok());
    assert!(body.is_end_stream());
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0], "hyper does not poll it again");
}

#[tokio::test(start_paused = true)]
async fn answer_without_a_body_ends_with_its_head() {
    let layer = layer(END_OF_BODY);
    let empty = answered(&layer, answer(200, Sized(0))).await;
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
    drop(empty);
    for status in [204, 304] {
        let (_feed, inner) = pieces();
        let response = answered(&layer, answer(status, inner)).await;
        assert!(!response.body().is_watched(), "{status}");
    }
    let (_feed, inner) = pieces();
    let request = Request::head("/").body(hosts::NoBody::new()).unwrap();
    let response = layer.layer(Script::new([answer(200, inner)])).oneshot(request).await.unwrap();
    assert!(!response.body().is_watched());
    assert_eq!(counted(&layer.handle()), [4, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn trailers_pass_through_and_end_the_body() {
    let layer = layer(END_OF_BODY);
    let inner = body([data("a"), trailers(&[("x-sum", "7")])]);
    let collected = answered(&layer, answer(200, inner)).await.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(collected.to_bytes(), "a");
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn stream_of_events_goes_on_beyond_the_time_of_the_configuration() {
    let layer = layer(END_OF_BODY);
    let (feed, inner) = pieces();
    let mut response = answer(200, inner);
    response.headers_mut().insert("content-type", "text/event-stream; charset=utf-8".parse().unwrap());
    let mut body = answered(&layer, response).await.into_body();
    for _ in 0..20 {
        tokio::time::sleep(ms(900)).await;
        feed.send(data("data: 1\n\n"));
        assert!(body.frame().await.unwrap().is_ok());
    }
    assert!(matches!(body.frame().await, Some(Err(BodyError::Stalled { .. }))), "but not beyond its silence");
}

const GRPC: &str = r#"{
    "classify": {"profile": "grpc"},
    "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "30s"},
    "concurrency": {"max_inflight": 1},
    "retry": {"enabled": false},
    "timeout": {"attempt": "1s", "total": "5s"}
}"#;

#[tokio::test(start_paused = true)]
async fn trailers_of_grpc_decide() {
    for (status, expected) in [("0", [1, 0, 0, 0, 0]), ("14", [0, 1, 0, 0, 0]), ("1", [0, 0, 1, 0, 0])] {
        let layer = layer(GRPC);
        let inner = body([data("m"), trailers(&[("grpc-status", status)])]);
        let response = answered(&layer, grpc(inner)).await;
        assert_eq!(counted(&layer.handle()), [0, 0, 0, 0, 1], "{status}: the head says nothing");
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], status);
        assert_eq!(counted(&layer.handle()), expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_body_without_a_status_is_a_failure() {
    let layer = layer(GRPC);
    let response = answered(&layer, grpc(body([data("m")]))).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "m");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn grpc_stream_may_be_silent_but_not_beyond_the_time_that_its_caller_stated() {
    let layer = layer(GRPC);
    let (feed, inner) = pieces();
    feed.send(data("m"));
    let request = Request::post("/").header("grpc-timeout", "60S").body(hosts::NoBody::new()).unwrap();
    let mut body = layer.layer(Script::new([grpc(inner)])).oneshot(request).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    let began = tower_rampart::clock::now();
    // An error would break the stream of whoever passes it on: gRPC has a status for it.
    let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(
        (&last["grpc-status"], &last["x-resilience-stage"]),
        (&"4".parse().unwrap(), &"timeout".parse().unwrap())
    );
    let took = tower_rampart::clock::now().since(began);
    assert!(took.abs_diff(secs(60)) <= ms(5), "{took:?}");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    assert!(body.frame().await.is_none() && body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn reader_of_a_grpc_stream_who_comes_back_after_its_time_reads_a_status() {
    let layer = layer(GRPC);
    let (feed, inner) = pieces();
    feed.send(data("m"));
    let request = Request::post("/").header("grpc-timeout", "60S").body(hosts::NoBody::new()).unwrap();
    let mut body = layer.layer(Script::new([grpc(inner)])).oneshot(request).await.unwrap().into_body();
    tokio::time::advance(secs(61)).await;
    let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last["grpc-status"], "4");
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 1, 0]);
    assert!(body.frame().await.is_none());
}

/// Whatever the number of polls after which everything is dropped: nothing is held, and the sums are right.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_wherever_a_call_is_dropped() {
    for document in [END_OF_BODY, GRPC] {
        let layer = layer(document);
        for polls in 0..12 {
            let (feed, inner) = pieces();
            let call = layer.layer(Script::new([grpc(inner)])).oneshot(get());
            let mut task = tokio_test::task::spawn(async move { call.await.unwrap().into_body().collect().await });
            let mut is_over = false;
            for poll in 0..polls {
                if is_over {
                    break;
                }
                if poll % 2 == 1 {
                    feed.send(data("a"));
                }
                if poll == 7 {
                    feed.send(trailers(&[("grpc-status", "0")]));
                }
                is_over = task.poll().is_ready();
                tokio::time::advance(ms(15)).await;
            }
            drop(task);
            let snapshot = balanced(&layer.handle());
            assert_eq!(snapshot.inflight, 0, "after {polls} polls");
            assert_eq!(snapshot.abandoned > 0, polls > 0, "after {polls} polls");
        }
        assert!(balanced(&layer.handle()).success > 0, "some came to their end");
    }
}

/// The answer of a file server: its length stands in its head, and its body does not know it.
fn stated(length: &str, inner: Pieces) -> Response<Pieces> {
    Response::builder().header("content-length", length).body(inner).unwrap()
}

#[tokio::test(start_paused = true)]
async fn body_ends_with_the_length_that_its_head_states() {
    let layer = layer(END_OF_BODY);
    let (feed, inner) = pieces();
    let mut body = answered(&layer, stated("3", inner)).await.into_body();
    feed.send(data("ab"));
    assert!(next(&mut body).unwrap().is_ok());
    assert!(is_full(&layer.handle()));
    feed.send(data("c"));
    assert!(next(&mut body).unwrap().is_ok());
    drop(body);
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0], "hyper writes no more than that, and does not poll it again");
    let (_feed, inner) = pieces();
    drop(answered(&layer, stated("0", inner)).await);
    assert_eq!(counted(&layer.handle()), [2, 0, 0, 0, 0], "nor at all, where nothing is to come");
    let (feed, inner) = pieces();
    feed.send(data("ab"));
    let mut body = answered(&layer, stated("3", inner)).await.into_body();
    assert!(next(&mut body).unwrap().is_ok());
    drop(body);
    assert_eq!(counted(&layer.handle()), [2, 0, 0, 1, 0], "a part is not the whole");
}

#[tokio::test(start_paused = true)]
async fn body_that_ends_with_an_error_or_trailers_has_no_length_before() {
    let layer = layer(GRPC);
    let (feed, inner) = pieces();
    feed.fail(io::ErrorKind::ConnectionReset);
    let mut failed = answered(&layer, grpc(inner)).await.into_body();
    assert!(!failed.is_end_stream());
    assert_eq!(failed.size_hint().exact(), None, "hyper would write an empty answer and never ask for the error");
    assert!(next(&mut failed).unwrap().is_err());
    let layer = self::layer(GRPC);
    let mut ended = answered(&layer, grpc(body([trailers(&[("grpc-status", "5")])]))).await.into_body();
    assert_eq!(ended.size_hint().exact(), None);
    assert!(next(&mut ended).unwrap().unwrap().is_trailers());
    assert!(ended.is_end_stream());
    assert_eq!(ended.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn body_that_fails_with_its_requests_body_blames_nobody_behind() {
    /// An answer that hands the request's body back.
    struct Echo(bool);
    impl Body for Echo {
        type Data = Bytes;
        type Error = ReplayError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, ReplayError>>> {
            std::task::Poll::Ready((!std::mem::replace(&mut self.0, true)).then_some(Err(ReplayError::Lost)))
        }
    }
    let layer = layer(END_OF_BODY);
    let response = layer.layer(Script::new([answer(200, Echo(false))])).oneshot(get()).await.unwrap();
    assert!(text(response.into_body()).await.is_err());
    assert_eq!(counted(&layer.handle()), [0, 0, 1, 0, 0]);
    assert_eq!(layer.handle().breaker().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn grpc_answer_without_a_content_type_is_judged_by_its_trailers() {
    for peeked in [false, true] {
        let layer = layer(GRPC);
        let inner = if peeked { body([]) } else { body([data("m")]) };
        let feed_end = trailers(&[("grpc-status", "14")]);
        let inner = inner.with_trailers(async move { Some(Ok(feed_end.into_trailers().unwrap())) });
        let response = layer.layer(Script::new([answer(200, inner)])).oneshot(get()).await.unwrap();
        assert!(response.into_body().collect().await.is_ok());
        assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0], "{peeked}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_failure_without_a_content_type_is_judged_at_its_head_under_grpc() {
    let layer = layer(GRPC);
    let (feed, inner) = pieces();
    let response = layer.layer(Script::new([answer(503, inner)])).oneshot(get()).await.unwrap();
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0], "nobody waits for a body that says nothing more");
    assert!(!is_full(&layer.handle()));
    drop((feed, response));
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn failure_that_no_fallback_answers_for_holds_its_place_until_its_body_has_ended() {
    let never = layer(r#"{"preset": "simple"}"#).layer(Script::<Pieces>::new([])).standby();
    let never = Target::new("never", never).when(|_| false);
    let layer: ClientLayer<Targets<_>> =
        PresetBuilder::from_json(&END_OF_BODY.replace("\"timeout\"", "\"fallback\": {}, \"timeout\""))
            .unwrap()
            .fallback_services(Targets::new([never]))
            .http_client()
            .unwrap();
    let (feed, inner) = pieces();
    let body = layer.layer(Script::new([answer(500, inner)])).oneshot(get()).await.unwrap().into_body();
    assert_eq!(layer.handle().breaker().state(), State::Open);
    assert!(body.is_watched() && is_full(&layer.handle()));
    drop(feed);
    assert_eq!(text(body).await.unwrap(), "");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[test]
fn whole_bytes_are_a_body() {
    let mut body: ResponseBody<Pieces> = ResponseBody::from("later");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    assert_eq!(next(&mut body).unwrap().unwrap().into_data().unwrap(), "later");
    assert!(body.is_end_stream() && next(&mut body).is_none());
    assert!(ResponseBody::<Pieces>::empty().is_end_stream());
}

#[test]
fn body_is_no_larger_than_it_must_be() {
    let own = size_of::<ResponseBody<Sized>>() - size_of::<Sized>();
    assert!(own <= 96, "{own} bytes beside the inner body");
    assert!(size_of::<Inspect<()>>() <= 24);
}
