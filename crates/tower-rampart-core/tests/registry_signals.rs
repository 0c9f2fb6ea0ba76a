//! Signals and preflight over real breakers and limiters, against the vectors of the kinds `signals` and `preflight`.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests; a failure there is a failed test")]

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use tower_rampart_core::{
    Outcome, Stage, Timestamp,
    breaker::{self, Breaker, State},
    concurrency::{self, Limiter},
    rate::{self, Algorithm, OnLimit, Quota, RateLimiter},
    registry::{Operation, Registry},
    retry::{Budget, BudgetConfig},
};

/// Late enough that a limiter can have been drained before.
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn operation() -> Arc<Operation> {
    Registry::with_clock(|| NOW).operation("a").unwrap()
}

fn vectors(kind: &str) -> Vec<Value> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let path = if Path::new(shared).exists() { shared } else { copy };
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let all = document["vectors"].as_array().unwrap();
    all.iter().filter(|it| it["kind"] == kind).cloned().collect()
}

fn breaker(state: &str, remaining: Duration) -> Arc<Breaker> {
    let mut config = breaker::Config::default();
    config.failure_threshold = 1;
    config.recovery_timeout = remaining;
    let breaker = Breaker::new("a", config).unwrap();
    match state {
        "closed" => {}
        "open" => breaker.trip(NOW),
        other => unreachable!("no vector has the state {other}"),
    }
    Arc::new(breaker)
}

/// A token bucket that holds `tokens` at [`NOW`].
fn rate_limiter(tokens: f64, burst: u32, per_second: f64) -> Arc<RateLimiter> {
    let mut config = rate::Config::with_quota(Quota { limit: per_second, period: Duration::from_secs(1) });
    config.algorithm = Algorithm::TokenBucket;
    config.burst_size = burst;
    let limiter = RateLimiter::new("a", config).unwrap();
    let refill = Duration::from_secs_f64(tokens / per_second);
    let drained = NOW.before(refill);
    limiter.try_acquire(burst, drained).unwrap();
    Arc::new(limiter)
}

fn concurrency_limiter(inflight: u64, max: u64) -> Arc<Limiter> {
    let limiter = Limiter::new("a", concurrency::Config::new(u32::try_from(max).unwrap())).unwrap();
    for _ in 0..inflight {
        // The permit is plain data: not giving it back is what being in flight means.
        let _permit = limiter.try_acquire().unwrap();
    }
    Arc::new(limiter)
}

/// Builds what a vector describes; a `max` of 0 means unlimited, and so does no `max`: no limiter.
fn attach(operation: &Operation, parts: &Value, max_tokens: &str) {
    if let Some(state) = parts["breaker"].as_str() {
        let remaining = parts["cooldown_remaining_ms"].as_u64().unwrap_or(60_000);
        operation.attach_breaker(breaker(state, Duration::from_millis(remaining)));
    }
    if let Some(tokens) = parts["tokens"].as_f64() {
        let burst = u32::try_from(parts[max_tokens].as_u64().unwrap()).unwrap();
        operation.attach_rate_limiter(rate_limiter(tokens, burst, parts["rate_per_sec"].as_f64().unwrap_or(1.0)));
    }
    if let Some(max) = parts["max"].as_u64().filter(|max| *max > 0) {
        operation.attach_concurrency_limiter(concurrency_limiter(parts["inflight"].as_u64().unwrap_or(0), max));
    } else {
        (0..parts["inflight"].as_u64().unwrap_or(0)).for_each(|_| operation.started());
    }
}

#[test]
fn signals_match_the_vectors() {
    let vectors = vectors("signals");
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let operation = operation();
        attach(&operation, &vector["input"], "max_tokens");
        let signals = operation.signals(NOW);
        assert_eq!(signals.is_healthy, vector["expect"]["is_healthy"], "{vector} {signals:?}");
        if let Some(score) = vector["expect"]["health_score"].as_f64() {
            assert!((signals.health_score - score).abs() < 1e-4, "{vector} {signals:?}");
        }
        assert!((signals.health_score + signals.pressure - 1.0).abs() < 1e-9);
        if let Some(inflight) = vector["input"]["inflight"].as_u64() {
            assert_eq!(signals.current_inflight, inflight, "{vector}");
        }
    }
}

