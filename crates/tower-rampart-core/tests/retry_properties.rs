//! Properties of the waits and the retry budget against their formulas.
#![cfg(not(loom))]

use std::time::Duration;

use proptest::prelude::*;
use tower_rampart_core::{
    Class, RequestInfo, Timestamp,
    retry::{Attempts, Backoff, Budget, BudgetConfig, Config, Decision, Delays, Jitter, JitterKind, Seeds},
};

const KINDS: [JitterKind; 5] =
    [JitterKind::None, JitterKind::Full, JitterKind::Equal, JitterKind::Decorrelated, JitterKind::Additive];

fn backoffs() -> impl Strategy<Value = Backoff> {
    let nanos = 0..86_400_000_000_000_u64;
    let factor = prop_oneof![Just(1.0), 1.0..10.0, Just(1e200), Just(f64::MAX)];
    (nanos.clone(), factor, nanos.clone(), nanos).prop_map(|(base, factor, one, other)| Backoff {
        base: Duration::from_nanos(base),
        factor,
        min: Duration::from_nanos(one.min(other)),
        max: Duration::from_nanos(one.max(other)),
    })
}

fn jitters() -> impl Strategy<Value = Jitter> {
    (prop::sample::select(&KINDS), 0..86_400_000_000_000_u64)
        .prop_map(|(kind, max)| Jitter { kind, max: Duration::from_nanos(max) })
}

/// The formula of the specification, by repeated multiplication; the slack is what floats lose.
fn formula(backoff: &Backoff, retry: i32) -> (Duration, Duration) {
    let raw = backoff.base.as_secs_f64() * backoff.factor.powi(retry);
    let wait = if raw.is_finite() && raw < 1e6 { Duration::from_secs_f64(raw.max(0.0)) } else { Duration::MAX };
    let wait = if backoff.base.is_zero() { Duration::ZERO } else { wait };
    let slack = wait.checked_div(1_000_000).unwrap_or_default() + Duration::from_nanos(2);
    let clamp = |wait: Duration| wait.max(backoff.min).min(backoff.max);
    (clamp(wait.saturating_sub(slack)), clamp(wait.saturating_add(slack)))
}

