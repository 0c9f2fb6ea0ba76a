//! The fields of stages that are judged but not yet served: refused as unsupported once they are enabled.

use super::{COUNT, DURATION, DURATION_OR_ZERO, Field, Target};
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
    stage!("cache.enabled", Cache),
    reserved("cache.ttl", DURATION, "How long an answer is kept."),
    reserved("cache.max_entries", COUNT, "The most answers that are kept."),
    reserved("cache.stale_if_error", DURATION_OR_ZERO, "How long an expired answer may stand in for an error."),
    stage!("throttle.enabled", Throttle),
    stage!("priority.enabled", Priority),
    stage!("shadow.enabled", Shadow),
    stage!("nested_retry.enabled", NestedRetry),
];
