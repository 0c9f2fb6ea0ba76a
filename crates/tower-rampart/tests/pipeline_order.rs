//! The order of the pipeline's stages as a caller meets it: who refuses first, what is given back, what is held, whose time runs out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{
    Backend, Fault, Reply, Reports, assert_balanced, call, judge, ms, near, pass, refusal, refused_by, secs, settle,
    spawn, timed,
};
use serde_json::json;
use tower::Layer;
use tower_rampart::{
    Classify, Error, PresetBuilder, Registry, Rejection, RequestInfo, ResilienceLayer, Stage, Verdict,
    breaker::State,
    pipeline::{Custom, OnReport},
    rejection::{OverloadReason, TimeoutKind},
    retry::StopReason,
};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

fn layer(document: &serde_json::Value) -> ResilienceLayer<Custom<Judge>> {
    PresetBuilder::from_json(&document.to_string()).unwrap().seed(3).classifier(judge as Judge).build().unwrap()
}

/// Retries at fixed times, and nothing that ends a call but what a test adds.
fn quiet(mut more: serde_json::Value) -> serde_json::Value {
    let mut document = json!({
        "retry": {"max_attempts": 3, "backoff": {"base": "1s", "factor": 1, "min": 0}, "jitter": {"kind": "none"}},
        "timeout": {"attempt": "off", "total": "off"},
    });
    document.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    document
}

/// A request that says how much time is left for it.
#[derive(Clone)]
struct TimeLeft(Duration);

