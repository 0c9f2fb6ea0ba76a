//! The rate limit by key against a limiter for each key that is never forgotten, and against those who send more keys than there is room for.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Wake, Waker},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use tower_rampart_core::{
    Timestamp,
    rate::{
        Admission, Algorithm, Config, Exceeded, KeyLimit, KeyedConfig, KeyedRateLimiter, OnLimit, Quota, RateLimiter,
        Receipt,
    },
};

fn config(limit: f64, burst: u32) -> Config {
    let mut config = Config::per_second(limit);
    config.burst_size = burst;
    config
}

fn keyed(limit: Config, max_keys: u32) -> KeyedRateLimiter {
    let shared = Arc::new(RateLimiter::new("search", limit).unwrap());
    let mut keys = KeyedConfig::default();
    keys.max_keys = max_keys;
    KeyedRateLimiter::over(shared, keys).unwrap()
}

fn reload(limiter: &KeyedRateLimiter, limit: Config, now: Timestamp) {
    limiter.shared().reconfigure(limit, now).unwrap();
    limiter.reconfigure(limiter.config(), now).unwrap();
}

/// Asks for a key, and says whether it had to share.
fn ask(limiter: &KeyedRateLimiter, key: &str, cost: u32, now: Timestamp) -> (Result<Receipt, Exceeded>, bool) {
    let mut account = limiter.account(Some(key));
    let answer = limiter.try_acquire(&mut account, cost, now);
    (answer, account.limiter().is_some_and(|it| Arc::ptr_eq(it, limiter.shared())))
}

fn is_admitted(limiter: &KeyedRateLimiter, key: &str, now: Timestamp) -> bool {
    ask(limiter, key, 1, now).0.is_ok()
}

#[derive(Clone, Debug)]
enum Step {
    Ask { key: u8, cost: u32, undo: bool },
    Pass(Duration),
    Reload { limit: u16, burst: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..40_u8, 1..4_u32, prop::bool::weighted(0.1)).prop_map(|(key, cost, undo)| Step::Ask { key, cost, undo }),
        3 => (0..2_000_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => (1..20_u16, 1..8_u32).prop_map(|(limit, burst)| Step::Reload { limit, burst }),
    ]
}

proptest! {
    /// Every key that has a state of its own is limited as by a limiter that nobody ever forgets, and all others together as by one.
    #[test]
    fn keys_are_limited_as_if_none_was_ever_forgotten(max_keys in 1..30_u32, steps in prop::collection::vec(step(), 1..300)) {
        let mut limit = config(5.0, 3);
        let limiter = keyed(limit, max_keys);
        let fresh = |limit| RateLimiter::new("model", limit).unwrap();
        let (mut models, shared) = (HashMap::new(), fresh(limit));
        let mut now = Timestamp::from_millis(1);
        for step in steps {
            match step {
                Step::Ask { key, cost, undo } => {
                    let mut account = limiter.account(Some(&key.to_string()));
                    let answer = limiter.try_acquire(&mut account, cost, now);
                    let is_shared = account.limiter().is_some();
                    let model = if is_shared { &shared } else { models.entry(key).or_insert_with(|| fresh(limit)) };
                    let expected = model.try_acquire(cost, now);
                    prop_assert_eq!(answer.is_ok(), expected.is_ok(), "{} of {}", cost, key);
                    match (answer, expected) {
                        (Ok(receipt), Ok(taken)) if undo => {
                            limiter.give_back(&account, receipt, now);
                            model.give_back(taken, now);
                        }
                        (answer, expected) => prop_assert_eq!(answer.err(), expected.err()),
                    }
                }
                Step::Pass(time) => now = now.after(time),
                Step::Reload { limit: rate, burst } => {
                    limit = config(rate.into(), burst);
                    reload(&limiter, limit, now);
                    shared.reconfigure(limit, now).unwrap();
                    // A limiter that is full is that of a new key.
                    models.retain(|_, model| !model.reset_after(now).is_zero());
                    for model in models.values() {
                        model.reconfigure(limit, now).unwrap();
                    }
                }
            }
            prop_assert!(limiter.counts().keys <= u64::from(max_keys), "{:?}", limiter.counts());
            for (key, model) in &models {
                let (seen, expected) = (limiter.remaining(Some(&key.to_string()), now), model.remaining(now));
                prop_assert!((seen - expected).abs() < 1e-6, "{} has {} instead of {}", key, seen, expected);
            }
        }
    }

    /// Whatever kind of state a reload gives to keys, none has more afterwards than its quota promises.
    #[test]
    fn reload_to_another_kind_of_state_mints_no_token(
        reloads in prop::collection::vec((0..4_u8, any::<bool>(), 0..300_u64), 1..12)
    ) {
        let limiter = keyed(config(10.0, 5), 100);
        let mut now = Timestamp::from_millis(1);
        let begun = now;
        let mut admitted = 0;
        for (algorithm, waits, millis) in reloads {
            while is_admitted(&limiter, "a", now) {
                admitted += 1;
            }
            now = now.after(Duration::from_millis(millis));
            let mut limit = config(10.0, 5);
            limit.algorithm = if algorithm == 0 { Algorithm::TokenBucket } else { Algorithm::Gcra };
            limit.on_limit = if waits { OnLimit::Wait } else { OnLimit::Reject };
            reload(&limiter, limit, now);
        }
        let promised = 5.0 + 10.0 * now.since(begun).as_secs_f64();
        prop_assert!(f64::from(admitted) <= promised + 1e-6, "{admitted} where {promised} were promised");
    }
}

