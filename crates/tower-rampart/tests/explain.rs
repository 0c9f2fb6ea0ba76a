//! The report of a call: attempts, waits, why it stopped, who refused, who answered instead.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Fault, Reply, Reports, call, judge, ms, near, pass, secs, settle, spawn};
use serde_json::{Value, json};
use tower::Layer;
use tower_rampart::{
    Class, Classify, Explain, PresetBuilder, RequestInfo, ResilienceLayer, Stage, Verdict,
    fallback::NoFallback,
    pipeline::{Custom, OnReport},
    retry::{Cloned, StopReason},
};

type Keeper = Box<dyn Fn(&Explain) + Send + Sync>;
type Reported = ResilienceLayer<Custom<ByRequest>, Cloned, NoFallback, OnReport<Keeper>>;

/// Requests from 1000 on must not be sent twice.
#[derive(Clone, Copy)]
struct ByRequest;

impl Classify<u32, usize, Fault> for ByRequest {
    fn request(&self, request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.idempotent = *request < 1000;
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&usize, &Fault>) -> Verdict {
        judge(result)
    }
}

fn layer(more: &Value) -> (Reported, Reports) {
    let mut document = json!({
        "retry": {"max_attempts": 3, "backoff": {"base": "1s", "factor": 2, "min": 0}, "jitter": {"kind": "none"}},
        "timeout": {"attempt": "off", "total": "off"},
    });
    for (section, fields) in more.as_object().unwrap() {
        document[section] = fields.clone();
    }
    let reports = Reports::default();
    let keeper: Keeper = Box::new(reports.keeper());
    let layer = PresetBuilder::from_json(&document.to_string())
        .unwrap()
        .classifier(ByRequest)
        .on_report(keeper)
        .build()
        .unwrap();
    (layer, reports)
}

async fn story(more: Value, reply: Reply, request: u32) -> (Explain, Backend) {
    let (layer, reports) = layer(&more);
    let backend = Backend::always(reply);
    let _ = call(&layer.layer(backend.clone()), request).await;
    let explain = reports.one();
    assert_eq!(explain.attempts as usize, backend.calls());
    (explain, backend)
}

#[tokio::test(start_paused = true)]
async fn a_plain_success_is_reported_only_when_asked_for() {
    let (layer, reports) = layer(&json!({}));
    assert!(call(&layer.layer(Backend::new()), 0).await.is_ok());
    assert_eq!(reports.take(), []);
    let all = PresetBuilder::from_json(r#"{"retry_attempts": 2}"#)
        .unwrap()
        .classifier(judge)
        .on_report(reports.keeper())
        .report_all(true)
        .build()
        .unwrap();
    assert!(call(&all.layer(Backend::new()), 0).await.is_ok());
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.stopped_by, explain.rejected_by), (1, None, None));
    assert!(!explain.is_remarkable());
}

#[tokio::test(start_paused = true)]
async fn retries_are_told_with_their_waits() {
    let (explain, backend) = story(json!({}), Reply::transient(), 0).await;
    assert_eq!((explain.attempts, explain.stopped_by), (3, Some(StopReason::Attempts)));
    assert_eq!(explain.delays, [secs(1), secs(2)]);
    assert!(backend.gaps().iter().zip(&explain.delays).all(|(gap, wait)| near(*gap, *wait)));
    assert_eq!((explain.rejected_by, explain.fallback), (None, None));
}

