//! Chaos, by the layer and by the pipeline: who is struck, what the stages further out make of it, how it is counted, and who may ask for it.

#![cfg(feature = "chaos")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{Backend, Fault, Reply, Reports, call, judge, ms, near, pass, secs, settle, spawn, timed};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, limit::GlobalConcurrencyLimitLayer};
use tower_rampart::{
    Capability, ChaosLayer, Explain, PresetBuilder, Resilience, ResilienceLayer, Stage, Verdict,
    breaker::State,
    chaos::{self, Counts},
    fallback::NoFallback,
    pipeline::{Custom, OnReport},
    registry::OperationSnapshot,
    reload::ChangeBy,
    retry::{Cloned, StopReason},
};

type Keeper = Box<dyn Fn(&Explain) + Send + Sync>;
type Judge = fn(Result<&usize, &Fault>) -> Verdict;
type Pipeline = ResilienceLayer<Custom<Judge>, Cloned, NoFallback, OnReport<Keeper>>;

/// Chaos as said, attempts of 10 s, two attempts a second apart, unless the document says otherwise.
fn pipeline(chaos: &Value, more: &Value) -> (Pipeline, Reports) {
    let mut document = json!({
        "chaos": chaos,
        "retry": {"max_attempts": 2, "backoff": {"base": "1s", "factor": 1, "min": 0}, "jitter": {"kind": "none"}},
        "timeout": {"attempt": "10s", "total": "60s"},
        "circuit_breaker": {"failure_threshold": 1000},
    });
    for (section, fields) in more.as_object().unwrap() {
        document[section] = fields.clone();
    }
    let reports = Reports::default();
    let keeper: Keeper = Box::new(reports.keeper());
    let layer = PresetBuilder::from_json(&document.to_string())
        .unwrap()
        .serving([Capability::Chaos])
        .classifier(judge as Judge)
        .on_report(keeper)
        .build()
        .unwrap();
    (layer, reports)
}

fn counted(latencies: u64, faults: u64) -> Counts {
    let mut counts = Counts::default();
    (counts.latencies, counts.faults) = (latencies, faults);
    counts
}

fn counts(it: &OperationSnapshot) -> Counts {
    it.chaos.map(|it| it.counts).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn struck_call_of_the_layer_is_late_or_fails_without_being_sent() {
    let mut config = chaos::Config::default();
    (config.latency, config.latency_rate) = (secs(3), 1.0);
    let layer = ChaosLayer::builder().name("rehearsal").config(config).build().unwrap();
    let backend = Backend::new();
    let service = layer.layer(ServiceExt::<u32>::map_err(backend.clone(), tower_rampart::Error::Inner));
    let (took, answer) = timed(call(&service, 0)).await;
    assert!(near(took, secs(3)) && answer.is_ok(), "{took:?}");
    config.fault_rate = 1.0;
    layer.handle().reconfigure(config).unwrap();
    let (took, answer) = timed(call(&service, 0)).await;
    let error: tower_rampart::Error<Fault> = answer.unwrap_err();
    assert!(near(took, secs(3)) && error.is_injected(), "{took:?} {error}");
    assert_eq!((error.stage(), error.operation(), error.retry_after()), (Some(Stage::Chaos), Some("rehearsal"), None));
    assert_eq!(error.to_string(), "chaos of `rehearsal` injected a fault on purpose");
    assert_eq!((backend.calls(), layer.handle().counts(), layer.handle().config()), (1, counted(2, 1), config));
    config.enabled = false;
    layer.handle().reconfigure(config).unwrap();
    assert_eq!(timed(call(&service, 0)).await.0, secs(0));
}

#[tokio::test(start_paused = true)]
async fn injected_fault_gives_back_at_once_what_the_service_had_reserved() {
    let room = Arc::new(Semaphore::new(1));
    let limited = GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&room)).layer(Backend::new());
    let mut config = chaos::Config::default();
    (config.latency, config.latency_rate, config.fault_rate) = (secs(3), 1.0, 1.0);
    let layer = ChaosLayer::builder().config(config).build().unwrap();
    let mut service = layer.layer(ServiceExt::<u32>::map_err(limited.clone(), tower_rampart::Error::Inner));
    service.ready().await.unwrap();
    assert_eq!(room.available_permits(), 0, "it reserves when it is ready");
    let struck = service.call(0);
    assert_eq!(room.available_permits(), 1, "of the layer");
    assert!(struck.await.unwrap_err().is_injected());
    for more in [json!({}), json!({"hedge": {"delay": "1s"}})] {
        let (layer, _) = pipeline(&json!({"latency": "3s", "latency_rate": 1, "fault_rate": 1}), &more);
        let running = spawn(&layer.layer(limited.clone()), 0);
        // In the latency of the first attempt and of its copy, in the backoff, and in the latency of the second attempt.
        for wait in [ms(0), ms(2500), ms(1000), ms(1000)] {
            pass(wait).await;
            assert_eq!((room.available_permits(), running.is_finished()), (1, false), "after {wait:?} more, {more}");
            assert!(call(&limited, 1).await.is_ok());
        }
        assert!(running.await.unwrap().unwrap_err().is_injected());
    }
}

