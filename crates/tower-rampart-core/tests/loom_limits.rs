//! The limiters and the retry budget under every interleaving of a few steps.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_limits --target-dir target/loom`
#![cfg(loom)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod interleavings;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use tower_rampart_core::{
    Timestamp,
    concurrency::{self, Adaptive, Admission, Limiter, Sample, Ticket},
    rate::{self, Algorithm, OnLimit, RateLimiter, Turn},
    retry::{Budget, BudgetConfig},
};

const NOW: Timestamp = Timestamp::ZERO;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn rate_config(algorithm: Algorithm, burst: f64) -> rate::Config {
    let mut config = rate::Config::per_second(1.0).with_burst(burst).unwrap();
    (config.algorithm, config.on_limit) = (algorithm, OnLimit::Wait);
    config
}

fn concurrency_config(max_inflight: u32) -> concurrency::Config {
    let mut config = concurrency::Config::new(max_inflight);
    config.queue_size = 4;
    config
}

fn admitted(limiter: &RateLimiter) -> u32 {
    u32::from(limiter.try_acquire(1, NOW).is_ok())
}

fn queue(limiter: &Limiter) -> Ticket {
    match limiter.enqueue() {
        Ok(Admission::Queued(ticket)) => ticket,
        _ => panic!("the permits are taken"),
    }
}

#[test]
fn two_threads_never_take_the_same_token() {
    interleavings::explore(None, || {
        let limiter = Arc::new(RateLimiter::new("x", rate_config(Algorithm::Gcra, 1.0)).unwrap());
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || admitted(&other));
        let here = admitted(&limiter);
        assert_eq!(here + thread.join().unwrap(), 1);
    });
}

#[test]
fn reload_neither_mints_nor_loses_a_token_under_callers() {
    interleavings::explore(None, || {
        let limiter = Arc::new(RateLimiter::new("x", rate_config(Algorithm::Gcra, 2.0)).unwrap());
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || admitted(&other));
        let mut faster = rate_config(Algorithm::Gcra, 3.0);
        faster.quota.limit = 7.0;
        limiter.reconfigure(faster, NOW).unwrap();
        let here = admitted(&limiter) + admitted(&limiter);
        assert_eq!(here + thread.join().unwrap(), 2);
    });
}

#[test]
fn queue_opening_and_closing_the_lane_admits_no_more_than_the_burst() {
    interleavings::explore(None, || {
        let limiter = Arc::new(RateLimiter::new("x", rate_config(Algorithm::Gcra, 1.0)).unwrap());
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || match other.enqueue(1, NOW, None) {
            Ok(rate::Admission::Granted(_)) => 1,
            Ok(rate::Admission::Queued(ticket)) => {
                other.cancel(ticket);
                0
            }
            Err(_) => 0,
        });
        let here = admitted(&limiter);
        assert_eq!(here + thread.join().unwrap(), 1);
        assert_eq!(limiter.queued(), 0);
        assert_eq!(admitted(&limiter), 0);
    });
}

#[test]
fn token_given_back_reaches_who_waits() {
    interleavings::explore(None, || {
        let limiter = Arc::new(RateLimiter::new("x", rate_config(Algorithm::Gcra, 1.0)).unwrap());
        let receipt = limiter.try_acquire(1, NOW).unwrap();
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.give_back(receipt, NOW));
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&woken));
        match limiter.enqueue(1, NOW, None).unwrap() {
            rate::Admission::Granted(_) => thread.join().unwrap(),
            rate::Admission::Queued(ticket) => {
                let turn = limiter.poll_ticket(&ticket, &waker, NOW);
                thread.join().unwrap();
                if !matches!(turn, Turn::Granted(_)) {
                    assert!(woken.0.load(Ordering::Relaxed), "the token came after the poll and woke nobody");
                    assert!(matches!(limiter.poll_ticket(&ticket, &waker, NOW), Turn::Granted(_)));
                }
            }
        }
        assert_eq!(admitted(&limiter), 0);
    });
}

