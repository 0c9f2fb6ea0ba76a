//! A rate limiter that is one part of a fleet's limit: what it takes without asking, what it owes, and what it believes. No fleet here: the test
//! is whoever talks to it.

use std::{sync::Arc, task::Wake, time::Duration};

use tower_rampart_core::{
    Timestamp,
    rate::{Algorithm, Config, OnLimit, RateLimiter, Supply, Turn},
};

const START: Timestamp = Timestamp::ZERO;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// 100 a second for the fleet, a tenth of it for this process.
fn joined() -> RateLimiter {
    let limiter = RateLimiter::new("search", Config::per_second(100.0)).expect("it is valid");
    limiter.join_fleet(0.1, START).expect("it is a share");
    limiter
}

fn supply(granted: u64, now: Timestamp) -> Supply {
    Supply {
        paid: 0,
        granted,
        asked_at: now,
        lasting: Duration::from_secs(1),
        dry_for: None,
        news_for: Duration::from_millis(500),
        next_within: Duration::from_millis(20),
    }
}

fn dry(granted: u64, wait: u64, now: Timestamp) -> Supply {
    Supply { dry_for: Some(Duration::from_millis(wait)), ..supply(granted, now) }
}

fn admitted(limiter: &RateLimiter, tries: u32, now: Timestamp) -> u32 {
    (0..tries).map(|_| u32::from(limiter.try_acquire(1, now).is_ok())).sum()
}

#[test]
fn share_is_all_there_is_while_nobody_answers_for_the_fleet() {
    let limiter = joined();
    assert_eq!(admitted(&limiter, 1000, START), 10);
    let in_ten_seconds: u32 = (1..=1000).map(|it| admitted(&limiter, 5, at(it * 10))).sum();
    assert_eq!(in_ten_seconds, 100, "ten a second");
}

#[test]
fn leased_tokens_go_first_and_are_not_owed() {
    let limiter = joined();
    limiter.fleet_supply(&supply(20, START), START);
    assert_eq!(admitted(&limiter, 20, at(1)), 20);
    assert_eq!(limiter.fleet_account(at(1)).map(|it| (it.owed, it.asked)), Some((0, 20)));
    assert_eq!(admitted(&limiter, 20, at(1)), 10, "its own bucket was not touched");
    assert_eq!(limiter.fleet_account(at(1)).map(|it| (it.owed, it.asked)), Some((10, 20)));
}

#[test]
fn one_call_takes_from_both() {
    let limiter = joined();
    limiter.fleet_supply(&supply(3, START), START);
    assert!(limiter.try_acquire(5, at(1)).is_ok());
    assert_eq!(limiter.fleet_account(at(1)).map(|it| (it.owed, it.stock)), Some((2, 0)));
}

#[test]
fn nothing_is_taken_on_credit_while_the_fleet_has_nothing() {
    let limiter = joined();
    limiter.fleet_supply(&dry(2, 30, START), START);
    assert_eq!(admitted(&limiter, 10, at(5)), 2);
    let refused = limiter.try_acquire(1, at(5)).expect_err("there is nothing");
    assert_eq!(refused.retry_after, Some(Duration::from_millis(25)));
    // Two more cost one more interval of the fleet's.
    let refused = limiter.try_acquire(2, at(5)).expect_err("there is nothing");
    assert_eq!(refused.retry_after, Some(Duration::from_millis(35)));
    // Later nobody is told to come back at once: only the fleet knows whether there is something.
    let refused = limiter.try_acquire(1, at(100)).expect_err("there was no news");
    assert_eq!(refused.retry_after, Some(Duration::from_millis(1)));
}

#[test]
fn old_news_and_old_tokens_count_for_nothing() {
    let limiter = joined();
    limiter.fleet_supply(&dry(50, 30, START), START);
    assert_eq!(limiter.try_acquire(51, at(499)).expect_err("dry").retry_after, Some(Duration::from_millis(1)));
    assert!(limiter.try_acquire(51, at(500)).is_ok(), "fifty that were leased, and one of its own");
    limiter.fleet_supply(&supply(50, at(600)), at(600));
    assert!(limiter.remaining(at(1599)) >= 50.0);
    assert!(limiter.remaining(at(1600)) <= 10.0, "after a second they are stale");
}

#[test]
fn a_lost_fleet_is_forgotten_at_once() {
    let limiter = joined();
    limiter.fleet_supply(&dry(0, 300, START), START);
    assert_eq!((admitted(&limiter, 10, at(1)), limiter.in_fleet()), (0, Some(true)));
    limiter.fleet_lost();
    assert_eq!((admitted(&limiter, 100, at(1)), limiter.in_fleet()), (10, Some(false)));
}

#[test]
fn a_fleet_that_was_away_is_owed_what_is_missing_and_no_more() {
    let limiter = joined();
    // A hundred seconds on its share: a thousand calls, of which the fleet has gained all but the last ten meanwhile.
    let calls: u32 = (0..=10_000).map(|it| admitted(&limiter, 1, at(it * 10))).sum();
    assert!((1000..=1011).contains(&calls), "{calls}");
    let account = limiter.fleet_account(at(100_000)).expect("it is in a fleet");
    assert_eq!(account.owed, 10);
    assert_eq!(limiter.fleet_account(at(100_000)).map(|it| it.owed), Some(0), "it was told once");
    limiter.fleet_unpaid(account.owed);
    assert_eq!(limiter.fleet_account(at(100_000)).map(|it| it.owed), Some(10));
}

