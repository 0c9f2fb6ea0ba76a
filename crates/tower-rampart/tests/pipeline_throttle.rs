//! The throttle in the pipeline: who counts, who is refused, what a refusal holds, and what a reload changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Fault, Reply, call, judge, pass, refusal, refused_by, secs, settle, spawn};
use serde_json::{Value as Json, json};
use tower::Layer;
use tower_rampart::{
    Class, Error, PresetBuilder, Rejection, ResilienceConfig, ResilienceLayer, Stage, ThrottleLayer, Verdict,
    pipeline::Custom,
};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

fn document(more: &Json) -> String {
    let mut document = json!({
        "retry": {"enabled": false},
        "timeout": {"attempt": "off", "total": "off"},
        "circuit_breaker": {"enabled": false},
        "throttle": {},
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.to_string()
}

fn layer(more: &Json) -> ResilienceLayer<Custom<Judge>> {
    PresetBuilder::from_json(&document(more)).unwrap().seed(3).classifier(judge as Judge).build().unwrap()
}

fn overloaded() -> Reply {
    Reply::class(Class::Unavailable { retry_after: None })
}

#[tokio::test(start_paused = true)]
async fn service_that_refuses_is_spared_and_found_well_again() {
    let layer = layer(&json!({}));
    let (handle, backend) = (layer.handle(), Backend::always(overloaded()));
    let service = layer.layer(backend.clone());
    for _ in 0..1000 {
        assert!(call(&service, 0).await.is_err());
    }
    let it = handle.snapshot();
    let (seen, refused) = (it.throttle.unwrap(), refused_by(&it, Stage::Throttle));
    assert_eq!((seen.requests, seen.accepts), (1000, 0));
    assert_eq!((it.admitted + refused, backend.calls() as u64), (1000, it.admitted));
    assert!(it.admitted < 100 && seen.share > 0.99, "{it:?}");
    backend.become_one_that(Reply::Ok);
    let mut well_after = 0;
    for second in 1..1200 {
        pass(secs(1)).await;
        for _ in 0..10 {
            let _ = call(&service, 0).await;
        }
        if handle.snapshot().throttle.unwrap().share == 0.0 {
            well_after = second;
            break;
        }
    }
    // What is taken on grows by itself: it takes several windows of 120 s from next to nothing.
    assert!((120..=720).contains(&well_after), "{well_after} s");
}

#[tokio::test(start_paused = true)]
async fn refusal_is_data_takes_no_token_and_is_no_failure() {
    let layer = layer(&json!({
        "throttle": {"minimum_calls": 1}, "rate_limit": {"limit": 1, "period": "24h", "burst_size": 1000},
        "circuit_breaker": {"failure_threshold": 1000}, "concurrency": {"max_inflight": 1},
    }));
    let (handle, backend) = (layer.handle(), Backend::always(overloaded()));
    let service = layer.layer(backend.clone());
    let rejection = loop {
        let error = call(&service, 0).await.unwrap_err();
        if error.is_throttled() {
            break refusal::<usize, _>(Err(error));
        }
    };
    let Rejection::Throttled(it) = &rejection else { panic!("{rejection:?}") };
    assert!(&*it.operation == "default" && (1..=100).contains(&it.percent));
    assert_eq!((rejection.stage(), rejection.retry_after()), (Stage::Throttle, None));
    let (it, circuit) = (handle.snapshot(), handle.breaker().snapshot());
    let rate = it.rate.unwrap();
    assert!((f64::from(rate.burst) - rate.remaining - backend.calls() as f64).abs() < 0.5);
    assert_eq!((circuit.total, it.concurrency.unwrap().inflight), (backend.calls() as u64, 0));
}

#[tokio::test(start_paused = true)]
async fn own_refusals_and_abandoned_calls_count_neither_way() {
    let layer = layer(&json!({"rate_limit": {"limit": 1, "period": "24h", "burst_size": 2}}));
    let backend = Backend::always(Reply::Hang);
    let service = layer.layer(backend.clone());
    let dropped = spawn(&service, 0);
    settle().await;
    dropped.abort();
    settle().await;
    backend.become_one_that(Reply::transient());
    assert!(call(&service, 0).await.is_err());
    for _ in 0..10 {
        assert!(call(&service, 0).await.unwrap_err().is_rate_limited());
    }
    let seen = layer.handle().snapshot().throttle.unwrap();
    assert_eq!((seen.requests, seen.accepts), (1, 1), "a failure was taken on");
}

#[tokio::test(start_paused = true)]
async fn one_call_counts_once_however_many_attempts_and_fallbacks_it_has() {
    let more = json!({
        "retry": {"max_attempts": 3, "backoff": {"base": 0, "min": 0}, "jitter": {"kind": "none"}},
        "fallback": {"enabled": true},
    });
    let builder = PresetBuilder::from_json(&document(&more)).unwrap().classifier(judge as Judge).fallback_value(7);
    let layer: ResilienceLayer<Custom<Judge>, _, _> = builder.build().unwrap();
    let backend = Backend::always(overloaded());
    assert_eq!(call(&layer.layer(backend.clone()), 0).await.unwrap(), 7);
    let seen = layer.handle().snapshot().throttle.unwrap();
    assert_eq!((backend.calls(), seen.requests, seen.accepts), (3, 1, 0), "the fallback's answer is not the service's");
}

#[tokio::test(start_paused = true)]
async fn in_shadow_it_counts_what_it_would_refuse_and_makes_every_call() {
    let layer = layer(&json!({"shadow": {"stages": ["throttle"]}}));
    let (handle, backend) = (layer.handle(), Backend::always(overloaded()));
    let service = layer.layer(backend.clone());
    for _ in 0..200 {
        assert!(call(&service, 0).await.is_err());
    }
    let it = handle.snapshot();
    let would = it.would_refuse.iter().find(|(stage, _)| *stage == Stage::Throttle).unwrap().1;
    assert_eq!((backend.calls(), it.throttle.unwrap().requests, it.rejections()), (200, 200, 0), "none counts twice");
    assert!(would > 100, "{would}");
    let live = ResilienceConfig::from_json(&document(&json!({}))).unwrap().base();
    handle.reconfigure(live).unwrap();
    for _ in 0..100 {
        assert!(call(&service, 0).await.is_err());
    }
    assert!(refused_by(&handle.snapshot(), Stage::Throttle) > 50);
}

#[tokio::test(start_paused = true)]
async fn single_layer_refuses_by_chance_and_can_be_in_shadow() {
    let layer = ThrottleLayer::builder()
        .seed(3)
        .classifier(|_: Result<&usize, &Error<Fault>>| Class::Unavailable { retry_after: None })
        .build()
        .unwrap();
    let backend = Backend::new();
    let service = layer.layer(tower::ServiceExt::<u32>::map_err(backend.clone(), Error::Inner));
    for _ in 0..200 {
        let _ = call(&service, 0).await;
    }
    let made = backend.calls();
    assert!((10..80).contains(&made), "{made} of 200");
    layer.shadow_switch().set(true);
    for _ in 0..100 {
        assert!(call(&service, 0).await.is_ok());
    }
    assert!(backend.calls() == made + 100 && layer.shadow_switch().refusals() > 50);
}