#[test]
fn token_given_back_from_beneath_another_under_callers_mints_none() {
    interleavings::explore(None, || {
        let limiter = Arc::new(RateLimiter::new("x", rate_config(Algorithm::Gcra, 3.0)).unwrap());
        let (first, second) = (limiter.try_acquire(1, NOW).unwrap(), limiter.try_acquire(1, NOW).unwrap());
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.give_back(first, NOW));
        let third = limiter.try_acquire(1, NOW).unwrap();
        thread.join().unwrap();
        // Without the first: after a second and a half the second is worked off, and half of the third.
        let later = Timestamp::from_millis(1500);
        limiter.try_acquire(1, later).unwrap();
        limiter.give_back(second, later);
        limiter.give_back(third, later);
        assert!((limiter.remaining(later) - 2.0).abs() < 1e-9);
    });
}

#[test]
fn pause_under_callers_neither_mints_nor_loses_a_token_and_ends() {
    interleavings::explore(None, || {
        let limiter = Arc::new(RateLimiter::new("x", rate_config(Algorithm::Gcra, 2.0)).unwrap());
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || admitted(&other));
        let until = Timestamp::from_millis(500);
        limiter.learn(rate::Learnt { remaining: None, paused_until: Some(until) }, NOW);
        assert_eq!(admitted(&limiter), 0, "it pauses for whoever asks after it has learnt so");
        let before = thread.join().unwrap();
        let after = (0..3).filter(|_| limiter.try_acquire(1, until).is_ok()).count();
        // The fast lane is open again.
        assert_eq!(before as usize + after, 2);
    });
}

#[test]
fn call_settled_under_callers_leaves_exactly_what_it_cost() {
    interleavings::explore(None, || {
        let limiter = Arc::new(RateLimiter::new("x", rate_config(Algorithm::Gcra, 3.0)).unwrap());
        let (less, more) = (limiter.try_acquire(2, NOW).unwrap(), limiter.try_acquire(1, NOW).unwrap());
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || {
            other.settle(less, 1, NOW);
            admitted(&other)
        });
        limiter.settle(more, 2, NOW);
        // Between the two a token is free, if the first is settled before the second.
        let extra = admitted(&limiter) + thread.join().unwrap();
        assert!(extra <= 1);
        let owed = limiter.reset_after(NOW).as_secs();
        assert_eq!(owed, 3 + u64::from(extra));
    });
}

#[test]
fn two_threads_never_take_the_same_permit() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(1)).unwrap());
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.try_acquire().ok());
        let here = limiter.try_acquire().ok();
        let there = thread.join().unwrap();
        assert!(here.is_some() != there.is_some());
        assert_eq!(limiter.inflight(), 1);
    });
}

#[test]
fn permit_released_while_a_call_joins_the_queue_is_not_lost() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(1)).unwrap());
        let permit = limiter.try_acquire().unwrap();
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.release(permit));
        let admission = limiter.enqueue().unwrap();
        thread.join().unwrap();
        let permit = match admission {
            Admission::Granted(permit) => permit,
            Admission::Queued(ticket) => match limiter.poll_ticket(&ticket, Waker::noop()) {
                Poll::Ready(permit) => permit,
                Poll::Pending => panic!("a permit is free and a call waits for it"),
            },
        };
        assert_eq!(limiter.inflight(), 1);
        limiter.release(permit);
        assert!(limiter.try_acquire().is_ok());
    });
}

#[test]
fn permit_released_while_the_head_leaves_goes_to_the_next() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(1)).unwrap());
        let permit = limiter.try_acquire().unwrap();
        let (head, next) = (queue(&limiter), queue(&limiter));
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.release(permit));
        limiter.cancel(head);
        thread.join().unwrap();
        let Poll::Ready(permit) = limiter.poll_ticket(&next, Waker::noop()) else { panic!("the permit is lost") };
        limiter.release(permit);
        assert_eq!((limiter.inflight(), limiter.queued()), (0, 0));
        assert!(limiter.try_acquire().is_ok());
    });
}

#[test]
fn raising_the_limit_while_a_permit_comes_back_serves_everybody() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(1)).unwrap());
        let permit = limiter.try_acquire().unwrap();
        let tickets = [queue(&limiter), queue(&limiter)];
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.release(permit));
        limiter.reconfigure(concurrency_config(2)).unwrap();
        thread.join().unwrap();
        for ticket in tickets {
            assert!(limiter.poll_ticket(&ticket, Waker::noop()).is_ready());
        }
        assert_eq!(limiter.inflight(), 2);
    });
}

