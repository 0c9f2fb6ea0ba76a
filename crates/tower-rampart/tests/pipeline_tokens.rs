//! The limit on tokens of a model API: an estimate is reserved, settled by what was really used, and comes back if nothing was sent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ms, near, refused_by, secs, settle, timed};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_rampart::{
    Class, Classify, Error, Explain, PresetBuilder, ProviderClass, RequestInfo, ResilienceConfig, Stage, TokenEstimate,
    Verdict,
    pipeline::{Custom, Held, Report, ResilienceLayer},
    rejection::{RateLimitReason, RateLimited},
    retry::Cloned,
};
use tower_rampart_config::{Capabilities, Capability};

/// An answer with room for what its call holds.
type Answer = Option<Held>;

/// Requests state their tokens; those from a million on only guess them, and 0 says nothing.
#[derive(Debug, Clone, Copy)]
struct Estimating;

impl Classify<u32, Answer, Failed> for Estimating {
    fn request(&self, request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.tokens = match *request {
            0 => None,
            guessed @ 1_000_000.. => Some(TokenEstimate::Guessed(guessed)),
            stated => Some(TokenEstimate::Stated(stated)),
        };
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&Answer, &Failed>) -> Verdict {
        result.map_or_else(|_| Verdict::from(ProviderClass::ServerError), |_| Verdict::new(Class::Success))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("failed")]
struct Failed;

/// Puts what is held into the answer.
#[derive(Debug, Clone)]
struct IntoAnswer;

impl Report<Answer, Error<Failed>> for IntoAnswer {
    fn report(&self, _explain: Explain, _result: &mut Result<Answer, Error<Failed>>) {}

    fn hold(&self, held: Held, result: &mut Result<Answer, Error<Failed>>) -> Option<Held> {
        *result.as_mut().unwrap() = Some(held);
        None
    }
}

type Layered = ResilienceLayer<Custom<Estimating>, Cloned, tower_rampart::fallback::NoFallback, IntoAnswer>;

fn config(rate_limit: Value, more: &Value) -> ResilienceConfig {
    let mut document = json!({
        "classify": {"outcome_at": "end_of_body"},
        "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": 30},
        "retry": {"enabled": false},
        "timeout": {"attempt": "off", "total": "off"},
    });
    document["rate_limit"] = rate_limit;
    for (section, fields) in more.as_object().unwrap() {
        document[section] = fields.clone();
    }
    ResilienceConfig::from_json(&document.to_string()).unwrap()
}

fn layer_with(rate_limit: Value, more: &Value) -> Layered {
    let can = Capabilities::function().without(Capability::Fallback).with(Capability::EndOfBody);
    PresetBuilder::from_config(config(rate_limit, more))
        .capabilities(can.with(Capability::TokensPerMinute))
        .classifier(Estimating)
        .reporter(IntoAnswer)
        .build()
        .unwrap()
}

fn layer(rate_limit: Value) -> Layered {
    layer_with(rate_limit, &json!({}))
}

async fn call(layer: &Layered, tokens: u32) -> Result<Held, Error<Failed>> {
    let service = layer.layer(tower::service_fn(|_: u32| async { Ok::<Answer, Failed>(None) }));
    service.oneshot(tokens).await.map(|held| held.unwrap())
}

async fn fail(layer: &Layered, tokens: u32) -> Error<Failed> {
    let service = layer.layer(tower::service_fn(|_: u32| async { Err::<Answer, Failed>(Failed) }));
    service.oneshot(tokens).await.unwrap_err()
}

fn left(layer: &Layered) -> u32 {
    layer.handle().signals().tokens_remaining.unwrap().round() as u32
}

fn refusal<T>(result: Result<T, Error<Failed>>) -> RateLimited {
    match result {
        Err(Error::RateLimited(limited)) => limited,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("admitted"),
    }
}

fn finish(held: Held) {
    held.finish(&Verdict::new(Class::Success));
}

