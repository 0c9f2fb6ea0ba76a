//! The fields of the section `retry`.

use tower_rampart_core::retry::{JitterKind, Methods};

use super::{COUNT, DURATION, DURATION_OR_ZERO, Field, MOST, SHARE, slot};
use crate::{
    Capability,
    kind::Kind,
    value::{Value, Words},
};

pub(super) static FIELDS: &[Field] = &[
    Field::new("retry.enabled", Kind::Bool, "Whether the stage is on.", slot!(retry.enabled)),
    Field::new(
        "retry.max_attempts",
        COUNT,
        "The most attempts of one call, the first included.",
        slot!(retry.max_attempts),
    ),
    Field::new("retry.backoff.base", DURATION_OR_ZERO, "The first wait.", slot!(retry.backoff.base)),
    Field::new(
        "retry.backoff.factor",
        Kind::Number { min: 1.0, max: f64::MAX },
        "The growth from one wait to the next.",
        slot!(retry.backoff.factor),
    ),
    Field::new("retry.backoff.min", DURATION_OR_ZERO, "The shortest wait.", slot!(retry.backoff.min)),
    Field::new("retry.backoff.max", DURATION_OR_ZERO, "The longest wait, before jitter.", slot!(retry.backoff.max)),
    Field::new(
        "retry.jitter.kind",
        Kind::Words(JitterKind::WORDS),
        "How chance enters the wait.",
        slot!(retry.jitter.kind),
    ),
    Field::new("retry.jitter.max", DURATION_OR_ZERO, "The most that additive jitter adds.", slot!(retry.jitter.max)),
    Field::new(
        "retry.methods",
        Kind::Methods,
        "Which HTTP methods may be sent again: idempotent, all, or a list beside the idempotent ones.",
        slot!(retry.methods),
    )
    .needs(|value| matches!(value, Value::Methods(Methods::Also(_))).then_some(Capability::Http)),
    Field::new(
        "retry.respect_retry_after",
        Kind::Bool,
        "Whether a server's hint when to come back lengthens the wait.",
        slot!(retry.respect_retry_after),
    ),
    Field::new(
        "retry.retry_after_max",
        DURATION,
        "A hint above this ends the call with the last answer.",
        slot!(retry.retry_after_max),
    ),
    Field::new("retry.budget.enabled", Kind::Bool, "Whether retries pay.", slot!(retry.budget.enabled)),
    Field::new("retry.budget.ratio", SHARE, "What each first attempt deposits.", slot!(retry.budget.ratio)),
    Field::new(
        "retry.budget.min_per_second",
        Kind::Number { min: 0.0, max: MOST as f64 },
        "Retries a second that are paid for by time alone.",
        slot!(retry.budget.min_per_second),
    ),
    Field::new(
        "retry.budget.capacity",
        Kind::Number { min: 1.0, max: MOST as f64 },
        "The most that the budget holds.",
        slot!(retry.budget.capacity),
    ),
];
