//! Hedging, by the layer and by the pipeline: when copies begin, which answer counts, what the losers leave behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Backend, Fault, Reply, Reports, call, call_and_catch, judge, ms, near, pass, secs, settle, spawn, timed};
use serde_json::{Value, json};
use tower::Layer;
use tower_rampart::{
    Class, Classify, Explain, HedgeLayer, PresetBuilder, RequestInfo, ResilienceLayer, Verdict,
    breaker::State,
    fallback::NoFallback,
    hedge::{self, Counts},
    pipeline::{Custom, OnReport},
    retry::{BudgetConfig, Cloned, StopReason},
};

type Keeper = Box<dyn Fn(&Explain) + Send + Sync>;
type Pipeline = ResilienceLayer<Custom<ByRequest>, Cloned, NoFallback, OnReport<Keeper>>;

/// Requests from 1000 on must not be sent twice.
#[derive(Clone, Copy, Debug)]
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

/// Copies after 100 ms, attempts of 10 s, two attempts a second apart, unless the document says otherwise.
fn pipeline(more: &Value) -> (Pipeline, Reports) {
    let mut document = json!({
        "hedge": {"delay": "100ms"},
        "retry": {"max_attempts": 2, "backoff": {"base": "1s", "factor": 1, "min": 0}, "jitter": {"kind": "none"}},
        "timeout": {"attempt": "10s", "total": "60s"},
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

fn counts(layer: &Pipeline) -> Counts {
    layer.handle().snapshot().hedges.counts
}

fn counted(begun: u64, won: u64, failed: u64, abandoned: u64) -> Counts {
    let mut counts = Counts::default();
    (counts.begun, counts.won, counts.failed, counts.abandoned) = (begun, won, failed, abandoned);
    counts
}

#[tokio::test(start_paused = true)]
async fn copy_that_answers_first_is_the_answer_of_the_one_attempt() {
    for scope in ["call", "attempt"] {
        let (layer, reports) = pipeline(&json!({"circuit_breaker": {"scope": scope}}));
        let backend = Backend::script([Reply::Ok.after(secs(5)), Reply::Ok.after(ms(20))]);
        let (took, answer) = timed(call(&layer.layer(backend.clone()), 7)).await;
        assert_eq!(answer, Ok(2));
        assert!(near(took, ms(120)), "{took:?}");
        assert_eq!((backend.requests(), backend.inflight()), (vec![7, 7], 0), "the first copy is dropped");
        let explain = reports.one();
        assert_eq!((explain.attempts, explain.hedges, explain.copy), (1, 1, 1));
        assert_eq!(counts(&layer), counted(1, 1, 0, 0));
        let it = layer.handle().snapshot();
        assert_eq!((it.admitted, it.success, it.attempts, it.retries), (1, 1, 1, 0), "{it:?}");
        assert_eq!(layer.handle().breaker().snapshot().total, 1, "one verdict for the attempt");
    }
}

#[tokio::test(start_paused = true)]
async fn first_copy_that_answers_first_cancels_the_other() {
    let (layer, reports) = pipeline(&json!({}));
    let backend = Backend::script([Reply::Ok.after(ms(150)), Reply::Ok.after(ms(500))]);
    assert_eq!(call(&layer.layer(backend.clone()), 0).await, Ok(1));
    assert_eq!(backend.inflight(), 0);
    let explain = reports.one();
    assert_eq!((explain.hedges, explain.copy), (1, 0));
    assert_eq!(counts(&layer), counted(1, 0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn answer_before_the_delay_is_sent_once_and_tells_nothing() {
    let (layer, reports) = pipeline(&json!({}));
    let backend = Backend::always(Reply::Ok.after(ms(99)));
    assert_eq!(call(&layer.layer(backend.clone()), 0).await, Ok(1));
    assert_eq!((backend.calls(), reports.take()), (1, vec![]));
    assert_eq!(counts(&layer), Counts::default());
}

#[tokio::test(start_paused = true)]
async fn copy_that_fails_is_dropped_and_the_others_are_waited_for() {
    let (layer, reports) = pipeline(&json!({}));
    let service = |replies| {
        let backend = Backend::script(replies);
        (layer.layer(backend.clone()), backend)
    };
    // The copy fails, the first copy answers.
    let (first_wins, backend) = service([Reply::Ok.after(secs(1)), Reply::transient()]);
    assert_eq!(call(&first_wins, 0).await, Ok(1));
    assert_eq!((backend.calls(), reports.one().copy), (2, 0));
    assert_eq!(counts(&layer), counted(1, 0, 1, 0));
    // The first copy fails, the other answers; there is no retry.
    let (copy_wins, backend) = service([Reply::transient().after(ms(200)), Reply::Ok.after(ms(300))]);
    let (took, answer) = timed(call(&copy_wins, 0)).await;
    assert_eq!((answer, backend.calls()), (Ok(2), 2));
    assert!(near(took, ms(400)), "{took:?}");
    assert_eq!(reports.one().attempts, 1);
    assert_eq!(layer.handle().breaker().snapshot().failed, 0, "an attempt that was answered has not failed");
}

#[tokio::test(start_paused = true)]
async fn attempt_of_which_all_copies_fail_is_retried_and_hedged_again() {
    let (layer, reports) = pipeline(&json!({"circuit_breaker": {"scope": "attempt"}}));
    let backend = Backend::script([
        Reply::transient().after(ms(300)),
        Reply::transient().after(ms(400)),
        Reply::Ok.after(secs(3)),
        Reply::Ok,
    ]);
    let (took, answer) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert_eq!(answer, Ok(4));
    assert!(near(took, ms(500 + 1000 + 100)), "{took:?}");
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.hedges, explain.copy, explain.stopped_by), (2, 2, 1, None));
    assert_eq!(counts(&layer), counted(2, 1, 1, 0));
    let circuit = layer.handle().breaker().snapshot();
    assert_eq!((circuit.total, circuit.failed, circuit.successful), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn real_failure_comes_back_and_not_what_kept_another_copy_from_being_sent() {
    let (layer, _) = pipeline(&json!({"retry": {"enabled": false}}));
    for [first, copy] in [[ms(200), ms(300)], [ms(500), ms(50)]] {
        let ignored = Reply::class(Class::Ignored).after(copy);
        let backend = Backend::script([Reply::transient().after(first), ignored]);
        let error = call(&layer.layer(backend.clone()), 0).await.unwrap_err();
        assert_eq!((error.inner().map(Fault::call), backend.calls()), (Some(1), 2));
    }
    assert_eq!(layer.handle().breaker().snapshot().failed, 2);
}

#[tokio::test(start_paused = true)]
async fn answer_that_blames_the_request_counts_at_once() {
    let (layer, reports) = pipeline(&json!({}));
    let backend = Backend::script([Reply::Ok.after(secs(5)), Reply::permanent()]);
    let (took, answer) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert!(answer.is_err());
    assert!(near(took, ms(100)), "{took:?}");
    assert_eq!(reports.one().stopped_by, Some(StopReason::Class));
}

#[tokio::test(start_paused = true)]
async fn request_that_must_not_be_sent_twice_has_no_copy() {
    let (layer, _) = pipeline(&json!({}));
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    assert_eq!(call(&layer.layer(backend.clone()), 1000).await, Ok(1));
    assert_eq!((backend.calls(), counts(&layer)), (1, Counts::default()));
}

#[tokio::test(start_paused = true)]
async fn further_copies_begin_one_delay_after_another_up_to_the_most() {
    let (layer, reports) = pipeline(&json!({"hedge": {"delay": "100ms", "max_hedges": 3}}));
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    assert_eq!(call(&layer.layer(backend.clone()), 0).await, Ok(1));
    let gaps = backend.gaps();
    assert!(gaps.len() == 3 && gaps.iter().all(|gap| near(*gap, ms(100))), "{gaps:?}");
    assert_eq!((reports.one().hedges, counts(&layer)), (3, counted(3, 0, 0, 3)));
}

#[tokio::test(start_paused = true)]
async fn attempts_time_bounds_all_its_copies() {
    let (layer, _) = pipeline(&json!({"timeout": {"attempt": "1s", "total": "60s"}, "retry": {"max_attempts": 1}}));
    let backend = Backend::always(Reply::Hang);
    let (took, answer) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert!(answer.is_err_and(|error| error.is_timeout()));
    assert!(near(took, secs(1)), "{took:?}");
    assert_eq!((backend.calls(), backend.inflight(), counts(&layer)), (2, 0, counted(1, 0, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn copies_pay_from_the_budget_of_the_retries_and_none_begins_unpaid() {
    let budget = json!({"max_attempts": 1, "budget": {"ratio": 0.5, "min_per_second": 0}});
    let (layer, _) = pipeline(&json!({"retry": budget, "hedge": {"delay": "100ms", "max_hedges": 2}}));
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    let service = layer.layer(backend.clone());
    for calls in [1, 3, 4] {
        assert!(call(&service, 0).await.is_ok());
        assert_eq!(backend.calls(), calls, "every second call pays for a copy");
    }
    let it = counts(&layer);
    assert_eq!((it.begun, it.unpaid), (1, 3));
    assert_eq!(layer.handle().snapshot().retry_budget, Some(0.5));
}

#[tokio::test(start_paused = true)]
async fn only_a_closed_circuit_lets_copies_through() {
    let (layer, _) = pipeline(&json!({"circuit_breaker": {"recovery_timeout": "1s"}}));
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    let service = layer.layer(backend.clone());
    layer.handle().breaker().trip();
    pass(secs(1)).await;
    assert_eq!(layer.handle().breaker().state(), State::HalfOpen);
    assert!(call(&service, 0).await.is_ok());
    assert_eq!((backend.calls(), counts(&layer).begun), (1, 0), "a probe is one call");
    let running = spawn(&service, 0);
    settle().await;
    layer.handle().breaker().force_open();
    assert!(running.await.unwrap().is_ok());
    assert_eq!(
        (backend.calls(), counts(&layer).begun),
        (2, 0),
        "nothing more is sent to what is behind an open circuit"
    );
}

#[tokio::test(start_paused = true)]
async fn live_percentile_begins_copies_once_enough_is_known_and_follows_the_service() {
    let (layer, _) = pipeline(&json!({"hedge": {"percentile": 90}}));
    let backend = Backend::always(Reply::Ok.after(ms(20)));
    let service = layer.layer(backend.clone());
    let delay = || layer.handle().snapshot().hedges.delay;
    backend.next(Reply::Ok.after(secs(1)));
    assert!(call(&service, 0).await.is_ok());
    assert_eq!((backend.calls(), delay()), (1, None), "nothing is known yet");
    for _ in 0..100 {
        assert!(call(&service, 0).await.is_ok());
        pass(ms(100)).await;
    }
    let known = delay().unwrap();
    assert!(known >= ms(20) && known <= ms(23), "{known:?}");
    backend.next(Reply::Ok.after(secs(1)));
    let (took, answer) = timed(call(&service, 0)).await;
    assert!(answer.is_ok() && took < ms(50), "{took:?}");
    // What is slow for all is not hedged for long: a minute later it is what calls take.
    backend.become_one_that(Reply::Ok.after(ms(200)));
    for _ in 0..700 {
        assert!(call(&service, 0).await.is_ok());
    }
    assert!(delay().is_some_and(|it| it >= ms(200)), "{:?}", delay());
}

/// Copies that win cut off what the first copies would have taken; the percentile must not sink by that.
#[tokio::test(start_paused = true)]
async fn copies_do_not_breed_copies() {
    let (layer, _) = pipeline(&json!({"hedge": {"percentile": 95}}));
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    for number in 0..4000 {
        // One in 25 is slow; the others take 10 to 19 ms.
        backend.next(Reply::Ok.after(if number % 25 == 7 { ms(900) } else { ms(10 + number % 10) }));
        backend.then_next(Reply::Ok.after(ms(10)));
        assert!(call(&service, 0).await.is_ok());
        backend.become_one_that(Reply::Ok);
        pass(ms(20)).await;
    }
    let begun = counts(&layer).begun;
    assert!((120..=200).contains(&begun), "{begun} copies of 4000 calls");
}

#[tokio::test(start_paused = true)]
async fn dropped_call_cancels_all_its_copies_and_gives_back_what_was_not_sent() {
    let (layer, _) =
        pipeline(&json!({"hedge": {"delay": "100ms", "max_hedges": 2}, "concurrency": {"max_inflight": 1}}));
    let backend = Backend::always(Reply::Hang);
    let service = layer.layer(backend.clone());
    for (after, copies) in [(50, 1), (150, 2), (250, 3), (950, 3)] {
        let before = backend.calls();
        let running = spawn(&service, 0);
        pass(ms(after)).await;
        assert_eq!((backend.calls() - before, backend.inflight()), (copies, copies));
        running.abort();
        settle().await;
        assert_eq!(backend.inflight(), 0);
        assert_eq!(layer.handle().signals().current_inflight, 0);
    }
    let it = counts(&layer);
    assert_eq!((it.begun, it.abandoned), (5, 5));
    assert_eq!(layer.handle().snapshot().abandoned, 4);
}

#[tokio::test(start_paused = true)]
async fn copy_that_panics_is_a_failure_of_the_call() {
    let (layer, _) = pipeline(&json!({}));
    let backend = Backend::script([Reply::Hang, Reply::Panic]);
    call_and_catch(&layer.layer(backend.clone()), 0).await;
    let it = layer.handle().snapshot();
    assert_eq!((it.failure, it.abandoned, it.inflight, backend.inflight()), (1, 0, 0, 0));
    assert_eq!(layer.handle().breaker().snapshot().failed, 1);
    assert_eq!(counts(&layer), counted(1, 0, 0, 1));
}

fn alone(config: hedge::Config, budget: BudgetConfig) -> HedgeLayer<ByRequest> {
    HedgeLayer::builder().config(config).budget(budget).classifier(ByRequest).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn layer_alone_walks_the_same_way() {
    let layer = alone(hedge::Config::delay(ms(100)), BudgetConfig::default());
    let handle = layer.handle();
    let answer = async |replies: [Reply; 2], request| {
        let backend = Backend::script(replies);
        let (took, answer) = timed(call(&layer.layer(backend.clone()), request)).await;
        assert_eq!(backend.inflight(), 0);
        (took, answer, backend.calls())
    };
    let (took, result, _) = answer([Reply::Ok.after(secs(5)), Reply::Ok], 0).await;
    assert!(result == Ok(2) && near(took, ms(100)), "{took:?}");
    let (took, result, _) = answer([Reply::transient().after(ms(150)), Reply::Ok.after(ms(150))], 0).await;
    assert!(result == Ok(2) && near(took, ms(250)), "{took:?}");
    let (_, result, calls) = answer([Reply::transient().after(ms(50)), Reply::Ok], 0).await;
    assert!(result.is_err() && calls == 1, "what fails alone has failed: retries are another layer's");
    let (_, result, calls) = answer([Reply::Ok.after(secs(1)), Reply::Ok], 1000).await;
    assert!(result == Ok(1) && calls == 1);
    assert_eq!(handle.counts(), counted(2, 2, 0, 0));
    let mut off = handle.config();
    off.enabled = false;
    handle.reconfigure(off).unwrap();
    let (_, result, calls) = answer([Reply::Ok.after(secs(1)), Reply::Ok], 0).await;
    assert!(result == Ok(1) && calls == 1 && handle.delay().is_none());
}

#[tokio::test(start_paused = true)]
async fn layer_alone_pays_from_a_budget_of_its_own() {
    let budget = BudgetConfig { ratio: 0.5, min_per_second: 0.0, ..BudgetConfig::default() };
    let layer = alone(hedge::Config::delay(Duration::ZERO), budget);
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    let service = layer.layer(backend.clone());
    for calls in [1, 3, 4, 6] {
        assert!(call(&service, 0).await.is_ok());
        assert_eq!(backend.calls(), calls);
    }
    assert_eq!((layer.handle().counts().begun, layer.handle().counts().unpaid), (2, 2));
    assert!(layer.handle().budget_level() < 1.0);
}
