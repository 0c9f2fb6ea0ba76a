//! Waiting for tokens: order, refusals, leaving, and reloads while calls wait.
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
    rate::{Admission, Algorithm, Config, OnLimit, Quota, RateLimiter, Ticket, Turn},
    rejection::RateLimitReason,
};

const ALL: [Algorithm; 4] = [Algorithm::Gcra, Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow];

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn waker() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (Arc::clone(&wakes), Waker::from(wakes))
}

/// Ten a second, one at a time, whatever the algorithm.
fn config(algorithm: Algorithm) -> Config {
    let quota = match algorithm {
        Algorithm::Gcra | Algorithm::TokenBucket => Quota { limit: 10.0, period: Duration::from_secs(1) },
        _ => Quota { limit: 1.0, period: Duration::from_millis(100) },
    };
    let mut config = Config::with_quota(quota).with_burst(1.0).unwrap();
    (config.algorithm, config.on_limit) = (algorithm, OnLimit::Wait);
    config
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn queue(limiter: &RateLimiter, cost: u32, now: Timestamp) -> Ticket {
    match limiter.enqueue(cost, now, None) {
        Ok(Admission::Queued(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_go_in_the_order_of_coming() {
    for algorithm in ALL {
        let limiter = RateLimiter::new("x", config(algorithm)).unwrap();
        assert!(matches!(limiter.enqueue(1, at(0), None), Ok(Admission::Granted(_))));
        let (first, second) = (queue(&limiter, 1, at(0)), queue(&limiter, 1, at(0)));
        let (woken, waker) = waker();
        assert_eq!(limiter.poll_ticket(&second, &waker, at(0)), Turn::Queued);
        assert_eq!(limiter.poll_ticket(&first, Waker::noop(), at(0)), Turn::WaitUntil(at(100)));
        assert_eq!(limiter.poll_ticket(&second, &waker, at(100)), Turn::Queued);
        assert_eq!((woken.count(), limiter.queued()), (0, 2));
        assert!(matches!(limiter.poll_ticket(&first, Waker::noop(), at(100)), Turn::Granted(_)));
        assert_eq!((woken.count(), limiter.queued()), (1, 1));
        assert_eq!(limiter.poll_ticket(&second, &waker, at(100)), Turn::WaitUntil(at(200)));
        assert!(matches!(limiter.poll_ticket(&second, &waker, at(200)), Turn::Granted(_)));
    }
}

#[test]
fn nobody_overtakes_the_queue() {
    for algorithm in ALL {
        let limiter = RateLimiter::new("x", config(algorithm)).unwrap();
        limiter.try_acquire(1, at(0)).unwrap();
        let ticket = queue(&limiter, 1, at(0));
        let refused = limiter.try_acquire(1, at(100)).unwrap_err();
        assert_eq!(refused.retry_after, Some(Duration::from_millis(100)), "{algorithm:?}");
        assert!(limiter.peek(1, at(100)).is_err());
        assert!(matches!(limiter.poll_ticket(&ticket, Waker::noop(), at(100)), Turn::Granted(_)));
        assert!(limiter.try_acquire(1, at(200)).is_ok());
    }
}

#[test]
fn wait_beyond_the_maximum_is_refused_at_once_and_takes_nothing() {
    for algorithm in ALL {
        let mut config = config(algorithm);
        config.max_wait = Some(Duration::from_millis(150));
        let limiter = RateLimiter::new("x", config).unwrap();
        limiter.try_acquire(1, at(0)).unwrap();
        let ticket = queue(&limiter, 1, at(0));
        let refused = limiter.enqueue(1, at(0), None).unwrap_err();
        assert_eq!(refused.reason, RateLimitReason::WaitTooLong);
        assert_eq!(refused.retry_after, Some(Duration::from_millis(200)));
        limiter.cancel(ticket);
        // The call's own deadline counts as well.
        let refused = limiter.enqueue(1, at(0), Some(at(99))).unwrap_err();
        assert_eq!(
            (refused.reason, refused.retry_after),
            (RateLimitReason::WaitTooLong, Some(Duration::from_millis(100)))
        );
        assert!(limiter.try_acquire(1, at(100)).is_ok());
    }
}

#[test]
fn cost_above_the_burst_is_refused_without_a_time() {
    for algorithm in ALL {
        let limiter = RateLimiter::new("x", config(algorithm)).unwrap();
        for refused in [limiter.enqueue(2, at(0), None).unwrap_err(), limiter.try_acquire(2, at(0)).unwrap_err()] {
            assert_eq!((refused.reason, refused.retry_after), (RateLimitReason::CostAboveBurst, None));
        }
        assert!(limiter.try_acquire(1, at(0)).is_ok());
    }
}

#[test]
fn leaving_the_queue_wakes_the_next_and_takes_nothing() {
    for algorithm in ALL {
        let limiter = RateLimiter::new("x", config(algorithm)).unwrap();
        limiter.try_acquire(1, at(0)).unwrap();
        let (first, second) = (queue(&limiter, 1, at(0)), queue(&limiter, 1, at(0)));
        let (woken, waker) = waker();
        assert_eq!(limiter.poll_ticket(&second, &waker, at(0)), Turn::Queued);
        limiter.cancel(first);
        assert_eq!(woken.count(), 1);
        assert_eq!(limiter.poll_ticket(&second, &waker, at(50)), Turn::WaitUntil(at(100)));
        limiter.cancel(second);
        assert!(limiter.try_acquire(1, at(99)).is_err());
        assert!(limiter.try_acquire(1, at(100)).is_ok());
        assert!(limiter.try_acquire(1, at(100)).is_err());
    }
}

#[test]
fn token_given_back_wakes_the_head() {
    for algorithm in ALL {
        let limiter = RateLimiter::new("x", config(algorithm)).unwrap();
        let receipt = limiter.try_acquire(1, at(0)).unwrap();
        let ticket = queue(&limiter, 1, at(0));
        let (woken, waker) = waker();
        assert_eq!(limiter.poll_ticket(&ticket, &waker, at(0)), Turn::WaitUntil(at(100)));
        limiter.give_back(receipt, at(0));
        assert_eq!(woken.count(), 1);
        assert!(matches!(limiter.poll_ticket(&ticket, &waker, at(0)), Turn::Granted(_)));
    }
}

#[test]
fn reload_lets_those_who_wait_be_judged_anew() {
    for algorithm in ALL {
        let mut two = config(algorithm);
        match algorithm {
            Algorithm::Gcra | Algorithm::TokenBucket => two.burst_size = 2,
            _ => two.quota.limit = 2.0,
        }
        let limiter = RateLimiter::new("x", two).unwrap();
        limiter.try_acquire(2, at(0)).unwrap();
        let (wide, narrow) = (queue(&limiter, 2, at(0)), queue(&limiter, 1, at(0)));
        let (woken, waker) = waker();
        assert!(matches!(limiter.poll_ticket(&wide, &waker, at(0)), Turn::WaitUntil(_)));
        assert_eq!(limiter.poll_ticket(&narrow, &waker, at(0)), Turn::Queued);
        limiter.reconfigure(config(algorithm), at(0)).unwrap();
        assert_eq!(woken.count(), 2);
        let Turn::Refused(refused) = limiter.poll_ticket(&wide, &waker, at(0)) else { panic!("can never be admitted") };
        assert_eq!(refused.reason, RateLimitReason::CostAboveBurst);
        assert!(matches!(limiter.poll_ticket(&narrow, &waker, at(0)), Turn::WaitUntil(_)));
        let mut off = config(algorithm);
        off.enabled = false;
        limiter.reconfigure(off, at(0)).unwrap();
        assert!(matches!(limiter.poll_ticket(&narrow, &waker, at(0)), Turn::Granted(_)));
        assert_eq!(limiter.queued(), 0);
    }
}

#[test]
fn slower_quota_refuses_a_head_that_no_longer_gets_there_in_time() {
    let mut fast = config(Algorithm::Gcra);
    fast.max_wait = Some(Duration::from_millis(100));
    let limiter = RateLimiter::new("x", fast).unwrap();
    limiter.try_acquire(1, at(0)).unwrap();
    let ticket = queue(&limiter, 1, at(0));
    let mut slow = fast;
    slow.quota.limit = 1.0;
    limiter.reconfigure(slow, at(0)).unwrap();
    let turn = limiter.poll_ticket(&ticket, Waker::noop(), at(0));
    let Turn::Refused(refused) = turn else { panic!("{turn:?}") };
    assert_eq!((refused.reason, refused.retry_after), (RateLimitReason::WaitTooLong, Some(Duration::from_secs(1))));
    assert_eq!(limiter.queued(), 0);
}

#[test]
fn call_that_is_not_next_in_its_time_is_refused_when_its_ticket_expires() {
    let mut config = config(Algorithm::Gcra);
    config.max_wait = Some(Duration::from_millis(200));
    let limiter = RateLimiter::new("x", config).unwrap();
    limiter.try_acquire(1, at(0)).unwrap();
    let (head, next) = (queue(&limiter, 1, at(0)), queue(&limiter, 1, at(0)));
    assert_eq!(limiter.poll_ticket(&next, Waker::noop(), at(200)), Turn::Queued);
    let turn = limiter.poll_ticket(&next, Waker::noop(), next.expires_at().unwrap());
    assert!(matches!(turn, Turn::Refused(_)), "{turn:?}");
    assert!(matches!(limiter.poll_ticket(&head, Waker::noop(), at(200)), Turn::Granted(_)));
    assert_eq!(limiter.queued(), 0);
}

#[test]
fn limiter_that_refuses_does_not_queue() {
    let mut config = config(Algorithm::Gcra);
    config.on_limit = OnLimit::Reject;
    let limiter = RateLimiter::new("x", config).unwrap();
    assert!(!limiter.waits());
    assert!(matches!(limiter.enqueue(1, at(0), None), Ok(Admission::Granted(_))));
    let refused = limiter.enqueue(1, at(0), None).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (RateLimitReason::Exceeded, Some(Duration::from_millis(100))));
}

#[test]
fn queue_is_bounded() {
    let limiter = RateLimiter::new("x", config(Algorithm::Gcra)).unwrap();
    limiter.try_acquire(1, at(0)).unwrap();
    let tickets: Vec<Ticket> = (0..65_536).map(|_| queue(&limiter, 1, at(0))).collect();
    assert_eq!(limiter.enqueue(1, at(0), None).unwrap_err().reason, RateLimitReason::Exceeded);
    for ticket in tickets {
        limiter.cancel(ticket);
    }
    assert_eq!(limiter.queued(), 0);
}

proptest! {
    /// The forecast given on refusal is the moment at which the call is admitted, had it waited.
    #[test]
    fn forecast_is_kept(
        algorithm in prop::sample::select(&ALL),
        limit in 1.0..20.0_f64,
        burst in 1..8_u32,
        costs in prop::collection::vec(1..8_u32, 1..20),
        start in 0..5_000_u64,
    ) {
        let mut config = Config::per_second(limit).with_burst(f64::from(burst)).unwrap();
        (config.algorithm, config.on_limit) = (algorithm, OnLimit::Wait);
        let limiter = RateLimiter::new("x", config).unwrap();
        let most = config.most_at_once();
        // Windows forecast exactly for calls of one cost, and a lower bound for mixed ones.
        let is_window = matches!(algorithm, Algorithm::FixedWindow | Algorithm::SlidingWindow);
        let mut now = at(start);
        limiter.try_acquire(most, now).unwrap();
        let mut queued = Vec::new();
        for cost in costs {
            let cost = if is_window { 1 } else { cost.min(most) };
            let refused = limiter.enqueue(cost, now, Some(now)).unwrap_err();
            prop_assert_eq!(refused.reason, RateLimitReason::WaitTooLong);
            queued.push((queue(&limiter, cost, now), now.after(refused.retry_after.unwrap())));
        }
        for (ticket, forecast) in queued {
            if let Turn::WaitUntil(at) = limiter.poll_ticket(&ticket, Waker::noop(), now) {
                now = at;
                prop_assert!(matches!(limiter.poll_ticket(&ticket, Waker::noop(), now), Turn::Granted(_)));
            }
            prop_assert_eq!(now, forecast);
        }
    }
}
