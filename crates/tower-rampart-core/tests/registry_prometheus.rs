//! The metrics as a scraper reads them: every line is parsed, families are whole, names cannot break out of their labels.
#![cfg(not(loom))]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests; a failure there is a failed test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use tower_rampart_core::{
    ClassKind, Outcome, Stage, Timestamp,
    breaker::{self, Breaker, State},
    concurrency::{self, Limiter},
    hedge::{self, Hedging},
    rate::{self, RateLimiter},
    registry::Registry,
    retry::{Budget, BudgetConfig, StopReason},
};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn registry() -> Registry {
    Registry::with_clock(|| NOW)
}

type Labels = BTreeMap<String, String>;

/// One sample of the text.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: Labels,
    value: f64,
}

/// Reads `{a="b",c="d"} ` with the three escapes of the format; written apart from the encoder, on purpose.
fn labels(text: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(name.chars().all(|it| it.is_ascii_lowercase() || it == '_'), "label {name:?}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("an unterminated label") {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    it @ ('"' | '\\') => it,
                    other => panic!("unknown escape {other:?}"),
                }),
                (_, other) => value.push(other),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "label twice");
        match after[end..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, after[end..].strip_prefix('}').expect("labels end with a brace")),
        }
    }
}

/// Parses the text and checks what holds for every text: HELP and TYPE before samples, each family once, no series twice, no NaN.
fn parse(text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut family = String::new();
    assert!(text.ends_with('\n'));
    for line in text.split_terminator('\n') {
        if line == "# EOF" {
            continue;
        }
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name) = (words.next().unwrap(), words.next().unwrap());
            match kind {
                "HELP" => {
                    name.clone_into(&mut family);
                    assert!(families.insert(name.to_owned()), "{name} twice");
                }
                "TYPE" => assert_eq!(name, family),
                other => panic!("unknown comment {other}"),
            }
            assert!(words.next().is_some());
            continue;
        }
        let split = line.find(['{', ' ']).unwrap();
        let (labels, value) = labels(&line[split..]);
        let name = line[..split].to_owned();
        assert!(name.starts_with(&family), "{name} outside its family {family}");
        assert!(series.insert((name.clone(), labels.clone())), "{line} twice");
        let value: f64 = value.trim_start().parse().unwrap();
        assert!(value.is_finite() && value >= 0.0, "{line}");
        samples.push(Sample { name, labels, value });
    }
    samples
}

fn value(samples: &[Sample], name: &str, wanted: &[(&str, &str)]) -> f64 {
    let fits = |it: &&Sample| {
        it.name == name
            && it.labels.len() == wanted.len()
            && wanted.iter().all(|(label, text)| it.labels.get(*label).is_some_and(|it| it == text))
    };
    let mut found = samples.iter().filter(fits);
    let sample = found.next().unwrap_or_else(|| panic!("no {name} {wanted:?}"));
    assert!(found.next().is_none());
    sample.value
}

fn assert_is(samples: &[Sample], name: &str, labels: &[(&str, &str)], expected: f64) {
    let found = value(samples, name, labels);
    assert!((found - expected).abs() < 1e-9, "{name} {labels:?} is {found}, not {expected}");
}

fn breaker(name: &str) -> Arc<Breaker> {
    Arc::new(Breaker::new(name, breaker::Config::default()).unwrap())
}

/// An operation with all parts and one of everything.
fn busy(registry: &Registry, name: &str) {
    let operation = registry.operation(name).unwrap();
    for (outcome, class, millis) in [
        (Outcome::Success, ClassKind::Success, 1),
        (Outcome::Failure, ClassKind::Transient, 2_000),
        (Outcome::Ignored, ClassKind::Ignored, 5),
    ] {
        operation.started();
        operation.finished(outcome, class, Duration::from_millis(millis), NOW);
    }
    operation.started();
    operation.abandoned(NOW);
    operation.started();
    operation.rejected(Stage::RateLimit);
    operation.attempts(3);
    operation.retried();
    operation.retried();
    operation.stopped(StopReason::Budget);
    operation.fell_back();
    operation.queued_for(Duration::from_millis(250));
    operation.attach_breaker(breaker(name));
    operation.attach_rate_limiter(Arc::new(RateLimiter::new(name, rate::Config::per_second(4.0)).unwrap()));
    let limiter = Limiter::new(name, concurrency::Config::new(3)).unwrap();
    let _permit = limiter.try_acquire().unwrap();
    operation.attach_concurrency_limiter(Arc::new(limiter));
    let hedging = Arc::new(Hedging::new(hedge::Config::delay(Duration::from_millis(125))).unwrap());
    for end in [hedge::End::Won, hedge::End::Abandoned, hedge::End::Abandoned] {
        hedging.begun();
        hedging.ended(end);
    }
    hedging.unpaid();
    operation.attach_hedging(hedging);
    operation.attach_budget(Arc::new(Budget::new(BudgetConfig::default()).unwrap()));
}