#[test]
fn a_call_that_is_not_made_gives_its_token_to_the_next() {
    let limiter = joined();
    limiter.fleet_supply(&dry(1, 300, START), START);
    let receipt = limiter.try_acquire(1, at(1)).expect("one is there");
    assert!(limiter.try_acquire(1, at(1)).is_err());
    limiter.give_back(receipt, at(2));
    assert!(limiter.try_acquire(1, at(2)).is_ok());
    assert!(limiter.try_acquire(1, at(2)).is_err());
}

#[test]
fn refused_while_the_fleet_has_more_is_told_to_come_back_when_it_was_asked() {
    let mut config = Config::per_second(1.0);
    config.burst_size = 10;
    let limiter = RateLimiter::new("search", config).expect("it is valid");
    limiter.join_fleet(0.1, START).expect("it is a share");
    assert!(limiter.try_acquire(1, START).is_ok());
    let alone = limiter.try_acquire(1, START).expect_err("its share is used up");
    assert_eq!(alone.retry_after, Some(Duration::from_secs(10)));
    limiter.fleet_supply(&supply(0, START), START);
    limiter.fleet_account(START).expect("it is in a fleet");
    for _ in 0..4 {
        let refused = limiter.try_acquire(1, at(1)).expect_err("nothing was leased");
        assert_eq!(refused.retry_after, Some(Duration::from_millis(20)));
    }
    assert!(limiter.try_acquire(11, at(1)).is_err());
    let account = limiter.fleet_account(at(1)).expect("it is in a fleet");
    assert_eq!((account.refused, account.owed), (4, 0), "what is never admitted is not counted");
    assert_eq!(limiter.fleet_account(at(1)).map(|it| it.refused), Some(0));
    limiter.fleet_supply(&supply(account.refused, at(2)), at(2));
    assert_eq!(admitted(&limiter, 5, at(21)), 4);
    // What its share gains sooner it may have sooner.
    assert_eq!(limiter.try_acquire(1, at(9_995)).expect_err("not yet").retry_after, Some(Duration::from_millis(5)));
}

#[test]
fn what_time_has_made_up_for_is_not_given_back() {
    // (milliseconds until it is given back, tokens of ten that come back): a lease lasts for a second, a hundred come in in another.
    for (held, back) in [(500, 10), (1000, 10), (1030, 7), (1100, 0), (60_000, 0)] {
        let limiter = joined();
        limiter.fleet_supply(&dry(10, 300, START), START);
        let receipt = limiter.try_acquire(10, START).expect("they are there");
        limiter.fleet_supply(&dry(0, 120_000, at(held)), at(held));
        limiter.give_back(receipt, at(held));
        assert_eq!(admitted(&limiter, 20, at(held)), back, "after {held} ms");
    }
    let limiter = joined();
    limiter.fleet_supply(&dry(0, 120_000, START), START);
    let receipt = limiter.fleet_receipt(10, START);
    limiter.give_back(receipt, at(1050));
    assert_eq!(admitted(&limiter, 20, at(1050)), 5);
}

/// Whoever gives them back to the fleet says how long they were away, and the fleet takes off what time has made up for since.
#[test]
fn tokens_that_come_back_from_a_call_are_as_old_as_when_they_were_leased() {
    let age = |limiter: &RateLimiter, millis| {
        limiter.fleet_account(at(millis)).map(|it| (it.stock, it.stock_age.as_millis()))
    };
    let limiter = joined();
    limiter.fleet_supply(&supply(50, START), START);
    let receipt = limiter.try_acquire(50, at(10)).expect("they are there");
    limiter.settle(receipt, 0, at(920));
    assert_eq!(age(&limiter, 1430), Some((50, 1430)));
    // Among younger ones they make all of them old.
    let limiter = joined();
    limiter.fleet_supply(&supply(5, START), START);
    let receipt = limiter.try_acquire(5, at(10)).expect("they are there");
    limiter.fleet_supply(&supply(5, at(400)), at(402));
    limiter.give_back(receipt, at(700));
    assert_eq!(age(&limiter, 900), Some((10, 900)));
    // Among older ones they make none young.
    let limiter = joined();
    let receipt = limiter.try_acquire(5, at(50)).expect("it is its own");
    limiter.fleet_supply(&supply(5, at(20)), at(60));
    limiter.give_back(receipt, at(700));
    assert_eq!(age(&limiter, 900), Some((10, 880)));
    // What was taken on credit is as old as the call.
    let limiter = joined();
    limiter.fleet_supply(&supply(0, START), START);
    let receipt = limiter.try_acquire(5, at(100)).expect("it is its own");
    limiter.give_back(receipt, at(300));
    assert_eq!(age(&limiter, 350), Some((5, 250)));
}

