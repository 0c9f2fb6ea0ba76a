//! What a breaker is told to do by operators and configurations, what it tells, and the map of breakers.

#![expect(clippy::float_cmp, reason = "rates of small counts are exact")]

mod breaker_support;

use std::{
    sync::{Arc, Mutex},
    thread,
};

use breaker_support::{at, breaker, call, calls, config, ms, reasons};
use tower_rampart_core::{
    Class,
    Outcome::{Abandoned, Failure, Ignored, Success},
    Timestamp, Verdict,
    breaker::{Breaker, Breakers, BreakersError, HalfOpenPolicy, Matcher, Permit, Refused, State, Window},
    classify::{ClassKind, Code},
};

// Operators

#[test]
fn share_of_slow_calls_without_a_duration_is_an_error_that_names_it() {
    let alone = config(|it| it.slow_call_rate_threshold = Some(0.5));
    let error = alone.check().unwrap_err();
    assert_eq!(error.field, "circuit_breaker.slow_call_rate_threshold");
    assert!(error.to_string().contains("slow_call_duration"), "{error}");
    assert!(Breaker::new("test", alone).is_err());
    assert_eq!(config(|it| it.slow_call_duration = Some(ms(1))).check(), Ok(()));
}

#[test]
fn forced_open_stays_until_told_otherwise() {
    let breaker = breaker(|_| {});
    breaker.force_open(at(0));
    for now in [at(0), at(1_000_000), Timestamp::MAX] {
        let refused = Refused { state: State::ForcedOpen, retry_after: None };
        assert_eq!((breaker.try_acquire(now), breaker.peek(now)), (Err(refused), Err(refused)));
    }
    breaker.reset(at(0));
    call(&breaker, Success, 0);
    assert_eq!(breaker.snapshot(at(0)).rejected, 3);
}

#[test]
fn forced_closed_counts_and_never_opens() {
    let breaker = breaker(|_| {});
    breaker.force_close(at(0));
    calls(&breaker, &[Failure; 100]);
    assert_eq!(breaker.state(at(0)), State::ForcedClosed);
    assert_eq!(breaker.snapshot(at(0)).failed, 100);
    breaker.reset(at(0));
    calls(&breaker, &[Failure, Failure]);
    assert_eq!(breaker.state(at(0)), State::Closed);
}

#[test]
fn disabled_admits_all_and_counts_none() {
    let breaker = breaker(|_| {});
    let before = breaker.try_acquire(at(0)).unwrap();
    breaker.disable(at(0));
    calls(&breaker, &[Failure; 100]);
    let during = breaker.try_acquire(at(0)).unwrap();
    breaker.record(before, Failure, None, at(0));
    breaker.reset(at(0));
    breaker.record(during, Failure, None, at(0));
    let snapshot = breaker.snapshot(at(0));
    assert_eq!((snapshot.total, snapshot.failed), (1, 1), "only the call that was admitted by the breaker");
}

#[test]
fn metrics_only_judges_and_refuses_nothing() {
    let breaker = breaker(|_| {});
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    breaker.on_transition(move |it| log.lock().unwrap().push((it.from, it.to, it.would_be)));
    breaker.metrics_only(at(0));
    calls(&breaker, &[Failure; 10]);
    call(&breaker, Success, 100);
    assert_eq!(breaker.state(at(100)), State::MetricsOnly);
    let snapshot = breaker.snapshot(at(100));
    assert_eq!((snapshot.total, snapshot.rejected, snapshot.opens), (11, 0, 0));
    assert_eq!((snapshot.would_be_changes, snapshot.would_be_opens), (3, 1));
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (State::Closed, State::MetricsOnly, false),
            (State::Closed, State::Open, true),
            (State::Open, State::HalfOpen, true),
            (State::HalfOpen, State::Closed, true),
        ]
    );
}

#[test]
fn tripped_breaker_recovers_by_itself() {
    let breaker = breaker(|_| {});
    breaker.force_open(at(0));
    breaker.trip(at(10));
    assert_eq!(breaker.retry_after(at(10)), Some(ms(100)));
    breaker.trip(at(60));
    assert_eq!(breaker.retry_after(at(60)), Some(ms(100)), "its time begins anew");
    call(&breaker, Success, 160);
    assert_eq!(breaker.state(at(160)), State::Closed);
}

