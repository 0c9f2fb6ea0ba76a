//! The configuration that the processes under test run on, and how it varies while they do. Limits are narrow, so that all of them are met.

use serde_json::{Value, json};

use super::chance::Chance;

/// Calls that are limited by rate.
pub(crate) const LIMITED: &str = "limited";
/// Calls that are over when their body is.
pub(crate) const BODIES: &str = "bodies";
/// Calls that a fixed answer stands in for.
pub(crate) const SPARE: &str = "spare";
/// What that answer says, with status 203.
pub(crate) const SPARE_BODY: &str = "spare";

/// The document to begin with, and to end on.
pub(crate) fn first(is_gateway: bool) -> Value {
    let mut operations = json!({
        LIMITED: {"rate_limit": {"requests_per_second": 300, "burst_size": 50}},
        BODIES: {"classify": {"outcome_at": "end_of_body"}},
    });
    if is_gateway {
        operations[SPARE] = json!({"fallback": {"status": 203, "body": SPARE_BODY}});
    }
    json!({
        "retry": {
            "max_attempts": 3,
            "backoff": {"base": "5ms", "min": "1ms", "max": "20ms"},
            "jitter": {"kind": "full"},
            "budget": {"ratio": 0.2, "min_per_second": 50},
        },
        "circuit_breaker": {
            "failure_threshold": 8,
            "failure_rate_threshold": 0.5,
            "recovery_timeout": "200ms",
            "half_open_max_calls": 4,
        },
        "timeout": {"attempt": "250ms", "total": "1s"},
        "concurrency": {"max_inflight": 64, "queue_size": 32, "queue_timeout": "100ms"},
        "operation_overrides": operations,
    })
}

/// The same, with time enough for a machine that has other work too: while all are well, nothing but that could run out.
pub(crate) fn calm(is_gateway: bool) -> Value {
    let mut document = first(is_gateway);
    document["timeout"] = json!({"attempt": "5s", "total": "8s"});
    document
}

/// Another that is as good, at random.
pub(crate) fn varied(is_gateway: bool, chance: &mut Chance) -> Value {
    let mut document = first(is_gateway);
    document["retry"]["max_attempts"] = chance.between(1, 5).into();
    document["retry"]["enabled"] = (!chance.one_in(5)).into();
    document["circuit_breaker"]["failure_threshold"] = chance.between(5, 20).into();
    document["circuit_breaker"]["enabled"] = (!chance.one_in(5)).into();
    document["circuit_breaker"]["scope"] = chance.weighted(&[(1, "call"), (1, "attempt")]).into();
    document["timeout"]["attempt"] = format!("{}ms", chance.between(150, 400)).into();
    document["concurrency"]["enabled"] = (!chance.one_in(5)).into();
    document["concurrency"]["max_inflight"] = chance.between(8, 128).into();
    document["operation_overrides"][LIMITED]["rate_limit"]["requests_per_second"] = chance.between(50, 2000).into();
    document
}

/// One that nobody may run on.
pub(crate) fn wrong(chance: &mut Chance) -> String {
    chance
        .weighted(&[
            (1, r#"{"retry": {"max_attempts": 0}}"#),
            (1, r#"{"retry": {"max_attempts": 3}, "retry": {}}"#),
            (1, r#"{"unheard_of": 1}"#),
            (1, r#"{"retry": "#),
            (1, ""),
            (1, "[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]"),
        ])
        .to_owned()
}
