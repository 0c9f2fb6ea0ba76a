//! The rungs of the retry ladder, one by one and in their order.
#![cfg(not(loom))]

use std::{cell::Cell, time::Duration};

use tower_rampart_core::{
    Class, RequestInfo, Timestamp, Verdict,
    classify::Method,
    retry::{
        Attempts, Backoff, Budget, BudgetConfig, Config, Decision, Jitter, JitterKind, Methods, StopReason, Withdrawal,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    let mut config = Config::default();
    config.jitter = Jitter { kind: JitterKind::None, ..Jitter::default() };
    config.max_attempts = 10;
    config
}

fn limited(retry_after: Option<Duration>) -> Verdict {
    Class::RateLimited { retry_after }.into()
}

fn post() -> RequestInfo {
    let mut request = RequestInfo::default();
    (request.idempotent, request.method) = (false, Some(Method::Post));
    request
}

fn decide(config: &Config, verdict: &Verdict, request: &RequestInfo, deadline: Option<Timestamp>) -> Decision {
    Attempts::new(config, 1).decide(verdict, request, Timestamp::ZERO, deadline, None)
}

/// Sent again after this wait, with nothing paid.
fn waits(wait: Duration) -> Decision {
    Decision::Wait(wait, Withdrawal::default())
}

fn plain(config: &Config, verdict: &Verdict) -> Decision {
    decide(config, verdict, &RequestInfo::default(), None)
}

#[test]
fn class_decides_first() {
    let mut once = config();
    once.max_attempts = 1;
    assert_eq!(plain(&once, &Class::Success.into()), Decision::Accept);
    assert_eq!(plain(&once, &Class::Permanent.into()), Decision::Stop(StopReason::Class));
    assert_eq!(plain(&once, &Class::Ignored.into()), Decision::Stop(StopReason::Class));
    assert_eq!(plain(&once, &Class::Transient.into()), Decision::Stop(StopReason::Attempts));
}

#[test]
fn verdict_overrides_what_the_class_implies() {
    let never = Verdict::new(Class::Transient).with_retry(false);
    assert_eq!(plain(&config(), &never), Decision::Stop(StopReason::Class));
    let always = Verdict::new(Class::Permanent).with_retry(true);
    assert_eq!(plain(&config(), &always), waits(SECOND));
}

#[test]
fn harmful_request_is_sent_again_only_unprocessed_or_by_wider_methods() {
    let failed = Verdict::new(Class::Transient);
    assert_eq!(decide(&config(), &failed, &post(), None), Decision::Stop(StopReason::NotIdempotent));
    assert_eq!(decide(&config(), &failed.not_processed(), &post(), None), waits(SECOND));
    for (methods, expected) in [
        (Methods::All, waits(SECOND)),
        (Methods::also([Method::Post]), waits(SECOND)),
        (Methods::also([Method::Patch]), Decision::Stop(StopReason::NotIdempotent)),
    ] {
        let mut config = config();
        config.methods = methods;
        assert_eq!(decide(&config, &failed, &post(), None), expected);
    }
}

#[test]
fn stage_that_is_off_keeps_no_request_and_makes_one_attempt() {
    let mut config = config();
    config.enabled = false;
    assert!(!Attempts::new(&config, 1).may_retry());
    assert_eq!(plain(&config, &Class::Transient.into()), Decision::Stop(StopReason::Attempts));
}

#[test]
fn request_is_kept_only_while_another_attempt_is_possible() {
    let mut config = config();
    config.max_attempts = 2;
    let mut attempts = Attempts::new(&config, 1);
    assert!(attempts.may_retry());
    let failed = Class::Transient.into();
    attempts.decide(&failed, &RequestInfo::default(), Timestamp::ZERO, None, None);
    assert_eq!((attempts.attempt(), attempts.may_retry()), (2, false));
}

#[test]
fn rate_limited_without_a_hint_waits_twice_the_backoff_up_to_the_cap() {
    assert_eq!(plain(&config(), &limited(None)), waits(2 * SECOND));
    let mut capped = config();
    capped.backoff = Backoff { max: SECOND * 3 / 2, ..Backoff::default() };
    assert_eq!(plain(&capped, &limited(None)), waits(SECOND * 3 / 2));
}

#[test]
fn zero_hint_is_no_hint_and_a_hint_can_be_ignored() {
    assert_eq!(plain(&config(), &limited(Some(Duration::ZERO))), waits(2 * SECOND));
    let mut deaf = config();
    deaf.respect_retry_after = false;
    assert_eq!(plain(&deaf, &limited(Some(SECOND * 3600))), waits(2 * SECOND));
}

#[test]
fn hint_above_its_maximum_stops_at_once_without_reading_the_clock() {
    let mut config = config();
    config.retry_after_max = SECOND * 5;
    let reads = Cell::new(0);
    let clock = || {
        reads.set(reads.get() + 1);
        Timestamp::ZERO
    };
    let budget = Budget::new(BudgetConfig::default()).unwrap();
    let request = RequestInfo::default();
    let mut attempts = Attempts::new(&config, 1);
    let mut decide = |hint| attempts.decide(&limited(Some(hint)), &request, clock, None, Some(&budget));
    assert_eq!(decide(SECOND * 6), Decision::Stop(StopReason::Deadline));
    assert_eq!(reads.get(), 0);
    assert!(matches!(decide(SECOND * 5), Decision::Wait(wait, _) if wait == SECOND * 5));
    assert_eq!(reads.get(), 1);
}

#[test]
fn wait_must_end_before_the_deadline() {
    let deadline = |millis| Some(Timestamp::from_millis(millis));
    let failed = Class::Transient.into();
    let request = RequestInfo::default();
    assert_eq!(decide(&config(), &failed, &request, deadline(1000)), Decision::Stop(StopReason::Deadline));
    assert_eq!(decide(&config(), &failed, &request, deadline(1001)), waits(SECOND));
}

#[test]
fn wait_that_does_not_fit_pays_nothing() {
    let budget = Budget::new(BudgetConfig::default()).unwrap();
    let deadline = Some(Timestamp::from_millis(1000));
    let mut attempts = Attempts::new(&config(), 1);
    let failed = Class::Transient.into();
    let decision = attempts.decide(&failed, &RequestInfo::default(), Timestamp::ZERO, deadline, Some(&budget));
    assert_eq!(decision, Decision::Stop(StopReason::Deadline));
    assert!((budget.level(Timestamp::ZERO) - 10.0).abs() < f64::EPSILON);
    assert_eq!(attempts.attempt(), 1);
}

#[test]
fn decision_says_whether_the_retry_was_paid() {
    for enabled in [true, false] {
        let budget = Budget::new(BudgetConfig { enabled, ..BudgetConfig::default() }).unwrap();
        let mut attempts = Attempts::new(&config(), 1);
        let failed = Class::Transient.into();
        let decision = attempts.decide(&failed, &RequestInfo::default(), Timestamp::ZERO, None, Some(&budget));
        assert!(matches!(decision, Decision::Wait(_, withdrawal) if withdrawal.is_paid() == enabled));
    }
}

#[test]
fn empty_budget_stops() {
    let empty = BudgetConfig { min_per_second: 0.0, ..BudgetConfig::default() };
    let budget = Budget::new(empty).unwrap();
    let mut attempts = Attempts::new(&config(), 1);
    let failed = Class::Transient.into();
    let decision = attempts.decide(&failed, &RequestInfo::default(), Timestamp::ZERO, None, Some(&budget));
    assert_eq!(decision, Decision::Stop(StopReason::Budget));
}

#[test]
fn refusal_of_the_own_limiter_is_waited_for() {
    let refused = Verdict::new(Class::Ignored).with_retry(true).not_processed();
    let mut attempts = Attempts::new(&config(), 1);
    let decision =
        attempts.decide_with_hint(&refused, &post(), Timestamp::ZERO, None, None, Some(Duration::from_secs(4)));
    assert_eq!(decision, waits(SECOND * 4));
}

#[test]
fn reasons_have_distinct_words() {
    let words: std::collections::BTreeSet<_> = StopReason::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(words.len(), StopReason::ALL.len());
}

#[test]
fn attempts_that_are_left_to_the_sender_are_not_made() {
    let failed = Verdict::from(Class::Transient);
    let mut attempts = Attempts::new(&config(), 1);
    assert_eq!(attempts.decide(&failed, &RequestInfo::default(), Timestamp::ZERO, None, None), waits(SECOND));
    attempts.leave_to_sender();
    assert!(!attempts.may_retry());
    let decide = |attempts: &mut Attempts, verdict: &Verdict, request: &RequestInfo| {
        attempts.decide(verdict, request, Timestamp::ZERO, None, None)
    };
    let stop = decide(&mut attempts, &failed, &RequestInfo::default());
    assert_eq!((stop, attempts.attempt()), (Decision::Stop(StopReason::NestedRetry), 2));
    let permanent = decide(&mut attempts, &Class::Permanent.into(), &RequestInfo::default());
    assert_eq!(permanent, Decision::Stop(StopReason::Class), "no retry would have been made anyway");
    assert_eq!(decide(&mut attempts, &failed, &post()), Decision::Stop(StopReason::NotIdempotent));
    assert_eq!(decide(&mut attempts, &Class::Success.into(), &post()), Decision::Accept);
}

#[test]
fn sender_is_left_nothing_where_nothing_is_left() {
    let mut once = config();
    once.max_attempts = 1;
    let mut attempts = Attempts::new(&once, 1);
    attempts.leave_to_sender();
    let decision = attempts.decide(&Class::Transient.into(), &RequestInfo::default(), Timestamp::ZERO, None, None);
    assert_eq!(decision, Decision::Stop(StopReason::Attempts));
}

#[test]
fn attempts_left_to_the_sender_cost_the_budget_nothing() {
    let budget = Budget::new(BudgetConfig::default()).expect("a budget");
    let before = budget.level(Timestamp::ZERO);
    let mut attempts = Attempts::new(&config(), 1);
    attempts.leave_to_sender();
    let request = RequestInfo::default();
    let decision = attempts.decide(&Class::Transient.into(), &request, Timestamp::ZERO, None, Some(&budget));
    assert_eq!(decision, Decision::Stop(StopReason::NestedRetry));
    assert!((budget.level(Timestamp::ZERO) - before).abs() < 1e-9);
}