#[test]
fn limit_that_grows_while_a_call_joins_the_queue_serves_it() {
    interleavings::explore(None, || {
        let mut config = concurrency_config(1);
        config.adaptive = Some(Adaptive::new(concurrency::Algorithm::Aimd));
        let limiter = Arc::new(Limiter::new("x", config).unwrap());
        let _held = limiter.try_acquire().unwrap();
        let now = Timestamp::from_millis(2);
        let sample = Sample::answered(Timestamp::from_millis(1), now);
        for _ in 1..32 {
            limiter.record(&sample, now);
        }
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.record(&sample, now));
        let admission = limiter.enqueue().unwrap();
        thread.join().unwrap();
        if let Admission::Queued(ticket) = admission {
            assert!(limiter.poll_ticket(&ticket, Waker::noop()).is_ready(), "there is room and it waits");
        }
        assert_eq!((limiter.max_inflight(), limiter.inflight(), limiter.queued()), (2, 2, 0));
    });
}

#[test]
fn budget_pays_a_token_once_and_never_goes_below_none() {
    interleavings::explore(None, || {
        let config = BudgetConfig { min_per_second: 1.0, ratio: 0.5, ..BudgetConfig::default() };
        let budget = Arc::new(Budget::new(config).unwrap());
        let other = Arc::clone(&budget);
        let thread = interleavings::spawn(move || {
            other.deposit();
            other.try_withdraw(NOW).is_some()
        });
        let here = budget.try_withdraw(NOW).is_some();
        assert!(here != thread.join().unwrap());
        assert!((budget.level(NOW) - 0.5).abs() < 1e-9);
    });
}

#[test]
fn refund_is_not_lost_under_a_withdrawal() {
    interleavings::explore(None, || {
        let config = BudgetConfig { min_per_second: 1.0, ratio: 0.0, ..BudgetConfig::default() };
        let budget = Arc::new(Budget::new(config).unwrap());
        let withdrawal = budget.try_withdraw(NOW).unwrap();
        let other = Arc::clone(&budget);
        let thread = interleavings::spawn(move || other.refund(withdrawal));
        let paid = budget.try_withdraw(NOW).is_some();
        thread.join().unwrap();
        assert!(budget.try_withdraw(NOW).is_some() != paid);
    });
}

#[test]
fn no_algorithm_lets_two_threads_take_the_same_token() {
    for algorithm in [Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        interleavings::explore(None, move || {
            let limiter = Arc::new(RateLimiter::new("x", rate_config(algorithm, 1.0)).unwrap());
            let other = Arc::clone(&limiter);
            let thread = interleavings::spawn(move || {
                let receipt = other.try_acquire(1, NOW).ok();
                let taken = u32::from(receipt.is_some());
                receipt.into_iter().for_each(|it| other.give_back(it, NOW));
                taken
            });
            let here = admitted(&limiter);
            let there = thread.join().unwrap();
            assert!((1..=2).contains(&(here + there)), "the second only after the first was given back");
            assert_eq!(admitted(&limiter), 1 - here, "what was given back is there, and nothing else");
        });
    }
}

#[test]
fn waiter_is_woken_if_its_permit_comes_after_it_looked() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(1)).unwrap());
        let permit = limiter.try_acquire().unwrap();
        let ticket = queue(&limiter);
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.release(permit));
        let woken = Arc::new(Flag::default());
        let looked = limiter.poll_ticket(&ticket, &Waker::from(Arc::clone(&woken)));
        thread.join().unwrap();
        if looked.is_pending() {
            assert!(woken.0.load(Ordering::Relaxed), "the permit came and woke nobody");
            assert!(limiter.poll_ticket(&ticket, Waker::noop()).is_ready());
        }
    });
}

