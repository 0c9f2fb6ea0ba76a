//! The fields of stages that are judged but not yet served: refused as unsupported once they are enabled.

use super::{Field, Target};
use crate::{Capability, kind::Kind, value::Value};

macro_rules! stage {
    ($path:literal, $capability:ident) => {
        Field::new($path, Kind::Bool, "Whether the stage is on.", Target::Reserved)
            .needs(|value| (*value == Value::Bool(true)).then_some(Capability::$capability))
    };
}

pub(super) static FIELDS: &[Field] = &[stage!("nested_retry.enabled", NestedRetry)];