#[test]
fn reset_forgets_everything_but_the_totals() {
    let breaker = breaker(|it| it.recovery_backoff = 2.0);
    calls(&breaker, &[Failure; 3]);
    call(&breaker, Failure, 100);
    assert_eq!(breaker.retry_after(at(100)), Some(ms(200)));
    breaker.reset(at(100));
    calls(&breaker, &[Failure; 2]);
    let snapshot = breaker.snapshot(at(100));
    assert_eq!((snapshot.state, snapshot.failed, snapshot.consecutive_failures), (State::Closed, 6, 2));
    call(&breaker, Failure, 100);
    assert_eq!(breaker.retry_after(at(100)), Some(ms(100)));
}

#[test]
fn outcome_of_a_call_before_a_reset_is_stale() {
    let breaker = breaker(|it| it.failure_threshold = 1);
    let permit = breaker.try_acquire(at(0)).unwrap();
    breaker.reset(at(0));
    breaker.record(permit, Failure, None, at(0));
    assert_eq!((breaker.state(at(0)), breaker.snapshot(at(0)).failed), (State::Closed, 1));
}

// Configuration

#[test]
fn reconfiguring_keeps_state_probes_runs_and_window() {
    let open = breaker(|_| {});
    calls(&open, &[Failure; 3]);
    open.reconfigure(config(|it| it.half_open_max_calls = 2), at(10)).unwrap();
    assert_eq!(open.retry_after(at(10)), Some(ms(90)));
    let probe = open.try_acquire(at(100)).unwrap();
    open.reconfigure(config(|_| {}), at(100)).unwrap();
    assert!(open.try_acquire(at(100)).is_err(), "the probe still holds the only slot");
    open.record(probe, Success, None, at(100));
    assert_eq!(open.state(at(100)), State::Closed);

    let run = breaker(|_| {});
    calls(&run, &[Failure; 2]);
    run.reconfigure(config(|it| it.recovery_timeout = ms(7)), at(0)).unwrap();
    call(&run, Failure, 0);
    assert_eq!(run.retry_after(at(0)), Some(ms(7)));

    let rate = |size| {
        config(|it| {
            it.failure_threshold = 100;
            it.failure_rate_threshold = Some(1.0);
            it.minimum_calls = 4;
            it.window = Window::Count { size };
        })
    };
    let window = Breaker::new("test", rate(100)).unwrap();
    calls(&window, &[Success, Failure, Failure, Failure]);
    window.reconfigure(rate(4), at(0)).unwrap();
    assert_eq!(window.snapshot(at(0)).failure_rate, 0.75);
    call(&window, Failure, 0);
    assert_eq!(window.state(at(0)), State::Open);
}

#[test]
fn new_rule_is_evaluated_with_the_next_outcome() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Failure; 2]);
    breaker.reconfigure(config(|it| it.failure_threshold = 1), at(0)).unwrap();
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&breaker, Failure, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn new_rule_is_evaluated_with_the_next_success_of_a_time_window_too() {
    let rules = |rate| {
        config(|it| {
            it.failure_threshold = 100;
            it.failure_rate_threshold = Some(rate);
            it.minimum_calls = 4;
            it.window = Window::Time { size: ms(10_000) };
        })
    };
    let breaker = Breaker::new("test", rules(0.9)).unwrap();
    calls(&breaker, &[Success, Success, Failure, Success, Success]);
    breaker.reconfigure(rules(0.1), at(6)).unwrap();
    assert_eq!(breaker.state(at(6)), State::Closed);
    call(&breaker, Success, 7);
    assert_eq!(breaker.state(at(7)), State::Open, "one of six failed");
}

#[test]
fn successes_that_were_only_counted_are_in_the_rates_of_an_open_circuit() {
    let breaker = breaker(|it| {
        it.failure_threshold = 100;
        it.failure_rate_threshold = Some(0.9);
        it.window = Window::Time { size: ms(10_000) };
    });
    calls(&breaker, &[Success, Success, Success, Failure]);
    breaker.trip(at(5));
    assert_eq!(breaker.snapshot(at(5)).failure_rate, 0.25);
}

#[test]
fn successes_that_were_only_counted_are_in_the_share_of_abandoned_calls() {
    let breaker = breaker(|it| {
        (it.failure_threshold, it.failure_rate_threshold, it.minimum_calls) = (100, Some(0.5), 3);
        it.abandoned_rate_threshold = 0.5;
        it.window = Window::Time { size: ms(10_000) };
    });
    calls(&breaker, &[Success, Success, Success, Abandoned, Abandoned]);
    assert_eq!(breaker.state(at(5)), State::Closed, "two of five");
    call(&breaker, Abandoned, 5);
    assert_eq!(breaker.state(at(5)), State::Open, "three of six");
}

