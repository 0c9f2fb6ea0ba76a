//! Generated documents that are sound; what holds for them is in `properties.rs` and `schema.rs`.

use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Fields with values that agree with each other and with every preset and strategy.
pub(crate) fn sound(flat: bool) -> Vec<(&'static str, Vec<Value>)> {
    let numbers: Vec<(&str, Vec<Value>)> = if flat {
        vec![
            ("retry_attempts", vec![json!(1), json!(4), json!(10)]),
            ("circuit_breaker_threshold", vec![json!(1), json!(20)]),
            ("recovery_timeout", vec![json!(10), json!(300)]),
            ("max_delay_seconds", vec![json!(5), json!(600)]),
            ("exponential_multiplier", vec![json!(0.1), json!(5), json!(1.7)]),
            ("exponential_min", vec![json!(0.5), json!(1.1)]),
            ("exponential_max", vec![json!(5), json!(119.9)]),
            ("jitter_enabled", vec![json!(true), json!(false)]),
            ("jitter_max", vec![json!(0.1), json!(9.99)]),
        ]
    } else {
        vec![
            ("retry.max_attempts", vec![json!(1), json!(1_000_000)]),
            ("retry.backoff.base", vec![json!(0), json!("1.5s"), json!("24h")]),
            ("retry.backoff.min", vec![json!(0), json!(0.3), json!("999ms")]),
            ("retry.backoff.max", vec![json!(5), json!("1m"), json!("24h")]),
            ("retry.jitter.kind", vec![json!("none"), json!("full"), json!("decorrelated")]),
            ("retry.jitter.max", vec![json!(0), json!("7ms")]),
            ("circuit_breaker.failure_threshold", vec![json!(1), json!(1_000_000)]),
            ("circuit_breaker.recovery_timeout", vec![json!("1ms"), json!(0.123_456_789), json!("5m")]),
            ("timeout.total", vec![json!("off"), json!("1ms"), json!(86_400)]),
        ]
    };
    let rest = vec![
        ("default_strategy", vec![json!("aggressive"), json!("critical")]),
        ("timeout.attempt", vec![json!("off"), json!(0.1), json!("3s")]),
        ("circuit_breaker.enabled", vec![json!(true), json!(false)]),
        ("circuit_breaker.scope", vec![json!("attempt")]),
        ("circuit_breaker.minimum_calls", vec![json!(1), json!(7)]),
        (
            "circuit_breaker.window",
            vec![json!({"size": 7}), json!({"type": "count", "size": 9}), json!({"type": "time", "size": "10s"})],
        ),
        ("circuit_breaker.failure_rate_threshold", vec![json!(1), json!(0.1), json!(1e-9)]),
        ("circuit_breaker.recovery_timeout_max", vec![json!("10m"), json!("24h")]),
        ("circuit_breaker.recovery_backoff", vec![json!(1), json!(1.1), json!(100.0)]),
        ("circuit_breaker.monitor", vec![json!([]), json!(["transient", 500, "UNAVAILABLE", 4])]),
        ("circuit_breaker.exclude", vec![json!(["rate_limited"])]),
        ("circuit_breaker.per_key", vec![json!("header:x-tenant"), json!("operation")]),
        ("concurrency.per_key", vec![json!("client_ip")]),
        ("concurrency.max_keys", vec![json!(1), json!(77)]),
        ("rate_limit.key_limits", vec![json!({}), json!({"acme": 0.5, "b.c": 7})]),
        ("retry.enabled", vec![json!(false), json!(true)]),
        ("retry.methods", vec![json!("all"), json!(["POST", "PATCH"]), json!("idempotent"), json!([])]),
        ("retry.backoff.factor", vec![json!(1), json!(2.7), json!(1e300)]),
        ("retry.budget.enabled", vec![json!(false)]),
        ("retry.budget.ratio", vec![json!(0), json!(0.3)]),
        ("rate_limit.requests_per_minute", vec![json!(0.1), json!(61), json!(1_000_000)]),
        ("rate_limit.burst_size", vec![json!(1), json!(33)]),
        ("rate_limit.on_limit", vec![json!("wait")]),
        ("rate_limit.max_wait", vec![json!(0), json!("2s")]),
        ("rate_limit.enabled", vec![json!(false), json!(true)]),
        ("rate_limit.learn_from_headers", vec![json!(true), json!(false)]),
        ("rate_limit.tokens_per_minute", vec![json!(0.5), json!(90_000), json!(1_000_000_000)]),
        ("concurrency.max_inflight", vec![json!(1), json!(64)]),
        ("concurrency.enabled", vec![json!(false)]),
        ("concurrency.queue_timeout", vec![json!(0), json!("1s")]),
        (
            "concurrency.adaptive",
            vec![json!({"algorithm": "vegas"}), json!({"algorithm": "aimd", "min": 1, "max": 64})],
        ),
        ("fallback", vec![json!({}), json!({"enabled": false}), json!({"on_permanent": true, "status": 503})]),
        ("http.replay_max_bytes", vec![json!(0), json!(99)]),
        ("http.deadline_headers", vec![json!(["X-Deadline", "grpc-timeout"])]),
        ("http.attempt_header", vec![json!("X-Attempt")]),
        ("classify.profile", vec![json!("model_api"), json!("grpc"), json!("http")]),
        ("classify.transient_status", vec![json!([409, 418]), json!([])]),
        ("cache", vec![json!({}), json!({"ttl": "1m", "key_headers": ["x-a"]}), json!({"enabled": false})]),
        ("cache.max_entries", vec![json!(1), json!(1_000_000)]),
        ("cache.model_api", vec![json!(true)]),
        ("hedge", vec![json!({"delay": "50ms"}), json!({"percentile": 95.5}), json!({"max_hedges": 2})]),
        ("chaos", vec![json!({"latency": 1, "seed": 3})]),
        ("throttle", vec![json!({}), json!({"ratio": 1.5, "window": "30s"}), json!({"enabled": false})]),
        ("priority", vec![json!({"enabled": false}), json!({"enabled": false, "default": "sheddable"})]),
        ("nested_retry", vec![json!({}), json!({"header": "X-Retried"}), json!({"enabled": false})]),
        ("shadow", vec![json!({}), json!({"enabled": false}), json!({"stages": ["timeout", "rate_limit"]})]),
    ];
    numbers.into_iter().chain(rest).collect()
}

