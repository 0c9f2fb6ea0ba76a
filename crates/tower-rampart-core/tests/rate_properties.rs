//! Properties of the rate limiters over random traces: never more than the quota, never less than 99 % of it, exact waits.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{task::Waker, time::Duration};

use proptest::prelude::*;
use tower_rampart_core::{
    Timestamp,
    rate::{Admission, Algorithm, Config, OnLimit, Quota, RateLimiter, SlidingCounter, Ticket, Turn},
};

const ALL: [Algorithm; 4] = [Algorithm::Gcra, Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow];
const BUCKETS: [Algorithm; 2] = [Algorithm::Gcra, Algorithm::TokenBucket];

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Try(u32),
    TryAndGiveBack(u32),
    Enqueue(u32),
    Poll(usize),
    Cancel(usize),
    Reconfigure(f64, u32),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..400_000_000_u64).prop_map(Op::Pass),
        3 => (1..5_u32).prop_map(Op::Try),
        1 => (1..5_u32).prop_map(Op::TryAndGiveBack),
        2 => (1..5_u32).prop_map(Op::Enqueue),
        4 => (0..4_usize).prop_map(Op::Poll),
        1 => (0..4_usize).prop_map(Op::Cancel),
        1 => (0.5..50.0_f64, 1..8_u32).prop_map(|(limit, burst)| Op::Reconfigure(limit, burst)),
    ];
    prop::collection::vec(op, 1..120)
}

fn config(algorithm: Algorithm, limit: f64, burst: u32) -> Config {
    let mut config = Config::per_second(limit).with_burst(f64::from(burst)).unwrap();
    (config.algorithm, config.on_limit) = (algorithm, OnLimit::Wait);
    config
}

fn with_quota(algorithm: Algorithm, quota: Quota, burst: u32) -> Config {
    let mut config = config(algorithm, 1.0, burst);
    config.quota = quota;
    config
}

/// One admission, or one change of the configuration (with cost 0).
struct Event {
    at: Timestamp,
    cost: u32,
    config: Config,
}

fn trace(first: Config, ops: Vec<Op>) -> Vec<Event> {
    let limiter = RateLimiter::new("x", first).unwrap();
    let (mut now, mut config) = (Timestamp::ZERO, first);
    let mut events = vec![Event { at: now, cost: 0, config }];
    let mut queue: Vec<(Ticket, u32)> = Vec::new();
    for op in ops {
        let mut admitted = 0;
        match op {
            Op::Pass(nanos) => now = now.after(Duration::from_nanos(nanos)),
            Op::Try(cost) => admitted = limiter.try_acquire(cost, now).map_or(0, |()| cost),
            Op::TryAndGiveBack(cost) => {
                if limiter.try_acquire(cost, now).is_ok() {
                    limiter.give_back(cost, now);
                }
            }
            Op::Enqueue(cost) => match limiter.enqueue(cost, now, None) {
                Ok(Admission::Granted) => admitted = cost,
                Ok(Admission::Queued(ticket)) => queue.push((ticket, cost)),
                Err(_) => {}
            },
            Op::Poll(index) if index < queue.len() => match limiter.poll_ticket(&queue[index].0, Waker::noop(), now) {
                Turn::Granted => {
                    assert_eq!(index, 0, "only the head is admitted");
                    admitted = queue.remove(index).1;
                }
                Turn::Refused(_) => drop(queue.remove(index)),
                Turn::WaitUntil(_) | Turn::Queued => {}
            },
            Op::Cancel(index) if index < queue.len() => limiter.cancel(queue.remove(index).0),
            Op::Poll(_) | Op::Cancel(_) => {}
            Op::Reconfigure(limit, burst) => {
                config = self::config(first.algorithm, limit, burst);
                limiter.reconfigure(config, now).unwrap();
                events.push(Event { at: now, cost: 0, config });
            }
        }
        if admitted > 0 {
            events.push(Event { at: now, cost: admitted, config });
        }
        assert_eq!(limiter.queued(), queue.len());
    }
    events
}