/// An attempt that is only late is sent by the service that was readied for it.
#[tokio::test(start_paused = true)]
async fn late_attempt_keeps_what_the_service_has_reserved() {
    let room = Arc::new(Semaphore::new(1));
    let limited = GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&room)).layer(Backend::new());
    let (layer, _) = pipeline(&json!({"latency": "3s", "latency_rate": 1}), &json!({}));
    let running = spawn(&layer.layer(limited), 0);
    settle().await;
    assert_eq!(room.available_permits(), 0);
    assert!(running.await.unwrap().is_ok());
    assert_eq!(room.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn injected_fault_is_a_failure_that_is_tried_again_and_counted_by_itself() {
    let (layer, reports) = pipeline(&json!({"fault_rate": 1}), &json!({}));
    let backend = Backend::new();
    let (took, answer) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert!(answer.unwrap_err().is_injected());
    assert!(near(took, secs(1)), "{took:?}");
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.rejected_by), (2, Some(Stage::Chaos)));
    assert_eq!(explain.stopped_by, Some(StopReason::Attempts));
    let it = layer.handle().snapshot();
    assert_eq!((backend.calls(), it.failure, it.attempts, it.rejections()), (0, 1, 2, 0));
    assert_eq!(counts(&it), counted(0, 2));
    assert!(layer.handle().signals().is_chaotic);
    assert_eq!(layer.handle().breaker().snapshot().failed, 1, "the circuit takes it for the service's");
}

#[tokio::test(start_paused = true)]
async fn attempt_after_an_injected_fault_is_told_as_what_it_is() {
    // Of this seed the first attempt is struck and the second is not.
    let (layer, reports) = pipeline(&json!({"fault_rate": 0.5, "seed": 7}), &json!({}));
    let backend = Backend::always(Reply::permanent());
    assert!(call(&layer.layer(backend.clone()), 0).await.unwrap_err().inner().is_some());
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.rejected_by, backend.calls()), (2, None, 1));
}

