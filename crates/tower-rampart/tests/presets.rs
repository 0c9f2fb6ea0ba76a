//! Each preset under real traffic, in paused time: it opens by itself, recovers by itself, and nothing wedges it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{io, time::Duration};

use common::{
    Backend, Fault, Gate, Reply, Reports, assert_balanced, call, call_and_catch, judge, ms, near, pass, refusal,
    refused_by, secs, settle, spawn,
};
use tower::Layer;
use tower_rampart::{
    Error, Preset, PresetBuilder, Rejection, ResilienceLayer, Stage, Verdict,
    breaker::{self, State},
    pipeline::Custom,
    retry::StopReason,
};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;
type JudgedLayer = ResilienceLayer<Custom<Judge>>;

fn builder(preset: Preset) -> PresetBuilder<tower_rampart::classify::Given<Custom<Judge>>> {
    PresetBuilder::new(preset).seed(7).classifier(judge as Judge)
}

fn with(preset: Preset, overrides: &str) -> JudgedLayer {
    builder(preset).overrides_json(overrides).unwrap().build().unwrap()
}

/// One attempt a call, so that an outage takes no time, and no timeouts, so that a call may take all time.
fn plain(preset: Preset) -> JudgedLayer {
    with(preset, r#"{"retry_attempts": 1, "timeout": {"attempt": "off", "total": "off"}}"#)
}

fn config(handle: &breaker::Handle) -> (u32, Duration) {
    (handle.config().failure_threshold, handle.config().recovery_timeout)
}

/// Fails until the circuit is open.
async fn outage<S>(service: &S, backend: &Backend, handle: &breaker::Handle)
where
    S: tower::Service<u32, Response = usize, Error = Error<Fault>> + Clone,
{
    backend.become_one_that(Reply::transient());
    for _ in 0..handle.config().failure_threshold {
        assert!(matches!(call(service, 0).await, Err(Error::Inner(_))));
    }
    assert_eq!(handle.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_one_liner_opens_at_its_threshold_refuses_and_recovers_with_one_probe() {
    for preset in Preset::ALL {
        let layer = ResilienceLayer::from_preset(preset.as_str()).unwrap();
        let (handle, attempts) = (layer.handle(), layer.handle().config().retry.max_attempts as usize);
        let (threshold, recovery) = config(&handle.breaker());
        let backend = Backend::always(Reply::transient());
        let service = layer.layer(backend.clone());
        for number in 1..=threshold {
            assert_eq!(handle.breaker().state(), State::Closed, "{preset}: closed before call {number}");
            assert!(matches!(call(&service, 0).await, Err(Error::Inner(_))), "{preset}: the backend's own error");
        }
        assert_eq!(backend.calls(), threshold as usize * attempts, "{preset}: every call made all its attempts");

        let refused = refusal(call(&service, 0).await);
        assert!(matches!(refused, Rejection::CircuitOpen(_)), "{preset}: {refused}");
        assert!(near(refused.retry_after().unwrap(), recovery), "{preset}: {refused}");
        pass(recovery.saturating_sub(secs(1))).await;
        let refused = refusal(call(&service, 0).await);
        assert!(near(refused.retry_after().unwrap(), secs(1)), "{preset}: {refused}");
        assert_eq!(backend.calls(), threshold as usize * attempts, "{preset}: an open circuit calls nothing");

        backend.become_one_that(Reply::Ok);
        pass(secs(1)).await;
        assert_eq!(handle.breaker().state(), State::HalfOpen, "{preset}");
        let before = backend.calls();
        assert_eq!(call(&service, 0).await.unwrap(), before + 1, "{preset}: one probe is enough");
        assert_eq!(handle.breaker().state(), State::Closed, "{preset}");
        assert_balanced(&handle.snapshot());
        assert_eq!(refused_by(&handle.snapshot(), Stage::CircuitBreaker), 2, "{preset}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_reopens_for_another_recovery_time() {
    for preset in Preset::ALL {
        let (layer, backend) = (plain(preset), Backend::new());
        let (service, handle) = (layer.layer(backend.clone()), layer.handle().breaker());
        outage(&service, &backend, &handle).await;
        for _ in 0..3 {
            pass(handle.config().recovery_timeout).await;
            assert!(matches!(call(&service, 0).await, Err(Error::Inner(_))), "{preset}: the probe fails");
            assert_eq!(handle.state(), State::Open, "{preset}");
            assert!(near(handle.snapshot().retry_after.unwrap(), handle.config().recovery_timeout), "{preset}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_probes_give_their_slots_back() {
    for preset in Preset::ALL {
        let (layer, backend) = (plain(preset), Backend::new());
        let (service, handle) = (layer.layer(backend.clone()), layer.handle().breaker());
        outage(&service, &backend, &handle).await;
        pass(handle.config().recovery_timeout).await;
        backend.become_one_that(Reply::Hang);
        for _ in 0..20 {
            let probe = spawn(&service, 0);
            settle().await;
            assert_eq!(backend.inflight(), 1, "{preset}: the probe is admitted");
            let refused = refusal(call(&service, 0).await);
            assert_eq!(refused.retry_after(), None, "{preset}: the slot is taken, nobody knows for how long");
            probe.abort();
            settle().await;
            assert_eq!(handle.state(), State::HalfOpen, "{preset}: a cancelled probe decides nothing");
        }
        backend.become_one_that(Reply::Ok);
        assert!(call(&service, 0).await.is_ok(), "{preset}");
        assert_eq!(handle.state(), State::Closed, "{preset}");
        let snapshot = layer.handle().snapshot();
        assert_balanced(&snapshot);
        assert_eq!((snapshot.abandoned, snapshot.inflight), (20, 0), "{preset}");
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_probes_count_as_failures_and_wedge_nothing() {
    for preset in Preset::ALL {
        let (layer, backend) = (plain(preset), Backend::new());
        let (service, handle) = (layer.layer(backend.clone()), layer.handle().breaker());
        outage(&service, &backend, &handle).await;
        backend.become_one_that(Reply::Panic);
        for _ in 0..3 {
            pass(handle.config().recovery_timeout).await;
            call_and_catch(&service, 0).await;
            assert_eq!(handle.state(), State::Open, "{preset}: a panic is a failure");
        }
        backend.become_one_that(Reply::Ok);
        pass(handle.config().recovery_timeout).await;
        assert!(call(&service, 0).await.is_ok(), "{preset}");
        assert_eq!(handle.state(), State::Closed, "{preset}");
        assert_balanced(&layer.handle().snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_probes_end_by_the_timeouts_of_the_preset() {
    for preset in Preset::ALL {
        let layer = builder(preset).build().unwrap();
        let (backend, handle) = (Backend::new(), layer.handle());
        let service = layer.layer(backend.clone());
        outage(&service, &backend, &handle.breaker()).await;
        backend.become_one_that(Reply::Hang);
        pass(handle.config().circuit_breaker.recovery_timeout).await;
        let (took, result) = common::timed(call(&service, 0)).await;
        assert!(matches!(result, Err(Error::Timeout(_))), "{preset}: {result:?}");
        let total = handle.config().timeout.total.unwrap();
        assert!(took <= total + ms(2), "{preset}: {took:?}");
        // A probe that took longer than its slot is kept has no say any more; the next one decides.
        let is_late = total >= handle.config().circuit_breaker.half_open_max_wait;
        let expected = if is_late { State::HalfOpen } else { State::Open };
        assert_eq!(handle.breaker().state(), expected, "{preset}: the hung probe did not close it");
        backend.become_one_that(Reply::Ok);
        pass(handle.config().circuit_breaker.recovery_timeout).await;
        assert!(call(&service, 0).await.is_ok(), "{preset}");
        assert_eq!(handle.breaker().state(), State::Closed, "{preset}");
        assert_eq!(backend.inflight(), 0, "{preset}: what timed out was dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_without_any_timeout_loses_its_slot_after_half_open_max_wait() {
    for preset in Preset::ALL {
        let (layer, backend) = (plain(preset), Backend::new());
        let (service, handle) = (layer.layer(backend.clone()), layer.handle().breaker());
        outage(&service, &backend, &handle).await;
        pass(handle.config().recovery_timeout).await;
        backend.become_one_that(Reply::Hang);
        let hung = spawn(&service, 0);
        pass(handle.config().half_open_max_wait.saturating_sub(secs(1))).await;
        backend.become_one_that(Reply::Ok);
        assert!(refusal(call(&service, 0).await).retry_after().is_none(), "{preset}: the slot is still held");
        pass(secs(1)).await;
        assert!(call(&service, 0).await.is_ok(), "{preset}: another probe is let in");
        assert_eq!(handle.state(), State::Closed, "{preset}");
        hung.abort();
        settle().await;
        assert_eq!(handle.state(), State::Closed, "{preset}: the lost probe says nothing any more");
        assert_balanced(&layer.handle().snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn stragglers_from_before_the_outage_change_nothing() {
    for preset in Preset::ALL {
        let (layer, backend) = (plain(preset), Backend::new());
        let (service, handle) = (layer.layer(backend.clone()), layer.handle().breaker());
        let gates: [Gate; 4] = Default::default();
        let mut stragglers = Vec::new();
        for gate in &gates {
            backend.next(Reply::At(gate.clone()));
            stragglers.push(spawn(&service, 0));
            settle().await;
        }
        outage(&service, &backend, &handle).await;
        let opened = handle.snapshot().retry_after.unwrap();
        pass(secs(1)).await;
        gates[0].open(Reply::transient());
        settle().await;
        let left = handle.snapshot().retry_after.unwrap();
        assert!(near(left + secs(1), opened), "{preset}: a late failure does not lengthen the outage");

        pass(handle.config().recovery_timeout).await;
        gates[1].open(Reply::Ok);
        settle().await;
        assert_eq!(handle.state(), State::HalfOpen, "{preset}: a late success does not close");

        backend.become_one_that(Reply::Ok);
        assert!(call(&service, 0).await.is_ok(), "{preset}");
        gates[2].open(Reply::transient());
        gates[3].open(Reply::Panic);
        for straggler in stragglers {
            let _ = straggler.await;
        }
        assert_eq!(handle.state(), State::Closed, "{preset}: late failures do not reopen");
        assert_eq!(handle.snapshot().consecutive_failures, 0, "{preset}: nor do they count towards it");
        assert_balanced(&layer.handle().snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_threshold_above_half_open_max_calls_is_reached_one_probe_after_another() {
    for preset in Preset::ALL {
        let layer = with(
            preset,
            r#"{"retry_attempts": 1, "circuit_breaker": {"success_threshold": 3, "half_open_max_calls": 1}}"#,
        );
        let (backend, handle) = (Backend::new(), layer.handle().breaker());
        let service = layer.layer(backend.clone());
        outage(&service, &backend, &handle).await;
        pass(handle.config().recovery_timeout).await;
        backend.become_one_that(Reply::Ok);
        for probe in 1..=3 {
            assert_eq!(handle.state(), State::HalfOpen, "{preset}: before probe {probe}");
            assert!(call(&service, 0).await.is_ok(), "{preset}: probe {probe} is let in");
        }
        assert_eq!(handle.state(), State::Closed, "{preset}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_behind_the_callers_own_timeout_opens_the_circuit() {
    for preset in Preset::ALL {
        let layer = ResilienceLayer::from_preset(preset.as_str()).unwrap();
        let (backend, handle) = (Backend::always(Reply::Hang), layer.handle().breaker());
        let service = layer.layer(backend.clone());
        let most = handle.config().failure_threshold.max(handle.config().minimum_calls);
        for number in 0..most {
            assert_eq!(handle.state(), State::Closed, "{preset}: before call {number}");
            assert!(tokio::time::timeout(ms(2), call(&service, 0)).await.is_err(), "{preset}: the caller gives up");
        }
        assert_eq!(handle.state(), State::Open, "{preset}");
        for _ in 0..30 {
            assert!(refusal(call(&service, 0).await).retry_after().is_some(), "{preset}: refused at once");
        }
        assert_eq!(backend.calls(), most as usize, "{preset}: a dead backend is left alone");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_never_count_as_failures_of_what_is_behind() {
    for preset in Preset::ALL {
        let layer = with(
            preset,
            r#"{"rate_limit": {"requests_per_second": 1, "burst_size": 2}, "concurrency": {"max_inflight": 1}}"#,
        );
        let (backend, handle) = (Backend::always(Reply::Hang), layer.handle());
        let service = layer.layer(backend.clone());
        let held = spawn(&service, 0);
        settle().await;
        for _ in 0..100 {
            assert!(matches!(call(&service, 0).await, Err(Error::Overloaded(_))), "{preset}");
        }
        held.abort();
        settle().await;
        backend.become_one_that(Reply::Ok);
        assert!(call(&service, 0).await.is_ok(), "{preset}: the refused calls gave their tokens back");
        for _ in 0..100 {
            assert!(matches!(call(&service, 0).await, Err(Error::RateLimited(_))), "{preset}");
        }
        let snapshot = handle.snapshot();
        let breaker = snapshot.breaker.as_ref().unwrap();
        assert_eq!((breaker.failed, breaker.state), (0, State::Closed), "{preset}");
        assert_eq!(snapshot.failure, 0, "{preset}");
        assert_eq!(refused_by(&snapshot, Stage::Concurrency), 100, "{preset}");
        assert_eq!(refused_by(&snapshot, Stage::RateLimit), 100, "{preset}");
        assert_balanced(&snapshot);
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_of_an_inner_pipeline_is_no_failure_of_the_outer() {
    for preset in Preset::ALL {
        let (inner, backend) = (plain(preset), Backend::new());
        let outer = ResilienceLayer::from_preset(preset.as_str()).unwrap();
        let service = outer.layer(inner.layer(backend.clone()));
        inner.handle().breaker().force_open();
        for _ in 0..100 {
            let error = call(&service, 0).await.unwrap_err();
            assert!(matches!(error, Error::Inner(Error::CircuitOpen(_))), "{preset}: {error:?}");
        }
        assert_eq!(outer.handle().breaker().state(), State::Closed, "{preset}");
        let snapshot = outer.handle().snapshot();
        assert_eq!((snapshot.ignored, snapshot.retries, backend.calls()), (100, 0, 0), "{preset}");
        assert_balanced(&snapshot);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_blame_the_caller_never_open_the_circuit() {
    for preset in Preset::ALL {
        let (layer, backend) = (builder(preset).build().unwrap(), Backend::always(Reply::permanent()));
        let service = layer.layer(backend.clone());
        for number in 1..=200 {
            assert!(matches!(call(&service, 0).await, Err(Error::Inner(fault)) if fault.call() == number), "{preset}");
        }
        assert_eq!(layer.handle().breaker().state(), State::Closed, "{preset}");
        assert_eq!(layer.handle().snapshot().retries, 0, "{preset}");

        let layer = ResilienceLayer::from_preset(preset.as_str()).unwrap();
        let refusing = tower::service_fn(|_: u32| async { Err::<usize, _>(io::Error::from(io::ErrorKind::NotFound)) });
        let service = layer.layer(refusing);
        for _ in 0..200 {
            assert!(matches!(call(&service, 0).await, Err(Error::Inner(_))), "{preset}");
        }
        assert_eq!(layer.handle().breaker().state(), State::Closed, "{preset}: the default classifier knows as well");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_real_answer_or_error_comes_back_with_attempts_and_reason() {
    for preset in Preset::ALL {
        let reports = Reports::default();
        let layer = builder(preset).on_report(reports.keeper()).build().unwrap();
        let attempts = layer.handle().config().retry.max_attempts;
        let backend = Backend::always(Reply::transient());
        let error = call(&layer.layer(backend.clone()), 0).await.unwrap_err();
        assert_eq!(error.inner().unwrap().call(), attempts as usize, "{preset}: the last error, as it was");
        let explain = reports.one();
        assert_eq!((explain.attempts, explain.stopped_by), (attempts, Some(StopReason::Attempts)), "{preset}");
        assert_eq!(explain.delays.len(), attempts as usize - 1, "{preset}");
        assert!(explain.delays.iter().zip(backend.gaps()).all(|(wait, gap)| near(*wait, gap)), "{preset}: {explain:?}");

        let backend = Backend::script([Reply::transient(), Reply::Ok]);
        assert_eq!(call(&layer.layer(backend), 0).await.unwrap(), 2, "{preset}");
        let explain = reports.one();
        assert_eq!((explain.attempts, explain.stopped_by), (2, None), "{preset}");
    }
}
