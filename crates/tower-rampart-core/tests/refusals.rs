//! What a refusal says of itself and what the stages further out make of it. Which machine refuses when is in the tests of that machine.

use std::time::Duration;

use tower_rampart_core::{
    Class, ClassKind, Outcome, Rejection, Stage, Timestamp, Verdict, breaker,
    breaker::{State, TransitionReason},
    classify::Classify,
    concurrency,
    event::{Event, EventKind},
    fallback,
    rate::{RateLimiter, Unit},
    rejection::{
        CircuitOpen, NoEnabledTargets, OverloadReason, Overloaded, RateLimitReason, RateLimited, TimedOut, TimeoutKind,
    },
    timeout,
};

const WAIT: Option<Duration> = Some(Duration::from_secs(2));

fn refusals() -> [Rejection; 6] {
    let limited = |reason, wait| RateLimited::new("shop".into(), reason, wait, 5);
    [
        CircuitOpen::new("shop".into(), State::Open, WAIT).into(),
        limited(RateLimitReason::Exceeded, WAIT).counting(Unit::Tokens).into(),
        limited(RateLimitReason::CostAboveBurst, None).into(),
        Overloaded::new("shop".into(), OverloadReason::QueueTimeout, 9, None).into(),
        TimedOut::new("shop".into(), TimeoutKind::Attempt, Duration::from_millis(250)).into(),
        NoEnabledTargets::new("shop".into()).into(),
    ]
}

#[test]
fn refusal_says_who_refused_why_and_how_long_to_wait() {
    let said = refusals().map(|it| {
        assert_eq!(it.operation(), "shop");
        (it.stage(), it.retry_after(), it.to_string())
    });
    let expected = [
        (Stage::CircuitBreaker, WAIT, "circuit breaker of `shop` is open, retry after 2s"),
        (Stage::RateLimit, WAIT, "rate limit of `shop` (tokens) is used up, retry after 2s"),
        (Stage::RateLimit, None, "rate limit of `shop` can never admit a call that costs more than the burst"),
        (Stage::Concurrency, None, "concurrency limit of `shop` (9 in flight) was not free within the queue timeout"),
        (Stage::Timeout, None, "`shop` exceeded its attempt timeout of 250ms"),
        (Stage::Fallback, None, "no target of `shop` is enabled"),
    ];
    assert_eq!(said, expected.map(|(stage, wait, text)| (stage, wait, text.to_owned())));
}

#[test]
fn only_a_timeout_is_a_failure_and_only_a_limit_that_refills_is_waited_for() {
    let config = breaker::Config::default();
    let made_of_it = refusals().map(|it| {
        let verdict = it.verdict();
        (config.outcome(&verdict), verdict.is_retryable(), verdict.is_fallbackable())
    });
    assert_eq!(
        made_of_it,
        [
            (Outcome::Ignored, false, true),
            (Outcome::Ignored, true, true),
            (Outcome::Ignored, false, true),
            (Outcome::Ignored, false, true),
            (Outcome::Failure, true, true),
            (Outcome::Ignored, false, true),
        ]
    );
}

#[test]
fn what_blames_the_caller_falls_back_only_if_that_was_asked_for_and_nobody_says_otherwise() {
    let usual = fallback::Config::default();
    let (mut wider, mut off) = (usual, usual);
    wider.on_permanent = true;
    (off.on_permanent, off.enabled) = (true, false);
    let applies = |verdict: Verdict| [usual, wider, off].map(|it| it.applies(&verdict));
    assert_eq!(applies(Verdict::new(Class::Transient)), [true, true, false]);
    assert_eq!(applies(Verdict::new(Class::Permanent)), [false, true, false]);
    assert_eq!(applies(Verdict::new(Class::Permanent).with_fallback(false)), [false, false, false]);
    assert_eq!(applies(Verdict::new(Class::Permanent).with_fallback(true)), [true, true, false]);
    assert_eq!(applies(Verdict::new(Class::Success)), [false, false, false]);
}

