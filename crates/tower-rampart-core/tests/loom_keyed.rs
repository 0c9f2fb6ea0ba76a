//! The maps by key under every interleaving of a few steps.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_keyed --target-dir target/loom`
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use loom::thread;
use tower_rampart_core::{
    Timestamp,
    concurrency::{self, Limiter},
    keyed::Keyed,
    rate::{Config, KeyedConfig, KeyedRateLimiter, RateLimiter},
};

const NOW: Timestamp = Timestamp::from_nanos(1);

fn keyed(max_keys: u32) -> Arc<KeyedRateLimiter> {
    let shared = Arc::new(RateLimiter::new("x", Config::per_second(1.0)).unwrap());
    let mut keys = KeyedConfig::default();
    keys.max_keys = max_keys;
    Arc::new(KeyedRateLimiter::over(shared, keys).unwrap())
}

/// Whether the key was admitted, and whether it had to share.
fn ask(limiter: &KeyedRateLimiter, key: &str) -> (bool, bool) {
    let mut account = limiter.account(Some(key));
    let is_admitted = limiter.try_acquire(&mut account, 1, NOW).is_ok();
    (is_admitted, account.limiter().is_some())
}

#[test]
fn two_threads_never_take_the_same_token_of_a_key() {
    loom::model(|| {
        let limiter = keyed(2);
        let other = Arc::clone(&limiter);
        let there = thread::spawn(move || ask(&other, "a").0);
        let here = ask(&limiter, "a").0;
        assert_eq!(u32::from(here) + u32::from(there.join().unwrap()), 1);
        assert_eq!(limiter.counts().keys, 1);
    });
}

#[test]
fn last_place_goes_to_one_key_and_the_other_shares() {
    loom::model(|| {
        let limiter = keyed(1);
        let other = Arc::clone(&limiter);
        let there = thread::spawn(move || ask(&other, "a"));
        let here = ask(&limiter, "b");
        let there = there.join().unwrap();
        assert!(here.0 && there.0 && here.1 != there.1, "{here:?} {there:?}");
        assert_eq!(limiter.counts().keys, 1);
    });
}

#[test]
fn limiter_is_not_forgotten_while_another_thread_takes_its_permit() {
    loom::model(|| {
        let config = concurrency::Config::new(1);
        let shared = Arc::new(Limiter::new("x", config).unwrap());
        let limiters = Arc::new(Keyed::new("x".into(), shared, &config, 1).unwrap());
        drop(limiters.get(Some("a"), NOW));
        let other = Arc::clone(&limiters);
        // Drives out a limiter that nobody holds.
        let there = thread::spawn(move || drop(other.get(Some("b"), NOW)));
        let limiter = limiters.get(Some("a"), NOW);
        let permit = limiter.try_acquire().unwrap();
        assert!(limiters.get(Some("a"), NOW).try_acquire().is_err(), "the permit is out");
        there.join().unwrap();
        limiter.release(permit);
    });
}
