//! The fields of the section `hedge`.

use tower_rampart_core::hedge::{Config, Trigger};

use super::{DURATION_OR_ZERO, Field, Target, slot};
use crate::{
    Capability,
    kind::Kind,
    value::{Slot, Value},
};

pub(super) static FIELDS: &[Field] = &[
    Field::new("hedge.enabled", Kind::Bool, "Whether the stage is on.", slot!(hedge.enabled))
        .needs(|value| (*value == Value::Bool(true)).then_some(Capability::Hedge)),
    Field::new(
        "hedge.delay",
        DURATION_OR_ZERO,
        "How long an attempt may take before a copy of it begins, and each further copy after the one before.",
        Target::Slot {
            set: |config, value| {
                if let Some(delay) = Slot::read(value) {
                    config.hedge.trigger = Trigger::Delay(delay);
                }
            },
            get: |config| match config.hedge.trigger {
                Trigger::Delay(delay) => delay.show(),
                _ => None,
            },
        },
    ),
    Field::new(
        "hedge.percentile",
        Kind::Positive { max: Config::MAX_PERCENTILE },
        "The percentile of the latencies of the last minute that is the delay.",
        Target::Slot {
            set: |config, value| {
                if let Some(percentile) = Slot::read(value) {
                    config.hedge.trigger = Trigger::Percentile(percentile);
                }
            },
            get: |config| match config.hedge.trigger {
                Trigger::Percentile(percentile) => percentile.show(),
                _ => None,
            },
        },
    ),
    Field::new(
        "hedge.max_hedges",
        Kind::Integer { min: 1, max: Config::MOST_HEDGES as u64 },
        "The most copies of one attempt beside the first.",
        slot!(hedge.max_hedges),
    ),
];
