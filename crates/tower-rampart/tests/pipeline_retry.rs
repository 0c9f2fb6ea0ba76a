//! Retries in the pipeline: what they cost, what hints do to them, and what ends them. The schedules are in the vectors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    Backend, Fault, Reply, Reports, assert_balanced, call, judge, ms, near, pass, secs, settle, spawn, timed,
};
use serde_json::{Value, json};
use tower::Layer;
use tower_rampart::{
    Class, Classify, Error, PresetBuilder, RequestInfo, ResilienceLayer, Verdict,
    pipeline::{Custom, OnReport},
    retry::{Cloned, StopReason},
};

type Reported<C> = ResilienceLayer<
    Custom<C>,
    Cloned,
    tower_rampart::fallback::NoFallback,
    OnReport<Box<dyn Fn(&tower_rampart::Explain) + Send + Sync>>,
>;

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

fn judged<C>(retry: &Value, classifier: C) -> (Reported<C>, Reports) {
    let document = json!({
        "retry": retry,
        "circuit_breaker": {"enabled": false},
        "timeout": {"attempt": "off", "total": "off"},
    });
    let reports = Reports::default();
    let keeper: Box<dyn Fn(&tower_rampart::Explain) + Send + Sync> = Box::new(reports.keeper());
    let layer = PresetBuilder::from_json(&document.to_string())
        .unwrap()
        .seed(5)
        .classifier(classifier)
        .on_report(keeper)
        .build()
        .unwrap();
    (layer, reports)
}

fn layer(retry: &Value) -> (Reported<Judge>, Reports) {
    judged(retry, judge)
}

fn steady(attempts: u32, jitter: &str) -> Value {
    json!({"max_attempts": attempts, "backoff": {"base": "1s", "factor": 1, "min": 0}, "jitter": {"kind": jitter}})
}

/// Says of every request that sending it twice would do harm.
#[derive(Clone)]
struct NotIdempotent;