#[tokio::test(start_paused = true)]
async fn calls_reserve_their_estimate_and_are_refused_beyond_the_quota() {
    let layer = layer(json!({"tokens_per_minute": 6000, "requests_per_minute": 5, "burst_size": 2}));
    finish(call(&layer, 5000).await.unwrap());
    assert_eq!(left(&layer), 1000);
    let refused = refusal(call(&layer, 1500).await);
    assert_eq!(refused.reason, RateLimitReason::Exceeded);
    assert!(near(refused.retry_after.unwrap(), secs(5)), "{refused}");
    assert!(refused.to_string().contains("(tokens)"), "{refused}");
    assert_eq!(layer.handle().signals().rate_remaining.map(f64::round), Some(1.0), "its place came back");
    finish(call(&layer, 100).await.unwrap());
    assert!(!refusal(call(&layer, 100).await).to_string().contains("(tokens)"), "two calls were made");
    assert_eq!(left(&layer), 900);
    assert_eq!(refused_by(&layer.handle().snapshot(), Stage::RateLimit), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_too_much_comes_back_and_what_was_too_little_is_owed() {
    let layer = layer(json!({"tokens_per_minute": 6000}));
    let mut held = call(&layer, 5000).await.unwrap();
    assert!(held.wants_usage());
    held.used(10);
    held.used(2000);
    assert_eq!(left(&layer), 1000, "nothing is known before the end");
    finish(held);
    assert_eq!(left(&layer), 4000);
    let mut held = call(&layer, 1000).await.unwrap();
    held.used(10_000);
    finish(held);
    assert_eq!(left(&layer), 0);
    let refused = refusal(call(&layer, 1).await);
    assert!(near(refused.retry_after.unwrap(), ms(60_010)), "6000 are owed: {refused}");
    assert!(!layer.handle().signals().is_healthy);
}

#[tokio::test(start_paused = true)]
async fn answer_that_failed_or_was_dropped_has_used_at_least_what_was_reserved() {
    for used in [None, Some(10), Some(3000)] {
        for ends_well in [None, Some(false)] {
            let layer = layer(json!({"tokens_per_minute": 6000}));
            let mut held = call(&layer, 2000).await.unwrap();
            if let Some(used) = used {
                held.used(used);
            }
            if ends_well.is_some() {
                held.finish(&Verdict::from(ProviderClass::Overloaded));
            } else {
                drop(held);
            }
            assert_eq!(left(&layer), 6000 - used.unwrap_or_default().max(2000));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_back_without_a_word_on_what_was_used() {
    let layer = layer(json!({"tokens_per_minute": 6000}));
    finish(call(&layer, 2000).await.unwrap());
    fail(&layer, 1000).await;
    assert_eq!(left(&layer), 3000);
}

#[tokio::test(start_paused = true)]
async fn one_call_owes_no_more_than_the_tokens_of_an_hour() {
    let layer = layer(json!({"tokens_per_minute": 60}));
    let mut held = call(&layer, 60).await.unwrap();
    held.used(u32::MAX);
    finish(held);
    let wait = refusal(call(&layer, 60).await).retry_after.unwrap();
    assert!(near(wait, secs(3600)), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn estimate_above_the_quota_is_refused_for_ever_if_stated_and_takes_all_if_guessed() {
    let layer = layer(json!({"tokens_per_minute": 6000}));
    let refused = refusal(call(&layer, 6001).await);
    assert_eq!((refused.reason, refused.retry_after), (RateLimitReason::CostAboveBurst, None));
    finish(call(&layer, 2_000_000).await.unwrap());
    assert_eq!(left(&layer), 0);
}

#[tokio::test(start_paused = true)]
async fn call_that_says_nothing_reserves_one_token() {
    let layer = layer(json!({"tokens_per_minute": 2}));
    finish(call(&layer, 0).await.unwrap());
    finish(call(&layer, 0).await.unwrap());
    assert_eq!(refusal(call(&layer, 0).await).reason, RateLimitReason::Exceeded);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_tokens_in_their_order_and_keep_nothing_if_dropped() {
    for scope in ["call", "attempt"] {
        let limit = json!({"tokens_per_minute": 6000, "requests_per_minute": 60, "burst_size": 9, "on_limit": "wait",
            "scope": scope});
        let layer = layer(limit);
        finish(call(&layer, 6000).await.unwrap());
        let mut first = Box::pin(call(&layer, 1000));
        assert!(first.as_mut().now_or_never().is_none(), "{scope}");
        let second = timed(call(&layer, 500));
        let mut second = Box::pin(second);
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(layer.handle().signals().queue_depth, 2);
        assert_eq!(layer.handle().signals().rate_remaining.map(f64::round), Some(6.0));
        drop(first);
        settle().await;
        assert_eq!(layer.handle().signals().rate_remaining.map(f64::round), Some(7.0), "{scope}: it left nothing");
        let (took, held) = second.await;
        finish(held.unwrap());
        assert!(near(took, secs(5)), "{scope}: {took:?}");
        assert_eq!(layer.handle().snapshot().queued_calls, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn call_waits_for_its_place_and_then_for_its_tokens_and_is_counted_once() {
    let limit = json!({"tokens_per_minute": 600, "requests_per_minute": 60, "burst_size": 1, "on_limit": "wait"});
    let layer = layer(limit);
    finish(call(&layer, 600).await.unwrap());
    let (took, held) = timed(call(&layer, 30)).await;
    finish(held.unwrap());
    assert!(near(took, secs(3)), "a second for its place, two more for its tokens: {took:?}");
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.queued_calls, snapshot.queue_time), (1, took));
}

#[tokio::test(start_paused = true)]
async fn tokens_come_back_where_a_stage_further_in_refuses() {
    for scope in ["call", "attempt"] {
        let layer = layer_with(
            json!({"tokens_per_minute": 6000}),
            &json!({"circuit_breaker": {"scope": scope, "failure_threshold": 1, "recovery_timeout": 30}}),
        );
        fail(&layer, 1000).await;
        assert_eq!(left(&layer), 5000);
        assert!(call(&layer, 1000).await.unwrap_err().is_circuit_open());
        assert_eq!(left(&layer), 5000, "{scope}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_reserve_once_by_call_and_each_by_attempt() {
    for (scope, attempts) in [("call", 1), ("attempt", 3)] {
        let layer = layer_with(
            json!({"tokens_per_minute": 6000, "scope": scope}),
            &json!({
                "retry": {"max_attempts": 3, "backoff": {"base": 0, "min": 0}, "jitter": {"kind": "none"}},
                "circuit_breaker": {"enabled": false},
            }),
        );
        fail(&layer, 1000).await;
        assert_eq!(left(&layer), 6000 - 1000 * attempts, "{scope}");
        let snapshot = layer.handle().snapshot();
        let counted: Vec<_> = snapshot.provider_errors.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(ProviderClass::ServerError, 3)], "each attempt is an error of the provider");
    }
}

#[tokio::test(start_paused = true)]
async fn attempt_whose_tokens_are_not_there_waits_by_the_ladder_and_loses_no_place() {
    let layer = layer_with(
        json!({"tokens_per_minute": 6000, "requests_per_minute": 60, "burst_size": 9, "scope": "attempt"}),
        &json!({
            "retry": {"max_attempts": 4, "backoff": {"base": 0, "min": 0}, "jitter": {"kind": "none"}},
            "circuit_breaker": {"enabled": false},
        }),
    );
    let (took, _) = timed(fail(&layer, 2500)).await;
    assert!(near(took, secs(15)), "the third attempt needs 1500 more tokens: {took:?}");
    assert_eq!(layer.handle().snapshot().attempts, 3, "the wait was the fourth");
    assert_eq!(layer.handle().signals().rate_remaining.map(f64::round), Some(8.0));
}

#[tokio::test(start_paused = true)]
async fn limit_on_tokens_is_switched_by_a_reload_and_keeps_what_it_had() {
    let on = json!({"tokens_per_minute": 6000, "requests_per_minute": 600, "burst_size": 50});
    let off = json!({"requests_per_minute": 600, "burst_size": 50});
    let layer = layer(off.clone());
    let reload = |limit: &Value| layer.handle().reconfigure(config(limit.clone(), &json!({})).base()).unwrap();
    assert!(!call(&layer, 5000).await.unwrap().wants_usage());
    assert_eq!(layer.handle().signals().tokens_remaining, None);
    reload(&on);
    let held = call(&layer, 4000).await.unwrap();
    assert_eq!(left(&layer), 2000);
    reload(&off);
    assert!(call(&layer, 50_000).await.is_ok());
    finish(held);
    reload(&on);
    assert_eq!(left(&layer), 2000);
    reload(&json!({"tokens_per_minute": 600}));
    assert_eq!(left(&layer), 600);
    reload(&json!({"enabled": false, "tokens_per_minute": 600}));
    assert!(call(&layer, 50_000).await.is_ok());
}