#[test]
fn noisy_key_leaves_the_quota_of_others_alone() {
    let limiter = keyed(config(1.0, 2), 10);
    let now = Timestamp::from_millis(5);
    for _ in 0..1000 {
        let _ = is_admitted(&limiter, "noisy", now);
    }
    assert!(is_admitted(&limiter, "quiet", now) && is_admitted(&limiter, "quiet", now));
    assert!(!is_admitted(&limiter, "quiet", now));
}

#[test]
fn calls_without_a_key_are_those_of_one_more_key() {
    let limiter = keyed(config(1.0, 1), 10);
    let now = Timestamp::from_millis(5);
    assert!(limiter.try_acquire(&mut limiter.account(None), 1, now).is_ok());
    assert!(limiter.try_acquire(&mut limiter.account(None), 1, now).is_err());
    assert!(is_admitted(&limiter, "", now));
}

#[test]
fn flood_of_keys_stays_within_the_bound_and_frees_no_debtor() {
    const KEYS: u32 = 300_000;
    let limiter = keyed(config(0.001, 1), 1000);
    let mut now = Timestamp::from_millis(1);
    assert!(is_admitted(&limiter, "debtor", now));
    let mut shared = 0;
    for key in 0..KEYS {
        now = now.after(Duration::from_micros(1));
        let (answer, has_to_share) = ask(&limiter, &format!("forged-{key}"), 1, now);
        // Those that share are limited together: they gain nothing by being many.
        shared += u32::from(has_to_share && answer.is_ok());
        assert!(key % 1000 > 0 || !is_admitted(&limiter, "debtor", now));
        assert!(limiter.counts().keys <= 1000);
    }
    let counts = limiter.counts();
    assert_eq!((counts.keys, counts.evicted, shared), (1000, 0, 1));
    assert_eq!(counts.overflowed, u64::from(KEYS) - 999);
}

#[test]
fn keys_that_have_come_to_rest_make_room() {
    let limiter = keyed(config(1.0, 1), 1000);
    let mut now = Timestamp::from_millis(1);
    for key in 0..200_000_u32 {
        // 500 keys a second, each at rest after one second.
        now = now.after(Duration::from_millis(2));
        let (answer, has_to_share) = ask(&limiter, &key.to_string(), 1, now);
        assert!(answer.is_ok() && !has_to_share, "{key}: {:?}", limiter.counts());
    }
    let counts = limiter.counts();
    assert!(counts.evicted >= 199_000 && counts.overflowed == 0, "{counts:?}");
}

#[test]
fn token_that_is_given_back_later_is_what_time_has_left_of_it() {
    let limiter = keyed(config(1.0, 2), 10);
    let at = Timestamp::from_millis;
    let mut account = limiter.account(Some("a"));
    let receipt = limiter.try_acquire(&mut account, 2, at(0)).unwrap();
    limiter.give_back(&account, receipt, at(500));
    assert!((limiter.remaining(Some("a"), at(500)) - 2.0).abs() < 1e-6);
    // A key that came to rest and was forgotten meanwhile gains nothing.
    let receipt = limiter.try_acquire(&mut account, 1, at(500)).unwrap();
    limiter.give_back(&account, receipt, at(60_000));
    assert!((limiter.remaining(Some("a"), at(60_000)) - 2.0).abs() < 1e-6);
}

