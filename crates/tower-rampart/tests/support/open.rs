//! What an open circuit leaves alone, and that nothing is lost where it changes between readiness and call.

use std::{
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tower::{Layer, Service, ServiceExt};
use tower_rampart::{CircuitBreakerLayer, Error, Preset, PresetBuilder, breaker};

use super::{
    inner::{Plan, Script},
    subject::lifted,
    subjects::half_open,
};

fn readied<S: Service<u32>>(service: &mut S) -> bool {
    matches!(service.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
}

#[tokio::test(start_paused = true)]
async fn open_circuit_refuses_without_asking_whether_the_inner_service_is_ready() {
    let script = Script::new(&[]);
    script.stuck.store(true, Ordering::Relaxed);

    let layer = CircuitBreakerLayer::new(breaker::Config::default()).unwrap();
    layer.handle().force_open();
    let mut alone = layer.layer(lifted(script.inner()));
    assert!(readied(&mut alone));
    assert!(alone.call(1).await.is_err_and(|error| error.is_circuit_open()));

    for scope in [r#"{"circuit_breaker": {"scope": "call"}}"#, r#"{"circuit_breaker": {"scope": "attempt"}}"#] {
        let layer = PresetBuilder::new(Preset::Production).overrides_json(scope).unwrap().build().unwrap();
        layer.handle().breaker().force_open();
        let mut stacked = layer.layer(script.inner());
        assert!(readied(&mut stacked));
        assert!(stacked.call(1).await.is_err_and(|error| error.is_circuit_open()));
    }
    assert_eq!((script.asked.load(Ordering::Relaxed), script.calls()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn circuit_that_opens_between_readiness_and_call_refuses_and_asks_again_later() {
    let script = Script::new(&[]);
    let layer = CircuitBreakerLayer::new(half_open()).unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(lifted(script.inner()));
    assert!(readied(&mut service));
    handle.force_open();
    assert!(service.call(1).await.is_err_and(|error| error.is_circuit_open()));
    handle.reset();
    assert_eq!(service.ready().await.expect("it gets ready").call(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn circuit_that_may_be_probed_between_readiness_and_call_keeps_its_slots() {
    let script = Script::new(&[]);
    let mut config = half_open();
    config.half_open_max_calls = 1;
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(lifted(script.inner()));
    handle.trip();
    assert!(readied(&mut service));
    tokio::time::advance(Duration::from_secs(1)).await;

    // The inner service was not readied: the call is told to come back at once.
    let refused = service.call(1).await.unwrap_err();
    assert_eq!((refused.is_circuit_open(), refused.retry_after()), (true, Some(Duration::ZERO)));
    assert_eq!(script.calls(), 0);
    assert_eq!(service.ready().await.expect("it gets ready").call(1).await, Ok(1));
    let it = handle.snapshot();
    assert_eq!((it.successful, it.ignored), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn panicking_probe_opens_the_circuit_and_the_next_round_has_its_slot() {
    let script = Script::new(&[Plan::PanicInCall]);
    let mut config = half_open();
    config.half_open_max_calls = 1;
    config.success_threshold = 1;
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(lifted(script.inner()));
    handle.trip();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(readied(&mut service));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| service.call(1))).is_err());
    assert_eq!(handle.state(), breaker::State::Open);

    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(service.ready().await.expect("it gets ready").call(2).await, Ok(2));
    assert_eq!(handle.state(), breaker::State::Closed);
}

#[tokio::test(start_paused = true)]
async fn panicking_fallback_is_a_failure_of_the_call_and_gives_everything_back() {
    let script = Script::new(&[Plan::Fail(0)]);
    let layer = PresetBuilder::new(Preset::Production)
        .overrides_json(r#"{"retry": {"enabled": false}, "concurrency": {"max_inflight": 1}}"#)
        .unwrap()
        .fallback_with(|_fault| async { panic!("a fallback's own fault") })
        .build()
        .unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(script.inner());
    let call = tokio::spawn(service.call(1));
    assert!(call.await.is_err_and(|error| error.is_panic()));
    let it = handle.snapshot();
    assert_eq!((it.admitted, it.failure, it.abandoned, it.inflight), (1, 1, 0, 0));
    let answer: Result<u32, Error<_>> = service.call(2).await;
    assert_eq!(answer, Ok(2));
}