/// Puts a value at a path, making the sections on the way.
pub(crate) fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(object.insert(path.to_owned(), value)),
        Some((section, rest)) => {
            let inner = object.entry(section).or_insert_with(|| json!({}));
            put(inner.as_object_mut().expect("a section is an object"), rest, value);
        }
    }
}

/// Whether something is said that needs a limit on calls.
fn shapes_calls(limit: &Value) -> bool {
    ["burst_size", "per_key", "max_keys", "key_limits"].iter().any(|it| limit.get(it).is_some())
}

/// Takes hedging out of a document that limits tokens or attempts, and out of all its operations: one of them may come to have both.
fn unhedge_tokens(base: &mut Map<String, Value>, operations: &mut Map<String, Value>) {
    let all: Vec<_> = operations.values_mut().filter_map(Value::as_object_mut).chain([base]).collect();
    let limits_tokens = |layer: &&mut Map<String, Value>| {
        layer.get("rate_limit").is_some_and(|it| it.get("tokens_per_minute").is_some() || it.get("scope").is_some())
    };
    if all.iter().any(limits_tokens) {
        for layer in all {
            layer.remove("hedge");
        }
    }
}

/// An object of sound fields; a rate limit always has a quota, and one on calls where it has a burst.
pub(crate) fn layer() -> impl Strategy<Value = Map<String, Value>> {
    any::<bool>().prop_flat_map(|flat| {
        let fields = sound(flat);
        let one = (0..fields.len()).prop_flat_map(move |at| {
            let (path, values) = fields[at].clone();
            (Just(path), select(values))
        });
        prop::collection::vec(one, 1..9).prop_map(|chosen| {
            let mut object = Map::new();
            for (path, value) in chosen {
                put(&mut object, path, value);
            }
            if let Some(limit) = object.get_mut("rate_limit")
                && limit.get("requests_per_minute").is_none()
                && (limit.get("tokens_per_minute").is_none() || shapes_calls(limit))
            {
                limit["requests_per_second"] = json!(2.5);
            }
            for section in ["circuit_breaker", "rate_limit", "concurrency"] {
                if let Some(stage) = object.get_mut(section)
                    && (stage.get("max_keys").is_some() || stage.get("key_limits").is_some())
                {
                    stage["per_key"] = json!("authority");
                }
            }
            object
        })
    })
}

/// A sound document over a preset, with operations.
pub(crate) fn document() -> impl Strategy<Value = Value> {
    let operation =
        prop_oneof![layer().prop_map(Value::Object), select(vec![json!("critical"), json!("aggressive"), json!({})])];
    let operations = prop::collection::btree_map(select(vec!["qa", "export", "a.b", "x/y:z"]), operation, 0..4);
    let preset = select(vec!["simple", "development", "production"]);
    (preset, layer(), operations, any::<bool>()).prop_map(|(preset, mut base, operations, routes)| {
        let mut operations = json!(operations);
        unhedge_tokens(&mut base, operations.as_object_mut().expect("operations are an object"));
        base.insert("preset".to_owned(), json!(preset));
        base.insert("operation_overrides".to_owned(), json!(operations));
        if routes {
            base.insert("gateway".to_owned(), json!({"routes": {"/a": "export", "header:x-op=1": "qa"}}));
            base.insert("monitoring".to_owned(), json!({"max_events": 5, "thresholds": {"error_rate": 0.05}}));
        }
        Value::Object(base)
    })
}