proptest! {
    #[test]
    fn admitted_never_exceeds_burst_and_rate_in_any_interval(
        algorithm in prop::sample::select(&BUCKETS),
        limit in 0.5..50.0_f64,
        burst in 1..8_u32,
        ops in ops(),
    ) {
        let events = trace(config(algorithm, limit, burst), ops);
        for (start, first) in events.iter().enumerate() {
            let mut quota = f64::from(first.config.burst_size);
            let mut admitted = 0;
            let mut last = first;
            for event in &events[start..] {
                quota += event.at.since(last.at).as_secs_f64() * last.config.quota.limit;
                admitted += event.cost;
                last = event;
                prop_assert!(f64::from(admitted) <= quota + 1e-6, "{admitted} admitted, quota {quota}");
            }
        }
    }

    #[test]
    fn sliding_window_never_holds_more_than_the_greater_limit(
        limits in prop::collection::vec(1..20_u32, 1..3),
        ops in ops(),
    ) {
        let ops = ops.into_iter().map(|op| match op {
            Op::Reconfigure(_, burst) => Op::Reconfigure(f64::from(limits[burst as usize % limits.len()]), 1),
            op => op,
        });
        let most = *limits.iter().max().unwrap();
        let events = trace(config(Algorithm::SlidingWindow, f64::from(limits[0]), 1), ops.collect());
        for first in &events {
            let end = first.at.after(Duration::from_secs(1));
            let held: u32 = events.iter().filter(|it| it.at >= first.at && it.at < end).map(|it| it.cost).sum();
            prop_assert!(held <= most, "{held} of {most}");
        }
    }

    #[test]
    fn fixed_window_counts_anew_each_period(limit in 1..10_u32, calls in prop::collection::vec((0..800_u64, 1..4_u32), 1..100)) {
        let limiter = RateLimiter::new("x", config(Algorithm::FixedWindow, f64::from(limit), 1)).unwrap();
        let (mut millis, mut window, mut used) = (0, 0, 0);
        for (pause, cost) in calls {
            millis += pause;
            if millis / 1000 != window {
                (window, used) = (millis / 1000, 0);
            }
            let fits = used + cost <= limit;
            used += if fits { cost } else { 0 };
            let answer = limiter.try_acquire(cost, Timestamp::from_millis(millis));
            prop_assert_eq!(answer.is_ok(), fits);
            if let Some(wait) = answer.err().and_then(|it| it.retry_after) {
                prop_assert_eq!(wait, Duration::from_millis((window + 1) * 1000 - millis));
            }
        }
    }

    #[test]
    fn bucket_and_gcra_admit_the_same(
        limit in 0.01..1e6_f64,
        burst in 1..1000_u32,
        period in 1..100_000_u64,
        calls in prop::collection::vec((0..3_000_000_000_u64, 1..1200_u32), 1..60),
    ) {
        let quota = Quota { limit, period: Duration::from_millis(period) };
        let [gcra, bucket] = BUCKETS.map(|algorithm| {
            RateLimiter::new("x", with_quota(algorithm, quota, burst)).unwrap()
        });
        let mut now = Timestamp::ZERO;
        for (pause, cost) in calls {
            now = now.after(Duration::from_nanos(pause));
            prop_assert_eq!(gcra.try_acquire(cost, now), bucket.try_acquire(cost, now));
            prop_assert!((gcra.remaining(now) - bucket.remaining(now)).abs() < 1e-6);
            prop_assert_eq!(gcra.reset_after(now), bucket.reset_after(now));
        }
    }

    #[test]
    fn wait_of_a_refusal_is_exact(
        algorithm in prop::sample::select(&ALL),
        limit in 0.1..1000.0_f64,
        burst in 1..8_u32,
        calls in prop::collection::vec((0..200_000_000_u64, 1..4_u32), 1..60),
    ) {
        let limiter = RateLimiter::new("x", config(algorithm, limit, burst)).unwrap();
        let mut now = Timestamp::ZERO;
        for (pause, cost) in calls {
            now = now.after(Duration::from_nanos(pause));
            let Some(wait) = limiter.try_acquire(cost, now).err().and_then(|it| it.retry_after) else { continue };
            prop_assert!(limiter.peek(cost, now.after(wait).before(Duration::from_nanos(1))).is_err());
            now = now.after(wait);
            prop_assert!(limiter.try_acquire(cost, now).is_ok());
        }
    }

    #[test]
    fn counter_waits_exactly_and_lets_no_span_of_even_calls_exceed_the_limit(
        limit in 1..50_u32,
        calls in prop::collection::vec((0..3_000_000_000_u64, 1..5_u32), 1..80),
    ) {
        let quota = Quota { limit: f64::from(limit), period: Duration::from_secs(1) };
        let mut counter = SlidingCounter::new(quota).unwrap();
        let mut now = Timestamp::ZERO;
        for (pause, cost) in calls {
            now = now.after(Duration::from_nanos(pause));
            match counter.try_acquire(cost, now).map_err(|it| it.retry_after) {
                Ok(()) => {}
                Err(None) => prop_assert!(cost > limit),
                Err(Some(wait)) => {
                    let mut early = counter;
                    prop_assert!(early.try_acquire(cost, now.after(wait).before(Duration::from_nanos(1))).is_err());
                    now = now.after(wait);
                    prop_assert!(counter.try_acquire(cost, now).is_ok());
                }
            }
        }
    }

    /// Any legal quota comes in at 99 % to 100 % of its rate.
    #[test]
    fn quota_is_used_to_99_percent(
        algorithm in prop::sample::select(&BUCKETS),
        limit in prop_oneof![1e-3..1.0_f64, 1.0..1000.0, 1000.0..1e6],
        period in prop_oneof![1..10_u64, 10..86_400_000_u64],
        burst in 1000..1_000_000_u32,
        share in 0.1..0.9_f64,
    ) {
        let quota = Quota { limit, period: Duration::from_millis(period) };
        let limiter = RateLimiter::new("x", with_quota(algorithm, quota, burst)).unwrap();
        limiter.try_acquire(burst, Timestamp::ZERO).unwrap();
        let nanos = f64::from(burst) * share * quota.period.as_nanos() as f64 / limit;
        prop_assume!(nanos < 1e18 && nanos > 1e4);
        let now = Timestamp::from_nanos(nanos as u64);
        let due = now.as_nanos() as f64 * limit / quota.period.as_nanos() as f64;
        let there = limiter.remaining(now);
        prop_assert!(there <= due * (1.0 + 1e-9) + 1e-6, "{there} of {due}");
        prop_assert!(there >= due * 0.99 - 1e-6, "{there} of {due}");
    }

    #[test]
    fn reload_mints_no_token(
        (from, to) in (prop::sample::select(&ALL), prop::sample::select(&ALL)),
        limits in (0.5..50.0_f64, 0.5..50.0_f64),
        bursts in (1..50_u32, 1..50_u32),
        calls in prop::collection::vec((0..500_000_000_u64, 1..4_u32), 0..20),
    ) {
        prop_assume!(to != Algorithm::SlidingWindow || from != to);
        let limiter = RateLimiter::new("x", config(from, limits.0, bursts.0)).unwrap();
        let mut now = Timestamp::ZERO;
        for (pause, cost) in calls {
            now = now.after(Duration::from_nanos(pause));
            let _ = limiter.try_acquire(cost, now);
        }
        let before = limiter.remaining(now);
        let next = config(to, limits.1, bursts.1);
        limiter.reconfigure(next, now).unwrap();
        let after = limiter.remaining(now);
        prop_assert!(after <= before + 1e-6, "{before} to {after}");
        let kept = before.min(f64::from(next.most_at_once()));
        prop_assert!(after > kept - 1.0 - 1e-6, "{before} to {after}");
    }

    #[test]
    fn time_that_stands_still_or_jumps_breaks_nothing(
        algorithm in prop::sample::select(&ALL),
        burst in 1..20_u32,
        jumps in prop::collection::vec(prop_oneof![Just(0), any::<u64>(), Just(u64::MAX)], 1..20),
    ) {
        let limiter = RateLimiter::new("x", config(algorithm, 10.0, burst)).unwrap();
        let most = limiter.config().most_at_once();
        for nanos in jumps {
            let now = Timestamp::from_nanos(nanos);
            let admitted = (0..3 * most).filter(|_| limiter.try_acquire(1, now).is_ok()).count();
            prop_assert!(admitted <= most as usize);
            let _ = (limiter.reset_after(now), limiter.remaining(now), limiter.peek(1, now));
        }
    }
}