#[test]
fn lowered_half_open_limit_cannot_strand_a_round() {
    let rate = |calls| {
        config(|it| {
            it.half_open_policy = HalfOpenPolicy::Rate;
            it.half_open_max_calls = calls;
        })
    };
    let breaker = Breaker::new("test", rate(10)).unwrap();
    breaker.trip(at(0));
    for _ in 0..5 {
        call(&breaker, Success, 100);
    }
    breaker.reconfigure(rate(2), at(100)).unwrap();
    call(&breaker, Success, 100);
    assert_eq!(breaker.state(at(100)), State::Closed);
}

#[test]
fn invalid_configuration_changes_nothing() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Failure; 2]);
    let before = breaker.config();
    let error = breaker.reconfigure(config(|it| it.failure_threshold = 0), at(0)).unwrap_err();
    assert_eq!(error.field, "circuit_breaker.failure_threshold");
    assert!(Arc::ptr_eq(&before, &breaker.config()));
    assert_eq!(breaker.snapshot(at(0)).consecutive_failures, 2);
}

#[test]
fn breaker_that_is_switched_off_counts_nothing_and_keeps_what_it_had() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Failure; 2]);
    breaker.reconfigure(config(|it| it.enabled = false), at(0)).unwrap();
    assert_eq!(breaker.state(at(0)), State::Disabled);
    calls(&breaker, &[Failure, Failure, Success]);
    breaker.reconfigure(config(|_| {}), at(0)).unwrap();
    assert_eq!((breaker.state(at(0)), breaker.snapshot(at(0)).total), (State::Closed, 2));
    call(&breaker, Failure, 0);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn probe_that_ends_while_the_breaker_is_off_frees_its_slot() {
    let breaker = breaker(|_| {});
    breaker.trip(at(0));
    let probe = breaker.try_acquire(at(100)).unwrap();
    breaker.reconfigure(config(|it| it.enabled = false), at(100)).unwrap();
    breaker.record(probe, Abandoned, None, at(100));
    breaker.reconfigure(config(|_| {}), at(100)).unwrap();
    assert!(breaker.try_acquire(at(100)).is_ok());
}

#[test]
fn lists_of_the_configuration_decide_what_counts() {
    let breaker = breaker(|it| it.exclude = vec![Matcher::Class(ClassKind::RateLimited)]);
    let limited = Verdict::new(Class::RateLimited { retry_after: None });
    let not_found = Verdict::new(Class::Permanent).with_code(Code::Http(404));
    assert_eq!((breaker.outcome(&limited), breaker.outcome(&not_found)), (Ignored, Success));
    breaker.reconfigure(config(|it| it.monitor = vec![Matcher::Code(Code::Http(404))]), at(0)).unwrap();
    assert_eq!((breaker.outcome(&limited), breaker.outcome(&not_found)), (Success, Failure));
    breaker.reconfigure(config(|_| {}), at(0)).unwrap();
    assert_eq!((breaker.outcome(&limited), breaker.outcome(&not_found)), (Failure, Success));
}

// Looking and telling

#[test]
fn snapshot_says_everything() {
    let breaker = breaker(|_| {});
    calls(&breaker, &[Success, Success, Failure, Ignored, Abandoned, Success]);
    let snapshot = breaker.snapshot(at(7));
    assert_eq!((snapshot.total, snapshot.successful, snapshot.failed), (6, 3, 1));
    assert_eq!((snapshot.ignored, snapshot.abandoned, snapshot.rejected), (1, 1, 0));
    assert_eq!((snapshot.consecutive_failures, snapshot.consecutive_successes), (0, 1));
    assert_eq!((snapshot.failure_rate, snapshot.success_rate, snapshot.slow_rate), (0.25, 0.75, 0.0));
    assert_eq!((snapshot.failure_threshold, snapshot.recovery_timeout), (3, ms(100)));
    for millis in [8, 9, 10] {
        call(&breaker, Failure, millis);
    }
    call(&breaker, Success, 110);
    let snapshot = breaker.snapshot(at(111));
    assert_eq!((snapshot.state_changes, snapshot.opens, snapshot.half_opens, snapshot.closes), (3, 1, 1, 1));
    assert_eq!((snapshot.last_failure, snapshot.last_success), (Some(at(10)), Some(at(110))));
}

