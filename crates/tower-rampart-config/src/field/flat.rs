//! The flat fields: those of the described system, with its ranges, each the twin of a section's field.

use super::{Field, Target};
use crate::{Strategy, kind::Kind};

pub(super) static FIELDS: &[Field] = &[
    Field::new(
        "retry_attempts",
        Kind::Integer { min: 1, max: 10 },
        "The most attempts of one call, the first included.",
        Target::SameAs("retry.max_attempts"),
    ),
    Field::new(
        "circuit_breaker_threshold",
        Kind::Integer { min: 1, max: 20 },
        "Consecutive failures that open the circuit.",
        Target::SameAs("circuit_breaker.failure_threshold"),
    ),
    Field::new(
        "recovery_timeout",
        Kind::WholeSeconds { min: 10, max: 300 },
        "Seconds that the circuit stays open.",
        Target::SameAs("circuit_breaker.recovery_timeout"),
    ),
    Field::new(
        "max_delay_seconds",
        Kind::WholeSeconds { min: 5, max: 600 },
        "Seconds that the whole call may take, attempts included.",
        Target::SameAs("timeout.total"),
    ),
    Field::new(
        "exponential_multiplier",
        Kind::Seconds { min: 0.1, max: 5.0 },
        "Seconds of the first wait of the backoff.",
        Target::SameAs("retry.backoff.base"),
    ),
    Field::new(
        "exponential_min",
        Kind::Seconds { min: 0.5, max: 10.0 },
        "Seconds of the shortest wait.",
        Target::SameAs("retry.backoff.min"),
    ),
    Field::new(
        "exponential_max",
        Kind::Seconds { min: 5.0, max: 120.0 },
        "Seconds of the longest wait, before jitter.",
        Target::SameAs("retry.backoff.max"),
    ),
    Field::new(
        "jitter_enabled",
        Kind::Bool,
        "Whether chance enters the wait: true is additive jitter, false none.",
        Target::SameAs("retry.jitter.kind"),
    ),
    Field::new(
        "jitter_max",
        Kind::Seconds { min: 0.1, max: 10.0 },
        "Seconds that additive jitter adds at most.",
        Target::SameAs("retry.jitter.max"),
    ),
    Field::new(
        "default_strategy",
        Kind::Words(Strategy::NAMES),
        "The strategy whose numbers replace those of the preset.",
        Target::Document,
    ),
    Field::new("preset", Kind::Text, "The preset to start from.", Target::Document),
    Field::new(
        "operation_overrides",
        Kind::Document,
        "For each operation a strategy, or an object of the same fields.",
        Target::Document,
    ),
];