#[test]
fn same_configuration_again_changes_nothing() {
    for algorithm in ALL {
        let limiter = RateLimiter::new("x", config(algorithm, 3.0, 3)).unwrap();
        let now = Timestamp::from_millis(1234);
        limiter.try_acquire(2, now).unwrap();
        let before = (limiter.remaining(now).to_bits(), limiter.reset_after(now));
        for _ in 0..100 {
            limiter.reconfigure(limiter.config(), now).unwrap();
        }
        assert_eq!((limiter.remaining(now).to_bits(), limiter.reset_after(now)), before);
    }
}

#[test]
fn invalid_configuration_changes_nothing() {
    let limiter = RateLimiter::new("x", config(Algorithm::Gcra, 10.0, 1)).unwrap();
    limiter.try_acquire(1, Timestamp::ZERO).unwrap();
    let before = limiter.config();
    let mut invalid = before;
    invalid.burst_size = 0;
    assert!(limiter.reconfigure(invalid, Timestamp::ZERO).is_err());
    assert_eq!(limiter.config(), before);
    assert!(limiter.try_acquire(1, Timestamp::ZERO).is_err());
}

#[test]
fn limiter_that_is_off_admits_all_and_takes_nothing() {
    let mut config = config(Algorithm::Gcra, 10.0, 1);
    config.enabled = false;
    let limiter = RateLimiter::new("x", config).unwrap();
    assert!((0..100).all(|_| limiter.try_acquire(7, Timestamp::ZERO).is_ok()));
    config.enabled = true;
    limiter.reconfigure(config, Timestamp::ZERO).unwrap();
    assert!(limiter.try_acquire(1, Timestamp::ZERO).is_ok());
    assert!(limiter.try_acquire(1, Timestamp::ZERO).is_err());
}

#[test]
fn quota_with_a_fraction_keeps_its_rate_in_windows() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let limiter = RateLimiter::new("x", config(algorithm, 2.5, 1)).unwrap();
        let admitted = (0..100_000).filter(|it| limiter.try_acquire(1, Timestamp::from_millis(*it)).is_ok()).count();
        assert!((249..=252).contains(&admitted), "{algorithm:?}: {admitted}");
    }
}

#[test]
fn gcra_at_a_thousand_a_second_is_accurate() {
    let limiter = RateLimiter::new("x", config(Algorithm::Gcra, 1000.0, 10)).unwrap();
    let admitted = (0..30_000).filter(|it| limiter.try_acquire(1, Timestamp::from_nanos(it * 100_000)).is_ok()).count();
    assert!((3000..=3010).contains(&admitted), "{admitted}");
}

#[test]
fn what_every_call_touches_fits_one_cache_line() {
    assert!(size_of::<RateLimiter>() <= 64, "{}", size_of::<RateLimiter>());
}
