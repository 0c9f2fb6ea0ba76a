//! The throttle: its arithmetic is that of the book, its window equals a log of whole buckets, and it finds out by itself that a service is well again.

#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use proptest::prelude::*;
use tower_rampart_core::{
    Timestamp,
    throttle::{Config, Throttle, refusal_share},
};

fn throttle(change: impl FnOnce(&mut Config)) -> Throttle {
    let mut config = Config::default();
    change(&mut config);
    Throttle::new("op", config).unwrap().with_seed(5)
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs_f64(seconds))
}

/// Makes calls, of which those that are made are accepted or not; how many were made.
fn calls(throttle: &Throttle, count: u32, now: Timestamp, mut accepts: impl FnMut(u32) -> bool) -> u32 {
    let mut made = 0;
    for number in 0..count {
        if throttle.try_admit(now).is_ok() {
            made += 1;
            throttle.record(accepts(number), now);
        }
    }
    made
}

#[test]
fn share_is_that_of_the_book() {
    let table = [
        (0, 0, 2.0, 0.0),
        (100, 50, 2.0, 0.0),
        (100, 25, 2.0, 50.0 / 101.0),
        (9, 0, 2.0, 0.9),
        (100, 60, 1.5, 10.0 / 101.0),
    ];
    for (requests, accepts, ratio, share) in table {
        assert!((refusal_share(requests, accepts, ratio) - share).abs() < 1e-12, "{requests} {accepts} {ratio}");
    }
}

#[test]
fn service_that_accepts_half_is_never_refused_anything_at_a_ratio_of_two() {
    let throttle = throttle(|_| {});
    assert_eq!(calls(&throttle, 1000, at(1.0), |number| number % 2 == 0), 1000);
}

#[test]
fn service_that_accepts_nothing_gets_a_trickle_and_is_found_well_again() {
    let throttle = throttle(|_| {});
    let made = calls(&throttle, 10_000, at(1.0), |_| false);
    assert!((10..60).contains(&made), "{made} of 10000");
    // The book's promise: what was refused leaves the window, and acceptances lower the share.
    assert_eq!(throttle.read(at(1.0)).requests, 10_000);
    let later = at(125.0);
    assert_eq!(throttle.read(later).requests, 0);
    assert_eq!(calls(&throttle, 100, later, |_| true), 100);
}

#[test]
fn nothing_is_refused_below_the_minimum_of_calls() {
    let throttle = throttle(|config| config.minimum_calls = 50);
    assert_eq!(calls(&throttle, 50, at(1.0), |_| false), 50);
    assert!(calls(&throttle, 1000, at(1.0), |_| false) < 200);
}

#[test]
fn throttle_that_is_off_refuses_nothing_and_remembers() {
    let throttle = throttle(|config| config.minimum_calls = 1);
    calls(&throttle, 1000, at(1.0), |_| false);
    let mut off = throttle.config();
    off.enabled = false;
    throttle.reconfigure(off, at(1.0)).unwrap();
    assert_eq!(calls(&throttle, 100, at(1.0), |_| true), 100);
    assert_eq!(throttle.read(at(1.0)).requests, 1100);
}

#[test]
fn another_window_keeps_what_was_counted() {
    let throttle = throttle(|_| {});
    throttle.record(true, at(1.0));
    throttle.record(false, at(40.0));
    let mut config = throttle.config();
    config.window = Duration::from_secs(12);
    throttle.reconfigure(config, at(41.0)).unwrap();
    let kept = throttle.read(at(41.0));
    assert_eq!((kept.requests, kept.accepts), (2, 1));
    assert_eq!(throttle.read(at(54.0)).requests, 0);
}

#[test]
fn refusal_that_is_not_counted_moves_nothing() {
    let throttle = throttle(|config| config.minimum_calls = 1);
    calls(&throttle, 1000, at(1.0), |_| false);
    let before = throttle.read(at(1.0));
    assert!((0..100).any(|_| throttle.ask(at(1.0)).is_err()));
    assert_eq!(throttle.read(at(1.0)), before);
}

#[test]
fn values_out_of_their_range_are_refused_by_name() {
    type Change = fn(&mut Config);
    let bad: [(Change, &str); 4] = [
        (|it| it.ratio = 0.99, "throttle.ratio"),
        (|it| it.ratio = f64::NAN, "throttle.ratio"),
        (|it| it.window = Duration::ZERO, "throttle.window"),
        (|it| it.minimum_calls = 0, "throttle.minimum_calls"),
    ];
    for (change, field) in bad {
        let mut config = Config::default();
        change(&mut config);
        assert_eq!(Throttle::new("op", config).unwrap_err().field, field);
    }
}

proptest! {
    /// The model keeps every call with the number of its bucket.
    #[test]
    fn window_equals_a_log_of_whole_buckets(
        steps in prop::collection::vec((0_u64..40, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let throttle = throttle(|config| { config.window = Duration::from_secs(12); config.minimum_calls = 1_000_000 });
        let (mut now, mut log) = (0_u64, Vec::new());
        for (tenths, refused, accepted) in steps {
            now += tenths;
            let time = Timestamp::from_millis(now * 100);
            if refused { throttle.count_refusal(time) } else { throttle.record(accepted, time) }
            log.push((now / 10, !refused && accepted));
            let inside: Vec<_> = log.iter().filter(|(bucket, _)| bucket + 12 > now / 10).collect();
            let seen = throttle.read(time);
            prop_assert_eq!(seen.requests, inside.len() as u64);
            prop_assert_eq!(seen.accepts, inside.iter().filter(|(_, accepted)| *accepted).count() as u64);
        }
    }

    #[test]
    fn share_lies_between_none_and_all(requests in any::<u32>(), accepts in any::<u32>(), ratio in 1.0_f64..100.0) {
        let share = refusal_share(requests.into(), accepts.into(), ratio);
        prop_assert!((0.0..=1.0).contains(&share));
        prop_assert!(refusal_share(u64::from(requests) + 1, accepts.into(), ratio) >= share);
    }
}