#[test]
fn call_above_the_burst_is_never_possible_and_makes_no_key() {
    let limiter = keyed(config(1.0, 2), 10);
    let refused = ask(&limiter, "a", 3, Timestamp::ZERO).0.unwrap_err();
    assert_eq!((refused.retry_after, limiter.counts().keys), (None, 0));
}

#[test]
fn limiter_that_is_off_takes_nothing() {
    let mut off = config(1.0, 1);
    off.enabled = false;
    let limiter = keyed(off, 10);
    assert!((0..9).all(|_| is_admitted(&limiter, "a", Timestamp::ZERO)));
    assert_eq!(limiter.counts().keys, 0);
}

fn limits(all: &[(&str, f64, u32)]) -> KeyedConfig {
    let quota = |limit| Quota { limit, period: Duration::from_secs(1) };
    let mut keys = KeyedConfig::default();
    keys.max_keys = 1;
    let limit =
        |&(key, limit, burst_size): &(&str, f64, u32)| (key.to_owned(), KeyLimit { quota: quota(limit), burst_size });
    keys.limits = all.iter().map(limit).collect();
    keys
}

#[test]
fn key_with_a_quota_of_its_own_has_it_whoever_fills_the_map() {
    let shared = Arc::new(RateLimiter::new("search", config(1.0, 1)).unwrap());
    let limiter = KeyedRateLimiter::over(shared, limits(&[("gold", 100.0, 5), ("barred", 0.001, 1)])).unwrap();
    let now = Timestamp::from_millis(1);
    for key in 0..100 {
        let _ = is_admitted(&limiter, &key.to_string(), now);
    }
    assert_eq!((0..9).filter(|_| is_admitted(&limiter, "gold", now)).count(), 5);
    assert_eq!((0..9).filter(|_| is_admitted(&limiter, "barred", now)).count(), 1);
    assert_eq!(limiter.counts().keys, 3);
}

#[test]
fn quota_of_its_own_comes_and_goes_by_reload_without_a_token_minted() {
    let shared = Arc::new(RateLimiter::new("search", config(1.0, 4)).unwrap());
    let limiter = KeyedRateLimiter::over(shared, limits(&[])).unwrap();
    let now = Timestamp::from_millis(1);
    assert_eq!((0..9).filter(|_| is_admitted(&limiter, "gold", now)).count(), 4);
    limiter.reconfigure(limits(&[("gold", 10.0, 10)]), now).unwrap();
    assert!(!is_admitted(&limiter, "gold", now));
    let later = now.after(Duration::from_secs(1));
    assert_eq!((0..19).filter(|_| is_admitted(&limiter, "gold", later)).count(), 10);
    limiter.reconfigure(limits(&[]), later).unwrap();
    assert!(!is_admitted(&limiter, "gold", later));
    assert!(is_admitted(&limiter, "gold", later.after(Duration::from_secs(1))));
    assert!(!is_admitted(&limiter, "gold", later.after(Duration::from_secs(1))));
}

#[test]
fn calls_of_a_key_wait_for_its_own_limiter_which_is_kept_while_they_do() {
    let mut waits = config(1.0, 1);
    waits.on_limit = OnLimit::Wait;
    let limiter = keyed(waits, 1);
    let now = Timestamp::from_millis(1);
    let mut account = limiter.account(Some("a"));
    limiter.resolve(&mut account, now);
    let own = account.limiter().unwrap();
    assert!(!Arc::ptr_eq(own, limiter.shared()) && own.try_acquire(1, now).is_ok());
    // Full again, but held by a call.
    let later = now.after(Duration::from_secs(5));
    let mut other = limiter.account(Some("b"));
    for _ in 0..100 {
        limiter.resolve(&mut other, later);
        assert!(Arc::ptr_eq(other.limiter().unwrap(), limiter.shared()));
    }
    drop(account);
    let found = (0..100).any(|_| {
        let mut other = limiter.account(Some("b"));
        limiter.resolve(&mut other, later);
        !Arc::ptr_eq(other.limiter().unwrap(), limiter.shared())
    });
    assert!(found && limiter.counts().keys == 1);
}

