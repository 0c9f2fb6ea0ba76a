//! The fields of the section `shadow`.

use super::{Field, slot};
use crate::{Capability, kind::Kind, value::Value};

/// The stages that can be in shadow.
const REFUSING: Kind = Kind::WordList(&["circuit_breaker", "rate_limit", "concurrency", "timeout"]);

pub(super) static FIELDS: &[Field] = &[
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
