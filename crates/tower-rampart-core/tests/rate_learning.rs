//! What a limiter learns after the admission: what calls really cost, what is left on the other side, pauses. Their invariants over random
//! traces are in `rate_properties.rs`.
#![cfg(not(loom))]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tower_rampart_core::{
    Timestamp,
    rate::{
        Admission, Algorithm, Config, Learnt, ModelConfig, OnLimit, Quota, RateLimiter, Receipt, Ticket, Turn, Unit,
    },
    rejection::RateLimitReason,
};

const ALL: [Algorithm; 4] = [Algorithm::Gcra, Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow];
const BUCKETS: [Algorithm; 2] = [Algorithm::Gcra, Algorithm::TokenBucket];

/// So many at once and a second, whatever the algorithm.
fn config(algorithm: Algorithm, limit: u32) -> Config {
    let mut config = Config::per_second(f64::from(limit)).with_burst(f64::from(limit)).unwrap();
    (config.algorithm, config.on_limit) = (algorithm, OnLimit::Wait);
    config
}

fn limiter(algorithm: Algorithm, limit: u32) -> RateLimiter {
    RateLimiter::new("x", config(algorithm, limit)).unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn pause(until: u64) -> Learnt {
    Learnt { remaining: None, paused_until: Some(at(until)) }
}

fn left(remaining: u64) -> Learnt {
    Learnt { remaining: Some(remaining), paused_until: None }
}

fn wait(limiter: &RateLimiter, cost: u32, now: Timestamp) -> Duration {
    match limiter.peek(cost, now) {
        Ok(()) => Duration::ZERO,
        Err(exceeded) => exceeded.retry_after.unwrap(),
    }
}

fn queue(limiter: &RateLimiter, cost: u32, now: Timestamp) -> Ticket {
    match limiter.enqueue(cost, now, None) {
        Ok(Admission::Queued(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn pause_refuses_with_its_exact_rest_and_ends_by_itself() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        limiter.learn(pause(1500), at(0));
        for now in [0, 1, 1499] {
            let refused = limiter.try_acquire(1, at(now)).unwrap_err();
            assert_eq!(refused.reason, RateLimitReason::Exceeded);
            assert_eq!(refused.retry_after, Some(Duration::from_millis(1500 - now)), "{algorithm:?}");
            assert_eq!(limiter.peek(1, at(now)), Err(refused));
            assert!(limiter.remaining(at(now)).abs() < f64::EPSILON);
            assert_eq!(limiter.reset_after(at(now)), Duration::from_millis(1500 - now));
        }
        assert!(limiter.try_acquire(10, at(1500)).is_ok(), "{algorithm:?}: what came in meanwhile is there");
        assert!(limiter.try_acquire(1, at(1500)).is_err());
    }
}

#[test]
fn what_is_left_of_a_pause_is_told_exactly() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        assert_eq!(limiter.pause_left(at(0)), Duration::ZERO);
        limiter.learn(pause(1500), at(0));
        let told = [0, 1, 1499, 1500].map(|now| limiter.pause_left(at(now)).as_millis());
        assert_eq!(told, [1500, 1499, 1, 0], "{algorithm:?}");
    }
}

#[test]
fn pause_is_only_ever_lengthened_and_outlives_a_reload() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        limiter.learn(pause(500), at(0));
        for shorter in [pause(100), pause(0), Learnt::default(), left(3)] {
            limiter.learn(shorter, at(50));
        }
        limiter.reconfigure(config(Algorithm::Gcra, 20), at(50)).unwrap();
        assert_eq!(wait(&limiter, 1, at(50)), Duration::from_millis(450), "{algorithm:?}");
        limiter.learn(pause(600), at(50));
        assert_eq!(wait(&limiter, 1, at(50)), Duration::from_millis(550));
        assert!(limiter.try_acquire(1, at(600)).is_ok());
    }
}

#[test]
fn call_that_can_never_be_admitted_is_told_so_in_a_pause_too() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        limiter.learn(pause(500), at(0));
        for refused in [limiter.try_acquire(11, at(0)).unwrap_err(), limiter.enqueue(11, at(0), None).unwrap_err()] {
            assert_eq!((refused.reason, refused.retry_after), (RateLimitReason::CostAboveBurst, None));
        }
    }
}

