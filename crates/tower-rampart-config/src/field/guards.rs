//! The fields of the sections `throttle` and `shadow`.

use super::{COUNT, DURATION, Field, slot};
use crate::{Capability, kind::Kind, value::Value};

/// The stages that can be in shadow.
const REFUSING: Kind = Kind::WordList(&["circuit_breaker", "rate_limit", "concurrency", "timeout", "throttle"]);

pub(super) static FIELDS: &[Field] = &[
    Field::new(
        "throttle.enabled",
        Kind::Bool,
        "Whether calls are not made, by chance, while the service behind refuses most.",
        slot!(throttle.enabled),
    )
    .needs(|value| (*value == Value::Bool(true)).then_some(Capability::Throttle)),
    Field::new(
        "throttle.ratio",
        Kind::Number { min: 1.0, max: 100.0 },
        "Calls made for each that is accepted before any is refused here.",
        slot!(throttle.ratio),
    ),
    Field::new("throttle.window", DURATION, "How far back it looks.", slot!(throttle.window)),
    Field::new(
        "throttle.minimum_calls",
        COUNT,
        "Calls in the window before any is refused.",
        slot!(throttle.minimum_calls),
    ),
    Field::new(
        "shadow.enabled",
        Kind::Bool,
        "Whether the stages only evaluate what they would do, and refuse nothing.",
        slot!(shadow.enabled),
    )
    .needs(|value| (*value == Value::Bool(true)).then_some(Capability::Shadow)),
    Field::new("shadow.stages", REFUSING, "Which stages; all of these unless it is said.", slot!(shadow.stages)),
];

#[cfg(test)]
mod tests {
    use tower_rampart_core::shadow::Stages;

    use super::*;

    #[test]
    fn every_stage_that_refuses_can_be_named() {
        let Kind::WordList(words) = REFUSING else { panic!("it is a list of words") };
        assert_eq!(words.to_vec(), Stages::REFUSING.map(tower_rampart_core::Stage::as_str));
    }
}
