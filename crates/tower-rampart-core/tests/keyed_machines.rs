//! Circuits and bulkheads by key: which are kept, which are forgotten, and what becomes of keys for which there is no room.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tower_rampart_core::{
    Outcome, Timestamp,
    breaker::{self, Breaker, State},
    concurrency::{self, Adaptive, Algorithm, Limiter, Sample},
    keyed::{IDLE_AFTER, Keyed},
};

fn breakers(max_keys: u32) -> Keyed<Breaker> {
    let mut config = breaker::Config::default();
    config.failure_threshold = 2;
    let shared = Arc::new(Breaker::new("search", config.clone()).unwrap());
    Keyed::new("search".into(), shared, &config, max_keys).unwrap()
}

#[test]
fn what_a_limit_has_learnt_is_kept_until_it_is_out_of_date() {
    let mut config = concurrency::Config::new(10);
    config.adaptive = Some(Adaptive::new(Algorithm::Aimd));
    let shared = Arc::new(Limiter::new("search", config).unwrap());
    let limiters = Keyed::new("search".into(), shared, &config, 2).unwrap();
    let now = Timestamp::from_millis(1);
    limiters.get(Some("slow"), now).record(&Sample::dropped(now, now), now);
    let flood = |at| (0..1000).for_each(|key| drop(limiters.get(Some(&key.to_string()), at)));
    flood(now);
    assert_eq!(limiters.find(Some("slow")).map(|it| it.max_inflight()), Some(9));
    flood(now.after(IDLE_AFTER));
    assert!(limiters.find(Some("slow")).is_none());
}

fn limiters(max_inflight: u32, max_keys: u32) -> Keyed<Limiter> {
    let config = concurrency::Config::new(max_inflight);
    Keyed::new("search".into(), Arc::new(Limiter::new("search", config).unwrap()), &config, max_keys).unwrap()
}

fn call(breakers: &Keyed<Breaker>, key: &str, outcome: Outcome, now: Timestamp) -> bool {
    let breaker = breakers.get(Some(key), now);
    match breaker.try_acquire(now) {
        Ok(permit) => breaker.record(permit, outcome, None, now),
        Err(_) => return false,
    }
    true
}

#[test]
fn one_bad_key_opens_its_own_circuit_only() {
    let breakers = breakers(10);
    let now = Timestamp::from_millis(1);
    for _ in 0..2 {
        assert!(call(&breakers, "bad", Outcome::Failure, now));
    }
    assert!(!call(&breakers, "bad", Outcome::Success, now));
    assert!(call(&breakers, "good", Outcome::Success, now));
    let open = breakers.select(|it| it.state(now) == State::Open);
    assert_eq!(open.iter().map(|(key, _)| key.as_deref()).collect::<Vec<_>>(), [Some("bad")]);
}

#[test]
fn open_circuit_is_never_forgotten_however_many_keys_come() {
    let breakers = breakers(100);
    let mut now = Timestamp::from_millis(1);
    for key in ["bad", "worse"] {
        let _ = call(&breakers, key, Outcome::Failure, now);
        let _ = call(&breakers, key, Outcome::Failure, now);
    }
    breakers.get(Some("forced"), now).force_open(now);
    for key in 0..100_000 {
        now = now.after(Duration::from_millis(1));
        assert!(call(&breakers, &format!("forged-{key}"), Outcome::Success, now));
        assert!(breakers.counts().keys <= 100);
    }
    // A hundred seconds later the recovery time is over, and still nobody has forgotten it.
    for key in ["bad", "worse"] {
        assert!(matches!(breakers.find(Some(key)).unwrap().state(now), State::Open | State::HalfOpen), "{key}");
    }
    assert_eq!(breakers.find(Some("forced")).unwrap().state(now), State::ForcedOpen);
    let counts = breakers.counts();
    assert!(counts.evicted > 99_000 && counts.overflowed < 100, "{counts:?}");
}

#[test]
fn run_of_failures_is_kept_until_it_is_out_of_date() {
    let breakers = breakers(2);
    let now = Timestamp::from_millis(1);
    let _ = call(&breakers, "one", Outcome::Failure, now);
    for key in 0..1000 {
        let _ = call(&breakers, &key.to_string(), Outcome::Success, now);
    }
    assert_eq!(breakers.find(Some("one")).unwrap().snapshot(now).consecutive_failures, 1);
    let later = now.after(IDLE_AFTER);
    for key in 0..1000 {
        let _ = call(&breakers, &key.to_string(), Outcome::Success, later);
    }
    assert!(breakers.find(Some("one")).is_none());
}