#[test]
fn limiter_without_a_quota_admits_everything_but_in_a_pause() {
    for algorithm in ALL {
        let mut unlimited = Config::with_quota(Quota::UNLIMITED);
        unlimited.algorithm = algorithm;
        unlimited.check().unwrap();
        let limiter = RateLimiter::new("x", unlimited).unwrap();
        let spent: u32 = (0..100_000).map(|_| limiter.try_acquire(1000, at(7)).unwrap().cost()).sum();
        assert_eq!(spent, 100_000_000);
        limiter.learn(left(0), at(7));
        assert!(limiter.try_acquire(1, at(7)).is_ok(), "it has no tokens to lower");
        limiter.learn(Learnt { remaining: Some(0), paused_until: Some(at(50)) }, at(7));
        assert_eq!(wait(&limiter, 1, at(10)), Duration::from_millis(40));
        assert!(limiter.try_acquire(1, at(50)).is_ok());
        limiter.reconfigure(config(algorithm, 10), at(60)).unwrap();
        assert!(limiter.remaining(at(60)) <= 10.0);
    }
}

#[test]
fn limiter_that_is_off_learns_nothing() {
    for algorithm in ALL {
        let mut off = config(algorithm, 10);
        off.enabled = false;
        let limiter = RateLimiter::new("x", off).unwrap();
        limiter.learn(Learnt { remaining: Some(0), paused_until: Some(at(500)) }, at(0));
        assert!(limiter.try_acquire(1, at(0)).is_ok());
        limiter.reconfigure(config(algorithm, 10), at(0)).unwrap();
        assert!(limiter.try_acquire(10, at(0)).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn what_is_said_to_be_left_only_lowers() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        limiter.learn(left(2), at(0));
        assert!((limiter.remaining(at(0)) - 2.0).abs() < 1e-6, "{algorithm:?}");
        for more in [2, 3, 10, 50, u64::MAX] {
            limiter.learn(left(more), at(0));
            assert!((limiter.remaining(at(0)) - 2.0).abs() < 1e-6);
        }
        assert!(limiter.try_acquire(2, at(0)).is_ok());
        assert!(limiter.try_acquire(1, at(0)).is_err());
        limiter.learn(left(0), at(0));
        assert!(limiter.try_acquire(10, at(1000)).is_ok(), "{algorithm:?}: nothing is owed");
    }
}

#[test]
fn what_was_lowered_by_others_is_not_raised_by_calls_that_they_have_counted() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        let (one, other) = (limiter.try_acquire(4, at(0)).unwrap(), limiter.try_acquire(4, at(0)).unwrap());
        limiter.learn(left(1), at(0));
        limiter.give_back(one, at(0));
        limiter.settle(other, 1, at(0));
        assert!((limiter.remaining(at(0)) - 1.0).abs() < 1e-6, "{algorithm:?}");
        // Who counts more than that here keeps its own account.
        let receipt = limiter.try_acquire(1, at(0)).unwrap();
        limiter.learn(left(5), at(0));
        limiter.give_back(receipt, at(0));
        assert!((limiter.remaining(at(0)) - 1.0).abs() < 1e-6, "{algorithm:?}");
    }
}

#[test]
fn debt_beyond_the_burst_is_paid_before_anybody_is_admitted() {
    for algorithm in BUCKETS {
        let limiter = limiter(algorithm, 10);
        let receipt = limiter.try_acquire(10, at(0)).unwrap();
        limiter.settle(receipt, 45, at(0));
        assert_eq!(wait(&limiter, 1, at(0)), Duration::from_millis(3600), "{algorithm:?}");
        assert_eq!(limiter.reset_after(at(0)), Duration::from_millis(4500));
        assert!(limiter.remaining(at(3400)).abs() < f64::EPSILON);
        assert!(limiter.try_acquire(1, at(3599)).is_err());
        assert!(limiter.try_acquire(1, at(3600)).is_ok());
        assert_eq!(limiter.reset_after(at(3600)), Duration::from_secs(1));
    }
}

#[test]
fn fixed_window_owes_to_the_following_ones_and_a_log_for_one_span() {
    let fixed = limiter(Algorithm::FixedWindow, 10);
    let receipt = fixed.try_acquire(1, at(300)).unwrap();
    fixed.settle(receipt, 25, at(300));
    assert_eq!(wait(&fixed, 1, at(300)), Duration::from_millis(1700));
    assert_eq!(fixed.reset_after(at(300)), Duration::from_millis(2700));
    assert!(fixed.try_acquire(1, at(1999)).is_err());
    assert!(fixed.try_acquire(5, at(2000)).is_ok());
    assert!(fixed.try_acquire(1, at(2000)).is_err());
    let log = limiter(Algorithm::SlidingWindow, 10);
    let receipt = log.try_acquire(1, at(300)).unwrap();
    log.settle(receipt, 25, at(400));
    assert_eq!(wait(&log, 1, at(400)), Duration::from_secs(1));
    assert!(log.try_acquire(10, at(1400)).is_ok());
}

