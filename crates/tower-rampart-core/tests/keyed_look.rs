//! What operators see of keys: who is called most, refused most, refused now; the reset of one circuit by its name; and that no number of keys makes a scrape longer.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{sync::Arc, time::Duration};

use tower_rampart_core::{
    Outcome, Stage, Timestamp,
    breaker::{self, Breaker, State},
    concurrency::{self, Limiter},
    keyed::{AT_ONCE, KeyLook, KeyMap, KeyOrder, KeyState, Keyed},
    rate::{self, KeyedConfig, KeyedRateLimiter, RateLimiter},
    registry::Registry,
};

const NOW: Timestamp = Timestamp::from_millis(1000);

fn circuits(failure_threshold: u32, max_keys: u32) -> Arc<Keyed<Breaker>> {
    let mut config = breaker::Config::default();
    config.failure_threshold = failure_threshold;
    config.recovery_timeout = Duration::from_secs(30);
    let shared = Arc::new(Breaker::new("search", config.clone()).unwrap());
    Arc::new(Keyed::new("search".into(), shared, &config, max_keys).unwrap())
}

fn call(circuits: &Keyed<Breaker>, key: Option<&str>, outcome: Outcome) {
    let breaker = circuits.get(key, NOW);
    if let Ok(permit) = breaker.try_acquire(NOW) {
        breaker.record(permit, outcome, None, NOW);
    }
}

fn limits(max_keys: u32) -> Arc<KeyedRateLimiter> {
    let shared = Arc::new(RateLimiter::new("search", rate::Config::per_second(2.0)).unwrap());
    let mut config = KeyedConfig::default();
    config.max_keys = max_keys;
    Arc::new(KeyedRateLimiter::over(shared, config).unwrap())
}

fn take(limits: &KeyedRateLimiter, key: &str, times: u32) {
    for _ in 0..times {
        let mut account = limits.account(Some(key));
        if let Err(exceeded) = limits.try_acquire(&mut account, 1, NOW) {
            let _ = limits.refusal(&account, exceeded);
        }
    }
}

fn names(all: &[KeyLook]) -> Vec<Option<&str>> {
    all.iter().map(|it| it.key.as_deref()).collect()
}

/// Thousands of keys whose calls succeed, an open circuit that refused 3, another that refused none.
fn mixed() -> KeyMap {
    let circuits = circuits(1, 10_000);
    for key in 0..5000 {
        call(&circuits, Some(&format!("key-{key}")), Outcome::Success);
    }
    for _ in 0..4 {
        call(&circuits, Some("worst"), Outcome::Failure);
    }
    call(&circuits, Some("bad"), Outcome::Failure);
    // Last: a key that comes later may take the place of a circuit that has nothing to remember.
    for _ in 0..20_000 {
        call(&circuits, None, Outcome::Success);
    }
    KeyMap::CircuitBreaker(circuits)
}

#[test]
fn open_circuits_are_found_among_thousands_most_refusals_first() {
    let map = mixed();
    let open = map.top(KeyOrder::Refusing, 20, NOW);
    assert_eq!(names(&open), [Some("worst"), Some("bad")]);
    assert_eq!((open[0].refused, open[1].refused), (Some(3), Some(0)));
    let wait = Some(Duration::from_secs(30));
    assert_eq!(open[0].state, KeyState::Circuit { state: State::Open, retry_after: wait });
    assert_eq!(names(&map.top(KeyOrder::Refusals, 20, NOW)), [Some("worst")], "those that were refused at all");
    assert_eq!(map.refusing(NOW), Some(2));
    // Their recovery time is over: what comes next is a probe.
    assert_eq!(map.refusing(NOW.after(Duration::from_secs(31))), Some(2));
}

#[test]
fn calls_without_a_key_are_those_of_one_more() {
    let most = mixed().top(KeyOrder::Calls, 1, NOW);
    assert_eq!((most.len(), &most[0].key), (1, &None));
    let calls = most[0].calls.unwrap();
    // It was not followed from the beginning: an estimate, which is more often too high than too low.
    assert!((19_900..=20_000 + most[0].calls_error).contains(&calls), "{most:?}");
    assert_eq!(most[0].state, KeyState::Circuit { state: State::Closed, retry_after: None });
}

#[test]
fn no_more_keys_are_given_than_were_asked_for_and_never_more_than_a_hundred() {
    let circuits = circuits(1, 10_000);
    for key in 0..1000 {
        // The later a key, the more refusals it has.
        (0..key / 100 + 2).for_each(|_| call(&circuits, Some(&format!("key-{key:03}")), Outcome::Failure));
    }
    let map = KeyMap::CircuitBreaker(circuits);
    for order in KeyOrder::ALL {
        for (most, is) in [(1, 1), (20, 20), (100, 100), (1000, 100)] {
            assert_eq!(map.top(order, most, NOW).len(), is, "{order:?} {most}");
        }
        assert!(map.top(order, 0, NOW).len() <= 1, "{order:?}");
    }
    let refused = map.top(KeyOrder::Refusals, 100, NOW);
    assert!(refused.iter().all(|it| it.refused == Some(10) && it.key.as_deref() >= Some("key-900")), "{refused:?}");
}

#[test]
fn circuit_of_one_key_is_reset_by_its_name_and_no_other() {
    let map = mixed();
    let open = map.top(KeyOrder::Refusing, 20, NOW);
    map.find(open[0].id).unwrap().reset(NOW);
    assert_eq!(names(&map.top(KeyOrder::Refusing, 20, NOW)), [Some("bad")]);
    assert!(map.find("0123456789abcdef".parse().unwrap()).is_none(), "nobody is called so");
    let limits = limits(10);
    take(&limits, "a", 3);
    let map = KeyMap::RateLimit(limits);
    assert!(map.find(map.top(KeyOrder::Calls, 1, NOW)[0].id).is_none(), "a rate limit is no circuit");
}