impl Classify<u32, usize, Fault> for NotIdempotent {
    fn request(&self, _request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.idempotent = false;
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&usize, &Fault>) -> Verdict {
        judge(result)
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_thousand_calls_costs_the_backend_at_most_calls_and_budget() {
    let retry = json!({"max_attempts": 5, "backoff": {"base": 0, "min": 0}, "jitter": {"kind": "none"}});
    let (layer, reports) = layer(&retry);
    let backend = Backend::always(Reply::transient());
    let service = layer.layer(backend.clone());
    for _ in 0..1000 {
        assert!(matches!(call(&service, 0).await, Err(Error::Inner(_))));
    }
    // The bucket starts with ten and every first attempt adds a fifth.
    let most = 1000 + 10 + 1000 / 5;
    assert!(backend.calls() <= most, "{} calls", backend.calls());
    assert!(backend.calls() >= most - 5, "the budget is spent: {} calls", backend.calls());
    let stopped = reports.take();
    assert!(stopped.iter().filter(|it| it.stopped_by == Some(StopReason::Budget)).count() > 900);
    assert_balanced(&layer.handle().snapshot());
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_ends_the_retries_with_the_last_error() {
    let mut retry = steady(3, "none");
    retry["budget"] = json!({"ratio": 0.5, "min_per_second": 0});
    let (layer, reports) = layer(&retry);
    let backend = Backend::always(Reply::transient());
    let service = layer.layer(backend.clone());
    for attempts in [1, 2, 1, 2] {
        let before = backend.calls();
        let error = call(&service, 0).await.unwrap_err();
        assert_eq!(error.inner().unwrap().call(), before + attempts);
        let explain = reports.one();
        assert_eq!((explain.attempts as usize, explain.stopped_by), (attempts, Some(StopReason::Budget)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_paid_nothing_gets_nothing_back_from_a_budget_that_is_on_by_then() {
    let mut retry = steady(3, "none");
    retry["budget"] = json!({"enabled": false, "ratio": 0, "min_per_second": 0.001});
    let (layer, _) = layer(&retry);
    let service = layer.layer(Backend::always(Reply::transient()));
    let waiting = spawn(&service, 0);
    settle().await;
    let mut config = (*layer.handle().config()).clone();
    config.retry.budget.enabled = true;
    layer.handle().reconfigure(config).unwrap();
    let level = || layer.handle().signals().retry_budget.unwrap();
    let before = level();
    waiting.abort();
    settle().await;
    assert!((level() - before).abs() < 0.01, "{before} to {}", level());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_in_its_backoff_gets_its_payment_back() {
    let mut retry = steady(3, "none");
    retry["budget"] = json!({"ratio": 0, "min_per_second": 1, "capacity": 1});
    let (layer, _) = layer(&retry);
    let backend = Backend::always(Reply::transient());
    let service = layer.layer(backend.clone());
    let waiting = spawn(&service, 0);
    settle().await;
    assert!(layer.handle().signals().retry_budget.unwrap() < 0.01, "the retry is paid before the wait");
    waiting.abort();
    settle().await;
    assert!(layer.handle().signals().retry_budget.unwrap() > 0.99, "and refunded, for it was not made");
    pass(secs(10)).await;
    assert_eq!(backend.calls(), 1, "a cancelled call is never made again");
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.abandoned, snapshot.retries), (1, 0));
    assert_balanced(&snapshot);
}

#[tokio::test(start_paused = true)]
async fn a_servers_hint_is_honoured_and_jitter_only_lengthens_it() {
    for (jitter, most) in [("none", secs(7)), ("full", ms(7_700)), ("equal", ms(7_700))] {
        let (layer, _) = layer(&steady(2, jitter));
        let backend = Backend::script([Reply::rate_limited(Some(secs(7))), Reply::Ok]);
        assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
        let gap = backend.gaps()[0];
        assert!(gap >= secs(7) && gap <= most + ms(2), "{jitter}: {gap:?}");
    }
    let unavailable = Reply::class(Class::Unavailable { retry_after: Some(secs(9)) });
    let (layer, _) = layer(&steady(2, "none"));
    let backend = Backend::script([unavailable, Reply::Ok]);
    assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
    assert!(near(backend.gaps()[0], secs(9)), "{:?}", backend.gaps());
}

#[tokio::test(start_paused = true)]
async fn a_hint_above_retry_after_max_or_beyond_the_time_left_ends_the_call_at_once() {
    let (layer, reports) = layer(&steady(5, "none"));
    let backend = Backend::always(Reply::rate_limited(Some(secs(61))));
    let (took, result) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert!(took.is_zero(), "{took:?}");
    assert_eq!(result.unwrap_err().inner().unwrap().call(), 1);
    assert_eq!(reports.one().stopped_by, Some(StopReason::Deadline));

    let document = json!({"retry": steady(5, "none"), "timeout": {"total": "30s"}});
    let bounded = PresetBuilder::from_json(&document.to_string()).unwrap().classifier(judge).build().unwrap();
    let backend = Backend::always(Reply::rate_limited(Some(secs(31))));
    let (took, result) = timed(call(&bounded.layer(backend.clone()), 0)).await;
    assert!(took.is_zero() && backend.calls() == 1, "{took:?}");
    assert!(matches!(result, Err(Error::Inner(_))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_a_rate_limited_answer_waits_twice_the_backoff() {
    let (layer, _) = layer(&steady(2, "none"));
    let backend = Backend::script([Reply::rate_limited(None), Reply::Ok]);
    assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
    assert!(near(backend.gaps()[0], secs(2)), "{:?}", backend.gaps());
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_judged_failures_are_retried_and_the_last_one_comes_back() {
    let judge_answers = |result: Result<&usize, &Fault>| match result {
        Ok(answer) if *answer < 3 => Class::Transient,
        Ok(_) => Class::Success,
        Err(_) => Class::Permanent,
    };
    let (layer, reports) = judged(&steady(5, "none"), judge_answers);
    assert_eq!(call(&layer.layer(Backend::new()), 0).await, Ok(3));
    assert_eq!((reports.one().attempts, layer.handle().snapshot().success), (3, 1));
    let (layer, reports) = judged(&steady(2, "none"), judge_answers);
    assert_eq!(call(&layer.layer(Backend::new()), 0).await, Ok(2), "an answer stays an answer");
    assert_eq!(reports.one().stopped_by, Some(StopReason::Attempts));
    assert_eq!(layer.handle().snapshot().failure, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_be_sent_twice_is_sent_again_only_if_it_was_not_processed() {
    let (layer, reports) = judged(&steady(3, "none"), NotIdempotent);
    let backend = Backend::always(Reply::transient());
    assert!(call(&layer.layer(backend.clone()), 0).await.is_err());
    assert_eq!((backend.calls(), reports.one().stopped_by), (1, Some(StopReason::NotIdempotent)));

    let refused = Verdict::new(Class::Transient).not_processed();
    let backend = Backend::script([Reply::Fail(refused), Reply::Ok]);
    assert_eq!(call(&layer.layer(backend), 0).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_cloned_is_sent_once() {
    let document = json!({"retry": steady(3, "none")});
    let reports = Reports::default();
    let layer = PresetBuilder::from_json(&document.to_string())
        .unwrap()
        .classifier(judge)
        .cloner(|request: &u32| (*request < 10).then_some(*request))
        .on_report(reports.keeper())
        .build()
        .unwrap();
    let backend = Backend::always(Reply::transient());
    let service = layer.layer(backend.clone());
    assert!(call(&service, 10).await.is_err());
    assert_eq!((backend.calls(), reports.one().stopped_by), (1, Some(StopReason::NotIdempotent)));
    assert!(call(&service, 9).await.is_err());
    assert_eq!(backend.requests(), [10, 9, 9, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_retried_after_its_attempts_time() {
    let document = json!({"retry": steady(2, "none"), "timeout": {"attempt": "3s", "total": "off"}});
    let layer = PresetBuilder::from_json(&document.to_string()).unwrap().classifier(judge).build().unwrap();
    let backend = Backend::script([Reply::Hang, Reply::Ok]);
    let (took, result) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert_eq!(result, Ok(2));
    assert!(near(took, secs(4)), "{took:?}");
    assert_eq!(backend.inflight(), 0, "the hung attempt was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_others_open_ends_the_retries_of_a_call_in_backoff() {
    let document = json!({"retry": steady(3, "none"), "circuit_breaker": {"failure_threshold": 1}});
    let reports = Reports::default();
    let layer = PresetBuilder::from_json(&document.to_string())
        .unwrap()
        .classifier(judge)
        .on_report(reports.keeper())
        .build()
        .unwrap();
    let backend = Backend::always(Reply::transient());
    let service = layer.layer(backend.clone());
    let waiting = spawn(&service, 0);
    settle().await;
    layer.handle().breaker().trip();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.inner().unwrap().call(), 1, "the last real error comes back: {error:?}");
    assert_eq!((backend.calls(), reports.one().stopped_by), (1, Some(StopReason::CircuitOpen)));
}