#[test]
fn shorter_of_the_limit_and_of_what_the_caller_allows_is_the_deadline() {
    let now = Timestamp::from_millis(100);
    let after = |millis: u64| Some(Timestamp::from_millis(100 + millis));
    let ms = Duration::from_millis;
    let limited = timeout::Config::total(ms(30));
    assert_eq!(limited.deadline(now, None), after(30));
    assert_eq!(limited.deadline(now, Some(ms(10))), after(10));
    assert_eq!(limited.deadline(now, Some(ms(50))), after(30));
    let unlimited = timeout::Config::attempt(ms(30));
    assert_eq!((unlimited.deadline(now, None), unlimited.deadline(now, Some(ms(50)))), (None, after(50)));
    assert_eq!(limited.deadline(Timestamp::MAX, None), Some(Timestamp::MAX), "the end of time is no earlier time");
}

#[test]
fn reasons_of_transitions_have_distinct_words() {
    use TransitionReason as Reason;
    let reasons = [
        (Reason::ConsecutiveFailures, "consecutive_failures"),
        (Reason::FailureRate, "failure_rate"),
        (Reason::SlowCallRate, "slow_call_rate"),
        (Reason::AbandonedCalls, "abandoned_calls"),
        (Reason::RecoveryElapsed, "recovery_elapsed"),
        (Reason::ProbesSucceeded, "probes_succeeded"),
        (Reason::ProbesFailed, "probes_failed"),
        (Reason::Reset, "reset"),
        (Reason::Tripped, "tripped"),
        (Reason::ForcedOpen, "forced_open"),
        (Reason::ForcedClosed, "forced_closed"),
        (Reason::Disabled, "disabled"),
        (Reason::MetricsOnly, "metrics_only"),
        (Reason::Reconfigured, "reconfigured"),
    ];
    for (reason, word) in reasons {
        assert_eq!((reason.as_str(), reason.to_string().as_str()), (word, word));
    }
}

#[test]
fn event_tells_what_happened_in_words() {
    let rejected = |suppressed| EventKind::Rejected { rejection: refusals()[5].clone(), suppressed };
    let transition = |would_be| EventKind::Transition {
        from: State::Closed,
        to: State::Open,
        reason: TransitionReason::Tripped,
        would_be,
    };
    let events = [
        (transition(false), "transition", "circuit closed -> open (tripped)"),
        (transition(true), "transition", "circuit would be closed -> open (tripped)"),
        (rejected(0), "rejected", "call refused: no target of `shop` is enabled"),
        (rejected(3), "rejected", "call refused: no target of `shop` is enabled (and 3 more before)"),
        (EventKind::Reloaded { detail: "file".into() }, "reloaded", "configuration reloaded: file"),
        (EventKind::ReloadRefused { reason: "bad".into() }, "reload_refused", "reload refused: bad"),
        (EventKind::CountersReset, "counters_reset", "counters reset"),
    ];
    for (kind, word, text) in events {
        assert_eq!(kind.as_str(), word);
        let event = Event::new(Timestamp::ZERO, "shop".into(), kind);
        assert_eq!(event.to_string(), format!("`shop`: {text}"));
    }
}

#[test]
fn closure_over_a_result_is_a_classifier_that_knows_nothing_of_the_request() {
    let classifier = |result: Result<&u16, &()>| match result {
        Ok(500) => Class::Transient,
        Ok(_) => Class::Success,
        Err(()) => Class::Permanent,
    };
    let classes = [Ok(&500), Ok(&200), Err(&())].map(|result| {
        let request = Classify::<(), u16, ()>::request(&classifier, &());
        Classify::<(), u16, ()>::classify(&classifier, &request, result).class.kind()
    });
    assert_eq!(classes, [ClassKind::Transient, ClassKind::Success, ClassKind::Permanent]);
}

#[test]
fn what_is_printed_of_a_machine_names_it() {
    let limiter = concurrency::Limiter::new("shop", concurrency::Config::new(2)).unwrap();
    let rate = RateLimiter::new("shop", tower_rampart_core::rate::Config::per_second(1.0)).unwrap();
    let breakers = breaker::Breakers::default();
    breakers.get_or_create("shop", breaker::Config::default()).unwrap();
    for printed in [format!("{limiter:?}"), format!("{rate:?}"), format!("{breakers:?}")] {
        assert!(printed.contains("\"shop\""), "{printed}");
    }
}