#[test]
fn debt_survives_a_reload() {
    for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(from, to)| (BUCKETS[from], BUCKETS[to])) {
        let limiter = limiter(from, 10);
        let receipt = limiter.try_acquire(10, at(0)).unwrap();
        limiter.settle(receipt, 30, at(0));
        limiter.reconfigure(config(to, 20), at(0)).unwrap();
        assert_eq!(wait(&limiter, 1, at(0)), Duration::from_millis(1050), "{from:?} to {to:?}");
    }
    let fixed = limiter(Algorithm::FixedWindow, 10);
    let receipt = fixed.try_acquire(10, at(0)).unwrap();
    fixed.settle(receipt, 30, at(0));
    fixed.reconfigure(config(Algorithm::Gcra, 20), at(0)).unwrap();
    assert_eq!(wait(&fixed, 1, at(0)), Duration::from_millis(1050));
}

#[test]
fn absurd_costs_saturate() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 1);
        let mut now = Timestamp::ZERO;
        for _ in 0..50 {
            let wait = limiter.peek(1, now).err().and_then(|it| it.retry_after).unwrap_or_default();
            now = now.after(wait);
            let Ok(receipt) = limiter.try_acquire(1, now) else { break };
            limiter.settle(receipt, u32::MAX, now);
            limiter.learn(
                Learnt { remaining: Some(0), paused_until: Some(Timestamp::MAX.before(Duration::from_nanos(1))) },
                now,
            );
            let _ = (limiter.remaining(now), limiter.reset_after(now), limiter.try_acquire(1, Timestamp::MAX));
            limiter.reconfigure(config(algorithm, 1000), now).unwrap();
            limiter.reconfigure(config(algorithm, 1), now).unwrap();
        }
    }
}

#[test]
fn receipt_of_a_limiter_that_was_off_owes_nothing() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        limiter.settle(Receipt::default(), 100, at(0));
        assert!(limiter.try_acquire(10, at(0)).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn tokens_settled_for_less_wake_who_waits() {
    for algorithm in ALL {
        let limiter = limiter(algorithm, 10);
        let receipt = limiter.try_acquire(10, at(0)).unwrap();
        let ticket = queue(&limiter, 4, at(0));
        let wakes = Arc::new(Wakes::default());
        let turn = limiter.poll_ticket(&ticket, &Waker::from(Arc::clone(&wakes)), at(0));
        assert!(matches!(turn, Turn::WaitUntil(_)));
        limiter.settle(receipt, 6, at(0));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "{algorithm:?}");
        assert!(matches!(limiter.poll_ticket(&ticket, Waker::noop(), at(0)), Turn::Granted(_)));
    }
}

#[test]
fn calls_that_wait_sit_a_pause_out_in_their_order() {
    for algorithm in BUCKETS {
        let limiter = limiter(algorithm, 2);
        limiter.try_acquire(2, at(0)).unwrap();
        let (first, second, third) = (queue(&limiter, 2, at(0)), queue(&limiter, 2, at(0)), queue(&limiter, 2, at(0)));
        let wakes = Arc::new(Wakes::default());
        let turn = limiter.poll_ticket(&first, &Waker::from(Arc::clone(&wakes)), at(0));
        assert_eq!(turn, Turn::WaitUntil(at(1000)));
        limiter.learn(pause(10_000), at(500));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "who is next is judged anew");
        assert_eq!(limiter.poll_ticket(&first, Waker::noop(), at(500)), Turn::WaitUntil(at(10_000)));
        // Only one burst comes in during the pause: the forecast of who comes last says so.
        let refused = limiter.try_acquire(1, at(500)).unwrap_err();
        assert_eq!(refused.retry_after, Some(Duration::from_secs(12)), "{algorithm:?}");
        assert!(matches!(limiter.poll_ticket(&first, Waker::noop(), at(10_000)), Turn::Granted(_)));
        assert_eq!(limiter.poll_ticket(&second, Waker::noop(), at(10_000)), Turn::WaitUntil(at(11_000)));
        assert!(matches!(limiter.poll_ticket(&second, Waker::noop(), at(11_000)), Turn::Granted(_)));
        assert!(matches!(limiter.poll_ticket(&third, Waker::noop(), at(12_000)), Turn::Granted(_)));
        assert!(limiter.try_acquire(1, at(12_500)).is_ok());
    }
}

