//! The fields of the section `circuit_breaker`.

use tower_rampart_core::{
    Code,
    breaker::{HalfOpenPolicy, Matcher, Scope},
};

use super::{COUNT, DURATION, Field, LONGEST, MOST, RATE, SHARE, Target, keyed, max_keys, max_keys_slot, slot};
use crate::{
    Capability,
    kind::Kind,
    value::{Value, Words},
};

pub(super) static FIELDS: &[Field] = &[
    Field::new("circuit_breaker.enabled", Kind::Bool, "Whether the stage is on.", slot!(circuit_breaker.enabled)),
    Field::new(
        "circuit_breaker.scope",
        Kind::Words(Scope::WORDS),
        "What one sample is: the logical call after its retries, or each attempt.",
        slot!(circuit_breaker.scope),
    ),
    Field::new(
        "circuit_breaker.failure_threshold",
        COUNT,
        "Consecutive failures that open the circuit.",
        slot!(circuit_breaker.failure_threshold),
    ),
    Field::new(
        "circuit_breaker.failure_rate_threshold",
        RATE,
        "Failure rate of the window from which on the circuit opens.",
        slot!(circuit_breaker.failure_rate_threshold),
    ),
    Field::new(
        "circuit_breaker.minimum_calls",
        COUNT,
        "Outcomes before a rate counts.",
        slot!(circuit_breaker.minimum_calls),
    ),
    Field::new(
        "circuit_breaker.window.type",
        Kind::Words(&["count", "time"]),
        "Whether the window holds a number of outcomes or those of some time.",
        Target::Slot {
            // The size beside it is always given with the type, and its own type decides.
            set: |_, _| {},
            get: |config| match config.circuit_breaker.window {
                tower_rampart_core::breaker::Window::Count { .. } => Some(Value::Word("count")),
                tower_rampart_core::breaker::Window::Time { .. } => Some(Value::Word("time")),
            },
        },
    ),
    Field::new(
        "circuit_breaker.window.size",
        Kind::WindowSize { max: MOST, longest: LONGEST },
        "How many outcomes, or how long.",
        slot!(circuit_breaker.window),
    ),
    Field::new(
        "circuit_breaker.slow_call_duration",
        DURATION,
        "From which duration on a call is slow.",
        slot!(circuit_breaker.slow_call_duration),
    ),
    Field::new(
        "circuit_breaker.slow_call_rate_threshold",
        RATE,
        "Share of slow calls in the window from which on the circuit opens.",
        slot!(circuit_breaker.slow_call_rate_threshold),
    ),
    Field::new(
        "circuit_breaker.recovery_timeout",
        DURATION,
        "How long the circuit stays open.",
        slot!(circuit_breaker.recovery_timeout),
    ),
    Field::new(
        "circuit_breaker.recovery_timeout_max",
        DURATION,
        "The most that recovery_backoff makes of recovery_timeout.",
        slot!(circuit_breaker.recovery_timeout_max),
    ),
    Field::new(
        "circuit_breaker.recovery_backoff",
        Kind::Number { min: 1.0, max: 100.0 },
        "Factor on the recovery time for each failed round of probes.",
        slot!(circuit_breaker.recovery_backoff),
    ),
    Field::new(
        "circuit_breaker.recovery_jitter",
        SHARE,
        "Random share by which the recovery time varies either way.",
        slot!(circuit_breaker.recovery_jitter),
    ),
    Field::new(
        "circuit_breaker.half_open_max_calls",
        COUNT,
        "Probes in flight at once while half open.",
        slot!(circuit_breaker.half_open_max_calls),
    ),
    Field::new(
        "circuit_breaker.half_open_max_wait",
        DURATION,
        "After this a probe that did not end has lost its slot.",
        slot!(circuit_breaker.half_open_max_wait),
    ),
    Field::new(
        "circuit_breaker.half_open_policy",
        Kind::Words(HalfOpenPolicy::WORDS),
        "How the half-open state is left.",
        slot!(circuit_breaker.half_open_policy),
    ),
    Field::new(
        "circuit_breaker.success_threshold",
        COUNT,
        "Successful probes that close the circuit.",
        slot!(circuit_breaker.success_threshold),
    ),
    Field::new(
        "circuit_breaker.abandoned_rate_threshold",
        RATE,
        "Share of abandoned calls from which on they count as failures.",
        slot!(circuit_breaker.abandoned_rate_threshold),
    ),
    Field::new(
        "circuit_breaker.monitor",
        Kind::Matchers,
        "What counts as a failure; if empty, what its class says.",
        slot!(circuit_breaker.monitor),
    )
    .needs(codes),
    Field::new("circuit_breaker.exclude", Kind::Matchers, "What counts neither way.", slot!(circuit_breaker.exclude))
        .needs(codes),
    keyed("circuit_breaker.per_key", slot!(keys.circuit_breaker.per_key)),
    max_keys("circuit_breaker.max_keys", max_keys_slot!(circuit_breaker)),
];

fn codes(value: &Value) -> Option<Capability> {
    let Value::Matchers(matchers) = value else { return None };
    matchers.iter().find_map(|it| match it {
        Matcher::Code(Code::Http(_)) => Some(Capability::Http),
        Matcher::Code(Code::Grpc(_)) => Some(Capability::Grpc),
        Matcher::Class(_) => None,
    })
}
