//! What a breaker does by itself, sentence by sentence; what it is told to do is in `breaker_operations.rs`, random sequences in `breaker_model.rs`.
#![expect(clippy::float_cmp, reason = "rates of small counts are exact")]

mod breaker_support;

use std::time::Duration;

use breaker_support::{at, breaker, call, calls, config, ms, reasons};
use tower_rampart_core::{
    Outcome::{Abandoned, Failure, Ignored, Success},
    Timestamp,
    breaker::{Breaker, Config, HalfOpenPolicy, Refused, State, TransitionReason, Window},
};

/// No clock, for calls that must not need one.
#[expect(clippy::panic, reason = "reading it is the failure")]
fn no_clock() -> Timestamp {
    panic!("read the clock")
}

// Closed

#[test]
fn success_ends_a_run_of_failures() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Failure, Failure, Success, Failure, Failure]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Failure, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn ignored_and_abandoned_calls_neither_end_nor_lengthen_a_run() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Failure, Ignored, Failure, Abandoned, Ignored]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    assert_eq!(breaker.snapshot(at(0)).consecutive_failures, 2);
    call(&breaker, Failure, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn closed_breaker_without_window_rules_reads_no_clock_for_a_success() {
    let breaker = breaker(|_| {});
    let permit = breaker.try_acquire(no_clock).unwrap();
    breaker.record(permit, Success, None, no_clock);
    let permit = breaker.try_acquire(no_clock).unwrap();
    breaker.record(permit, Ignored, None, no_clock);
    let snapshot = breaker.snapshot(at(0));
    assert_eq!((snapshot.successful, snapshot.ignored, snapshot.last_success), (1, 1, None));
}

#[test]
fn failure_rate_opens_from_the_minimum_of_calls_on() {
    let breaker = breaker(|it| {
        it.failure_threshold = 100;
        it.failure_rate_threshold = Some(0.5);
        it.minimum_calls = 4;
    });
    let seen = reasons(&breaker);
    calls(&breaker, &[Failure, Failure, Failure]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Failure, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
    assert_eq!(*seen.lock().unwrap(), [TransitionReason::FailureRate]);
}

#[test]
fn success_that_completes_the_minimum_of_calls_may_open() {
    let breaker = breaker(|it| {
        it.failure_threshold = 100;
        it.failure_rate_threshold = Some(0.5);
        it.minimum_calls = 4;
    });
    calls(&breaker, &[Failure, Failure, Success]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Success, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn count_window_smaller_than_the_minimum_is_evaluated_when_it_is_full() {
    let breaker = breaker(|it| {
        it.failure_threshold = 100;
        it.failure_rate_threshold = Some(1.0);
        it.minimum_calls = 50;
        it.window = Window::Count { size: 4 };
    });
    calls(&breaker, &[Failure, Failure, Failure]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Failure, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn long_good_history_does_not_mask_an_outage() {
    let breaker = breaker(|it| {
        it.failure_threshold = 1000;
        it.failure_rate_threshold = Some(0.5);
        it.window = Window::Count { size: 10 };
    });
    calls(&breaker, &[Success; 1000]);
    calls(&breaker, &[Failure; 4]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Failure, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn time_window_forgets_what_is_old() {
    let breaker = breaker(|it| {
        it.failure_threshold = 100;
        it.failure_rate_threshold = Some(0.5);
        it.minimum_calls = 4;
        it.window = Window::Time { size: ms(1000) };
    });
    for millis in [0, 1, 2] {
        call(&breaker, Failure, millis);
    }
    call(&breaker, Failure, 1000);
    assert_eq!(breaker.state(at(1000)), State::Closed);
    assert_eq!(breaker.snapshot(at(1000)).failure_rate, 1.0);
    for millis in [1001, 1002] {
        call(&breaker, Failure, millis);
    }
    assert_eq!(breaker.state(at(1002)), State::Closed);
    call(&breaker, Failure, 1003);
    assert_eq!(breaker.state(at(1003)), State::Open);
}

#[test]
fn slow_calls_open_whether_they_succeed_or_fail() {
    let breaker = breaker(|it| {
        it.failure_threshold = 100;
        it.slow_call_duration = Some(ms(10));
        it.slow_call_rate_threshold = Some(0.5);
        it.minimum_calls = 4;
    });
    let seen = reasons(&breaker);
    for (n, (outcome, took)) in [(Success, 9), (Success, 10), (Success, 0), (Failure, 50)].into_iter().enumerate() {
        assert_eq!(breaker.state(at(0)), State::Closed, "call {n}");
        let permit = breaker.try_acquire(at(0)).unwrap();
        breaker.record(permit, outcome, None, at(took));
    }
    assert_eq!(breaker.state(at(50)), State::Open);
    assert_eq!(*seen.lock().unwrap(), [TransitionReason::SlowCallRate]);
    assert_eq!(breaker.snapshot(at(50)).slow, 2);
}

#[test]
fn any_of_the_rules_opens_while_others_are_on() {
    let both = |it: &mut Config| {
        it.failure_rate_threshold = Some(0.5);
        it.minimum_calls = 6;
    };
    let by_run = breaker(both);
    calls(&by_run, &[Success, Success, Success, Success, Failure, Failure, Failure]);
    assert_eq!(by_run.state(at(0)), State::Open);
    let by_rate = breaker(both);
    calls(&by_rate, &[Failure, Success, Failure, Success, Failure, Success]);
    assert_eq!(by_rate.state(at(0)), State::Open);
}

#[test]
fn backend_that_hangs_behind_a_callers_timeout_opens() {
    let breaker = breaker(|_| {});
    let seen = reasons(&breaker);
    calls(&breaker, &[Abandoned; 9]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Abandoned, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
    assert_eq!(*seen.lock().unwrap(), [TransitionReason::AbandonedCalls]);
}

#[test]
fn callers_that_hang_up_together_in_healthy_traffic_open_nothing() {
    let breaker = breaker(|_| {});
    let leaving: Vec<_> = (0..1000).map(|_| breaker.try_acquire(at(0)).unwrap()).collect();
    call(&breaker, Success, 1);
    for permit in leaving {
        breaker.record(permit, Abandoned, None, at(2));
    }
    assert_eq!(breaker.state(at(2)), State::Closed);
    assert_eq!(breaker.snapshot(at(2)).abandoned, 1000);
    calls(&breaker, &[Abandoned; 10]);
    assert_eq!(breaker.state(at(2)), State::Open, "and then nobody is answered any more");
}

#[test]
fn any_other_outcome_ends_a_run_of_abandoned_calls() {
    for other in [Success, Ignored] {
        let breaker = breaker(|_| {});
        calls(&breaker, &[Abandoned; 9]);
        call(&breaker, other, 0);
        calls(&breaker, &[Abandoned; 9]);
        assert_eq!(breaker.state(at(0)), State::Closed);
        call(&breaker, Abandoned, 0);
        assert_eq!(breaker.state(at(0)), State::Open);
    }
}

#[test]
fn abandoned_calls_count_as_failures_from_their_share_of_the_window_on() {
    let breaker = breaker(|it| {
        it.failure_threshold = 100;
        it.failure_rate_threshold = Some(0.6);
        it.abandoned_rate_threshold = 0.4;
        it.minimum_calls = 10;
    });
    calls(&breaker, &[Success, Success, Success, Success, Failure, Failure, Abandoned, Abandoned, Abandoned]);
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Abandoned, 0);
    assert_eq!(breaker.state(at(0)), State::Open, "4 of 10 abandoned: with the 2 failures 6 of 10");
}

#[test]
fn abandoned_calls_below_their_share_are_no_failures() {
    let breaker = breaker(|it| {
        it.failure_rate_threshold = Some(0.5);
        it.abandoned_rate_threshold = 0.6;
    });
    for _ in 0..50 {
        calls(&breaker, &[Success, Abandoned]);
    }
    assert_eq!(breaker.state(at(0)), State::Closed);
    assert_eq!(breaker.snapshot(at(0)).failure_rate, 0.0);
}

// Open

#[test]
fn refusal_is_true_to_its_word() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Failure; 3]);
    for millis in [0, 1, 50, 99] {
        let refused = breaker.try_acquire(at(millis)).unwrap_err();
        assert_eq!(refused, Refused { state: State::Open, retry_after: Some(ms(100 - millis)) });
        assert_eq!(breaker.peek(at(millis)), Err(refused));
        assert_eq!(breaker.retry_after(at(millis)), Some(ms(100 - millis)));
    }
    assert_eq!(breaker.peek(at(100)), Ok(()));
    assert!(breaker.try_acquire(at(100)).unwrap().is_probe());
    assert_eq!(breaker.snapshot(at(100)).rejected, 4);
}

#[test]
fn looking_changes_nothing() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Failure; 3]);
    let seen = reasons(&breaker);
    for millis in [200, 150, 100] {
        assert_eq!(breaker.state(at(millis)), State::HalfOpen);
        assert_eq!(breaker.peek(at(millis)), Ok(()));
        assert_eq!((breaker.retry_after(at(millis)), breaker.snapshot(at(millis)).half_opens), (None, 0));
    }
    assert_eq!(breaker.state(at(99)), State::Open);
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn server_hint_lengthens_only_the_opening_that_it_came_with() {
    let breaker = breaker(|it| it.failure_threshold = 1);
    let permit = breaker.try_acquire(at(0)).unwrap();
    breaker.record(permit, Failure, Some(ms(500)), at(0));
    assert_eq!(breaker.retry_after(at(0)), Some(ms(500)));
    call(&breaker, Failure, 500);
    assert_eq!(breaker.retry_after(at(500)), Some(ms(100)));
}

#[test]
fn recovery_time_grows_with_each_failed_round_and_starts_anew_after_closing() {
    let breaker = breaker(|it| {
        it.failure_threshold = 1;
        it.recovery_backoff = 2.0;
        it.recovery_timeout_max = ms(300);
    });
    let mut now = 0;
    for expected in [100, 200, 300, 300] {
        call(&breaker, Failure, now);
        assert_eq!(breaker.retry_after(at(now)), Some(ms(expected)));
        now += expected;
    }
    call(&breaker, Success, now);
    call(&breaker, Failure, now);
    assert_eq!(breaker.retry_after(at(now)), Some(ms(100)));
}

#[test]
fn straggler_of_an_older_generation_is_counted_and_moves_nothing() {
    let breaker = breaker(|it| it.failure_threshold = 1);
    let stragglers: Vec<_> = (0..4).map(|_| breaker.try_acquire(at(0)).unwrap()).collect();
    call(&breaker, Failure, 0);
    let mut stragglers = stragglers.into_iter();
    let mut end = |outcome, millis| breaker.record(stragglers.next().unwrap(), outcome, Some(ms(9999)), at(millis));
    end(Failure, 90);
    assert_eq!(breaker.retry_after(at(90)), Some(ms(10)));
    let probe = breaker.try_acquire(at(100)).unwrap();
    end(Success, 101);
    end(Failure, 101);
    assert_eq!(breaker.state(at(101)), State::HalfOpen);
    assert!(breaker.try_acquire(at(101)).is_err(), "the probe's slot is its own");
    breaker.record(probe, Success, None, at(102));
    end(Failure, 103);
    assert_eq!(breaker.state(at(103)), State::Closed);
    let snapshot = breaker.snapshot(at(103));
    assert_eq!((snapshot.successful, snapshot.failed, snapshot.consecutive_failures), (2, 4, 0));
}

#[test]
fn seed_alone_decides_the_jitter_of_the_recovery_times() {
    let waits = |seed| {
        let jittered = config(|it| it.recovery_jitter = 0.5);
        let breaker = Breaker::new("test", jittered).unwrap().with_seed(seed);
        [(); 4].map(|()| {
            breaker.trip(at(0));
            breaker.retry_after(at(0)).unwrap()
        })
    };
    assert_eq!(waits(7), waits(7));
    assert_ne!(waits(7), waits(8));
}

// Half open

#[test]
fn half_open_admits_as_many_at_once_as_it_may_and_says_no_time() {
    let breaker = breaker(|it| it.half_open_max_calls = 2);
    breaker.trip(at(0));
    let _probes = [breaker.try_acquire(at(100)).unwrap(), breaker.try_acquire(at(100)).unwrap()];
    let refused = Refused { state: State::HalfOpen, retry_after: None };
    assert_eq!(breaker.try_acquire(at(100)), Err(refused));
    assert_eq!(breaker.peek(at(100)), Err(refused));
}

#[test]
fn a_million_probes_at_once_each_have_a_slot() {
    const MOST: u32 = 1_000_000;
    let breaker = breaker(|it| (it.half_open_max_calls, it.success_threshold) = (MOST, MOST));
    breaker.trip(at(0));
    let probes: Vec<_> = (0..MOST).map(|_| breaker.try_acquire(at(100)).unwrap()).collect();
    assert!(breaker.try_acquire(at(100)).is_err());
    for probe in probes {
        assert_eq!(breaker.state(at(100)), State::HalfOpen);
        breaker.record(probe, Success, None, at(100));
    }
    assert_eq!(breaker.state(at(100)), State::Closed);
}

#[test]
fn dropped_and_ignored_probes_give_their_slot_back_without_a_verdict() {
    for outcome in [Abandoned, Ignored] {
        let breaker = breaker(|_| {});
        breaker.trip(at(0));
        for _ in 0..100 {
            call(&breaker, outcome, 100);
            assert_eq!(breaker.state(at(100)), State::HalfOpen);
        }
        call(&breaker, Success, 100);
        assert_eq!(breaker.state(at(100)), State::Closed);
    }
}

#[test]
fn probe_that_never_ends_does_not_hold_the_breaker() {
    let breaker = breaker(|it| it.half_open_max_wait = ms(50));
    breaker.trip(at(0));
    let hung = breaker.try_acquire(at(100)).unwrap();
    assert!(breaker.peek(at(149)).is_err() && breaker.try_acquire(at(149)).is_err());
    assert_eq!(breaker.peek(at(150)), Ok(()));
    let next = breaker.try_acquire(at(150)).unwrap();
    breaker.record(hung, Failure, None, at(151));
    assert_eq!(breaker.state(at(151)), State::HalfOpen, "the outcome of a probe that lost its slot is stale");
    assert!(breaker.try_acquire(at(151)).is_err(), "and it gives back no slot of another");
    breaker.record(next, Success, None, at(152));
    assert_eq!(breaker.state(at(152)), State::Closed);
}

#[test]
fn probe_that_ends_too_late_is_stale_even_if_nobody_took_its_slot() {
    let breaker = breaker(|it| it.half_open_max_wait = ms(50));
    breaker.trip(at(0));
    let late = breaker.try_acquire(at(100)).unwrap();
    breaker.record(late, Success, None, at(150));
    assert_eq!(breaker.state(at(150)), State::HalfOpen);
    call(&breaker, Success, 150);
    assert_eq!(breaker.state(at(150)), State::Closed);
}

#[test]
fn more_successes_than_slots_can_be_asked_for() {
    let breaker = breaker(|it| it.success_threshold = 3);
    breaker.trip(at(0));
    for _ in 0..2 {
        call(&breaker, Success, 100);
        assert_eq!(breaker.state(at(100)), State::HalfOpen);
    }
    call(&breaker, Success, 100);
    assert_eq!(breaker.state(at(100)), State::Closed);
}

#[test]
fn rate_policy_decides_when_all_outcomes_are_in() {
    let rate = |it: &mut Config| {
        it.half_open_policy = HalfOpenPolicy::Rate;
        it.half_open_max_calls = 4;
        it.failure_rate_threshold = Some(0.5);
    };
    for (outcomes, end) in
        [([Failure, Success, Success, Success], State::Closed), ([Success, Success, Failure, Failure], State::Open)]
    {
        let breaker = breaker(rate);
        breaker.trip(at(0));
        for outcome in outcomes {
            assert_eq!(breaker.state(at(100)), State::HalfOpen);
            call(&breaker, Abandoned, 100);
            call(&breaker, outcome, 100);
        }
        assert_eq!(breaker.state(at(100)), end);
    }
}

#[test]
fn rate_policy_admits_no_more_probes_than_verdicts_are_missing() {
    let breaker = breaker(|it| {
        it.half_open_policy = HalfOpenPolicy::Rate;
        it.half_open_max_calls = 2;
    });
    breaker.trip(at(0));
    call(&breaker, Success, 100);
    let last = breaker.try_acquire(at(100)).unwrap();
    assert!(breaker.try_acquire(at(100)).is_err());
    breaker.record(last, Success, None, at(100));
    assert_eq!(breaker.state(at(100)), State::Closed);
}

#[test]
fn slow_probe_does_not_close_where_slow_calls_open() {
    let breaker = breaker(|it| {
        it.slow_call_duration = Some(ms(10));
        it.slow_call_rate_threshold = Some(0.5);
    });
    breaker.trip(at(0));
    let permit = breaker.try_acquire(at(100)).unwrap();
    breaker.record(permit, Success, None, at(110));
    assert_eq!(breaker.state(at(110)), State::Open);
}

#[test]
fn closing_and_reopening_empty_the_window() {
    let rate = |it: &mut Config| {
        it.failure_threshold = 100;
        it.failure_rate_threshold = Some(0.5);
        it.minimum_calls = 4;
    };
    let closing = breaker(rate);
    calls(&closing, &[Failure; 4]);
    assert_eq!(closing.snapshot(at(50)).failure_rate, 1.0, "while open one can see why");
    call(&closing, Success, 100);
    for _ in 0..3 {
        call(&closing, Failure, 100);
        assert_eq!(closing.state(at(100)), State::Closed);
    }
    call(&closing, Failure, 100);
    assert_eq!(closing.state(at(100)), State::Open);

    let reopening = breaker(rate);
    calls(&reopening, &[Failure; 4]);
    call(&reopening, Failure, 100);
    assert_eq!(reopening.state(at(100)), State::Open);
    assert_eq!(reopening.snapshot(at(100)).failure_rate, 0.0);
}

#[test]
fn time_that_stands_still_or_jumps_breaks_nothing() {
    let breaker = breaker(|it| {
        it.failure_rate_threshold = Some(0.5);
        it.window = Window::Time { size: ms(1000) };
    });
    for now in [Timestamp::MAX, Timestamp::ZERO, at(5), Timestamp::MAX, at(1)] {
        for outcome in [Failure, Failure, Failure, Success, Abandoned] {
            if let Ok(permit) = breaker.try_acquire(now) {
                breaker.record(permit, outcome, Some(Duration::MAX), now);
            }
            let _ = (breaker.peek(now), breaker.snapshot(now), breaker.retry_after(now));
        }
    }
    breaker.reset(Timestamp::ZERO);
    assert_eq!(breaker.state(Timestamp::MAX), State::Closed);
}