#[test]
fn limiter_switched_off_while_a_call_joins_the_queue_strands_nobody() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(1)).unwrap());
        let held = limiter.try_acquire().unwrap();
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || {
            let mut off = concurrency_config(1);
            off.enabled = false;
            other.reconfigure(off).unwrap();
        });
        let admission = limiter.enqueue().unwrap();
        thread.join().unwrap();
        let permit = match admission {
            Admission::Granted(permit) => permit,
            Admission::Queued(ticket) => match limiter.poll_ticket(&ticket, Waker::noop()) {
                Poll::Ready(permit) => permit,
                Poll::Pending => panic!("nobody waits for a limiter that is off"),
            },
        };
        limiter.release(permit);
        limiter.release(held);
        limiter.reconfigure(concurrency_config(1)).unwrap();
        assert_eq!((limiter.inflight(), limiter.queued()), (0, 0));
        assert!(limiter.try_acquire().is_ok());
    });
}

#[test]
fn limit_lowered_while_a_permit_comes_back_is_kept_from_then_on() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(2)).unwrap());
        let (first, second) = (limiter.try_acquire().unwrap(), limiter.try_acquire().unwrap());
        let ticket = queue(&limiter);
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || other.release(first));
        limiter.reconfigure(concurrency_config(1)).unwrap();
        thread.join().unwrap();
        // Two are out if the permit came back under the old limit, else one, and one waits.
        let out = limiter.inflight();
        assert!(out as usize + limiter.queued() == 2 && out >= 1);
        limiter.release(second);
        let Poll::Ready(third) = limiter.poll_ticket(&ticket, Waker::noop()) else { panic!("a permit is free") };
        assert!(limiter.try_acquire().is_err());
        limiter.release(third);
        assert_eq!((limiter.inflight(), limiter.queued()), (0, 0));
    });
}

#[test]
fn last_waiter_that_leaves_opens_the_way_again() {
    interleavings::explore(None, || {
        let limiter = Arc::new(Limiter::new("x", concurrency_config(2)).unwrap());
        let (first, second) = (limiter.try_acquire().unwrap(), limiter.try_acquire().unwrap());
        let ticket = queue(&limiter);
        let other = Arc::clone(&limiter);
        let thread = interleavings::spawn(move || {
            other.release(first);
            other.try_acquire().ok()
        });
        limiter.cancel(ticket);
        let there = thread.join().unwrap();
        assert_eq!(limiter.inflight(), 1 + u32::from(there.is_some()));
        there.into_iter().for_each(|it| limiter.release(it));
        limiter.release(second);
        assert_eq!((limiter.inflight(), limiter.queued()), (0, 0));
        assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_ok());
    });
}

#[test]
fn deposits_racing_at_the_brim_pay_for_no_more_than_the_capacity() {
    interleavings::explore(None, || {
        let config = BudgetConfig { min_per_second: 0.0, ratio: 1.0, capacity: 1.0, ..BudgetConfig::default() };
        let budget = Arc::new(Budget::new(config).unwrap());
        let other = Arc::clone(&budget);
        let thread = interleavings::spawn(move || other.deposit());
        budget.deposit();
        thread.join().unwrap();
        assert!((budget.level(NOW) - 1.0).abs() < 1e-9);
        assert!(budget.try_withdraw(NOW).is_some());
        assert!(budget.try_withdraw(NOW).is_none(), "what stood above the brim is not paid out");
    });
}

#[test]
fn reload_under_withdrawals_mints_no_token() {
    interleavings::explore(None, || {
        let config = BudgetConfig { min_per_second: 2.0, ratio: 0.0, ..BudgetConfig::default() };
        let budget = Arc::new(Budget::new(config).unwrap());
        let other = Arc::clone(&budget);
        let thread = interleavings::spawn(move || {
            let withdrawal = other.try_withdraw(NOW);
            let paid = withdrawal.as_ref().is_some_and(tower_rampart_core::retry::Withdrawal::is_paid);
            withdrawal.into_iter().for_each(|it| other.refund(it));
            paid
        });
        budget.reconfigure(BudgetConfig { capacity: 1.0, min_per_second: 1.0, ratio: 0.0, ..config }).unwrap();
        assert!(thread.join().unwrap());
        assert!((budget.level(NOW) - 1.0).abs() < 1e-9, "given back or not taken, it holds what it may hold");
        assert!(budget.try_withdraw(NOW).is_some() && budget.try_withdraw(NOW).is_none());
    });
}
