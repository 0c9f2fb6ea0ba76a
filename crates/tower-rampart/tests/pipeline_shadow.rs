//! Stages in shadow: they evaluate as if they were live, count what they would have done, and refuse nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Fault, Reply, call, judge, ms, pass, refusal, refused_by, secs, settle, spawn, timed};
use serde_json::{Value as Json, json};
use tower::{Layer, ServiceExt};
use tower_rampart::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, Error, OperationHandle, PresetBuilder, RateLimitLayer, Registry,
    ResilienceConfig, ResilienceLayer, Stage, TimeoutLayer, Verdict,
    breaker::{self, State},
    concurrency,
    pipeline::Custom,
    rate_limit,
    shadow::Switch,
};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

fn document(more: &Json) -> String {
    let mut document = json!({
        "retry": {"enabled": false},
        "timeout": {"attempt": "off", "total": "off"},
        "circuit_breaker": {"failure_threshold": 3, "recovery_timeout": "10s"},
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.to_string()
}

fn layer(more: &Json) -> ResilienceLayer<Custom<Judge>> {
    PresetBuilder::from_json(&document(more)).unwrap().seed(3).classifier(judge as Judge).build().unwrap()
}

fn reload(handle: &OperationHandle, more: &Json) {
    handle.reconfigure(ResilienceConfig::from_json(&document(more)).unwrap().base()).unwrap();
}

/// What a stage would have refused, and let wait.
fn would(handle: &OperationHandle, stage: Stage) -> (u64, u64) {
    let it = handle.snapshot();
    let of = |counts: &[(Stage, u64)]| counts.iter().find(|(it, _)| *it == stage).map_or(0, |(_, count)| *count);
    (of(&it.would_refuse), of(&it.would_queue))
}

#[tokio::test(start_paused = true)]
async fn shadowed_circuit_opens_lets_all_through_and_closes_by_its_probes() {
    let layer = layer(&json!({"shadow": {"stages": ["circuit_breaker"]}}));
    let (handle, backend) = (layer.handle(), Backend::always(Reply::transient()));
    let service = layer.layer(backend.clone());
    for _ in 0..3 {
        assert!(call(&service, 0).await.is_err());
    }
    assert_eq!((handle.breaker().state(), would(&handle, Stage::CircuitBreaker)), (State::Open, (0, 0)));
    backend.become_one_that(Reply::Ok);
    for _ in 0..4 {
        assert!(call(&service, 0).await.is_ok(), "it refuses nothing");
    }
    assert_eq!(handle.breaker().state(), State::Open, "whom it would have refused tells it nothing");
    assert_eq!(would(&handle, Stage::CircuitBreaker), (4, 0));
    pass(secs(10)).await;
    assert!(call(&service, 0).await.is_ok(), "the probe");
    assert_eq!(handle.breaker().state(), State::Closed);
    let (it, circuit) = (handle.snapshot(), handle.breaker().snapshot());
    assert_eq!((it.admitted, it.rejections(), would(&handle, Stage::CircuitBreaker)), (8, 0, (4, 0)));
    assert_eq!((circuit.total, circuit.rejected), (4, 0), "{circuit:?}");
}

#[tokio::test(start_paused = true)]
async fn half_open_circuit_in_shadow_takes_its_probes_and_counts_the_others() {
    let layer = layer(&json!({"shadow": {"stages": ["circuit_breaker"]}}));
    let (handle, backend) = (layer.handle(), Backend::always(Reply::Hang));
    let service = layer.layer(backend.clone());
    handle.breaker().trip();
    pass(secs(10)).await;
    let running: Vec<_> = (0..3).map(|_| spawn(&service, 0)).collect();
    settle().await;
    assert_eq!((backend.inflight(), would(&handle, Stage::CircuitBreaker)), (3, (2, 0)));
    for it in &running {
        it.abort();
    }
    settle().await;
    backend.become_one_that(Reply::transient());
    assert!(call(&service, 0).await.is_err());
    assert_eq!(handle.breaker().state(), State::Open, "the slot came back, and this probe failed");
}

#[tokio::test(start_paused = true)]
async fn shadowed_attempts_are_not_stopped_by_their_circuit() {
    let more = json!({
        "circuit_breaker": {"failure_threshold": 1, "scope": "attempt"},
        "retry": {"max_attempts": 3, "backoff": {"base": "1s", "factor": 1, "min": 0}, "jitter": {"kind": "none"}},
        "shadow": {},
    });
    let layer = layer(&more);
    let backend = Backend::always(Reply::transient());
    assert!(call(&layer.layer(backend.clone()), 0).await.is_err());
    assert_eq!((backend.calls(), would(&layer.handle(), Stage::CircuitBreaker)), (3, (2, 0)));
}

#[tokio::test(start_paused = true)]
async fn shadowed_rate_limit_takes_the_tokens_that_there_are_and_counts_the_rest() {
    let more = json!({
        "rate_limit": {"limit": 2, "period": "10s", "burst_size": 2}, "shadow": {"stages": ["rate_limit"]},
    });
    let layer = layer(&more);
    let (handle, service) = (layer.handle(), layer.layer(Backend::new()));
    for _ in 0..5 {
        assert!(call(&service, 0).await.is_ok());
    }
    assert_eq!(would(&handle, Stage::RateLimit), (3, 0));
    assert_eq!((handle.snapshot().admitted, handle.snapshot().rejections()), (5, 0));
    pass(secs(5)).await;
    assert!(call(&service, 0).await.is_ok());
    assert_eq!(would(&handle, Stage::RateLimit), (3, 0), "what goes on without a token owes none");
}

#[tokio::test(start_paused = true)]
async fn whoever_would_have_waited_goes_on_at_once_and_is_told_from_refusals() {
    let more = json!({
        "rate_limit": {"limit": 1, "period": "10s", "burst_size": 1, "on_limit": "wait", "max_wait": "8s"},
        "shadow": {"stages": ["rate_limit"]},
    });
    let layer = layer(&more);
    let (handle, service) = (layer.handle(), layer.layer(Backend::new()));
    let (took, answers) = timed(async { [call(&service, 0).await.is_ok(), call(&service, 0).await.is_ok()] }).await;
    assert_eq!((took, answers), (secs(0), [true, true]));
    assert_eq!(would(&handle, Stage::RateLimit), (1, 0), "a token comes after ten seconds: more than it may wait");
    pass(secs(3)).await;
    assert!(call(&service, 0).await.is_ok());
    assert_eq!(would(&handle, Stage::RateLimit), (1, 1), "in seven seconds there is one");
}

#[tokio::test(start_paused = true)]
async fn shadowed_concurrency_limit_gives_out_the_permits_that_there_are() {
    let more = |queue_size: u32| json!({"concurrency": {"max_inflight": 2, "queue_size": queue_size}, "shadow": {"stages": ["concurrency"]}});
    let layer = layer(&more(0));
    let (handle, backend) = (layer.handle(), Backend::always(Reply::Hang));
    let service = layer.layer(backend.clone());
    let running: Vec<_> = (0..5).map(|_| spawn(&service, 0)).collect();
    settle().await;
    assert_eq!((backend.inflight(), handle.signals().current_inflight), (5, 2));
    assert_eq!(would(&handle, Stage::Concurrency), (3, 0));
    reload(&handle, &more(4));
    let waits = spawn(&service, 0);
    settle().await;
    assert_eq!((backend.inflight(), would(&handle, Stage::Concurrency)), (6, (3, 1)));
    for it in running.iter().chain([&waits]) {
        it.abort();
    }
    settle().await;
    assert_eq!((handle.signals().current_inflight, handle.snapshot().inflight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shadowed_timeouts_end_nothing_and_count_the_attempts_they_would_have_ended() {
    let more = json!({"timeout": {"attempt": "1s", "total": "3s"}, "shadow": {"stages": ["timeout"]}});
    let layer = layer(&more);
    let (handle, backend) = (layer.handle(), Backend::always(Reply::Ok.after(secs(2))));
    let service = layer.layer(backend.clone());
    let (took, answer) = timed(call(&service, 0)).await;
    assert!(answer.is_ok() && took >= secs(2));
    assert_eq!(would(&handle, Stage::Timeout), (1, 0));
    backend.become_one_that(Reply::Ok.after(ms(900)));
    assert!(call(&service, 0).await.is_ok());
    assert_eq!(would(&handle, Stage::Timeout), (1, 0));
    backend.become_one_that(Reply::Hang);
    assert!(tokio::time::timeout(secs(5), call(&service, 0)).await.is_err());
    assert_eq!(would(&handle, Stage::Timeout), (2, 0), "whoever gave up on it waited longer than it had");
    assert!(handle.snapshot().timeouts.iter().all(|(_, count)| *count == 0));
}

#[tokio::test(start_paused = true)]
async fn switching_under_calls_in_flight_leaks_nothing() {
    let live = json!({"concurrency": {"max_inflight": 2, "queue_size": 1}});
    let mut shadow = live.clone();
    shadow["shadow"] = json!({});
    let layer = layer(&shadow);
    let (handle, backend) = (layer.handle(), Backend::always(Reply::Hang));
    let service = layer.layer(backend.clone());
    let mut running: Vec<_> = (0..4).map(|_| spawn(&service, 0)).collect();
    settle().await;
    reload(&handle, &live);
    running.push(spawn(&service, 0));
    settle().await;
    assert_eq!((backend.inflight(), handle.signals().queue_depth), (4, 1), "live: the fifth waits");
    assert!(refusal(call(&service, 0).await).to_string().contains("queue is full"));
    reload(&handle, &shadow);
    running.push(spawn(&service, 0));
    settle().await;
    assert_eq!((backend.inflight(), handle.signals().queue_depth), (5, 1), "who waits goes on waiting");
    for it in running {
        it.abort();
        settle().await;
    }
    let it = handle.snapshot();
    let limit = it.concurrency.unwrap();
    assert_eq!((limit.inflight, limit.queued, it.inflight), (0, 0, 0));
    assert_eq!((refused_by(&it, Stage::Concurrency), would(&handle, Stage::Concurrency)), (1, (1, 2)));
    backend.become_one_that(Reply::Ok);
    reload(&handle, &live);
    assert!(call(&service, 0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn stages_in_shadow_speak_neither_against_health_nor_against_a_call() {
    let registry = Registry::new();
    let builder = PresetBuilder::from_json(&document(&json!({"shadow": {}}))).unwrap().registry(&registry);
    let layer: ResilienceLayer<Custom<Judge>> = builder.classifier(judge as Judge).build().unwrap();
    layer.handle().breaker().force_open();
    assert!(layer.handle().signals().is_healthy && layer.preflight().check().passed);
    drop(layer.preflight().acquire().unwrap());
    assert_eq!(would(&layer.handle(), Stage::CircuitBreaker), (1, 0));
    assert!(
        registry
            .prometheus_text()
            .contains(r#"rampart_would_refuse_total{operation="default",stage="circuit_breaker"} 1"#)
    );
    reload(&layer.handle(), &json!({}));
    assert!(!layer.handle().signals().is_healthy && !layer.preflight().check().passed);
    assert!(layer.preflight().acquire().is_err());
}

/// What a single layer in shadow would have refused, and let wait.
fn counted(shadow: &Switch) -> (u64, u64) {
    (shadow.refusals(), shadow.waits())
}

#[tokio::test(start_paused = true)]
async fn single_layers_in_shadow_count_and_refuse_nothing() {
    let backend = Backend::new().map_err(Error::Inner);

    let mut rate = rate_limit::Config::per_second(1.0);
    rate.burst_size = 1;
    let layer = RateLimitLayer::new(rate).unwrap().shadow(true);
    assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
    assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
    assert_eq!(counted(layer.shadow_switch()), (1, 0));
    layer.shadow_switch().set(false);
    assert!(call(&layer.layer(backend.clone()), 0).await.unwrap_err().is_rate_limited());

    let layer = ConcurrencyLimitLayer::new(concurrency::Config::new(1)).unwrap().shadow(true);
    let slow = Backend::always(Reply::Hang).map_err(Error::Inner);
    let running = [spawn(&layer.layer(slow.clone()), 0), spawn(&layer.layer(slow), 0)];
    settle().await;
    assert_eq!((layer.handle().inflight(), counted(layer.shadow_switch())), (1, (1, 0)));
    running.iter().for_each(tokio::task::JoinHandle::abort);
    settle().await;
    assert_eq!(layer.handle().inflight(), 0);

    let layer: CircuitBreakerLayer = CircuitBreakerLayer::new(breaker::Config::default()).unwrap().shadow(true);
    layer.handle().trip();
    assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
    assert_eq!((counted(layer.shadow_switch()), layer.handle().snapshot().rejected), ((1, 0), 0));
    pass(layer.handle().config().recovery_timeout).await;
    assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
    assert_eq!(layer.handle().state(), State::Closed, "the probe closed it");

    let layer = TimeoutLayer::attempt(secs(1)).unwrap().shadow(true);
    let late = Backend::always(Reply::Ok.after(secs(2))).map_err(Error::Inner);
    let (took, answer) = timed(call(&layer.layer(late), 0)).await;
    assert!(answer.is_ok() && took >= secs(2));
    assert_eq!(counted(layer.shadow_switch()), (1, 0));
}
