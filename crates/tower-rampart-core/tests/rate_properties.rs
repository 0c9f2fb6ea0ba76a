//! Properties of the rate limiters over random traces: never more than the quota, never less than 99 % of it, exact waits.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{task::Waker, time::Duration};

use proptest::prelude::*;
use tower_rampart_core::{
    Timestamp,
    rate::{Admission, Algorithm, Config, Learnt, OnLimit, Quota, RateLimiter, Receipt, SlidingCounter, Ticket, Turn},
};

const ALL: [Algorithm; 4] = [Algorithm::Gcra, Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow];
const BUCKETS: [Algorithm; 2] = [Algorithm::Gcra, Algorithm::TokenBucket];

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Try(u32),
    GiveBack(usize),
    /// Settles for so many tokens.
    Settle(usize, u32),
    Learn {
        remaining: Option<u64>,
        pause: Option<u64>,
    },
    Enqueue(u32),
    Poll(usize),
    Cancel(usize),
    Reconfigure(f64, u32),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..400_000_000_u64).prop_map(Op::Pass),
        3 => (1..5_u32).prop_map(Op::Try),
        2 => (0..8_usize).prop_map(Op::GiveBack),
        2 => (1..5_u32).prop_map(Op::Enqueue),
        4 => (0..4_usize).prop_map(Op::Poll),
        1 => (0..4_usize).prop_map(Op::Cancel),
        1 => (0.5..50.0_f64, 1..8_u32).prop_map(|(limit, burst)| Op::Reconfigure(limit, burst)),
        2 => (0..8_usize, 0..9_u32).prop_map(|(index, actual)| Op::Settle(index, actual)),
        1 => (prop::option::of(0..8_u64), prop::option::of(0..300_000_000_u64))
            .prop_map(|(remaining, pause)| Op::Learn { remaining, pause }),
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

/// One admission, one debt, or one change of the configuration (with cost 0).
struct Event {
    at: Timestamp,
    /// 0 from when on it was given back.
    cost: u32,
    config: Config,
}

/// A trace and, after each of its steps, what `check` says of all that was admitted so far and not given back.
fn trace(
    first: Config,
    ops: Vec<Op>,
    check: impl Fn(&[Event]) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let limiter = RateLimiter::new("x", first).unwrap();
    let (mut now, mut config) = (Timestamp::ZERO, first);
    let mut events = vec![Event { at: now, cost: 0, config }];
    let mut queue: Vec<Ticket> = Vec::new();
    let mut held: Vec<(Receipt, usize)> = Vec::new();
    let mut paused = Timestamp::ZERO;
    for op in ops {
        let mut admitted = None;
        match op {
            Op::Pass(nanos) => now = now.after(Duration::from_nanos(nanos)),
            Op::Try(cost) => admitted = limiter.try_acquire(cost, now).ok(),
            Op::GiveBack(index) if index < held.len() => {
                let (receipt, event) = held.remove(index);
                events[event].cost = 0;
                limiter.give_back(receipt, now);
            }
            Op::Settle(index, actual) if index < held.len() => {
                let (receipt, event) = held.remove(index);
                let cost = receipt.cost();
                events[event].cost = cost.min(actual);
                events.push(Event { at: now, cost: actual.saturating_sub(cost), config });
                limiter.settle(receipt, actual, now);
            }
            Op::Learn { remaining, pause } => {
                let paused_until = pause.map(|nanos| now.after(Duration::from_nanos(nanos)));
                let before = limiter.remaining(now);
                limiter.learn(Learnt { remaining, paused_until }, now);
                let after = limiter.remaining(now);
                assert!(after <= before + 1e-6, "learning made {after} tokens of {before}");
                assert!(remaining.is_none_or(|most| after <= most as f64 + 1e-6));
                paused = paused.max(paused_until.unwrap_or_default());
            }
            Op::Enqueue(cost) => match limiter.enqueue(cost, now, None) {
                Ok(Admission::Granted(receipt)) => admitted = Some(receipt),
                Ok(Admission::Queued(ticket)) => queue.push(ticket),
                Err(_) => {}
            },
            Op::Poll(index) if index < queue.len() => match limiter.poll_ticket(&queue[index], Waker::noop(), now) {
                Turn::Granted(receipt) => {
                    assert_eq!(index, 0, "only the head is admitted");
                    drop(queue.remove(index));
                    admitted = Some(receipt);
                }
                Turn::Refused(_) => drop(queue.remove(index)),
                Turn::WaitUntil(_) | Turn::Queued => {}
            },
            Op::Cancel(index) if index < queue.len() => limiter.cancel(queue.remove(index)),
            Op::Poll(_) | Op::Cancel(_) | Op::GiveBack(_) | Op::Settle(..) => {}
            Op::Reconfigure(limit, burst) => {
                config = self::config(first.algorithm, limit, burst);
                limiter.reconfigure(config, now).unwrap();
                events.push(Event { at: now, cost: 0, config });
            }
        }
        if let Some(receipt) = admitted {
            assert!(now >= paused, "admitted in a pause");
            events.push(Event { at: now, cost: receipt.cost(), config });
            held.push((receipt, events.len() - 1));
            check(&events)?;
        }
        assert_eq!(limiter.queued(), queue.len());
    }
    Ok(())
}

