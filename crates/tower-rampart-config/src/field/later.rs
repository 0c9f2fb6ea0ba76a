//! The fields of stages that are judged but not yet served: refused as unsupported once they are enabled.

use super::{COUNT_OR_ZERO, DURATION_OR_ZERO, Field, SHARE, Target};
use crate::{Capability, kind::Kind, value::Value};

macro_rules! stage {
    ($path:literal, $capability:ident) => {
        Field::new($path, Kind::Bool, "Whether the stage is on.", Target::Reserved)
            .needs(|value| (*value == Value::Bool(true)).then_some(Capability::$capability))
    };
}

const fn reserved(path: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field::new(path, kind, doc, Target::Reserved)
}

pub(super) static FIELDS: &[Field] = &[
    stage!("chaos.enabled", Chaos),
    reserved("chaos.latency", DURATION_OR_ZERO, "The latency that is added."),
    reserved("chaos.latency_rate", SHARE, "The share of calls that it is added to."),
    reserved("chaos.fault_rate", SHARE, "The share of calls that fail."),
    reserved("chaos.seed", COUNT_OR_ZERO, "The seed of the chance."),
];