#[test]
fn call_that_waits_is_refused_where_a_pause_outlasts_its_time() {
    for algorithm in ALL {
        let mut config = config(algorithm, 1);
        config.max_wait = Some(Duration::from_secs(5));
        let limiter = RateLimiter::new("x", config).unwrap();
        limiter.try_acquire(1, at(0)).unwrap();
        let (head, next) = (queue(&limiter, 1, at(0)), queue(&limiter, 1, at(0)));
        limiter.learn(pause(6000), at(100));
        let Turn::Refused(refused) = limiter.poll_ticket(&head, Waker::noop(), at(100)) else {
            panic!("{algorithm:?}")
        };
        assert_eq!(refused.reason, RateLimitReason::WaitTooLong);
        assert_eq!(refused.retry_after, Some(Duration::from_millis(5900)), "{algorithm:?}");
        assert_eq!(limiter.enqueue(1, at(100), None).unwrap_err().reason, RateLimitReason::WaitTooLong);
        limiter.cancel(next);
        assert_eq!(limiter.queued(), 0);
    }
}

#[test]
fn tokens_of_a_minute_come_at_once_and_then_evenly() {
    let mut model = ModelConfig::default();
    assert_eq!(model.tokens(&Config::default()), None);
    model.tokens_per_minute = Some(60_000.0);
    let mut requests = Config::per_second(1.0);
    requests.on_limit = OnLimit::Wait;
    let tokens = model.tokens(&requests).unwrap();
    assert_eq!((tokens.unit, tokens.on_limit, tokens.scope), (Unit::Tokens, OnLimit::Wait, requests.scope));
    let limiter = RateLimiter::new("x", tokens).unwrap();
    assert!(limiter.try_acquire(60_000, at(0)).is_ok());
    let refused = limiter.try_acquire(1000, at(0)).unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
    let rejection = refused.refusal(&limiter);
    assert_eq!((rejection.unit, rejection.burst), (Unit::Tokens, 60_000));
    assert_eq!(rejection.to_string(), "rate limit of `x` (tokens) is used up, retry after 1s");
}

#[test]
fn quota_of_tokens_has_ranges_of_its_own() {
    for (limit, valid) in [
        (1e-3, true),
        (1e9, true),
        (0.0, false),
        (-1.0, false),
        (1e9 + 1.0, false),
        (f64::NAN, false),
        (f64::INFINITY, false),
    ] {
        let mut model = ModelConfig::default();
        model.tokens_per_minute = Some(limit);
        assert_eq!(model.check().is_ok(), valid, "{limit}");
        if valid {
            model.tokens(&Config::default()).unwrap().check().unwrap();
            assert!(RateLimiter::new("x", model.tokens(&Config::default()).unwrap()).is_ok());
        }
    }
    assert!(Config::per_second(1e6 + 1.0).check().is_err(), "requests keep theirs");
}

/// A bucket as nobody would build it: a level that may go below zero, and a pause.
struct Model {
    level: f64,
    burst: f64,
    at: Timestamp,
    paused_until: Timestamp,
}

impl Model {
    fn refill(&mut self, now: Timestamp, rate: f64) {
        self.level = (self.level + now.since(self.at).as_secs_f64() * rate).min(self.burst);
        self.at = now;
    }

    fn wait(&self, cost: u32, rate: f64) -> f64 {
        let pause = self.paused_until.since(self.at).as_secs_f64();
        pause.max(((f64::from(cost) - self.level) / rate).max(0.0))
    }
}

