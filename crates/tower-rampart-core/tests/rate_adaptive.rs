//! The kind `adaptive_rate` of the behaviour vectors, and what a rate that moves leaves alone.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{path::Path, time::Duration};

use proptest::prelude::*;
use serde_json::Value;
use tower_rampart_core::{
    Timestamp,
    rate::{AdaptiveConfig, AdaptiveRate, Config, RateLimiter},
};

fn vectors() -> Vec<Value> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let path = if Path::new(shared).exists() { shared } else { copy };
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let all = document["vectors"].as_array().unwrap();
    all.iter().filter(|it| it["kind"] == "adaptive_rate").cloned().collect()
}

fn config(vector: &Value) -> AdaptiveConfig {
    let number = |name: &str| vector["config"][name].as_f64().unwrap();
    let mut config = AdaptiveConfig::default();
    (config.base, config.min, config.max) = (number("base"), number("min"), number("max"));
    (config.error_threshold, config.recovery) = (number("error_threshold"), number("recovery"));
    config.reduction = number("reduction");
    config.window = Duration::from_millis(vector["config"]["window_ms"].as_u64().unwrap());
    config
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

#[test]
fn rates_follow_their_errors_as_the_vectors_say() {
    let vectors = vectors();
    assert!(!vectors.is_empty());
    for vector in &vectors {
        let config = config(vector);
        let limiter = RateLimiter::new("vector", Config::per_second(config.base)).unwrap();
        let mut rate = AdaptiveRate::new(config).unwrap();
        let mut now = Timestamp::from_millis(1);
        rate.apply(&limiter, now).unwrap();
        for (at, window) in vector["windows"].as_array().unwrap().iter().enumerate() {
            let [requests, errors] = ["requests", "errors"].map(|it| window[it].as_u64().unwrap());
            (0..requests).for_each(|request| rate.record(request < errors));
            let last = now.after(config.window.saturating_sub(Duration::from_nanos(1)));
            let before = limiter.config().quota.limit;
            rate.apply(&limiter, last).unwrap();
            assert!(is_same(limiter.config().quota.limit, before), "{} window {at}: it is not over", vector["name"]);
            now = now.after(config.window);
            // As few as there are: what comes in at another rate is not the change's doing.
            while limiter.try_acquire(1, now).is_ok() {}
            let remaining = limiter.remaining(now);
            rate.apply(&limiter, now).unwrap();
            let after = limiter.config().quota.limit;
            let expected = window["rate_after"].as_f64().unwrap();
            assert!(is_same(after, expected), "{} window {at}: {after}", vector["name"]);
            assert!((limiter.remaining(now) - remaining).abs() < 1e-6, "{} window {at}: tokens", vector["name"]);
        }
    }
}

proptest! {
    #[test]
    fn rate_stays_within_its_bounds_and_a_change_mints_nothing(
        steps in proptest::collection::vec((0..30_000_u64, 0..20_u32, 0..20_u32), 0..100),
    ) {
        let limiter = RateLimiter::new("x", Config::per_second(100.0)).unwrap();
        let mut rate = AdaptiveRate::new(AdaptiveConfig::default()).unwrap();
        let mut now = Timestamp::ZERO;
        for (wait, calls, errors) in steps {
            now = now.after(Duration::from_millis(wait));
            let before = limiter.remaining(now);
            rate.apply(&limiter, now).unwrap();
            prop_assert!((10.0..=200.0).contains(&rate.rate()));
            prop_assert!(is_same(limiter.config().quota.limit, rate.rate()));
            prop_assert!(limiter.remaining(now) <= before + 1e-6);
            for call in 0..calls {
                let _ = limiter.try_acquire(1, now);
                rate.record(call < errors);
            }
        }
    }
}

#[test]
fn ranges_are_checked() {
    let mut config = AdaptiveConfig::default();
    config.base = 201.0;
    assert_eq!(config.check().unwrap_err().field, "adaptive.base");
    config.base = f64::NAN;
    assert_eq!(config.check().unwrap_err().field, "adaptive.base");
    config = AdaptiveConfig::default();
    config.max = 5.0;
    assert_eq!(config.check().unwrap_err().field, "adaptive.max");
    config = AdaptiveConfig::default();
    config.reduction = 0.0;
    assert_eq!(config.check().unwrap_err().field, "adaptive.reduction");
    config = AdaptiveConfig::default();
    config.window = Duration::ZERO;
    assert_eq!(AdaptiveRate::new(config).unwrap_err().field, "adaptive.window");
}

#[test]
fn limiter_that_somebody_else_has_changed_gets_its_rate_back() {
    let limiter = RateLimiter::new("search", Config::per_second(100.0)).unwrap();
    let mut rate = AdaptiveRate::new(AdaptiveConfig::default()).unwrap();
    let now = Timestamp::from_millis(1);
    rate.apply(&limiter, now).unwrap();
    let mut other = limiter.config();
    other.quota.limit = 7.0;
    limiter.reconfigure(other, now).unwrap();
    rate.apply(&limiter, now).unwrap();
    assert!(is_same(limiter.config().quota.limit, 100.0));
    // What was looked at without being applied is applied the next time.
    rate.record(true);
    let later = now.after(Duration::from_secs(10));
    assert!(is_same(rate.acquire(later), 50.0));
    rate.apply(&limiter, later).unwrap();
    assert!(is_same(limiter.config().quota.limit, 50.0));
}