#[test]
fn keys_of_a_rate_limit_are_told_with_what_is_left_to_them() {
    let limits = limits(10_000);
    take(&limits, "noisy", 50);
    take(&limits, "empty", 2);
    take(&limits, "quiet", 1);
    let map = KeyMap::RateLimit(limits);
    let most = map.top(KeyOrder::Calls, 20, NOW);
    assert_eq!(names(&most), [Some("noisy"), Some("empty"), Some("quiet")]);
    assert_eq!(
        most.iter().map(|it| (it.calls, it.refused)).collect::<Vec<_>>(),
        [(Some(50), Some(48)), (Some(2), Some(0)), (Some(1), Some(0))]
    );
    assert_eq!(most[2].state, KeyState::Rate { remaining: 1.0 });
    assert_eq!(names(&map.top(KeyOrder::Refusals, 20, NOW)), [Some("noisy")]);
    assert_eq!(names(&map.top(KeyOrder::Refusing, 20, NOW)), [Some("noisy"), Some("empty")]);
}

#[test]
fn keys_whose_permits_are_all_out_are_told_with_who_waits() {
    let mut config = concurrency::Config::new(1);
    config.queue_size = 4;
    let shared = Arc::new(Limiter::new("search", config).unwrap());
    let limits = Arc::new(Keyed::new("search".into(), shared, &config, 100).unwrap());
    let (full, free) = (limits.get(Some("full"), NOW), limits.get(Some("free"), NOW));
    let permits = [full.try_acquire().unwrap(), free.try_acquire().unwrap()];
    let [_out, back] = permits;
    free.release(back);
    let _waits = full.enqueue().unwrap();
    full.count_refusal();
    let map = KeyMap::Concurrency(limits);
    let refusing = map.top(KeyOrder::Refusing, 20, NOW);
    assert_eq!(names(&refusing), [Some("full")]);
    assert_eq!(refusing[0].state, KeyState::Concurrency { inflight: 1, max_inflight: 1, queued: 1 });
    assert_eq!((refusing[0].refused, map.refusing(NOW)), (Some(1), Some(1)));
    assert_eq!(names(&map.top(KeyOrder::Refusals, 20, NOW)), [Some("full")]);
}

#[test]
fn every_key_is_seen_once_when_nothing_changes_meanwhile() {
    let circuits = circuits(2, 100_000);
    let many = 64 * AT_ONCE + 1000;
    for key in 0..many {
        call(&circuits, Some(&key.to_string()), Outcome::Failure);
    }
    let mut seen = std::collections::HashSet::new();
    circuits.walk(|id, key, _| assert!(seen.insert((id, key.map(str::to_owned)))));
    assert_eq!(seen.len(), many);
}

#[test]
fn calls_go_on_while_somebody_looks_at_all_keys() {
    let circuits = circuits(2, 100_000);
    for key in 0..20_000 {
        call(&circuits, Some(&key.to_string()), Outcome::Failure);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| (0..10_000).for_each(|key| drop(circuits.get(Some(&format!("new-{key}")), NOW))));
        for _ in 0..5 {
            let mut seen = 0;
            circuits.walk(|_, _, _| seen += 1);
            // Keys that move when a shard grows may be missed or seen twice, and no others.
            assert!(seen >= 10_000, "{seen}");
        }
    });
    let mut seen = 0;
    circuits.walk(|_, _, _| seen += 1);
    assert_eq!(seen as u64, circuits.counts().keys);
}

#[test]
fn hundred_thousand_keys_add_no_line_to_the_scrape_and_none_of_them_is_in_it() {
    let registry = Registry::with_clock(|| NOW);
    let operation = registry.operation("search").unwrap();
    let (circuits, limits) = (circuits(2, 100_000), limits(50_000));
    operation.attach_keys(KeyMap::CircuitBreaker(Arc::clone(&circuits)));
    operation.attach_keys(KeyMap::RateLimit(Arc::clone(&limits)));
    assert!(!registry.prometheus_text().contains("rampart_keys{"), "no stage is kept by key");
    operation.set_keyed(Stage::CircuitBreaker, true);
    operation.set_keyed(Stage::RateLimit, true);
    call(&circuits, Some("credential-0"), Outcome::Failure);
    take(&limits, "credential-0", 3);
    let before = registry.prometheus_text();
    for key in 1..100_000 {
        let key = format!("credential-{key}");
        // One failure more, and it is open.
        (0..=usize::from(key.ends_with("000"))).for_each(|_| call(&circuits, Some(&key), Outcome::Failure));
        take(&limits, &key, 1);
    }
    let after = registry.prometheus_text();
    assert_eq!(after.lines().count(), before.lines().count());
    assert!(!after.contains("credential"));
    for line in [
        "rampart_keys{operation=\"search\",stage=\"circuit_breaker\"} 100000",
        "rampart_keys{operation=\"search\",stage=\"rate_limit\"} 50000",
        "rampart_keys_max{operation=\"search\",stage=\"rate_limit\"} 50000",
        "rampart_keys_refusing{operation=\"search\",stage=\"circuit_breaker\"} 99",
        "rampart_keys_overflowed_total{operation=\"search\",stage=\"rate_limit\"} 50000",
        "rampart_keys_evicted_total{operation=\"search\",stage=\"circuit_breaker\"} 0",
    ] {
        assert!(after.lines().any(|it| it == line), "{line}");
    }
    let signals = registry.signals("search").unwrap();
    assert_eq!(signals.by_key, [Stage::CircuitBreaker, Stage::RateLimit]);
    assert_eq!(operation.preflight(NOW, 1, None).by_key, signals.by_key);
}