#[test]
fn circuit_whose_recovery_time_is_over_is_kept_until_that_is_out_of_date_too() {
    let breakers = breakers(3);
    let now = Timestamp::from_millis(1);
    for key in ["unasked", "asked"] {
        let _ = call(&breakers, key, Outcome::Failure, now);
        let _ = call(&breakers, key, Outcome::Failure, now);
    }
    let recovered = now.after(breakers.shared().config().recovery_timeout);
    // Its probe never comes back with an answer.
    assert!(call(&breakers, "asked", Outcome::Abandoned, recovered));
    let flood = |at: Timestamp| {
        for key in 0..1000 {
            let _ = call(&breakers, &key.to_string(), Outcome::Success, at);
        }
    };
    flood(recovered);
    assert!(breakers.find(Some("unasked")).is_some() && breakers.find(Some("asked")).is_some());
    flood(recovered.after(IDLE_AFTER));
    assert!(breakers.find(Some("unasked")).is_none() && breakers.find(Some("asked")).is_none());
}

#[test]
fn run_of_abandoned_calls_is_kept_as_one_of_failures_is() {
    let breakers = breakers(3);
    let now = Timestamp::from_millis(1);
    let run = (0..1000).take_while(|_| call(&breakers, "before", Outcome::Abandoned, now)).count();
    assert!((2..1000).contains(&run), "{run}");
    for _ in 1..run {
        assert!(call(&breakers, "hangs", Outcome::Abandoned, now));
    }
    for key in 0..1000 {
        assert!(call(&breakers, &key.to_string(), Outcome::Success, now));
    }
    assert!(call(&breakers, "hangs", Outcome::Abandoned, now));
    assert!(!call(&breakers, "hangs", Outcome::Success, now), "the run went on and opened the circuit");
    let later = now.after(IDLE_AFTER);
    assert!(call(&breakers, "other", Outcome::Abandoned, now));
    for key in 0..1000 {
        let _ = call(&breakers, &key.to_string(), Outcome::Success, later);
    }
    assert!(breakers.find(Some("other")).is_none());
}

#[test]
fn maps_of_one_seed_do_the_same_to_the_same_keys() {
    let run = |seed: Option<u64>| {
        let mut config = breaker::Config::default();
        (config.failure_threshold, config.recovery_jitter) = (1, 1.0);
        let shared = Arc::new(Breaker::new("search", config.clone()).unwrap().with_seed(1));
        let breakers = Keyed::new("search".into(), shared, &config, 20).unwrap();
        let breakers = match seed {
            Some(seed) => breakers.with_seed(seed),
            None => breakers,
        };
        let now = Timestamp::from_millis(1);
        let seen: Vec<_> = (0..500)
            .map(|key| {
                let key = key.to_string();
                let outcome = if key.ends_with('7') { Outcome::Failure } else { Outcome::Success };
                let _ = call(&breakers, &key, outcome, now);
                (breakers.find(Some(&key)).map(|it| it.retry_after(now)), breakers.counts())
            })
            .collect();
        (seen, breakers.most_used(100))
    };
    assert_eq!(run(Some(1)), run(Some(1)));
    assert!(run(Some(1)).0 != run(Some(2)).0 && run(None).0 != run(None).0);
}

#[test]
fn keys_of_one_map_are_drawn_apart_whatever_its_seed() {
    let mut config = breaker::Config::default();
    (config.failure_threshold, config.recovery_jitter) = (1, 1.0);
    for seed in [0, 1, u64::MAX] {
        let shared = Arc::new(Breaker::new("search", config.clone()).unwrap());
        let breakers = Keyed::new("search".into(), shared, &config, 20).unwrap().with_seed(seed);
        let now = Timestamp::from_millis(1);
        let mut waits: Vec<_> = (0..10)
            .map(|key| {
                let key = key.to_string();
                assert!(call(&breakers, &key, Outcome::Failure, now));
                breakers.find(Some(&key)).unwrap().retry_after(now)
            })
            .collect();
        waits.sort_unstable();
        waits.dedup();
        assert_eq!(waits.len(), 10, "seed {seed}");
    }
}

