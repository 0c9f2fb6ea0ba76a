//! What the stages that refuse by class, by chance and in shadow are told, what they say of answers, and what the registry counts for them. How they decide is in
//! `throttle.rs` and `concurrency_properties.rs`.

use tower_rampart_core::{
    Class, Stage, Timestamp, Verdict,
    priority::{self, Priority},
    registry::Registry,
    shadow::{self, Stages, Switch, WouldBe},
    throttle::is_accepted,
};

#[test]
fn classes_are_read_as_they_are_written() {
    for priority in Priority::ALL {
        assert_eq!(Priority::parse(&priority.to_string()), Some(priority));
        assert_eq!(Priority::parse(&priority.as_str().to_uppercase()), Some(priority));
    }
    for other in ["", "critical ", "critical_plus_plus", "high"] {
        assert_eq!(Priority::parse(other), None, "{other}");
    }
}

#[test]
fn no_class_may_take_more_than_a_more_important_one() {
    let config = priority::Config::default();
    assert_eq!(config.check(), Ok(()));
    for (field, change) in [
        ("priority.shares.critical_plus", (|it| it.shares.critical_plus = 1.1) as fn(&mut priority::Config)),
        ("priority.shares.critical", |it| it.shares.critical_plus = 0.8),
        ("priority.shares.sheddable_plus", |it| it.shares.sheddable_plus = 0.95),
        ("priority.shares.sheddable", |it| it.shares.sheddable = f64::NAN),
    ] {
        let mut changed = config;
        change(&mut changed);
        assert_eq!(changed.check().map_err(|error| error.field), Err(field));
    }
}

#[test]
fn answers_say_whether_the_call_was_taken_on() {
    let refused = Class::Unavailable { retry_after: None };
    let limited = Class::RateLimited { retry_after: None };
    for (class, accepted) in [
        (Class::Success, Some(true)),
        (Class::Permanent, Some(true)),
        (Class::Transient, Some(true)),
        (refused, Some(false)),
        (limited, Some(false)),
        (Class::Ignored, None),
    ] {
        assert_eq!(is_accepted(&class.into()), accepted, "{class:?}");
    }
    let mut unsent = Verdict::from(Class::Transient);
    unsent.unprocessed = true;
    assert_eq!(is_accepted(&unsent), Some(false));
}

#[test]
fn stages_in_shadow_are_those_that_were_named_while_it_is_on() {
    let mut config = shadow::Config::default();
    assert!(config.shadowed().is_empty());
    config.enabled = true;
    assert_eq!(config.shadowed().iter().count(), Stages::REFUSING.len());
    config.stages = [Stage::RateLimit, Stage::Timeout].into_iter().collect();
    assert_eq!(format!("{:?}", config.shadowed()), r#"{"rate_limit", "timeout"}"#);
    assert!(!config.shadowed().has(Stage::CircuitBreaker));
}

#[test]
fn switch_counts_both_and_is_turned() {
    let shadow = Switch::default();
    assert!(!shadow.is_on());
    shadow.set(true);
    assert!(shadow.is_on());
    shadow.count(WouldBe::Queued);
    shadow.count(WouldBe::Refused);
    shadow.count(WouldBe::Refused);
    assert_eq!((shadow.refusals(), shadow.waits()), (2, 1));
}

#[test]
fn what_was_shed_and_what_would_have_been_is_in_snapshot_and_page() {
    let registry = Registry::with_clock(|| Timestamp::ZERO);
    let operation = registry.operation("search").expect("there is room");
    operation.shed(Priority::Sheddable);
    operation.shadowed(Stage::RateLimit, WouldBe::Refused);
    operation.shadowed(Stage::RateLimit, WouldBe::Refused);
    operation.shadowed(Stage::Concurrency, WouldBe::Queued);
    let snapshot = operation.snapshot(Timestamp::ZERO);
    assert_eq!(snapshot.shed, Priority::ALL.map(|it| (it, u64::from(it == Priority::Sheddable))));
    let of = |counts: &[(Stage, u64)], stage| counts.iter().find(|it| it.0 == stage).map(|it| it.1);
    assert_eq!(of(&snapshot.would_refuse, Stage::RateLimit), Some(2));
    assert_eq!(of(&snapshot.would_queue, Stage::Concurrency), Some(1));
    assert_eq!(of(&snapshot.would_refuse, Stage::Concurrency), Some(0));
    let page = registry.prometheus_text();
    for line in [
        r#"rampart_shed_total{operation="search",priority="sheddable"} 1"#,
        r#"rampart_would_refuse_total{operation="search",stage="rate_limit"} 2"#,
        r#"rampart_would_queue_total{operation="search",stage="concurrency"} 1"#,
    ] {
        assert!(page.lines().any(|it| it == line), "{line} is not in\n{page}");
    }
}