/// In every interval up to the last event, an admission: what was admitted or found to be owed in it and was not given back by its end is at
/// most burst + rate * length.
fn within_burst_and_rate(events: &[Event]) -> Result<(), TestCaseError> {
    let Some(mut after) = events.last() else { return Ok(()) };
    let (mut since, mut admitted) = (0.0, 0);
    for event in events.iter().rev() {
        since += after.at.since(event.at).as_secs_f64() * event.config.quota.limit;
        admitted += event.cost;
        after = event;
        let quota = f64::from(event.config.burst_size) + since;
        prop_assert!(f64::from(admitted) <= quota + 1e-6, "{admitted} admitted, quota {quota}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn admitted_never_exceeds_burst_and_rate_in_any_interval(
        algorithm in prop::sample::select(&BUCKETS),
        limit in 0.5..50.0_f64,
        burst in 1..8_u32,
        ops in ops(),
    ) {
        trace(config(algorithm, limit, burst), ops, within_burst_and_rate)?;
    }

    /// As above, with nothing but calls that come to a full bucket and are given back late, in any order.
    #[test]
    fn late_give_backs_in_any_order_mint_no_token(
        algorithm in prop::sample::select(&BUCKETS),
        burst in 1..8_u32,
        ops in prop::collection::vec(prop_oneof![
            3 => (0..1_500_u64).prop_map(|millis| Op::Pass(millis * 1_000_000)),
            6 => (1..4_u32).prop_map(Op::Try),
            4 => (0..8_usize).prop_map(Op::GiveBack),
        ], 1..150),
    ) {
        trace(config(algorithm, 1.0, burst), ops, within_burst_and_rate)?;
    }

    /// Whatever others do meanwhile: who gives back when it takes leaves no trace, and who gives back later never leaves more than that.
    #[test]
    fn call_given_back_at_once_loses_no_token(
        algorithm in prop::sample::select(&ALL),
        limit in 0.5..50.0_f64,
        burst in 1..8_u32,
        calls in prop::collection::vec((0..300_000_000_u64, 1..5_u32, any::<bool>()), 1..60),
    ) {
        let limiter = RateLimiter::new("x", config(algorithm, limit, burst)).unwrap();
        let mut now = Timestamp::ZERO;
        for (pause, cost, stays) in calls {
            now = now.after(Duration::from_nanos(pause));
            let before = (limiter.remaining(now), limiter.reset_after(now));
            let Ok(receipt) = limiter.try_acquire(cost, now) else { continue };
            if !stays {
                limiter.give_back(receipt, now);
                prop_assert_eq!((limiter.remaining(now), limiter.reset_after(now)), before);
            }
        }
    }

    #[test]
    fn calls_given_back_in_the_moment_they_came_lose_no_token_in_any_order(
        algorithm in prop::sample::select(&ALL),
        burst in 1..20_u32,
        order in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let limiter = RateLimiter::new("x", config(algorithm, f64::from(burst), burst)).unwrap();
        let now = Timestamp::from_millis(5_500);
        let mut held: Vec<Receipt> = (0..burst).map(|_| limiter.try_acquire(1, now).unwrap()).collect();
        for index in order.iter().cycle() {
            if held.is_empty() { break; }
            limiter.give_back(held.remove(index.index(held.len())), now);
        }
        prop_assert!((limiter.remaining(now) - f64::from(burst)).abs() < 1e-6);
        prop_assert_eq!(limiter.reset_after(now), Duration::ZERO);
    }

    #[test]
    fn sliding_window_never_holds_more_than_the_greater_limit(
        limits in prop::collection::vec(1..20_u32, 1..3),
        ops in ops(),
    ) {
        let ops = ops.into_iter().map(|op| match op {
            Op::Reconfigure(_, burst) => Op::Reconfigure(f64::from(limits[burst as usize % limits.len()]), 1),
            // What is owed may be more than any limit.
            Op::Settle(index, _) => Op::Settle(index, 1),
            op => op,
        });
        let most = *limits.iter().max().unwrap();
        trace(config(Algorithm::SlidingWindow, f64::from(limits[0]), 1), ops.collect(), |events| {
            let last = events.last().map_or(Timestamp::ZERO, |it| it.at);
            let in_span = events.iter().filter(|it| last.since(it.at) < Duration::from_secs(1));
            let held: u32 = in_span.map(|it| it.cost).sum();
            prop_assert!(held <= most, "{held} of {most}");
            Ok(())
        })?;
    }

    /// Under one limit the windows hold exactly what was admitted in them and not given back: late returns neither mint nor lose.
    #[test]
    fn windows_hold_what_was_not_given_back(
        limit in 1..10_u32,
        sliding in any::<bool>(),
        steps in prop::collection::vec((0..500_u64, 1..4_u32, any::<prop::sample::Index>(), any::<bool>()), 1..100),
    ) {
        let algorithm = if sliding { Algorithm::SlidingWindow } else { Algorithm::FixedWindow };
        let limiter = RateLimiter::new("x", config(algorithm, f64::from(limit), 1)).unwrap();
        let mut millis = 0;
        let mut held: Vec<(u64, Receipt)> = Vec::new();
        for (pause, cost, index, returns) in steps {
            millis += pause;
            let now = Timestamp::from_millis(millis);
            if returns && !held.is_empty() {
                limiter.give_back(held.remove(index.index(held.len())).1, now);
            }
            let counts = |at: u64| if sliding { millis - at < 1000 } else { at / 1000 == millis / 1000 };
            let used: u32 = held.iter().filter(|it| counts(it.0)).map(|it| it.1.cost()).sum();
            match limiter.try_acquire(cost, now) {
                Ok(receipt) => {
                    prop_assert!(used + cost <= limit);
                    held.push((millis, receipt));
                }
                Err(_) => prop_assert!(used + cost > limit),
            }
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
            prop_assert_eq!(gcra.try_acquire(cost, now).map(drop), bucket.try_acquire(cost, now).map(drop));
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

/// Of two that were taken one waits long for something else; the bucket is full again by the time that it is given back.
#[test]
fn token_given_back_after_the_bucket_has_refilled_is_used_up() {
    for algorithm in BUCKETS {
        let limiter = RateLimiter::new("x", config(algorithm, 1.0, 2)).unwrap();
        let waiting = limiter.try_acquire(1, Timestamp::ZERO).unwrap();
        let later = Timestamp::from_millis(10_000);
        assert!(limiter.try_acquire(1, later).is_ok());
        assert!(limiter.try_acquire(1, later).is_ok());
        limiter.give_back(waiting, later);
        assert!(limiter.try_acquire(1, later).is_err(), "{algorithm:?}: three at one moment");
    }
}

/// What the second stands upon is taken out from beneath it: it is worked off sooner than it was told.
#[test]
fn token_given_back_after_one_beneath_it_was_mints_none() {
    for algorithm in BUCKETS {
        let limiter = RateLimiter::new("x", config(algorithm, 1.0, 2)).unwrap();
        let first = limiter.try_acquire(1, Timestamp::ZERO).unwrap();
        let second = limiter.try_acquire(1, Timestamp::ZERO).unwrap();
        limiter.give_back(first, Timestamp::ZERO);
        let later = Timestamp::from_millis(1500);
        assert!(limiter.try_acquire(1, later).is_ok());
        limiter.give_back(second, later);
        assert!(limiter.try_acquire(1, later).is_ok());
        assert!(limiter.try_acquire(1, Timestamp::from_millis(2000)).is_err(), "{algorithm:?}: three in half a second");
    }
}

#[test]
fn sliding_window_takes_the_call_itself_out_of_its_log() {
    let limiter = RateLimiter::new("x", config(Algorithm::SlidingWindow, 2.0, 1)).unwrap();
    let first = limiter.try_acquire(1, Timestamp::ZERO).unwrap();
    assert!(limiter.try_acquire(1, Timestamp::from_millis(900)).is_ok());
    limiter.give_back(first, Timestamp::from_millis(900));
    assert!(limiter.try_acquire(1, Timestamp::from_millis(950)).is_ok());
    assert!(limiter.try_acquire(1, Timestamp::from_millis(1000)).is_err(), "three in a tenth of a second");
}

#[test]
fn fixed_window_takes_nothing_back_for_a_window_that_is_over() {
    let limiter = RateLimiter::new("x", config(Algorithm::FixedWindow, 1.0, 1)).unwrap();
    let first = limiter.try_acquire(1, Timestamp::ZERO).unwrap();
    let later = Timestamp::from_millis(1500);
    assert!(limiter.try_acquire(1, later).is_ok());
    limiter.give_back(first, later);
    assert!(limiter.try_acquire(1, later).is_err());
}

#[test]
fn call_that_took_nothing_or_from_another_quota_gives_nothing_back() {
    for algorithm in ALL {
        let on = config(algorithm, 2.0, 2);
        let mut off = on;
        off.enabled = false;
        let now = Timestamp::ZERO;
        let limiter = RateLimiter::new("x", off).unwrap();
        let free = limiter.try_acquire(1, now).unwrap();
        assert_eq!(free, Receipt::default());
        limiter.reconfigure(on, now).unwrap();
        let of_before = limiter.try_acquire(2, now).unwrap();
        limiter.give_back(free, now);
        assert!(limiter.try_acquire(1, now).is_err(), "{algorithm:?}");
        if algorithm != Algorithm::SlidingWindow {
            limiter.reconfigure(config(algorithm, 4.0, 4), now).unwrap();
            let before = limiter.remaining(now);
            limiter.give_back(of_before, now);
            assert!((limiter.remaining(now) - before).abs() < 1e-9, "{algorithm:?}");
        }
    }
}

#[test]
fn token_comes_back_to_a_limiter_that_was_switched_off_meanwhile() {
    for algorithm in ALL {
        let on = config(algorithm, 1.0, 1);
        let mut off = on;
        off.enabled = false;
        let limiter = RateLimiter::new("x", on).unwrap();
        let receipt = limiter.try_acquire(1, Timestamp::ZERO).unwrap();
        limiter.reconfigure(off, Timestamp::ZERO).unwrap();
        limiter.give_back(receipt, Timestamp::ZERO);
        limiter.reconfigure(on, Timestamp::ZERO).unwrap();
        assert!(limiter.try_acquire(1, Timestamp::ZERO).is_ok(), "{algorithm:?}");
    }
}

/// A log of a million entries, each refusal of which must find the one that has to leave the span.
#[test]
fn refusal_by_a_long_log_after_the_limit_was_lowered_is_exact_and_does_not_walk_it() {
    let wide = with_quota(Algorithm::SlidingWindow, Quota { limit: 1e6, period: Duration::from_secs(10) }, 1);
    let limiter = RateLimiter::new("x", wide).unwrap();
    for at in 0..1_000_000 {
        limiter.try_acquire(1, Timestamp::from_nanos(at)).unwrap();
    }
    let now = Timestamp::from_millis(1);
    for limit in [1_u32, 500_000, 999_999] {
        let quota = Quota { limit: f64::from(limit), period: Duration::from_secs(10) };
        limiter.reconfigure(with_quota(Algorithm::SlidingWindow, quota, 1), now).unwrap();
        // What stays is one less than the limit, so all up to this entry must have left.
        let last = Timestamp::from_nanos(1_000_000 - u64::from(limit));
        for _ in 0..50_000 {
            let refused = limiter.try_acquire(1, now).unwrap_err();
            assert_eq!(refused.retry_after, Some(last.after(Duration::from_secs(10)).since(now)));
        }
    }
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