#[tokio::test(start_paused = true)]
async fn each_reason_to_stop_has_its_word() {
    let (explain, _) = story(json!({}), Reply::permanent(), 0).await;
    assert_eq!((explain.attempts, explain.stopped_by), (1, Some(StopReason::Class)));

    let (explain, _) = story(json!({}), Reply::transient(), 1000).await;
    assert_eq!((explain.attempts, explain.stopped_by), (1, Some(StopReason::NotIdempotent)));

    let once = json!({"retry": {"max_attempts": 1}});
    let (explain, _) = story(once, Reply::transient(), 0).await;
    assert_eq!((explain.attempts, explain.stopped_by), (1, Some(StopReason::Attempts)));

    let bounded = json!({"timeout": {"total": "2s"}});
    let (explain, _) = story(bounded, Reply::transient(), 0).await;
    assert_eq!((explain.attempts, explain.stopped_by), (2, Some(StopReason::Deadline)));

    let poor = json!({"retry": {"max_attempts": 3, "budget": {"ratio": 0, "min_per_second": 0}}});
    let (explain, _) = story(poor, Reply::transient(), 0).await;
    assert_eq!((explain.attempts, explain.stopped_by), (1, Some(StopReason::Budget)));

    let sampled = json!({"circuit_breaker": {"scope": "attempt", "failure_threshold": 2}});
    let (explain, _) = story(sampled, Reply::transient(), 0).await;
    assert_eq!((explain.attempts, explain.stopped_by), (2, Some(StopReason::CircuitOpen)));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_counted_and_has_no_report() {
    let (layer, reports) = layer(&json!({}));
    let service = layer.layer(Backend::always(Reply::Hang));
    let running = spawn(&service, 0);
    settle().await;
    running.abort();
    settle().await;
    assert_eq!(reports.take(), []);
    let stopped = layer.handle().snapshot().stopped;
    assert!(stopped.contains(&(StopReason::Cancelled, 1)), "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_its_stage_and_made_no_attempt() {
    let refused = |explain: &Explain, stage| {
        assert_eq!((explain.attempts, explain.rejected_by, explain.stopped_by), (0, Some(stage), None));
        assert!(explain.delays.is_empty());
    };
    let (open, reports) = layer(&json!({}));
    open.handle().breaker().force_open();
    assert!(call(&open.layer(Backend::new()), 0).await.is_err());
    refused(&reports.one(), Stage::CircuitBreaker);

    let (limited, reports) = layer(&json!({"rate_limit": {"requests_per_minute": 1, "burst_size": 1}}));
    let service = limited.layer(Backend::new());
    assert!(call(&service, 0).await.is_ok());
    assert!(call(&service, 0).await.is_err());
    refused(&reports.one(), Stage::RateLimit);

    let (full, reports) =
        layer(&json!({"concurrency": {"max_inflight": 1, "queue_size": 1}, "timeout": {"total": "9s"}}));
    let service = full.layer(Backend::always(Reply::Ok.after(secs(20))));
    let running = spawn(&service, 0);
    pass(secs(1)).await;
    let waiting = spawn(&service, 0);
    settle().await;
    assert!(call(&service, 0).await.is_err());
    refused(&reports.one(), Stage::Concurrency);
    waiting.abort();
    running.abort();

    let (late, reports) =
        layer(&json!({"concurrency": {"max_inflight": 1, "queue_size": 1}, "timeout": {"total": "9s"}}));
    let service = late.layer(Backend::always(Reply::Hang));
    let running = spawn(&service, 0);
    pass(secs(1)).await;
    let waiting = spawn(&service, 0);
    assert!(running.await.unwrap().is_err());
    let _ = reports.take();
    assert!(waiting.await.unwrap().is_err());
    let explain = reports.one();
    // The permit came free a second before its own time was over.
    assert_eq!(explain.attempts, 1);
    assert!(near(explain.queued, secs(8)), "{explain:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_in_queues_is_told_of_a_call_that_had_more_to_tell() {
    let (layer, reports) =
        layer(&json!({"rate_limit": {"requests_per_second": 1, "burst_size": 1, "on_limit": "wait"}}));
    let service = layer.layer(Backend::script([Reply::Ok, Reply::permanent()]));
    assert!(call(&service, 0).await.is_ok());
    assert!(call(&service, 0).await.is_err());
    let explain = reports.one();
    assert!(near(explain.queued, secs(1)), "{explain:?}");
    assert_eq!(layer.handle().snapshot().queued_calls, 1);
    assert!(near(layer.handle().snapshot().queue_time, secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_told_beside_the_reason_why_it_was_needed() {
    let reports = Reports::default();
    let layer = PresetBuilder::from_json(r#"{"retry": {"max_attempts": 2, "backoff": {"base": "10ms", "min": 0}}}"#)
        .unwrap()
        .classifier(judge)
        .fallback_value(99)
        .on_report(reports.keeper())
        .build()
        .unwrap();
    assert_eq!(call(&layer.layer(Backend::always(Reply::transient())), 0).await, Ok(99));
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.stopped_by), (2, Some(StopReason::Attempts)));
    assert_eq!((explain.fallback, explain.rejected_by), (Some(0), None));
    layer.handle().breaker().force_open();
    assert_eq!(call(&layer.layer(Backend::new()), 0).await, Ok(99));
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.fallback, explain.rejected_by), (0, Some(0), Some(Stage::CircuitBreaker)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_told_after_retries_counts_the_retries_that_hints_asked_for() {
    let (layer, reports) = layer(&json!({}));
    let hint = Reply::class(Class::Unavailable { retry_after: Some(secs(5)) });
    let backend = Backend::script([hint, Reply::transient(), Reply::Ok]);
    assert_eq!(call(&layer.layer(backend), 0).await, Ok(3));
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.stopped_by), (3, None));
    assert_eq!(explain.delays, [secs(5), secs(2)]);
    assert_eq!(explain.queued, ms(0));
}
