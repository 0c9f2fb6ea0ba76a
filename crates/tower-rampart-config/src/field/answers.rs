//! The fields of the sections `fallback`, `http`, `classify` and `gateway`.

use super::{COUNT_OR_ZERO, Field, Target, slot};
use crate::{
    Capability,
    kind::Kind,
    operation::{OutcomeAt, Profile},
    value::{Value, Words},
};

pub(super) static FIELDS: &[Field] = &[
    Field::new("fallback.enabled", Kind::Bool, "Whether the stage is on.", slot!(fallback.enabled))
        .needs(|value| (*value == Value::Bool(true)).then_some(Capability::Fallback)),
    Field::new(
        "fallback.on_permanent",
        Kind::Bool,
        "Whether answers that blame the request fall back as well.",
        slot!(fallback.on_permanent),
    ),
    Field::new("fallback.targets", Kind::Targets, "Base URLs tried in order.", slot!(fallback_answer.targets))
        .needs(|value| filled(value, Capability::FallbackTargets)),
    Field::new(
        "fallback.status",
        Kind::Integer { min: 200, max: 599 },
        "The HTTP status of a fixed answer.",
        slot!(fallback_answer.status),
    )
    .needs(|_| Some(Capability::FallbackAnswer)),
    Field::new("fallback.body", Kind::Text, "The body of a fixed answer.", slot!(fallback_answer.body))
        .needs(|_| Some(Capability::FallbackAnswer)),
    Field::new(
        "http.replay_max_bytes",
        COUNT_OR_ZERO,
        "The most bytes of a request body that are kept for another attempt.",
        slot!(http.replay_max_bytes),
    )
    .needs(|value| (*value != Value::Integer(65_536)).then_some(Capability::Replay)),
    Field::new(
        "http.deadline_headers",
        Kind::Headers,
        "Request headers that carry the time left for the call.",
        slot!(http.deadline_headers),
    )
    .needs(|value| filled(value, Capability::DeadlineHeaders)),
    Field::new(
        "http.attempt_header",
        Kind::Header,
        "The request header that carries the number of the attempt.",
        slot!(http.attempt_header),
    )
    .needs(|_| Some(Capability::AttemptHeader)),
    Field::new(
        "http.trusted_hops",
        COUNT_OR_ZERO,
        "Proxies whose forwarding headers are believed.",
        slot!(http.trusted_hops),
    )
    .needs(|value| (*value != Value::Integer(0)).then_some(Capability::TrustedHops)),
    Field::new(
        "http.outcome_at",
        Kind::Words(OutcomeAt::WORDS),
        "The same as classify.outcome_at.",
        Target::SameAs("classify.outcome_at"),
    ),
    Field::new("classify.profile", Kind::Words(Profile::WORDS), "What answers are read as.", slot!(classify.profile))
        .needs(|value| match value {
            Value::Word("grpc") => Some(Capability::GrpcProfile),
            Value::Word("model_api") => Some(Capability::ModelApiProfile),
            _ => None,
        }),
    Field::new(
        "classify.outcome_at",
        Kind::Words(OutcomeAt::WORDS),
        "When the outcome of a call is known.",
        slot!(classify.outcome_at),
    )
    .needs(|value| (*value == Value::Word("end_of_body")).then_some(Capability::EndOfBody)),
    Field::new(
        "classify.transient_status",
        Kind::Statuses,
        "HTTP statuses that count as transient.",
        slot!(classify.transient_status),
    )
    .needs(|value| filled(value, Capability::Http)),
    Field::new(
        "classify.permanent_status",
        Kind::Statuses,
        "HTTP statuses that count as permanent.",
        slot!(classify.permanent_status),
    )
    .needs(|value| filled(value, Capability::Http)),
    Field::new(
        "gateway.routes",
        Kind::Document,
        "For each path prefix (/a) or header (header:NAME=VALUE) the operation.",
        Target::Document,
    ),
];

/// A list that names nothing needs nothing.
fn filled(value: &Value, capability: Capability) -> Option<Capability> {
    let empty = match value {
        Value::Texts(texts) => texts.is_empty(),
        Value::Statuses(statuses) => statuses.is_empty(),
        _ => true,
    };
    (!empty).then_some(capability)
}
