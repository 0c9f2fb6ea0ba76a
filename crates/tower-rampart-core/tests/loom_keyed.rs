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

fn limiters() -> Arc<Keyed<Limiter>> {
    let config = concurrency::Config::new(1);
    let shared = Arc::new(Limiter::new("x", config).unwrap());
    Arc::new(Keyed::new("x".into(), shared, &config, 1).unwrap())
}

#[test]
fn limiter_that_somebody_holds_keeps_its_place() {
    loom::model(|| {
        let limiters = limiters();
        drop(limiters.get(Some("a"), NOW));
        let other = Arc::clone(&limiters);
        // Drives out a limiter that nobody holds.
        let there = thread::spawn(move || drop(other.get(Some("b"), NOW)));
        let held = limiters.get(Some("a"), NOW);
        there.join().unwrap();
        let has_place = limiters.find(Some("a")).is_some_and(|it| Arc::ptr_eq(&it, &held));
        assert!(has_place != Arc::ptr_eq(limiters.shared(), &held), "it has a place, or came too late for one");
        assert!(has_place != limiters.find(Some("b")).is_some());
    });
}

#[test]
fn permit_that_is_out_keeps_a_limiter_that_nobody_holds() {
    loom::model(|| {
        let limiters = limiters();
        let permit = limiters.get(Some("a"), NOW).try_acquire().unwrap();
        let other = Arc::clone(&limiters);
        let there = thread::spawn(move || drop(other.get(Some("b"), NOW)));
        let limiter = limiters.get(Some("a"), NOW);
        assert!(!Arc::ptr_eq(limiters.shared(), &limiter) && limiter.try_acquire().is_err(), "the permit is out");
        limiter.release(permit);
        there.join().unwrap();
    });
}

#[test]
fn two_who_reload_at_once_leave_one_configuration() {
    loom::model(|| {
        let limiters = limiters();
        let there = limiters.get(Some("a"), NOW);
        let other = Arc::clone(&limiters);
        let reload = thread::spawn(move || other.reconfigure(&concurrency::Config::new(2), 2, NOW).unwrap());
        limiters.reconfigure(&concurrency::Config::new(3), 3, NOW).unwrap();
        reload.join().unwrap();
        let new = limiters.get(Some("b"), NOW);
        let most = [u64::from(there.max_inflight()), u64::from(new.max_inflight()), limiters.counts().max_keys];
        assert!(most == [2; 3] || most == [3; 3], "{most:?}");
    });
}