proptest! {
    #[test]
    fn waits_lie_within_the_bounds_of_their_jitter(backoff in backoffs(), jitter in jitters(), seed: u64) {
        let mut last = backoff.base;
        for (retry, delay) in (0..12).zip(Delays::new(backoff, jitter, seed)) {
            let (low, high) = formula(&backoff, retry);
            let (low, high) = match jitter.kind {
                JitterKind::None => (low, high),
                JitterKind::Full => (Duration::ZERO, high),
                JitterKind::Equal => (low / 2, high),
                JitterKind::Additive => (low, high + jitter.max),
                JitterKind::Decorrelated => (
                    backoff.base.max(backoff.min).min(backoff.max),
                    (last * 3).max(backoff.base).max(backoff.min).min(backoff.max),
                ),
            };
            prop_assert!(low <= delay && delay <= high, "{low:?} <= {delay:?} <= {high:?}");
            last = delay;
        }
    }

    #[test]
    fn same_seed_gives_the_same_schedule(backoff in backoffs(), jitter in jitters(), seed: u64) {
        let schedule = || Delays::new(backoff, jitter, seed).take(20).collect::<Vec<_>>();
        prop_assert_eq!(schedule(), schedule());
    }

    #[test]
    fn hinted_wait_is_never_earlier_than_the_hint_and_little_later(
        kind in prop::sample::select(&KINDS),
        hint in 1..60_000_u64,
        seed: u64,
    ) {
        let mut config = Config::default();
        config.jitter = Jitter { kind, max: Duration::ZERO };
        config.backoff.base = Duration::ZERO;
        let hint = Duration::from_millis(hint);
        let class = Class::Unavailable { retry_after: Some(hint) };
        let decision =
            Attempts::new(&config, seed).decide(&class.into(), &RequestInfo::default(), Timestamp::ZERO, None, None);
        let Decision::Wait(wait, _) = decision else { return Err(TestCaseError::fail("must wait")) };
        let most = if kind == JitterKind::None { hint } else { hint + hint / 10 };
        prop_assert!(hint <= wait && wait <= most, "{wait:?}");
    }

    #[test]
    fn attempts_never_exceed_their_maximum(max in 1..20_u32, classes in prop::collection::vec(0..4_u8, 0..40)) {
        let mut config = Config::default();
        config.max_attempts = max;
        let mut attempts = Attempts::new(&config, 1);
        for class in classes {
            let class = match class {
                0 => Class::Transient,
                1 => Class::RateLimited { retry_after: None },
                2 => Class::Unavailable { retry_after: Some(Duration::from_secs(1)) },
                _ => Class::Permanent,
            };
            let before = attempts.attempt();
            let decision = attempts.decide(&class.into(), &RequestInfo::default(), Timestamp::ZERO, None, None);
            let waits = matches!(decision, Decision::Wait(..));
            prop_assert_eq!(attempts.attempt(), before + u32::from(waits));
            prop_assert!(attempts.attempt() <= max);
        }
    }

    /// The model: hops in a row, each of which says by its request that it makes the retries, and stops where it is told so.
    #[test]
    fn requests_that_reach_the_end_of_a_chain_do_not_multiply(hops in prop::collection::vec(1..5_u32, 1..5)) {
        fn send(hops: &[u32], is_retried: bool) -> u32 {
            let Some((max_attempts, further_in)) = hops.split_first() else { return 1 };
            let mut config = Config::default();
            config.max_attempts = *max_attempts;
            let (mut attempts, mut reached) = (Attempts::new(&config, 1), 0);
            if is_retried {
                attempts.leave_to_sender();
            }
            loop {
                reached += send(further_in, is_retried || attempts.may_retry() || attempts.attempt() > 1);
                let failed = Class::Transient.into();
                match attempts.decide(&failed, &RequestInfo::default(), Timestamp::ZERO, None, None) {
                    Decision::Wait(..) => {}
                    _ => return reached,
                }
            }
        }
        let outermost = hops.iter().copied().find(|it| *it > 1).unwrap_or(1);
        prop_assert_eq!(send(&hops, false), outermost);
    }

    #[test]
    fn retries_never_exceed_what_time_and_first_attempts_paid_for(
        ratio in 0.0..1.0_f64,
        rate in prop_oneof![Just(0.0), 0.1..50.0_f64],
        capacity in 1.0..200.0_f64,
        steps in prop::collection::vec((0..4_u8, 0..2_000_u64), 1..200),
    ) {
        let budget = Budget::new(BudgetConfig { enabled: true, ratio, min_per_second: rate, capacity }).unwrap();
        let (mut now, mut held, mut deposits) = (Timestamp::ZERO, Vec::new(), 0_u32);
        let floor = if rate > 0.0 { rate.max(1.0).min(capacity) } else { 0.0 };
        for (step, millis) in steps {
            match step {
                0 => {
                    budget.deposit();
                    deposits += 1;
                }
                1 => held.extend(budget.try_withdraw(now)),
                2 => held.pop().into_iter().for_each(|it| budget.refund(it)),
                _ => now = now.after(Duration::from_millis(millis)),
            }
            let retries = held.len();
            let elapsed = now.since(Timestamp::ZERO).as_secs_f64();
            let paid = floor + ratio * f64::from(deposits) + rate * elapsed;
            prop_assert!(retries as f64 <= paid + 0.01, "{retries} retries, {paid} paid");
            let level = budget.level(now);
            prop_assert!((0.0..=capacity + 1e-6).contains(&level));
        }
    }

    /// The bucket in fractions: time, looked at when a retry asks, refills it up to the floor, first attempts up to the capacity.
    #[test]
    fn budget_pays_as_a_plain_bucket_does(
        ratio in prop_oneof![Just(0.0), 0.01..1.0_f64],
        rate in prop_oneof![Just(0.0), 0.1..1.0_f64, 1.0..50.0_f64],
        capacity in 1.0..100.0_f64,
        steps in prop::collection::vec((0..8_u8, 0..1_500_u64), 1..300),
    ) {
        let budget = Budget::new(BudgetConfig { enabled: true, ratio, min_per_second: rate, capacity }).unwrap();
        let floor = if rate > 0.0 { rate.max(1.0).min(capacity) } else { 0.0 };
        let (mut level, mut looked, mut now) = (floor, None, Timestamp::ZERO);
        let mut held = Vec::new();
        for (step, millis) in steps {
            match step {
                0..3 => {
                    budget.deposit();
                    level = f64::min(level + ratio, capacity);
                }
                3..6 => {
                    let gained = now.since(looked.replace(now).unwrap_or(now)).as_secs_f64() * rate;
                    level = level.max(f64::min(level + gained, floor));
                    let paid = budget.try_withdraw(now);
                    // Millionths are rounded, and sums of fractions too.
                    let is_close = (level - 1.0).abs() < 1e-3;
                    prop_assert!(is_close || paid.is_some() == (level > 1.0), "{level} tokens, {paid:?}");
                    level -= f64::from(u8::from(paid.is_some()));
                    held.extend(paid);
                }
                6 => held.pop().into_iter().for_each(|it| {
                    budget.refund(it);
                    level = f64::min(level + 1.0, capacity);
                }),
                _ => now = now.after(Duration::from_millis(millis)),
            }
        }
    }
}

#[test]
fn schedule_is_small() {
    assert!(size_of::<Delays>() <= 96, "{}", size_of::<Delays>());
    assert!(size_of::<Attempts>() <= 128, "{}", size_of::<Attempts>());
}

#[test]
fn seeds_make_schedules_differ() {
    let seeds = Seeds::from_entropy();
    let schedule = || Delays::new(Backoff::default(), Jitter::default(), seeds.next()).take(4).collect::<Vec<_>>();
    assert_ne!(schedule(), schedule());
}

#[test]
fn schedule_has_no_end() {
    assert_eq!(Delays::new(Backoff::default(), Jitter::default(), 1).size_hint(), (usize::MAX, None));
}

