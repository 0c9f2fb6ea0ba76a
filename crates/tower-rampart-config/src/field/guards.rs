//! The fields of the sections `throttle`, `priority`, `nested_retry` and `shadow`.

use tower_rampart_core::priority::Priority;

use super::{COUNT, DURATION, Field, SHARE, slot};
use crate::{
    Capability,
    kind::Kind,
    operation::NestedRetryConfig,
    value::{Value, Words},
};

/// The stages that can be in shadow.
const REFUSING: Kind =
    Kind::WordList(&["circuit_breaker", "rate_limit", "concurrency", "timeout", "throttle", "priority"]);

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
        "priority.enabled",
        Kind::Bool,
        "Whether the least important calls are shed first.",
        slot!(priority.enabled),
    )
    .needs(|value| (*value == Value::Bool(true)).then_some(Capability::Priority)),
    Field::new(
        "priority.header",
        Kind::Header,
        "The request header that states how important a call is; whoever sends it is believed.",
        slot!(http.priority_header),
    )
    .needs(|_| Some(Capability::Http)),
    Field::new(
        "priority.default",
        Kind::Words(Priority::WORDS),
        "The importance of calls that state none.",
        slot!(priority.default),
    ),
    Field::new(
        "priority.shares.critical_plus",
        SHARE,
        "What of the permits and the queue may be taken while such a call still enters.",
        slot!(priority.shares.critical_plus),
    ),
    Field::new(
        "priority.shares.critical",
        SHARE,
        "The same of this class; at most that of the one before it.",
        slot!(priority.shares.critical),
    ),
    Field::new(
        "priority.shares.sheddable_plus",
        SHARE,
        "The same of this class; at most that of the one before it.",
        slot!(priority.shares.sheddable_plus),
    ),
    Field::new(
        "priority.shares.sheddable",
        SHARE,
        "The same of this class; at most that of the one before it.",
        slot!(priority.shares.sheddable),
    ),
    Field::new(
        "nested_retry.enabled",
        Kind::Bool,
        "Whether retries are left to whoever sends a request and says that it retries it, and services behind are told so.",
        slot!(nested_retry.enabled),
    )
    .needs(|value| (*value == Value::Bool(true)).then_some(Capability::NestedRetry)),
    Field::new(
        "nested_retry.header",
        Kind::Header,
        "The request header that says so, read and written.",
        slot!(nested_retry.header),
    )
    .needs(|value| (*value != Value::Text(NestedRetryConfig::HEADER.to_owned())).then_some(Capability::Http)),
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