#[test]
fn text_of_a_key_is_kept_no_longer_than_an_operator_reads_it() {
    let breakers = breakers(3);
    let now = Timestamp::from_millis(1);
    let long = |last: &str| format!("a{}{last}", "ä".repeat(1000));
    breakers.get(Some(&long("1")), now).force_open(now);
    assert!(call(&breakers, &long("2"), Outcome::Success, now), "told apart by the whole text");
    let cut = Some(format!("a{}", "ä".repeat(127)));
    assert_eq!(breakers.select(|_| true).iter().map(|it| it.0.clone()).collect::<Vec<_>>(), [cut.clone(), cut.clone()]);
    assert!(breakers.most_used(9).iter().all(|it| it.key == cut));
}

#[test]
fn keys_without_room_share_one_circuit() {
    let breakers = breakers(1);
    let now = Timestamp::from_millis(1);
    breakers.get(Some("kept"), now).force_open(now);
    for key in ["a", "b"] {
        assert!(call(&breakers, key, Outcome::Failure, now));
    }
    assert!(!call(&breakers, "c", Outcome::Success, now));
    assert_eq!(breakers.shared().state(now), State::Open);
    assert_eq!((breakers.counts().keys, breakers.counts().overflowed), (1, 3));
}

#[test]
fn circuit_that_a_call_still_holds_is_kept() {
    let breakers = breakers(1);
    let now = Timestamp::from_millis(1);
    let held = breakers.get(Some("held"), now);
    for key in 0..100 {
        assert!(Arc::ptr_eq(&breakers.get(Some(&key.to_string()), now), breakers.shared()));
    }
    drop(held);
    for _ in 0..100 {
        drop(breakers.get(Some("next"), now));
    }
    assert!(breakers.find(Some("held")).is_none() && breakers.find(Some("next")).is_some());
}

#[test]
fn reload_reaches_every_key_and_keeps_its_state() {
    let breakers = breakers(10);
    let now = Timestamp::from_millis(1);
    let _ = call(&breakers, "a", Outcome::Failure, now);
    let mut config = breaker::Config::default();
    config.failure_threshold = 9;
    breakers.reconfigure(&config, 5, now).unwrap();
    let breaker = breakers.find(Some("a")).unwrap();
    assert_eq!((breaker.config().failure_threshold, breaker.snapshot(now).consecutive_failures), (9, 1));
    assert_eq!(breakers.get(Some("b"), now).config().failure_threshold, 9);
    assert_eq!(breakers.counts().max_keys, 5);
    assert!(breakers.reconfigure(&config, 0, now).is_err());
    config.failure_threshold = 0;
    assert!(breakers.reconfigure(&config, 5, now).is_err());
    assert_eq!(breakers.find(Some("a")).unwrap().config().failure_threshold, 9);
}

#[test]
fn permit_that_is_out_keeps_its_limiter() {
    let limiters = limiters(1, 1);
    let now = Timestamp::from_millis(1);
    let permit = limiters.get(Some("a"), now).try_acquire().unwrap();
    for key in 0..100 {
        assert!(Arc::ptr_eq(&limiters.get(Some(&key.to_string()), now), limiters.shared()));
    }
    let limiter = limiters.get(Some("a"), now);
    assert!(limiter.try_acquire().is_err());
    limiter.release(permit);
    drop(limiter);
    for _ in 0..100 {
        drop(limiters.get(Some("b"), now));
    }
    assert!(limiters.find(Some("b")).is_some());
}

proptest! {
    /// Permits by key are those of a limiter for each key; nobody is let in twice because a limiter was forgotten.
    #[test]
    fn no_key_has_more_calls_in_flight_than_its_limit(
        max_keys in 1..12_u32,
        steps in prop::collection::vec((0..20_u8, any::<bool>()), 1..300),
    ) {
        let limiters = limiters(2, max_keys);
        let now = Timestamp::from_millis(1);
        let mut held: Vec<(u8, bool, Arc<Limiter>, concurrency::Permit)> = Vec::new();
        for (key, enters) in steps {
            if enters {
                let limiter = limiters.get(Some(&key.to_string()), now);
                let is_shared = Arc::ptr_eq(&limiter, limiters.shared());
                let same = |it: &&(u8, bool, Arc<Limiter>, concurrency::Permit)| {
                    if is_shared { it.1 } else { !it.1 && it.0 == key }
                };
                let inside = held.iter().filter(same).count();
                if let Ok(permit) = limiter.try_acquire() {
                    prop_assert!(inside < 2);
                    held.push((key, is_shared, limiter, permit));
                } else {
                    prop_assert_eq!(inside, 2);
                }
            } else if !held.is_empty() {
                let (_, _, limiter, permit) = held.swap_remove(usize::from(key) % held.len());
                limiter.release(permit);
            }
            prop_assert!(limiters.counts().keys <= u64::from(max_keys));
        }
    }
}
