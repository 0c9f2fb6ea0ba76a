//! The fields of the section `cache`. Those that only say something of HTTP need a host that speaks it.

use super::{COUNT, DURATION, DURATION_OR_ZERO, Field, slot};
use crate::{Capability, kind::Kind, operation::HttpCacheConfig, value::Value};

/// Bytes of all answers together.
const BYTES: Kind = Kind::Integer { min: 1, max: 1_000_000_000 };
/// Bytes of one body.
const BODY: Kind = Kind::Integer { min: 0, max: 10_000_000 };

/// What is other than by default says something of HTTP.
fn is_http(value: &Value, default: &Value) -> Option<Capability> {
    (value != default).then_some(Capability::Http)
}

pub(super) static FIELDS: &[Field] = &[
    Field::new("cache.enabled", Kind::Bool, "Whether the stage is on.", slot!(cache.enabled))
        .needs(|value| (*value == Value::Bool(true)).then_some(Capability::Cache)),
    Field::new("cache.ttl", DURATION, "How long an answer is fresh.", slot!(cache.ttl)),
    Field::new("cache.max_entries", COUNT, "The most answers that are kept.", slot!(cache.max_entries)),
    Field::new("cache.max_bytes", BYTES, "The most bytes of HTTP answers that are kept.", slot!(cache.max_bytes))
        .needs(|value| is_http(value, &Value::Integer(64 * 1024 * 1024))),
    Field::new(
        "cache.stale_if_error",
        DURATION_OR_ZERO,
        "How long an expired answer may stand in for an error.",
        slot!(cache.stale_if_error),
    ),
    Field::new(
        "cache.max_wait",
        DURATION_OR_ZERO,
        "How long a call waits for the answer that another is fetching.",
        slot!(cache.max_wait),
    ),
    Field::new(
        "cache.max_body_bytes",
        BODY,
        "The most bytes of the body of an HTTP answer that is kept.",
        slot!(http_cache.max_body_bytes),
    )
    .needs(|value| is_http(value, &Value::Integer(262_144))),
    Field::new(
        "cache.key_headers",
        Kind::Headers,
        "The request headers that tell answers to one URL apart.",
        slot!(http_cache.key_headers),
    )
    .needs(|value| is_http(value, &Value::Texts(HttpCacheConfig::default().key_headers))),
    Field::new(
        "cache.model_api",
        Kind::Bool,
        "Whether POST requests to a model API are kept by what they ask for.",
        slot!(http_cache.model_api),
    )
    .needs(|value| (*value == Value::Bool(true)).then_some(Capability::ModelApiProfile)),
    Field::new(
        "cache.ignore_fields",
        Kind::Members,
        "The members of such a request that do not tell answers apart.",
        slot!(http_cache.ignore_fields),
    )
    .needs(|value| {
        is_http(value, &Value::Texts(HttpCacheConfig::default().ignore_fields)).map(|_| Capability::ModelApiProfile)
    }),
];
