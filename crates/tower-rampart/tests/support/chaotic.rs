//! Chaos that holds every attempt up, as a layer and in the pipeline: nothing is lost at any point of the wait. What it lets fail is in `chaos.rs`.

use std::time::Duration;

use tower::Layer;
use tower_rampart::{Capability, ChaosLayer, chaos};

use super::{
    pipelines::{Scopes, builder, subject_of},
    subject::{Subject, lifted},
};

/// Longer than a step of the checks, and not a whole number of them.
const LATENCY: Duration = Duration::from_millis(7);

/// Every call is held up.
pub(crate) fn chaos_that_is_late() -> Subject {
    let mut config = chaos::Config::default();
    (config.latency, config.latency_rate) = (LATENCY, 1.0);
    let layer = ChaosLayer::new(config).unwrap();
    let handle = layer.handle();
    let mut subject = Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            let counts = handle.counts();
            assert_eq!((counts.latencies, counts.faults), (account.made, 0), "each call draws once");
        },
    );
    subject.is_late = true;
    subject
}

fn late(overrides: &'static str, samples_by_attempt: bool) -> Subject {
    let (builder, _registry) = builder(overrides);
    let chaos = r#"{"chaos": {"latency": "7ms", "latency_rate": 1}}"#;
    let layer = builder.overrides_json(chaos).unwrap().serving([Capability::Chaos]).build().unwrap();
    let handle = layer.handle();
    let mut subject = subject_of(layer, &handle, Scopes { overrides, samples_by_attempt, ..Scopes::default() });
    subject.is_late = true;
    subject
}

/// Every attempt is held up; whole calls are counted.
pub(crate) fn pipeline_with_chaos() -> Subject {
    late("{}", false)
}

/// Every attempt is held up, and is a sample of the circuit.
pub(crate) fn pipeline_with_chaos_by_attempt() -> Subject {
    late(r#"{"circuit_breaker": {"scope": "attempt"}}"#, true)
}

/// Every attempt, and every copy of one, is held up.
pub(crate) fn pipeline_with_chaos_that_hedges() -> Subject {
    late(r#"{"hedge": {"delay": "60ms", "max_hedges": 2}}"#, false)
}