#[test]
fn time_refills_the_budget_only_up_to_one_second() {
    let budget = Budget::new(BudgetConfig::default()).unwrap();
    assert!((budget.level(Timestamp::from_millis(3_600_000)) - 10.0).abs() < 1e-9);
    for _ in 0..10 {
        assert!(budget.try_withdraw(Timestamp::from_millis(3_600_000)).is_some());
    }
    assert!(budget.try_withdraw(Timestamp::from_millis(3_600_000)).is_none());
    assert!(budget.try_withdraw(Timestamp::from_millis(3_600_100)).is_some());
    assert!(budget.try_withdraw(Timestamp::from_millis(3_600_100)).is_none());
    assert!((budget.level(Timestamp::from_millis(7_200_000)) - 10.0).abs() < 1e-9);
}

#[test]
fn deposits_fill_the_budget_up_to_its_capacity() {
    let budget = Budget::new(BudgetConfig { capacity: 20.0, ..BudgetConfig::default() }).unwrap();
    for _ in 0..1_000 {
        budget.deposit();
    }
    assert!((budget.level(Timestamp::ZERO) - 20.0).abs() < 1e-9);
    budget.reconfigure(BudgetConfig { capacity: 30.0, ..BudgetConfig::default() }).unwrap();
    assert!((budget.level(Timestamp::ZERO) - 20.0).abs() < 1e-9, "nothing stood above the brim");
    let paid = (0..100).filter(|_| budget.try_withdraw(Timestamp::ZERO).is_some()).count();
    assert_eq!(paid, 20);
}

#[test]
fn slow_budget_pays_a_retry_now_and_then() {
    let budget = Budget::new(BudgetConfig { min_per_second: 0.5, ..BudgetConfig::default() }).unwrap();
    assert!(budget.try_withdraw(Timestamp::ZERO).is_some());
    // Looking often must not lose the fractions.
    for millis in 0..2_000 {
        assert!(budget.try_withdraw(Timestamp::from_millis(millis)).is_none());
    }
    assert!(budget.try_withdraw(Timestamp::from_millis(2_000)).is_some());
}

#[test]
fn looks_between_two_units_of_a_budget_lose_no_time() {
    let budget = Budget::new(BudgetConfig { min_per_second: 0.4, ..BudgetConfig::default() }).unwrap();
    assert!(budget.try_withdraw(Timestamp::ZERO).is_some());
    // A millionth of a token comes every 2.5 µs.
    let levels: Vec<f64> = (0..=250).map(|look| budget.level(Timestamp::from_nanos(4_000 * look))).collect();
    assert!((levels[250] - 0.0004).abs() < 1e-9, "{}", levels[250]);
}

#[test]
fn reconfiguring_a_budget_adds_no_token() {
    let budget = Budget::new(BudgetConfig::default()).unwrap();
    while budget.try_withdraw(Timestamp::ZERO).is_some() {}
    let later = Timestamp::from_millis(60_000);
    budget.reconfigure(BudgetConfig { min_per_second: 100.0, ..BudgetConfig::default() }).unwrap();
    assert!(budget.try_withdraw(later).is_none());
    let invalid = BudgetConfig { ratio: f64::NAN, ..BudgetConfig::default() };
    assert!(budget.reconfigure(invalid).is_err());
    assert!((budget.config().min_per_second - 100.0).abs() < f64::EPSILON);
}

#[test]
fn budget_that_is_off_pays_everything() {
    let config = BudgetConfig { enabled: false, min_per_second: 0.0, ..BudgetConfig::default() };
    let budget = Budget::new(config).unwrap();
    assert!((0..1_000).all(|_| budget.try_withdraw(Timestamp::ZERO).is_some()));
}

/// The budget was off when the retry was allowed, and is on when its call is dropped.
#[test]
fn retry_that_was_free_refunds_nothing_to_a_budget_that_is_on_by_then() {
    let on = BudgetConfig { min_per_second: 1.0, ..BudgetConfig::default() };
    let budget = Budget::new(BudgetConfig { enabled: false, ..on }).unwrap();
    let free = budget.try_withdraw(Timestamp::ZERO).unwrap();
    assert!(!free.is_paid());
    budget.reconfigure(on).unwrap();
    assert!(budget.try_withdraw(Timestamp::ZERO).is_some_and(|it| it.is_paid()));
    budget.refund(free);
    assert!(budget.try_withdraw(Timestamp::ZERO).is_none());
}

#[test]
fn retry_that_was_paid_is_refunded_although_the_budget_is_off_by_then() {
    let on = BudgetConfig { min_per_second: 1.0, ..BudgetConfig::default() };
    let budget = Budget::new(on).unwrap();
    let paid = budget.try_withdraw(Timestamp::ZERO).unwrap();
    budget.reconfigure(BudgetConfig { enabled: false, ..on }).unwrap();
    budget.refund(paid);
    budget.reconfigure(on).unwrap();
    assert!(budget.try_withdraw(Timestamp::ZERO).is_some());
}