#[tokio::test(start_paused = true)]
async fn injected_faults_open_the_circuit_and_what_it_refuses_is_not_struck() {
    for scope in ["call", "attempt"] {
        let circuit = json!({"circuit_breaker": {"failure_threshold": 3, "scope": scope}, "retry": {"enabled": false}});
        let (layer, _) = pipeline(&json!({"fault_rate": 1}), &circuit);
        let service = layer.layer(Backend::new());
        for _ in 0..3 {
            assert!(call(&service, 0).await.unwrap_err().is_injected());
        }
        assert_eq!(layer.handle().breaker().state(), State::Open);
        assert!(call(&service, 0).await.unwrap_err().is_circuit_open());
        assert_eq!(counts(&layer.handle().snapshot()), counted(0, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn added_latency_runs_out_of_the_attempts_time() {
    let (layer, _) = pipeline(&json!({"latency": "15s", "latency_rate": 1}), &json!({}));
    let backend = Backend::new();
    let (took, answer) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert!(answer.unwrap_err().is_timeout());
    assert!(near(took, secs(21)), "two attempts of 10 s and the wait between them: {took:?}");
    assert_eq!((backend.calls(), counts(&layer.handle().snapshot())), (0, counted(2, 0)));
}

#[tokio::test(start_paused = true)]
async fn copies_draw_for_themselves() {
    // Of this seed the first attempt is slow, and its copy is not.
    let chaos = json!({"latency": "5s", "latency_rate": 0.5, "seed": 3});
    let (layer, reports) = pipeline(&chaos, &json!({"hedge": {"delay": "100ms", "max_hedges": 3}}));
    let backend = Backend::new();
    let (took, answer) = timed(call(&layer.layer(backend.clone()), 0)).await;
    assert!(answer.is_ok());
    let (explain, it) = (reports.one(), layer.handle().snapshot());
    assert!(explain.copy > 0 && took < secs(1), "{took:?}");
    assert_eq!(backend.calls(), 1, "those that are held up are not sent");
    assert_eq!(counts(&it).latencies, it.hedges.counts.begun, "the first and all copies but the one that won");

    let (layer, _) = pipeline(&json!({"fault_rate": 1}), &json!({"hedge": {"delay": 0}, "retry": {"enabled": false}}));
    assert!(call(&layer.layer(backend), 0).await.unwrap_err().is_injected());
}

#[tokio::test(start_paused = true)]
async fn call_that_is_dropped_while_it_is_held_up_gives_everything_back() {
    let stages = json!({"concurrency": {"max_inflight": 1}, "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "1s"}});
    let (layer, _) = pipeline(&json!({"latency": "5s", "latency_rate": 1}), &stages);
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    layer.handle().breaker().trip();
    pass(secs(1)).await;
    let probe = spawn(&service, 0);
    settle().await;
    assert_eq!(layer.handle().snapshot().inflight, 1);
    probe.abort();
    settle().await;
    let it = layer.handle().snapshot();
    assert_eq!((it.inflight, it.abandoned, backend.calls()), (0, 1, 0));
    let (took, answer) = timed(call(&service, 0)).await;
    assert!(near(took, secs(5)) && answer.is_ok(), "the permit and the place of the probe are free: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn same_seed_strikes_the_same_calls() {
    let struck = async |seed: u32| {
        let chaos = json!({"fault_rate": 0.3, "latency": "10ms", "latency_rate": 0.3, "seed": seed});
        let (layer, _) = pipeline(&chaos, &json!({"retry": {"enabled": false}}));
        let service = layer.layer(Backend::new());
        let mut seen = Vec::new();
        for _ in 0..200 {
            let (took, answer) = timed(call(&service, 0)).await;
            seen.push((took >= ms(10), answer.is_err()));
        }
        seen
    };
    assert_eq!(struck(7).await, struck(7).await);
    assert_ne!(struck(7).await, struck(8).await);
}

#[tokio::test(start_paused = true)]
async fn plain_functions_are_struck_where_the_host_says_that_it_serves_it() {
    let config = tower_rampart::ResilienceConfig::from_json(r#"{"chaos": {"fault_rate": 1}}"#).unwrap();
    let functions = tower_rampart::Capabilities::function().without(Capability::Fallback);
    let registry = tower_rampart::Registry::new();
    let error = Resilience::new(config.clone(), &registry).unwrap_err();
    assert!(error.to_string().contains("capability `chaos`"), "{error}");
    let resilience = Resilience::for_host(config, &registry, functions.with(Capability::Chaos)).unwrap();
    let operation = resilience.operation("a");
    let run = || operation.run(|| async { Ok::<_, std::io::Error>(1) });
    assert!(run().await.unwrap_err().is_injected());
    resilience.reload_json(r#"{"chaos": {"enabled": false, "fault_rate": 1}}"#, &ChangeBy::new("alice", "")).unwrap();
    assert_eq!(run().await.unwrap(), 1);
    let it = resilience.handle("a").unwrap().snapshot();
    let left = it.chaos.expect("what was injected is still shown");
    assert!(!left.enabled && left.counts.faults > 0);
}

#[test]
fn no_document_alone_can_ask_for_it() {
    let chaotic = || PresetBuilder::from_json(r#"{"chaos": {"fault_rate": 0.1}}"#).unwrap();
    let error = chaotic().classifier(judge as Judge).build().map(drop).unwrap_err();
    assert!(error.to_string().contains("capability `chaos`"), "{error}");
    assert!(chaotic().serving([Capability::Chaos]).classifier(judge as Judge).build().is_ok());
}