#[test]
fn what_is_paid_while_the_fleet_has_more_comes_back_beyond_the_burst_of_the_share() {
    let limiter = joined();
    assert!(limiter.try_acquire(40, START).is_ok());
    limiter.fleet_supply(&Supply { paid: 40, ..supply(0, START) }, START);
    limiter.fleet_lost();
    assert_eq!(admitted(&limiter, 100, START), 10, "its own bucket is full again, and no fuller");
}

#[test]
fn what_is_paid_while_the_fleet_has_nothing_left_does_not_come_back() {
    let limiter = joined();
    assert!(limiter.try_acquire(40, START).is_ok());
    limiter.fleet_supply(&Supply { paid: 40, ..dry(0, 300, START) }, START);
    limiter.fleet_lost();
    assert_eq!(limiter.try_acquire(1, START).expect_err("it owes 30").retry_after, Some(Duration::from_millis(3100)));
}

#[test]
fn receipts_from_before_the_fleet_mint_nothing() {
    let limiter = RateLimiter::new("search", Config::per_second(100.0)).expect("it is valid");
    let receipt = limiter.try_acquire(90, START).expect("it is full");
    limiter.join_fleet(0.1, START).expect("it is a share");
    assert_eq!(admitted(&limiter, 100, START), 10, "ten were left, which is its share");
    limiter.give_back(receipt, START);
    assert_eq!(admitted(&limiter, 100, START), 0);
}

#[test]
fn what_a_call_really_cost_is_paid_by_the_fleet() {
    let limiter = joined();
    limiter.fleet_supply(&supply(20, START), START);
    let receipt = limiter.try_acquire(10, START).expect("they are there");
    limiter.settle(receipt, 40, START);
    assert_eq!(limiter.fleet_account(START).map(|it| (it.owed, it.stock)), Some((20, 0)));
    assert_eq!(admitted(&limiter, 10, at(1)), 0, "its own bucket owes ten more than it holds");
}

#[test]
fn a_call_larger_than_the_share_is_admitted_from_a_full_one_and_owes_the_rest() {
    let limiter = joined();
    assert!(limiter.try_acquire(40, START).is_ok());
    assert_eq!(limiter.try_acquire(1, START).expect_err("it owes 30").retry_after, Some(Duration::from_millis(3100)));
    assert_eq!(limiter.try_acquire(101, at(60_000)).expect_err("more than the fleet ever holds").retry_after, None);
}

#[test]
fn who_waits_is_woken_by_a_supply() {
    struct Count(std::sync::atomic::AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let mut config = Config::per_second(100.0);
    config.on_limit = OnLimit::Wait;
    let limiter = RateLimiter::new("search", config).expect("it is valid");
    limiter.join_fleet(0.1, START).expect("it is a share");
    limiter.fleet_supply(&dry(0, 300, START), START);
    let Ok(tower_rampart_core::rate::Admission::Queued(ticket)) = limiter.enqueue(2, at(1), None) else {
        panic!("it waits")
    };
    let count = Arc::new(Count(0.into()));
    let waker = Arc::clone(&count).into();
    assert_eq!(limiter.poll_ticket(&ticket, &waker, at(1)), Turn::WaitUntil(at(310)));
    assert_eq!(limiter.fleet_account(at(1)).map(|it| it.waiting), Some(2));
    limiter.fleet_supply(&dry(2, 300, at(2)), at(2));
    assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(matches!(limiter.poll_ticket(&ticket, &waker, at(2)), Turn::Granted(_)));
}

#[test]
fn a_reload_mints_nothing_and_keeps_what_is_owed() {
    let limiter = joined();
    assert_eq!(admitted(&limiter, 10, START), 10);
    limiter.reconfigure(Config::per_second(1000.0), START).expect("it is valid");
    assert_eq!(admitted(&limiter, 10, START), 0);
    assert_eq!(limiter.fleet_account(START).map(|it| it.owed), Some(10));
    assert_eq!(admitted(&limiter, 100, at(100)), 10, "a hundred a second are its share now");
    assert_eq!(limiter.config(), Config::per_second(1000.0));
}

#[test]
fn every_algorithm_joins_and_leaves() {
    for algorithm in [Algorithm::Gcra, Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let mut config = Config::per_second(100.0);
        config.algorithm = algorithm;
        let limiter = RateLimiter::new("search", config).expect("it is valid");
        assert_eq!(limiter.in_fleet(), None);
        limiter.join_fleet(0.1, START).expect("it is a share");
        assert_eq!((limiter.in_fleet(), admitted(&limiter, 100, START)), (Some(false), 10), "{algorithm:?}");
        limiter.leave_fleet(START);
        assert_eq!((limiter.in_fleet(), admitted(&limiter, 100, START)), (None, 0), "{algorithm:?}");
        assert_eq!(admitted(&limiter, 300, at(60_000)), 100, "{algorithm:?}");
    }
}

#[test]
fn shares_beyond_their_range_are_refused() {
    let limiter = RateLimiter::new("search", Config::per_second(100.0)).expect("it is valid");
    for share in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
        assert!(limiter.join_fleet(share, START).is_err(), "{share}");
    }
    assert_eq!(limiter.in_fleet(), None);
}