#[test]
fn preflight_matches_the_vectors() {
    // What `acquire` does (a permit, two at once) belongs to the guard of the pipeline, not to advice.
    let vectors = vectors("preflight").into_iter().filter(|it| it["components"]["concurrent"].is_null());
    let mut checked = 0;
    for vector in vectors {
        checked += 1;
        let operation = operation();
        attach(&operation, &vector["components"], "burst");
        let preflight = operation.preflight(NOW, 1, None);
        assert_eq!(preflight.passed, vector["expect"]["passed"], "{vector} {preflight:?}");
        let expected = vector["expect"]["errors"].as_array().unwrap();
        assert_eq!(preflight.refusals.len(), expected.len(), "{vector} {preflight:?}");
        for (refusal, expected) in preflight.refusals.iter().zip(expected) {
            let stage = match expected["component"].as_str().unwrap() {
                "rate_limiter" => "rate_limit",
                "backpressure" => "concurrency",
                other => other,
            };
            assert_eq!(refusal.stage.as_str(), stage, "{vector}");
            assert_eq!(refusal.retryable, expected["retryable"], "{vector}");
            let wait = refusal.retry_after.unwrap().as_secs_f64() * 1e3;
            assert!((wait - expected["retry_after_ms"].as_f64().unwrap()).abs() <= 2.0, "{vector} {refusal:?}");
        }
        if let Some(tokens) = vector["expect"]["tokens_after"].as_f64() {
            let left = operation.rate_limiter().unwrap().remaining(NOW);
            assert!((left - tokens).abs() < 1e-6, "{vector}: {left}");
        }
    }
    assert_eq!(checked, 4);
}

#[test]
fn all_refusing_stages_are_listed_the_breaker_first() {
    let operation = operation();
    operation.attach_breaker(breaker("open", Duration::from_secs(5)));
    operation.attach_rate_limiter(rate_limiter(0.0, 5, 2.0));
    operation.attach_concurrency_limiter(concurrency_limiter(2, 2));
    let preflight = operation.preflight(NOW, 1, Some(NOW));
    let stages: Vec<_> = preflight.refusals.iter().map(|it| (it.stage, it.retryable)).collect();
    let expected =
        [(Stage::CircuitBreaker, true), (Stage::RateLimit, true), (Stage::Concurrency, true), (Stage::Timeout, false)];
    assert_eq!(stages, expected);
}

#[test]
fn a_cost_above_the_burst_is_not_worth_trying_again() {
    let operation = operation();
    operation.attach_rate_limiter(rate_limiter(5.0, 5, 1.0));
    let preflight = operation.preflight(NOW, 6, None);
    assert_eq!((preflight.refusals[0].stage, preflight.refusals[0].retryable), (Stage::RateLimit, false));
    assert_eq!(preflight.refusals[0].retry_after, None);
}

#[test]
fn preflight_lets_a_call_wait_within_its_bounds() {
    let operation = operation();
    let mut config = rate::Config::per_second(1.0);
    config.on_limit = OnLimit::Wait;
    config.max_wait = Some(Duration::from_secs(2));
    let limiter = Arc::new(RateLimiter::new("a", config).unwrap());
    limiter.try_acquire(1, NOW).unwrap();
    operation.attach_rate_limiter(Arc::clone(&limiter));
    assert!(operation.preflight(NOW, 1, None).passed);
    assert!(!operation.preflight(NOW, 1, Some(NOW.after(Duration::from_millis(500)))).passed);
    config.max_wait = Some(Duration::from_millis(500));
    limiter.reconfigure(config, NOW).unwrap();
    assert!(!operation.preflight(NOW, 1, None).passed);
}