#[test]
fn what_moves_a_limit_is_said_where_something_does() {
    let registry = registry();
    busy(&registry, "fixed");
    let mut config = concurrency::Config::new(3);
    config.adaptive = Some(concurrency::Adaptive::new(concurrency::Algorithm::Vegas));
    let limiter = Arc::new(Limiter::new("moving", config).unwrap());
    registry.operation("moving").unwrap().attach_concurrency_limiter(Arc::clone(&limiter));
    let read = || parse(&registry.prometheus_text());
    let samples = read();
    for (algorithm, expected) in [("aimd", 0.0), ("vegas", 1.0), ("gradient2", 0.0)] {
        let labels = [("operation", "moving"), ("algorithm", algorithm)];
        assert_is(&samples, "rampart_concurrency_algorithm", &labels, expected);
    }
    assert!(!registry.prometheus_text().contains(r#"rampart_concurrency_algorithm{operation="fixed""#));
    let signals = registry.signals("moving").unwrap();
    assert_eq!(signals.concurrency_algorithm, Some(concurrency::Algorithm::Vegas));
    let at = Timestamp::from_millis(1);
    limiter.record(&concurrency::Sample::dropped(at, at), at);
    assert_is(&read(), "rampart_concurrency_max", &[("operation", "moving")], 2.0);
    limiter.reconfigure(concurrency::Config::new(3)).unwrap();
    assert!(!registry.prometheus_text().contains("rampart_concurrency_algorithm{"));
}

#[test]
fn every_number_is_there() {
    let registry = registry();
    busy(&registry, "a");
    let samples = parse(&registry.prometheus_text());
    let all = |name, more: &[(&str, &str)], expected| {
        assert_is(&samples, name, &[&[("operation", "a")], more].concat(), expected);
    };
    assert_is(&samples, "rampart_operations", &[], 1.0);
    for outcome in Outcome::ALL {
        all("rampart_calls_total", &[("outcome", outcome.as_str())], 1.0);
    }
    all("rampart_inflight", &[], 1.0);
    all("rampart_rejections_total", &[("stage", "rate_limit")], 1.0);
    all("rampart_rejections_total", &[("stage", "circuit_breaker")], 0.0);
    all("rampart_attempts_total", &[], 3.0);
    all("rampart_retries_total", &[], 2.0);
    all("rampart_retry_stops_total", &[("reason", "budget")], 1.0);
    all("rampart_timeouts_total", &[("kind", "attempt")], 0.0);
    all("rampart_fallbacks_total", &[], 1.0);
    all("rampart_queued_calls_total", &[], 1.0);
    all("rampart_queue_seconds_total", &[], 0.25);
    all("rampart_call_duration_seconds_count", &[], 2.0);
    all("rampart_call_duration_seconds_sum", &[], 2.001);
    all("rampart_call_duration_seconds_bucket", &[("le", "0.000524288")], 0.0);
    all("rampart_call_duration_seconds_bucket", &[("le", "0.001048576")], 1.0);
    all("rampart_call_duration_seconds_bucket", &[("le", "68.719476736")], 2.0);
    all("rampart_call_duration_seconds_bucket", &[("le", "+Inf")], 2.0);
    all("rampart_rate_remaining", &[], 4.0);
    all("rampart_rate_queued", &[], 0.0);
    all("rampart_concurrency_inflight", &[], 1.0);
    all("rampart_concurrency_max", &[], 3.0);
    all("rampart_concurrency_queued", &[], 0.0);
    all("rampart_retry_budget", &[], 10.0);
    all("rampart_circuit_transitions_total", &[], 0.0);
    all("rampart_hedges_total", &[], 3.0);
    all("rampart_hedge_ends_total", &[("end", "won")], 1.0);
    all("rampart_hedge_ends_total", &[("end", "failed")], 0.0);
    all("rampart_hedge_ends_total", &[("end", "abandoned")], 2.0);
    all("rampart_hedges_unpaid_total", &[], 1.0);
    all("rampart_hedge_delay_seconds", &[], 0.125);
}

#[test]
fn exactly_one_state_of_a_circuit_is_set_at_a_time() {
    let registry = registry();
    let operation = registry.operation("a").unwrap();
    operation.attach_breaker(breaker("a"));
    let circuit = operation.breaker().unwrap();
    let expect = |state: State, transitions: f64| {
        let samples = parse(&registry.prometheus_text());
        for it in State::ALL {
            let labels = [("operation", "a"), ("state", it.as_str())];
            assert_is(&samples, "rampart_circuit_state", &labels, f64::from(u8::from(it == state)));
        }
        assert_is(&samples, "rampart_circuit_transitions_total", &[("operation", "a")], transitions);
    };
    expect(State::Closed, 0.0);
    circuit.trip(NOW);
    expect(State::Open, 1.0);
    circuit.force_open(NOW);
    expect(State::ForcedOpen, 2.0);
    circuit.reset(NOW);
    expect(State::Closed, 3.0);
}

#[test]
fn a_breaker_without_an_operation_is_shown_once_and_one_with_an_operation_too() {
    let registry = registry();
    let shared = breaker("shared");
    registry.operation("a").unwrap().attach_breaker(Arc::clone(&shared));
    registry.operation("b").unwrap().attach_breaker(shared);
    registry.breakers().get_or_create("alone", breaker::Config::default()).unwrap();
    let samples = parse(&registry.prometheus_text());
    let names: Vec<_> = samples
        .iter()
        .filter(|it| it.name == "rampart_circuit_transitions_total")
        .map(|it| it.labels["operation"].as_str())
        .collect();
    assert_eq!(names, ["a", "b", "alone"]);
}

#[test]
fn transitions_are_counted_on_when_another_breaker_is_attached() {
    let registry = registry();
    let operation = registry.operation("a").unwrap();
    let expect = |transitions: f64| {
        let samples = parse(&registry.prometheus_text());
        assert_is(&samples, "rampart_circuit_transitions_total", &[("operation", "a")], transitions);
    };
    let (first, second) = (breaker("a"), breaker("a"));
    operation.attach_breaker(Arc::clone(&first));
    first.trip(NOW);
    first.reset(NOW);
    expect(2.0);
    second.trip(NOW);
    operation.attach_breaker(Arc::clone(&second));
    expect(2.0);
    second.reset(NOW);
    expect(3.0);
    operation.attach_breaker(Arc::clone(&second));
    first.trip(NOW);
    operation.attach_breaker(first);
    expect(3.0);
}

#[test]
fn counters_do_not_go_down_at_a_reset() {
    let registry = registry();
    busy(&registry, "a");
    let before = registry.prometheus_text();
    registry.reset_counters(None);
    assert_eq!(registry.snapshot().operations[0].success, 0);
    assert_eq!(registry.prometheus_text(), before);
}

#[test]
fn openmetrics_names_counters_without_total_and_ends() {
    let registry = registry();
    busy(&registry, "a");
    let text = registry.openmetrics_text();
    assert!(text.contains("# TYPE rampart_calls counter\n") && text.contains("\nrampart_calls_total{"));
    assert!(text.ends_with("\n# EOF\n"));
    let (own, other) = (parse(&text), parse(&registry.prometheus_text()));
    assert_eq!(own.len(), other.len());
}

#[test]
fn an_empty_registry_is_a_valid_text() {
    let samples = parse(&registry().prometheus_text());
    assert_eq!(samples.len(), 1);
    assert_is(&samples, "rampart_operations", &[], 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_operation_name_breaks_out_of_its_label(names in prop::collection::btree_set("(\\PC|[\"\\\\\n\r,={} #])*", 1..4)) {
        let registry = registry();
        for name in &names {
            busy(&registry, name);
        }
        let samples = parse(&registry.prometheus_text());
        for name in &names {
            assert_is(&samples, "rampart_attempts_total", &[("operation", name)], 3.0);
        }
        assert_is(&samples, "rampart_operations", &[], names.len() as f64);
    }
}