#[test]
fn run_of_successes_ends_with_a_failure_and_a_reset_and_knows_no_stragglers() {
    let breaker = breaker(|_| {});
    let run = || breaker.snapshot(at(0)).consecutive_successes;
    calls(&breaker, &[Success, Success]);
    assert_eq!(run(), 2);
    calls(&breaker, &[Failure, Success, Ignored, Abandoned, Success]);
    assert_eq!(run(), 2);
    let stragglers = [breaker.try_acquire(at(0)).unwrap(), breaker.try_acquire(at(0)).unwrap()];
    breaker.reset(at(0));
    assert_eq!(run(), 0);
    for straggler in stragglers {
        breaker.record(straggler, Success, None, at(0));
        assert_eq!(run(), 0);
    }
    call(&breaker, Success, 0);
    assert_eq!(run(), 1);
}

#[test]
fn observers_see_every_transition_once_and_in_order_and_may_call_back() {
    let breaker = Arc::new(breaker(|it| it.failure_threshold = 1));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, handle) = (Arc::clone(&seen), Arc::downgrade(&breaker));
    breaker.on_transition(move |it| {
        log.lock().unwrap().push((it.from, it.to, it.at));
        if it.to == State::Open
            && let Some(breaker) = handle.upgrade()
        {
            breaker.force_close(it.at);
        }
    });
    call(&breaker, Failure, 5);
    assert_eq!(*seen.lock().unwrap(), [(State::Closed, State::Open, at(5)), (State::Open, State::ForcedClosed, at(5))]);
}

#[test]
fn panicking_observer_harms_nobody() {
    let breaker = breaker(|it| it.failure_threshold = 1);
    breaker.on_transition(|_| panic!("an observer's own business"));
    let seen = reasons(&breaker);
    call(&breaker, Failure, 0);
    call(&breaker, Success, 100);
    assert_eq!(breaker.state(at(100)), State::Closed);
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[test]
fn threads_lose_no_count() {
    let breaker = breaker(|it| it.failure_threshold = 1_000_000);
    thread::scope(|scope| {
        for n in 0..4 {
            let breaker = &breaker;
            scope.spawn(move || {
                for _ in 0..2500 {
                    call(breaker, [Success, Failure, Ignored, Success][n], 0);
                }
            });
        }
    });
    let snapshot = breaker.snapshot(at(0));
    assert_eq!((snapshot.total, snapshot.successful, snapshot.failed, snapshot.ignored), (10_000, 5000, 2500, 2500));
}

#[test]
fn permit_and_breaker_are_small() {
    assert!(size_of::<Permit>() <= 24, "{}", size_of::<Permit>());
    assert!(size_of::<Breaker>() <= 256, "{}", size_of::<Breaker>());
}

// The map of breakers

#[test]
fn second_creation_with_another_configuration_says_both() {
    let breakers = Breakers::default();
    let breaker = breakers.get_or_create("a", config(|_| {})).unwrap();
    let other = config(|it| it.failure_threshold = 9);
    match breakers.get_or_create("a", other.clone()) {
        Err(BreakersError::Mismatch { name, existing, requested }) => {
            assert_eq!((&*name, existing.failure_threshold, requested.failure_threshold), ("a", 3, 9));
        }
        answer => panic!("{answer:?}"),
    }
    calls(&breaker, &[Failure; 2]);
    let same = breakers.get_or_reconfigure("a", other, at(0)).unwrap();
    assert!(Arc::ptr_eq(&breaker, &same));
    assert_eq!((breaker.config().failure_threshold, breaker.snapshot(at(0)).consecutive_failures), (9, 2));
}

#[test]
fn map_never_exceeds_its_bound() {
    let breakers = Breakers::new(2);
    breakers.get_or_create("b", config(|_| {})).unwrap();
    breakers.insert(Arc::new(breaker(|_| {}))).unwrap();
    assert!(matches!(breakers.get_or_create("c", config(|_| {})), Err(BreakersError::Full { capacity: 2, .. })));
    let replaced = breakers.insert(Arc::new(Breaker::new("b", config(|_| {})).unwrap())).unwrap();
    assert_eq!(&**replaced.unwrap().name(), "b");
    assert_eq!(breakers.all().iter().map(|it| it.name().to_string()).collect::<Vec<_>>(), ["b", "test"]);
    assert!(breakers.get("c").is_none());
    let invalid = breakers.get_or_reconfigure("b", config(|it| it.minimum_calls = 0), at(0));
    assert!(matches!(invalid, Err(BreakersError::Invalid(_))));
}

#[test]
fn reset_all_closes_all() {
    let breakers = Breakers::default();
    for name in ["a", "b"] {
        breakers.get_or_create(name, config(|_| {})).unwrap().force_open(at(0));
    }
    breakers.reset_all(at(0));
    assert!(breakers.all().iter().all(|it| it.state(at(0)) == State::Closed));
}