#[test]
fn preflight_lets_a_call_queue_for_a_permit_while_there_is_room() {
    let operation = operation();
    let mut config = concurrency::Config::new(1);
    config.queue_size = 1;
    let limiter = Arc::new(Limiter::new("a", config).unwrap());
    operation.attach_concurrency_limiter(Arc::clone(&limiter));
    let _permit = limiter.try_acquire().unwrap();
    assert!(operation.preflight(NOW, 1, None).passed);
    let _ticket = limiter.enqueue().unwrap();
    assert!(!operation.preflight(NOW, 1, None).passed);
    assert_eq!(operation.signals(NOW).queue_depth, 1);
    config.queue_size = 2;
    config.queue_timeout = Some(Duration::ZERO);
    limiter.reconfigure(config).unwrap();
    assert!(!operation.preflight(NOW, 1, None).passed);
}

#[test]
fn preflight_takes_nothing() {
    let operation = operation();
    operation.attach_breaker(breaker("open", Duration::from_secs(1)));
    operation.attach_rate_limiter(rate_limiter(1.0, 1, 1.0));
    operation.attach_concurrency_limiter(concurrency_limiter(0, 1));
    let due = NOW.after(Duration::from_secs(1));
    for _ in 0..3 {
        assert!(operation.preflight(due, 1, None).passed);
    }
    let breaker = operation.breaker().unwrap();
    let permit = breaker.try_acquire(due).expect("the only probe slot is free");
    assert!(!operation.preflight(due, 1, None).passed);
    breaker.record(permit, Outcome::Success, None, due);
    assert_eq!(breaker.state(due), State::Closed);
}

#[test]
fn a_stage_that_is_off_is_no_part() {
    let operation = operation();
    let mut config = breaker::Config::default();
    config.enabled = false;
    operation.attach_breaker(Arc::new(Breaker::new("a", config).unwrap()));
    let mut config = rate::Config::per_second(1.0);
    config.enabled = false;
    operation.attach_rate_limiter(Arc::new(RateLimiter::new("a", config).unwrap()));
    let mut config = concurrency::Config::new(1);
    config.enabled = false;
    operation.attach_concurrency_limiter(Arc::new(Limiter::new("a", config).unwrap()));
    operation.attach_budget(Arc::new(Budget::new(BudgetConfig { enabled: false, ..BudgetConfig::default() }).unwrap()));
    let signals = operation.signals(NOW);
    assert_eq!((signals.circuit_state, signals.max_inflight), (None, None));
    assert_eq!((signals.rate_remaining, signals.rate_reset, signals.retry_budget), (None, None, None));
    assert!(signals.is_healthy && operation.preflight(NOW, 9, None).passed);
}

#[test]
fn half_open_is_half_healthy() {
    let operation = operation();
    operation.attach_breaker(breaker("open", Duration::from_secs(1)));
    let signals = operation.signals(NOW.after(Duration::from_secs(1)));
    assert_eq!(signals.circuit_state, Some(State::HalfOpen));
    assert!(signals.is_healthy && (signals.health_score - 0.5).abs() < f64::EPSILON);
}

#[test]
fn an_empty_budget_refuses_no_first_attempt() {
    let operation = operation();
    let config = BudgetConfig { min_per_second: 0.0, ..BudgetConfig::default() };
    operation.attach_budget(Arc::new(Budget::new(config).unwrap()));
    let preflight = operation.preflight(NOW, 1, None);
    assert_eq!((preflight.passed, preflight.retry_budget), (true, Some(0.0)));
}

#[test]
fn idle_operation_of_a_fleet_is_in_full_health() {
    let operation = operation();
    let limiter = rate_limiter(100.0, 100, 1.0);
    limiter.join_fleet(0.1, NOW).unwrap();
    operation.attach_rate_limiter(Arc::clone(&limiter));
    let seen = || (operation.signals(NOW).rate_remaining, operation.signals(NOW).health_score);
    assert_eq!(seen(), (Some(10.0), 1.0));
    limiter.try_acquire(5, NOW).unwrap();
    assert_eq!(seen(), (Some(5.0), 0.5));
    limiter.leave_fleet(NOW);
    assert_eq!(seen(), (Some(5.0), 0.05));
}