impl Classify<u32, usize, Fault> for TimeLeft {
    fn request(&self, _request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.time_left = Some(self.0);
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&usize, &Fault>) -> Verdict {
        judge(result)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_given_back_when_a_stage_further_in_refuses() {
    let layer = layer(&quiet(json!({
        "rate_limit": {"requests_per_minute": 1, "burst_size": 5},
        "concurrency": {"max_inflight": 1},
    })));
    let remaining = || layer.handle().signals().rate_remaining.unwrap();
    let service = layer.layer(Backend::always(Reply::Hang));
    let held = spawn(&service, 0);
    settle().await;
    assert!((remaining() - 4.0).abs() < 1e-6, "the admitted call took one");
    assert!(matches!(call(&service, 0).await, Err(Error::Overloaded(_))));
    assert!((remaining() - 4.0).abs() < 1e-6, "the concurrency limit refused");
    held.abort();
    settle().await;
    layer.handle().breaker().trip();
    assert!(matches!(call(&service, 0).await, Err(Error::CircuitOpen(_))));
    assert!((remaining() - 4.0).abs() < 1e-6, "the open circuit refused");
    assert_eq!(layer.handle().signals().current_inflight, 0, "and its permit is free again");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_held_until_the_bucket_had_refilled_is_not_given_back() {
    let layer = layer(&quiet(json!({
        "rate_limit": {"requests_per_second": 1, "burst_size": 2},
        "concurrency": {"max_inflight": 1, "queue_size": 10},
    })));
    let service = layer.layer(Backend::always(Reply::Hang));
    let _running = spawn(&service, 0);
    let waiting = spawn(&service, 1);
    settle().await;
    pass(secs(10)).await;
    let _others = [spawn(&service, 2), spawn(&service, 3)];
    settle().await;
    assert_eq!(layer.handle().signals().queue_depth, 3, "all took a token and wait for the permit");
    waiting.abort();
    settle().await;
    assert_eq!(layer.handle().signals().queue_depth, 2);
    assert!(matches!(call(&service, 4).await, Err(Error::RateLimited(_))), "three within one moment");
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_before_a_call_queues_for_tokens() {
    let layer = layer(&quiet(json!({
        "rate_limit": {"requests_per_minute": 1, "burst_size": 1, "on_limit": "wait"},
    })));
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    assert!(call(&service, 0).await.is_ok());
    let waiting = spawn(&service, 0);
    settle().await;
    assert_eq!(layer.handle().signals().queue_depth, 1, "without tokens a call waits");
    layer.handle().breaker().trip();
    let (took, result) = timed(call(&service, 0)).await;
    assert!(matches!(refusal(result), Rejection::CircuitOpen(_)));
    assert!(took.is_zero(), "{took:?}");
    assert_eq!(layer.handle().signals().queue_depth, 1, "it took no place in the queue");
    waiting.abort();
    settle().await;
    assert_eq!(layer.handle().signals().queue_depth, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_in_a_queue_leaves_nothing_behind() {
    let layer = layer(&quiet(json!({
        "rate_limit": {"requests_per_second": 1, "burst_size": 2, "on_limit": "wait"},
        "concurrency": {"max_inflight": 1, "queue_size": 10},
    })));
    let backend = Backend::always(Reply::Hang);
    let service = layer.layer(backend.clone());
    let running = spawn(&service, 0);
    settle().await;
    let for_a_permit = spawn(&service, 0);
    settle().await;
    let for_tokens = spawn(&service, 0);
    settle().await;
    let signals = layer.handle().signals();
    assert_eq!((signals.queue_depth, backend.calls()), (2, 1));
    for_tokens.abort();
    for_a_permit.abort();
    running.abort();
    settle().await;
    let signals = layer.handle().signals();
    assert_eq!((signals.queue_depth, signals.current_inflight), (0, 0));
    assert!((signals.rate_remaining.unwrap() - 1.0).abs() < 1e-6, "only what was sent was paid: {signals:?}");
    assert_balanced(&layer.handle().snapshot());
}

#[tokio::test(start_paused = true)]
async fn the_permit_is_held_through_backoff() {
    let layer = layer(&quiet(json!({"concurrency": {"max_inflight": 1}})));
    let backend = Backend::script([Reply::transient(), Reply::Ok]);
    let service = layer.layer(backend.clone());
    let first = spawn(&service, 0);
    pass(ms(500)).await;
    assert_eq!((backend.inflight(), layer.handle().signals().current_inflight), (0, 1));
    assert!(matches!(call(&service, 0).await, Err(Error::Overloaded(_))));
    assert_eq!(first.await.unwrap(), Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_of_scope_call_takes_one_sample_a_call_and_one_of_scope_attempt_ends_the_retries() {
    let breaker = |scope: &str| {
        let mut document = quiet(json!({"circuit_breaker": {"scope": scope, "failure_threshold": 2}}));
        document["retry"]["max_attempts"] = json!(5);
        document
    };
    let calls = layer(&breaker("call"));
    let backend = Backend::always(Reply::transient());
    let service = calls.layer(backend.clone());
    for _ in 0..2 {
        assert_eq!(calls.handle().breaker().state(), State::Closed);
        assert!(matches!(call(&service, 0).await, Err(Error::Inner(_))));
    }
    assert_eq!((backend.calls(), calls.handle().breaker().state()), (10, State::Open));
    assert_eq!(calls.handle().breaker().snapshot().failed, 2);

    let reports = Reports::default();
    let attempts: ResilienceLayer<Custom<Judge>, _, _, OnReport<_>> =
        PresetBuilder::from_json(&breaker("attempt").to_string())
            .unwrap()
            .classifier(judge as Judge)
            .on_report(reports.keeper())
            .build()
            .unwrap();
    let backend = Backend::always(Reply::transient());
    let service = attempts.layer(backend.clone());
    let (took, result) = timed(call(&service, 0)).await;
    let error = result.unwrap_err();
    assert!(near(took, secs(1)), "no wait is begun for a circuit that is open: {took:?}");
    assert_eq!(error.inner().unwrap().call(), 2, "the last real error comes back, not the refusal: {error:?}");
    assert_eq!(reports.one().stopped_by, Some(StopReason::CircuitOpen));
    assert_eq!((backend.calls(), attempts.handle().breaker().snapshot().failed), (2, 2));
    assert!(matches!(call(&service, 0).await, Err(Error::CircuitOpen(_))));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_of_scope_attempt_takes_a_token_for_each_attempt() {
    for on_limit in ["reject", "wait"] {
        let limit = |scope: &str| {
            layer(&quiet(json!({
                "rate_limit": {"requests_per_minute": 6, "burst_size": 1, "on_limit": on_limit, "scope": scope},
            })))
        };
        let backend = Backend::always(Reply::transient());
        assert!(call(&limit("call").layer(backend.clone()), 0).await.is_err());
        assert!(backend.gaps().iter().all(|gap| near(*gap, secs(1))), "{on_limit}: {:?}", backend.gaps());

        let (layer, backend) = (limit("attempt"), Backend::always(Reply::transient()));
        let error = call(&layer.layer(backend.clone()), 0).await.unwrap_err();
        assert!(matches!(error, Error::Inner(_)), "{on_limit}: the last real error: {error:?}");
        assert!(backend.calls() > 1, "{on_limit}: the ladder waits for tokens");
        assert!(backend.gaps().iter().all(|gap| near(*gap, secs(10))), "{on_limit}: {:?}", backend.gaps());
        assert_eq!(layer.handle().breaker().snapshot().failed, 1, "{on_limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waited_for_its_token_is_refused_by_a_circuit_that_opened_meanwhile() {
    let layer = layer(&quiet(json!({
        "retry": {"enabled": false},
        "rate_limit": {"requests_per_minute": 6, "burst_size": 1, "on_limit": "wait", "scope": "attempt"},
        "circuit_breaker": {"scope": "attempt", "failure_threshold": 1, "recovery_timeout": "1m"},
    })));
    let backend = Backend::always(Reply::transient().after(secs(5)));
    let service = layer.layer(backend.clone());
    let first = spawn(&service, 0);
    settle().await;
    let second = spawn(&service, 1);
    assert!(matches!(first.await.unwrap(), Err(Error::Inner(_))));
    assert_eq!(layer.handle().breaker().state(), State::Open);
    assert!(matches!(second.await.unwrap(), Err(Error::CircuitOpen(_))));
    assert_eq!((backend.calls(), layer.handle().signals().rate_remaining), (1, Some(1.0)), "its token was given back");
}

#[tokio::test(start_paused = true)]
async fn the_total_time_clamps_attempts_and_counts_as_a_failure_inside() {
    let mut document = quiet(json!({}));
    document["timeout"] = json!({"attempt": "2s", "total": "4s"});
    let (layer, backend) = (layer(&document), Backend::always(Reply::Hang));
    let (took, result) = timed(call(&layer.layer(backend.clone()), 0)).await;
    let Err(Error::Timeout(timeout)) = &result else { panic!("{result:?}") };
    assert_eq!((timeout.kind, timeout.limit), (TimeoutKind::Total, secs(4)));
    assert!(near(took, secs(4)), "{took:?}");
    assert_eq!((backend.calls(), backend.inflight()), (2, 0), "2 s, a wait of 1 s, and the second that was left");
    let snapshot = layer.handle().snapshot();
    assert_eq!(snapshot.timeouts, [(TimeoutKind::Attempt, 1), (TimeoutKind::Total, 1)]);
    assert_eq!((snapshot.failure, snapshot.breaker.as_ref().unwrap().failed), (1, 1));
    assert_balanced(&snapshot);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_the_request_brings_shortens_the_total_time() {
    let mut document = quiet(json!({}));
    document["timeout"] = json!({"attempt": "10s", "total": "60s"});
    let layer = PresetBuilder::from_json(&document.to_string()).unwrap().classifier(TimeLeft(ms(500))).build().unwrap();
    let (took, result) = timed(call(&layer.layer(Backend::always(Reply::Hang)), 0)).await;
    let Err(Error::Timeout(timeout)) = &result else { panic!("{result:?}") };
    assert_eq!((timeout.kind, timeout.limit), (TimeoutKind::Total, ms(500)));
    assert!(near(took, ms(500)), "{took:?}");
    let backend = Backend::always(Reply::transient());
    let (took, result) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert!(matches!(result, Err(Error::Inner(_))), "a wait that would not fit is not begun: {result:?}");
    assert!(took.is_zero() && backend.calls() == 1, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_for_permits_is_fair_bounded_and_counted() {
    let mut document = quiet(json!({"concurrency": {"max_inflight": 1, "queue_size": 2, "queue_timeout": "5s"}}));
    document["timeout"] = json!({"attempt": "off", "total": "60s"});
    let (layer, backend) = (layer(&document), Backend::always(Reply::Ok.after(secs(2))));
    let service = layer.layer(backend.clone());
    let mut calls = Vec::new();
    for request in 0..3 {
        calls.push(spawn(&service, request));
        settle().await;
    }
    let Rejection::Overloaded(refused) = refusal(call(&service, 3).await) else { panic!("no place in the queue") };
    assert_eq!((refused.reason, refused.max_inflight), (OverloadReason::QueueFull, 1));
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(backend.requests(), [0, 1, 2], "first come, first served");
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.queued_calls, snapshot.queue_time), (2, secs(6)));
    assert_eq!(snapshot.timeouts, [(TimeoutKind::Attempt, 0), (TimeoutKind::Total, 0)], "nobody's time ran out");

    backend.become_one_that(Reply::Hang);
    let running = spawn(&service, 0);
    settle().await;
    let (took, result) = timed(call(&service, 1)).await;
    let Rejection::Overloaded(refused) = refusal(result) else { panic!("the queue timeout") };
    assert_eq!(refused.reason, OverloadReason::QueueTimeout);
    assert!(near(took, secs(5)), "{took:?}");
    running.abort();
    settle().await;
    assert_eq!(layer.handle().snapshot().queued_calls, 3);
    assert_balanced(&layer.handle().snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_for_a_permit() {
    let mut document = quiet(json!({"concurrency": {"max_inflight": 1, "queue_size": 2, "queue_timeout": "5s"}}));
    document["timeout"] = json!({"attempt": "off", "total": "3s"});
    let (layer, backend) = (layer(&document), Backend::always(Reply::Hang));
    let service = layer.layer(backend.clone());
    let running = spawn(&service, 0);
    pass(secs(1)).await;
    let waiting = spawn(&service, 1);
    let (took, ()) = timed(async {
        let Rejection::Timeout(timeout) = refusal(running.await.unwrap()) else { panic!("its time is over") };
        assert_eq!(timeout.kind, TimeoutKind::Total);
    })
    .await;
    assert!(near(took, secs(2)), "{took:?}");
    let Rejection::Timeout(timeout) = refusal(waiting.await.unwrap()) else { panic!("its time is over as well") };
    assert_eq!((timeout.kind, timeout.limit), (TimeoutKind::Total, secs(3)));
    assert_eq!(layer.handle().snapshot().timeouts[1], (TimeoutKind::Total, 2));
}

#[tokio::test(start_paused = true)]
async fn every_stage_that_a_document_turns_off_lets_calls_pass() {
    let off = layer(&json!({
        "circuit_breaker": {"enabled": false, "failure_threshold": 1},
        "retry": {"enabled": false, "max_attempts": 5},
        "rate_limit": {"enabled": false, "requests_per_minute": 1, "burst_size": 1},
        "concurrency": {"enabled": false, "max_inflight": 1},
        "timeout": {"attempt": "off", "total": "off"},
        "fallback": {"enabled": false},
    }));
    let backend = Backend::always(Reply::transient());
    let service = off.layer(backend.clone());
    for number in 1..=100 {
        assert!(matches!(call(&service, 0).await, Err(Error::Inner(fault)) if fault.call() == number));
    }
    backend.become_one_that(Reply::Ok.after(secs(86_400)));
    let calls: Vec<_> = (0..10).map(|_| spawn(&service, 0)).collect();
    settle().await;
    assert_eq!(backend.inflight(), 10);
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    let snapshot = off.handle().snapshot();
    assert_eq!((snapshot.rejections(), snapshot.retries, snapshot.admitted), (0, 0, 110));
    assert!(snapshot.breaker.is_none() && snapshot.rate.is_none() && snapshot.concurrency.is_none());
    assert_balanced(&snapshot);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_stage_and_one_a_second_becomes_an_event() {
    let registry = Registry::new();
    let layer = PresetBuilder::from_json(r#"{"rate_limit": {"requests_per_minute": 1, "burst_size": 1}}"#)
        .unwrap()
        .operation("search")
        .registry(&registry)
        .classifier(judge)
        .build()
        .unwrap();
    let service = layer.layer(Backend::new());
    assert!(call(&service, 0).await.is_ok());
    for _ in 0..10 {
        assert!(call(&service, 0).await.is_err());
    }
    assert_eq!(refused_by(&layer.handle().snapshot(), Stage::RateLimit), 10);
    assert_eq!(registry.events().len(), 1);
    pass(secs(2)).await;
    assert!(call(&service, 0).await.is_err());
    assert_eq!(registry.events().len(), 2);
    assert_eq!(&*registry.events()[1].operation, "search");
}

/// A backend that is never ready.
#[derive(Clone)]
struct NeverReady;

impl tower::Service<u32> for NeverReady {
    type Response = usize;
    type Error = Fault;
    type Future = std::future::Ready<Result<usize, Fault>>;

    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Fault>> {
        std::task::Poll::Pending
    }

    fn call(&mut self, _request: u32) -> Self::Future {
        panic!("it was not ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_never_ready_runs_out_of_time_and_holds_up_no_refusal() {
    let mut document = quiet(json!({"circuit_breaker": {"failure_threshold": 1}}));
    document["timeout"] = json!({"attempt": "2s", "total": "off"});
    let layer = layer(&document);
    let service = layer.layer(NeverReady);
    let (took, result) = timed(call(&service, 0)).await;
    let Err(Error::Timeout(timeout)) = &result else { panic!("{result:?}") };
    assert_eq!(timeout.kind, TimeoutKind::Attempt);
    assert!(near(took, secs(8)), "three attempts of 2 s and two waits of 1 s: {took:?}");
    let (took, result) = timed(call(&service, 0)).await;
    assert!(matches!(refusal(result), Rejection::CircuitOpen(_)) && took.is_zero(), "{took:?}");
    assert_balanced(&layer.handle().snapshot());
}