proptest! {
    /// One call at a time, settled before the next: the limiter is the bucket of the model.
    #[test]
    fn settled_calls_debts_and_pauses_are_those_of_a_plain_bucket(
        algorithm in prop::sample::select(&BUCKETS),
        burst in 1..50_u32,
        steps in prop::collection::vec(
            (0..2_000_000_000_u64, 1..50_u32, 0..120_u32, prop::option::of(0..60_u64), prop::option::of(0..3_000_u64)),
            1..60,
        ),
    ) {
        let rate = f64::from(burst);
        let limiter = limiter(algorithm, burst);
        let mut model = Model { level: rate, burst: rate, at: Timestamp::ZERO, paused_until: Timestamp::ZERO };
        let mut now = Timestamp::ZERO;
        for (pass, cost, actual, remaining, pause) in steps {
            now = now.after(Duration::from_nanos(pass));
            model.refill(now, rate);
            match limiter.try_acquire(cost, now) {
                Ok(receipt) => {
                    prop_assert!(model.wait(cost, rate) < 1e-6);
                    model.level -= f64::from(actual);
                    limiter.settle(receipt, actual, now);
                }
                Err(refused) => match refused.retry_after {
                    None => prop_assert!(cost > burst),
                    Some(wait) => {
                        let expected = model.wait(cost, rate);
                        prop_assert!((wait.as_secs_f64() - expected).abs() < 1e-6, "{wait:?}, {expected}");
                    }
                },
            }
            let paused_until = pause.map(|millis| now.after(Duration::from_millis(millis)));
            limiter.learn(Learnt { remaining, paused_until }, now);
            model.level = remaining.map_or(model.level, |most| model.level.min(most as f64));
            model.paused_until = model.paused_until.max(paused_until.unwrap_or_default());
        }
    }

    /// What was settled at once leaves the trace of a call that had cost that from the beginning.
    #[test]
    fn call_settled_at_once_leaves_the_trace_of_what_it_cost(
        algorithm in prop::sample::select(&ALL),
        limit in 1..30_u32,
        calls in prop::collection::vec((0..500_000_000_u64, 1..20_u32, 0..20_u32), 1..60),
    ) {
        let (settled, exact) = (limiter(algorithm, limit), limiter(algorithm, limit));
        let mut now = Timestamp::ZERO;
        for (pause, cost, actual) in calls {
            now = now.after(Duration::from_nanos(pause));
            let Ok(receipt) = settled.try_acquire(cost, now) else { continue };
            settled.settle(receipt, actual, now);
            if actual > 0 && exact.try_acquire(actual, now).is_err() {
                let taken = exact.try_acquire(cost.min(actual), now).unwrap();
                exact.settle(taken, actual, now);
            }
            prop_assert_eq!(settled.reset_after(now), exact.reset_after(now));
            prop_assert_eq!(settled.remaining(now).to_bits(), exact.remaining(now).to_bits());
        }
    }

    /// Whatever is settled and learnt in whatever order, both buckets say the same.
    #[test]
    fn bucket_and_gcra_settle_and_learn_the_same(
        burst in 1..30_u32,
        steps in prop::collection::vec(
            (0..700_000_000_u64, 1..20_u32, 0..60_u32, any::<prop::sample::Index>(), prop::option::of(0..30_u64)),
            1..80,
        ),
    ) {
        let [gcra, bucket] = BUCKETS.map(|algorithm| limiter(algorithm, burst));
        let mut held: Vec<[Receipt; 2]> = Vec::new();
        let mut now = Timestamp::ZERO;
        for (pass, cost, actual, index, remaining) in steps {
            now = now.after(Duration::from_nanos(pass));
            match (gcra.try_acquire(cost, now), bucket.try_acquire(cost, now)) {
                (Ok(one), Ok(other)) => held.push([one, other]),
                (one, other) => prop_assert_eq!(one.unwrap_err(), other.unwrap_err()),
            }
            if actual % 2 == 0 && !held.is_empty() {
                let [one, other] = held.remove(index.index(held.len()));
                gcra.settle(one, actual, now);
                bucket.settle(other, actual, now);
            }
            for limiter in [&gcra, &bucket] {
                limiter.learn(Learnt { remaining, paused_until: None }, now);
            }
            prop_assert!((gcra.remaining(now) - bucket.remaining(now)).abs() < 1e-6);
            prop_assert_eq!(gcra.reset_after(now), bucket.reset_after(now));
        }
    }

    /// A refusal says exactly when, debts and pauses included, whatever the algorithm.
    #[test]
    fn wait_of_a_refusal_is_exact_under_debts_and_pauses(
        algorithm in prop::sample::select(&ALL),
        limit in 1..20_u32,
        calls in prop::collection::vec((0..600_000_000_u64, 1..20_u32, 0..60_u32, prop::option::of(0..4_000_u64)), 1..40),
    ) {
        let limiter = limiter(algorithm, limit);
        let mut now = Timestamp::ZERO;
        for (pass, cost, actual, pause) in calls {
            now = now.after(Duration::from_nanos(pass));
            limiter.learn(Learnt { remaining: None, paused_until: pause.map(|it| now.after(Duration::from_millis(it))) }, now);
            let receipt = match limiter.try_acquire(cost, now) {
                Ok(receipt) => receipt,
                Err(refused) => {
                    let Some(wait) = refused.retry_after else { continue };
                    prop_assert!(limiter.peek(cost, now.after(wait).before(Duration::from_nanos(1))).is_err());
                    now = now.after(wait);
                    limiter.try_acquire(cost, now).unwrap()
                }
            };
            limiter.settle(receipt, actual, now);
        }
    }
}