/// Asks for a key as soon as it is woken, and looks at the configuration.
struct Woken(Arc<KeyedRateLimiter>, AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        assert!(is_admitted(&self.0, "gold", Timestamp::from_millis(1)));
        assert_eq!(self.0.config().limits.len(), 1);
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn quota_of_its_own_outlives_a_reload_whoever_asks_in_the_middle_of_it() {
    let mut waits = config(1.0, 1);
    waits.on_limit = OnLimit::Wait;
    let shared = Arc::new(RateLimiter::new("search", waits).unwrap());
    let mut keys = limits(&[("gold", 1000.0, 1000)]);
    keys.max_keys = 500;
    let limiter = Arc::new(KeyedRateLimiter::over(shared, keys.clone()).unwrap());
    let now = Timestamp::from_millis(1);
    let woken = Arc::new(Woken(Arc::clone(&limiter), AtomicU32::new(0)));
    // In all shards there is somebody who waits.
    let waiting: Vec<_> = (0..500)
        .map(|key| {
            let mut account = limiter.account(Some(&key.to_string()));
            limiter.resolve(&mut account, now);
            let own = Arc::clone(account.limiter().unwrap());
            assert!(own.try_acquire(1, now).is_ok());
            let Ok(Admission::Queued(ticket)) = own.enqueue(1, now, None) else { panic!("the token is taken") };
            let _ = own.poll_ticket(&ticket, &Waker::from(Arc::clone(&woken)), now);
            (account, ticket)
        })
        .collect();
    limiter.reconfigure_with(config(1.0, 1), keys, now).unwrap();
    assert_eq!(woken.1.load(Ordering::Relaxed), 500);
    assert!((limiter.remaining(Some("gold"), now) - 500.0).abs() < 0.5, "each of them took one");
    drop(waiting);
}

#[test]
fn two_who_reload_at_once_leave_one_configuration() {
    let limiter = keyed(config(1.0, 1), 100);
    let now = Timestamp::from_millis(1);
    thread::scope(|scope| {
        for burst in 1..=4 {
            let limiter = &limiter;
            scope.spawn(move || {
                for _ in 0..200 {
                    let mut keys = limits(&[("gold", 1.0, burst)]);
                    keys.max_keys = burst;
                    limiter.reconfigure_with(config(1.0, burst), keys, now).unwrap();
                }
            });
        }
    });
    let (burst, keys) = (limiter.shared().config().burst_size, limiter.config());
    assert_eq!((keys.max_keys, keys.limits["gold"].burst_size), (burst, burst));
    assert!((limiter.remaining(Some("new"), now) - f64::from(burst)).abs() < 0.5);
}

#[test]
fn most_used_keys_are_told_with_their_refusals() {
    let limiter = keyed(config(1.0, 2), 100);
    let now = Timestamp::from_millis(1);
    for _ in 0..10 {
        let mut account = limiter.account(Some("noisy"));
        if let Err(exceeded) = limiter.try_acquire(&mut account, 1, now) {
            let refusal = limiter.refusal(&account, exceeded);
            assert!(refusal.per_key && !format!("{refusal} {refusal:?}").contains("noisy"), "{refusal}");
        }
    }
    assert!(is_admitted(&limiter, "quiet", now));
    let top = limiter.most_used(9);
    let told: Vec<_> = top.iter().map(|it| (it.key.as_deref(), it.used, it.refused)).collect();
    assert_eq!(told, [(Some("noisy"), 10, Some(8)), (Some("quiet"), 1, Some(0))]);
}

#[test]
fn what_is_out_of_range_is_refused_and_changes_nothing() {
    let shared = || Arc::new(RateLimiter::new("search", config(1.0, 1)).unwrap());
    let mut keys = KeyedConfig::default();
    keys.max_keys = 0;
    assert_eq!(KeyedRateLimiter::over(shared(), keys.clone()).unwrap_err().field, "rate_limit.max_keys");
    let limiter = keyed(config(1.0, 1), 7);
    assert!(limiter.reconfigure(keys, Timestamp::ZERO).is_err());
    assert!(limiter.reconfigure(limits(&[("a", 0.0, 1)]), Timestamp::ZERO).is_err());
    assert_eq!(limiter.config().max_keys, 7);
}
