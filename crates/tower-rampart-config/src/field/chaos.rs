//! The fields of the section `chaos`.

use super::{COUNT_OR_ZERO, DURATION_OR_ZERO, Field, SHARE, slot};
use crate::{Capability, kind::Kind, value::Value};

pub(super) static FIELDS: &[Field] = &[
    Field::new("chaos.enabled", Kind::Bool, "Whether the stage is on.", slot!(chaos.enabled))
        .needs(|value| (*value == Value::Bool(true)).then_some(Capability::Chaos)),
    Field::new("chaos.latency", DURATION_OR_ZERO, "The latency that is added on purpose.", slot!(chaos.latency)),
    Field::new("chaos.latency_rate", SHARE, "The share of attempts that it is added to.", slot!(chaos.latency_rate)),
    Field::new("chaos.fault_rate", SHARE, "The share of attempts that fail on purpose.", slot!(chaos.fault_rate)),
    Field::new(
        "chaos.seed",
        COUNT_OR_ZERO,
        "The seed of the chance: the same one strikes the same attempts.",
        slot!(chaos.seed),
    ),
];
