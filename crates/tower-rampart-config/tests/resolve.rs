//! What lies over what: presets, strategies, documents, environment and code, and where each value came from.

use std::time::Duration;

use tower_rampart_config::{
    Capabilities, Capability, ConfigError, Context, KeySource, Limits, OperationConfig, Preset, PresetDefinition,
    Presets, ResilienceConfig, RouteMatch, Source, Strategy, ViolationCode, validate,
};
use tower_rampart_core::{
    breaker::{Scope, Window},
    rate::Quota,
    retry::{JitterKind, Methods},
};

fn seconds(it: u64) -> Duration {
    Duration::from_secs(it)
}

fn source(config: &ResilienceConfig, operation: &str, path: &str) -> String {
    let found = config.provenance(operation).into_iter().find(|it| it.0 == path);
    found.expect("every field has a provenance").1.to_string()
}

fn paths(error: &ConfigError) -> Vec<&str> {
    error.violations().iter().map(|it| it.path.as_str()).collect()
}

fn line(config: &OperationConfig) -> String {
    let (retry, breaker, timeout) = (&config.retry, &config.circuit_breaker, &config.timeout);
    format!(
        "{} {:?} {:?}..{:?} {:?} | {} {:?} | {:?} {:?}",
        retry.max_attempts,
        retry.backoff.base,
        retry.backoff.min,
        retry.backoff.max,
        retry.jitter.max,
        breaker.failure_threshold,
        breaker.recovery_timeout,
        timeout.total.expect("presets limit the call"),
        timeout.attempt.expect("presets limit the attempt")
    )
}

#[test]
fn the_table_of_presets_is_pinned() {
    let pinned = [
        (Preset::Simple, "3 1s 2s..10s 2s | 5 60s | 60s 30s", Strategy::Balanced),
        (Preset::Development, "2 500ms 1s..5s 2s | 3 30s | 40s 10s", Strategy::Aggressive),
        (Preset::Production, "5 1.5s 2s..30s 2s | 10 120s | 100s 30s", Strategy::Conservative),
    ];
    for (preset, expected, strategy) in pinned {
        let base = ResilienceConfig::from_preset(preset).base();
        assert_eq!(line(&base), expected, "{preset}");
        assert_eq!(preset.definition().default_strategy, strategy);
        assert!((base.retry.backoff.factor - 2.0).abs() < f64::EPSILON);
        assert_eq!(base.retry.jitter.kind, JitterKind::Additive);
        assert_eq!((base.circuit_breaker.half_open_max_calls, base.circuit_breaker.success_threshold), (1, 1));
        assert_eq!(base.circuit_breaker.scope, Scope::Call);
        assert!(base.circuit_breaker.enabled && base.retry.enabled && base.retry.budget.enabled);
        assert!(!base.rate_limit.enabled && !base.concurrency.enabled);
        assert_eq!(base.http.replay_max_bytes, 65_536);
    }
}

#[test]
fn the_operations_of_presets_have_the_numbers_of_their_strategies() {
    let production = ResilienceConfig::from_preset(Preset::Production);
    assert_eq!(production.operation_names(), ["key_points", "qa", "questions", "sentiment", "summarize"]);
    assert_eq!(line(&production.operation("qa")), "7 1.5s 3s..60s 5s | 10 300s | 300s 30s");
    assert_eq!(line(&production.operation("summarize")), "5 2s 4s..30s 2s | 8 120s | 120s 30s");
    assert_eq!(line(&production.operation("sentiment")), "2 500ms 1s..5s 2s | 3 30s | 10s 30s");
    assert_eq!(line(&production.operation("questions")), "3 1s 2s..10s 2s | 5 60s | 30s 30s");
    let development = ResilienceConfig::from_preset(Preset::Development);
    assert_eq!(development.operation_names(), ["qa", "sentiment"]);
    assert!(ResilienceConfig::from_preset(Preset::Simple).operation_names().is_empty());
}

#[test]
fn an_unknown_operation_has_the_base() {
    let config = ResilienceConfig::from_preset(Preset::Production);
    assert_eq!(config.operation("anything"), config.base());
}

#[test]
fn each_layer_lies_over_the_one_below() {
    let config = ResilienceConfig::over(Preset::Production, r#"{"retry_attempts": 4}"#).unwrap();
    assert_eq!(config.operation("other").retry.max_attempts, 4);
    assert_eq!(source(&config, "other", "retry.max_attempts"), "document");
    assert_eq!(config.operation("qa").retry.max_attempts, 7, "an operation's entry wins over the document's top level");
    assert_eq!(source(&config, "qa", "retry.max_attempts"), "strategy:critical");
    assert_eq!(source(&config, "qa", "retry.backoff.factor"), "preset:production");
    assert_eq!(source(&config, "qa", "circuit_breaker.half_open_max_wait"), "default");

    let text = r#"{"retry_attempts": 4, "operation_overrides": {"qa": {"retry_attempts": 6}, "export": "critical"}}"#;
    let config = ResilienceConfig::over(Preset::Production, text).unwrap();
    assert_eq!(config.operation("qa").retry.max_attempts, 6);
    assert_eq!(source(&config, "qa", "retry.max_attempts"), "operation_override");
    assert_eq!(config.operation("qa").timeout.total, Some(seconds(300)), "the preset's strategy stays below");
    assert_eq!(config.operation("export").retry.max_attempts, 7);
    assert_eq!(source(&config, "export", "retry.max_attempts"), "strategy:critical");

    let config = config.with_operation_overrides("qa", r#"{"retry": {"max_attempts": 9}}"#).unwrap();
    assert_eq!(config.operation("qa").retry.max_attempts, 9);
    assert_eq!(source(&config, "qa", "retry.max_attempts"), "code");
    assert_eq!(config.base().retry.max_attempts, 4, "one operation's override is no other's");
}

#[test]
fn a_documents_strategy_replaces_the_base_and_its_fields_win_over_it() {
    let text = r#"{"default_strategy": "critical", "retry_attempts": 2}"#;
    let config = ResilienceConfig::over(Preset::Production, text).unwrap();
    assert_eq!(line(&config.base()), "2 1.5s 3s..60s 5s | 10 300s | 300s 30s");
    assert_eq!(source(&config, "other", "timeout.total"), "strategy:critical");
    let sentiment = config.operation("sentiment");
    assert_eq!(sentiment.timeout.total, Some(seconds(10)), "an operation's own strategy wins over the document's");
    assert_eq!(sentiment.retry.max_attempts, 2, "which is the strategy's own number");
}

#[test]
fn an_override_may_choose_a_strategy_and_change_it() {
    let text = r#"{"operation_overrides": {"a": {"default_strategy": "aggressive", "recovery_timeout": 45}}}"#;
    let a = ResilienceConfig::from_json(text).unwrap().operation("a");
    assert_eq!((a.retry.max_attempts, a.circuit_breaker.recovery_timeout), (2, seconds(45)));
}

#[test]
fn a_preset_in_the_document_is_where_it_starts() {
    let config = ResilienceConfig::from_json(r#"{"preset": "production", "recovery_timeout": 60}"#).unwrap();
    assert_eq!((config.preset_name(), config.base().retry.max_attempts), ("production", 5));
    let config = ResilienceConfig::over(Preset::Simple, r#"{"preset": "development"}"#).unwrap();
    assert_eq!(config.preset_name(), "development");
    let error = ResilienceConfig::from_json(r#"{"preset": "prod"}"#).unwrap_err();
    assert_eq!(error.violations()[0].path, "preset");
    assert_eq!(
        error.violations()[0].message,
        "Invalid preset 'prod'. Available: ['simple', 'development', 'production']"
    );
    assert_eq!(error.violations()[0].suggestion.as_deref(), Some("Did you mean 'production'?"));
    assert!(ResilienceConfig::named("Production").is_err());
}

#[test]
fn every_flat_field_reaches_the_machines() {
    let text = r#"{"retry_attempts": 4, "circuit_breaker_threshold": 8, "recovery_timeout": 90, "max_delay_seconds": 45,
        "exponential_multiplier": 0.25, "exponential_min": 0.5, "exponential_max": 20, "jitter_enabled": false, "jitter_max": 3.5}"#;
    let config = ResilienceConfig::from_json(text).unwrap().base();
    assert_eq!(line(&config), "4 250ms 500ms..20s 3.5s | 8 90s | 45s 30s");
    assert_eq!(config.retry.jitter.kind, JitterKind::None);
}

#[test]
fn every_section_reaches_the_machines() {
    let text = r#"{
        "circuit_breaker": {"scope": "attempt", "failure_rate_threshold": 0.5, "minimum_calls": 20, "window": {"type": "time", "size": "30s"},
            "monitor": ["unavailable", 599], "exclude": ["rate_limited"], "recovery_jitter": 0.1, "half_open_policy": "rate"},
        "retry": {"backoff": {"factor": 3}, "methods": ["POST"], "budget": {"ratio": 0.1}, "retry_after_max": 5},
        "rate_limit": {"requests_per_minute": 90.5, "on_limit": "wait", "algorithm": "sliding_window", "max_wait": 0},
        "concurrency": {"max_inflight": 7, "queue_size": 3, "queue_timeout": "250ms"},
        "timeout": {"attempt": "off", "total": 1.5},
        "fallback": {"on_permanent": true},
        "classify": {"transient_status": [418]}}"#;
    let config = ResilienceConfig::from_json(text).unwrap();
    assert!(config.check(&Capabilities::http()).is_ok());
    let config = config.base();
    assert_eq!(config.circuit_breaker.window, Window::Time { size: seconds(30) });
    assert_eq!((config.circuit_breaker.monitor.len(), config.circuit_breaker.exclude.len()), (2, 1));
    assert_eq!(config.circuit_breaker.minimum_calls, 20);
    assert!(matches!(config.retry.methods, Methods::Also(_)));
    assert!((config.retry.budget.ratio - 0.1).abs() < f64::EPSILON);
    assert!(config.rate_limit.enabled && config.concurrency.enabled);
    assert_eq!(config.rate_limit.quota, Quota { limit: 90.5, period: seconds(60) });
    assert_eq!(config.rate_limit.burst_size, 2);
    assert_eq!(config.rate_limit.max_wait, Some(Duration::ZERO));
    assert_eq!(config.concurrency.queue_timeout, Some(Duration::from_millis(250)));
    assert_eq!((config.timeout.attempt, config.timeout.total), (None, Some(Duration::from_millis(1500))));
    assert!(config.fallback.on_permanent);
    assert_eq!(config.classify.transient_status, [418]);
}

#[test]
fn a_window_smaller_than_the_minimum_counts_when_it_is_full() {
    let config = ResilienceConfig::from_json(r#"{"circuit_breaker": {"window": {"size": 4}}}"#).unwrap();
    assert_eq!(config.base().circuit_breaker.minimum_calls, 4);
}

#[test]
fn a_twin_or_a_contradiction_is_refused_where_it_stands() {
    let cases = [
        (r#"{"retry_attempts": 3, "retry": {"max_attempts": 3}}"#, "retry_attempts", ViolationCode::Conflict),
        (r#"{"timeout": {"total": 9}, "max_delay_seconds": 9}"#, "max_delay_seconds", ViolationCode::Conflict),
        (
            r#"{"rate_limit": {"requests_per_second": 1, "requests_per_minute": 1}}"#,
            "rate_limit.requests_per_second",
            ViolationCode::Conflict,
        ),
        (
            r#"{"http": {"outcome_at": "headers"}, "classify": {"outcome_at": "headers"}}"#,
            "http.outcome_at",
            ViolationCode::Conflict,
        ),
        (r#"{"hedge": {"delay": 1, "percentile": 95}}"#, "hedge.percentile", ViolationCode::Conflict),
        (r#"{"hedge": {}, "rate_limit": {"tokens_per_minute": 9}}"#, "hedge", ViolationCode::CrossField),
        (
            r#"{"hedge": {}, "rate_limit": {"requests_per_second": 9, "scope": "attempt"}}"#,
            "hedge",
            ViolationCode::CrossField,
        ),
        (r#"{"hedge": {"percentile": 99.95}}"#, "hedge.percentile", ViolationCode::Range),
        (r#"{"rate_limit": {"limit": 1}}"#, "rate_limit.period", ViolationCode::Missing),
        (r#"{"rate_limit": {}}"#, "rate_limit", ViolationCode::Missing),
        (r#"{"rate_limit": {"burst_size": 2}}"#, "rate_limit", ViolationCode::Missing),
        (r#"{"circuit_breaker": {"window": {"type": "time"}}}"#, "circuit_breaker.window.size", ViolationCode::Missing),
        (
            r#"{"circuit_breaker": {"minimum_calls": 9, "window": {"size": 8}}}"#,
            "circuit_breaker.minimum_calls",
            ViolationCode::CrossField,
        ),
        (
            r#"{"circuit_breaker": {"recovery_timeout_max": "10s"}}"#,
            "circuit_breaker.recovery_timeout_max",
            ViolationCode::CrossField,
        ),
        (r#"{"preset": "development", "exponential_min": 9}"#, "exponential_min", ViolationCode::CrossField),
        (r#"{"exponential_min": 6, "exponential_max": 6}"#, "exponential_min", ViolationCode::CrossField),
        (
            r#"{"operation_overrides": {"a": {"retry": {"backoff": {"min": "11s"}}}}}"#,
            "operation_overrides.a.retry.backoff.min",
            ViolationCode::CrossField,
        ),
        (
            r#"{"operation_overrides": {"a": {"preset": "simple"}}}"#,
            "operation_overrides.a.preset",
            ViolationCode::Misplaced,
        ),
        (
            r#"{"operation_overrides": {"a": {"gateway": {"routes": {}}}}}"#,
            "operation_overrides.a.gateway",
            ViolationCode::Misplaced,
        ),
        (
            r#"{"operation_overrides": {"data:load": "critical"}}"#,
            "operation_overrides.data:load",
            ViolationCode::ForbiddenPattern,
        ),
        (r#"{"gateway": {"routes": {"nowhere": "a"}}}"#, "gateway.routes.nowhere", ViolationCode::UnknownValue),
        (
            r#"{"circuit_breaker": {"slow_call_rate_threshold": 0.5}}"#,
            "circuit_breaker.slow_call_rate_threshold",
            ViolationCode::CrossField,
        ),
        (
            r#"{"operation_overrides": {"a": {"circuit_breaker": {"slow_call_rate_threshold": 0.5}}}}"#,
            "operation_overrides.a.circuit_breaker.slow_call_rate_threshold",
            ViolationCode::CrossField,
        ),
        (r#"{"circuit_breaker": {"monitor": ["x", 42]}}"#, "circuit_breaker.monitor[1]", ViolationCode::UnknownValue),
    ];
    for (text, path, code) in cases {
        let result = validate(text, Limits::text(), &Capabilities::all(), None);
        let found: Vec<_> = result.violations.iter().map(|it| (it.path.as_str(), it.code)).collect();
        assert!(found.contains(&(path, code)), "{text}: {found:?}");
        assert!(ResilienceConfig::from_json(text).is_err(), "{text}");
    }
}

#[test]
fn a_slow_call_rule_may_take_its_halves_from_the_base_and_the_override() {
    let valid = [
        r#"{"circuit_breaker": {"slow_call_duration": "1s"}}"#,
        r#"{"circuit_breaker": {"slow_call_duration": "1s", "slow_call_rate_threshold": 0.5}}"#,
        r#"{"circuit_breaker": {"slow_call_duration": "1s"},
            "operation_overrides": {"a": {"circuit_breaker": {"slow_call_rate_threshold": 0.5}}}}"#,
    ];
    for text in valid {
        let result = validate(text, Limits::text(), &Capabilities::all(), None);
        assert!(result.violations.is_empty(), "{text}: {:?}", result.errors);
    }
}

#[test]
fn the_merge_is_judged_together_with_the_fields() {
    let text = r#"{"retry_attempts": 99, "rate_limit": {"burst_size": 2}, "monitoring": {"max_events": 5}}"#;
    let result = validate(text, Limits::text(), &Capabilities::http(), None);
    let paths: Vec<&str> = result.violations.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["retry_attempts", "rate_limit", "monitoring.max_events"]);
}

#[test]
fn an_override_of_an_operation_that_does_not_exist_lists_those_that_do() {
    let text = r#"{"operation_overrides": {"summarise": "critical"}, "gateway": {"routes": {"/a": "qb"}}}"#;
    let result = validate(text, Limits::text(), &Capabilities::all(), Some(&["summarize", "qa"]));
    let all: Vec<_> = result.violations.iter().map(|it| (it.path.as_str(), it.code)).collect();
    assert!(all.contains(&("operation_overrides.summarise", ViolationCode::UnknownOperation)), "{all:?}");
    assert!(all.contains(&("gateway.routes./a", ViolationCode::UnknownOperation)), "{all:?}");
    assert!(result.errors[0].contains("summarize, qa"), "{:?}", result.errors);
    assert_eq!(result.suggestions[0], "Did you mean 'summarize'?");
}

#[test]
fn an_unknown_field_is_met_with_the_nearest_known_one() {
    let cases = [
        (r#"{"retry_attempt": 3}"#, "Did you mean 'retry_attempts'?"),
        (r#"{"max_attempts": 3}"#, "Did you mean 'retry.max_attempts'?"),
        (r#"{"retry": {"max_attempt": 3}}"#, "Did you mean 'retry.max_attempts'?"),
        (r#"{"circuit_braker": {}}"#, "Did you mean 'circuit_breaker'?"),
    ];
    for (text, suggestion) in cases {
        let result = validate(text, Limits::text(), &Capabilities::all(), None);
        assert_eq!(result.suggestions, [suggestion], "{text}");
    }
}

#[test]
fn limit_of_a_model_api_needs_no_limit_on_calls() {
    let load = |text: &str| ResilienceConfig::from_json(text).map(|it| it.base());
    let tokens = load(r#"{"rate_limit": {"tokens_per_minute": 90000}}"#).unwrap();
    assert!(tokens.rate_limit.enabled && tokens.rate_limit.quota.is_unlimited());
    assert_eq!(tokens.model_limits.tokens_per_minute, Some(90_000.0));
    let follows = load(r#"{"rate_limit": {"learn_from_headers": true}}"#).unwrap();
    assert!(follows.model_limits.learn_from_headers && follows.rate_limit.quota.is_unlimited());
    let both = load(r#"{"rate_limit": {"requests_per_minute": 60, "tokens_per_minute": 1, "burst_size": 3}}"#).unwrap();
    assert_eq!((both.rate_limit.quota.limit, both.rate_limit.burst_size), (60.0, 3));
    let refused = load(r#"{"rate_limit": {"learn_from_headers": false}}"#).unwrap_err();
    assert_eq!(paths(&refused), ["rate_limit"]);
    let text = r#"{"rate_limit": {"tokens_per_minute": 1, "burst_size": 3, "algorithm": "token_bucket"}}"#;
    assert_eq!(paths(&load(text).unwrap_err()), ["rate_limit.algorithm", "rate_limit.burst_size"]);
    // Where it is off, it says nothing anyway.
    assert!(load(r#"{"rate_limit": {"enabled": false, "tokens_per_minute": 1, "burst_size": 3}}"#).is_ok());
}

#[test]
fn what_a_host_cannot_serve_is_refused_by_name() {
    let cases = [
        (r#"{"cache": {}}"#, "cache", "cache"),
        (r#"{"hedge": {"delay": "1s"}}"#, "hedge", "hedge"),
        (r#"{"chaos": {"enabled": true}}"#, "chaos", "chaos"),
        (r#"{"circuit_breaker": {"per_key": "authority"}}"#, "circuit_breaker.per_key", "keyed"),
        (r#"{"rate_limit": {"requests_per_second": 1, "per_key": "route"}}"#, "rate_limit.per_key", "keyed"),
        (
            r#"{"rate_limit": {"requests_per_second": 1, "tokens_per_minute": 5}}"#,
            "rate_limit.tokens_per_minute",
            "tokens_per_minute",
        ),
        (
            r#"{"rate_limit": {"requests_per_second": 1, "learn_from_headers": true}}"#,
            "rate_limit.learn_from_headers",
            "learn_from_headers",
        ),
        (r#"{"concurrency": {"per_key": "client_ip"}}"#, "concurrency.per_key", "client_ip"),
        (r#"{"classify": {"outcome_at": "end_of_body"}}"#, "classify.outcome_at", "end_of_body"),
        (r#"{"http": {"outcome_at": "end_of_body"}}"#, "http.outcome_at", "end_of_body"),
        (r#"{"classify": {"profile": "grpc"}}"#, "classify.profile", "grpc_profile"),
        (r#"{"classify": {"profile": "model_api"}}"#, "classify.profile", "model_api_profile"),
        (r#"{"gateway": {"routes": {"/a": "a"}}}"#, "gateway.routes", "routes"),
        (r#"{"fallback": {"targets": ["http://b"]}}"#, "fallback.targets", "fallback_targets"),
        (r#"{"fallback": {"status": 503}}"#, "fallback.status", "fallback_answer"),
        (r#"{"http": {"replay_max_bytes": 1}}"#, "http.replay_max_bytes", "replay"),
        (r#"{"http": {"deadline_headers": ["x-deadline"]}}"#, "http.deadline_headers", "deadline_headers"),
        (r#"{"http": {"attempt_header": "x-attempt"}}"#, "http.attempt_header", "attempt_header"),
        (r#"{"http": {"trusted_hops": 1}}"#, "http.trusted_hops", "trusted_hops"),
        (r#"{"monitoring": {"max_events": 5}}"#, "monitoring.max_events", "monitoring"),
        (r#"{"chaos": {"fault_rate": 0.5}}"#, "chaos", "chaos"),
        (r#"{"operation_overrides": {"a": {"cache": {"ttl": "1m"}}}}"#, "operation_overrides.a.cache", "cache"),
    ];
    for (text, path, capability) in cases {
        let config = ResilienceConfig::from_json(text).unwrap_or_else(|it| panic!("{text}: {it}"));
        let word = Capability::ALL.iter().find(|it| it.as_str() == capability).unwrap();
        let host = Capabilities::http().without(*word);
        let error = config.check(&host).unwrap_err();
        assert_eq!(paths(&error), [path], "{text}");
        assert_eq!(error.violations()[0].code, ViolationCode::Unsupported);
        assert!(error.violations()[0].message.contains(&format!("`{capability}`")), "{error}");
        assert!(!validate(text, Limits::text(), &host, None).is_valid, "{text}");
        assert!(config.check(&host.with(*word)).is_ok(), "{text}");
    }
}

#[test]
fn http_hosts_serve_what_is_http_and_not_what_only_a_gateway_or_nobody_can() {
    let served = [
        r#"{"classify": {"profile": "model_api", "outcome_at": "end_of_body"}}"#,
        r#"{"classify": {"profile": "grpc"}, "circuit_breaker": {"exclude": ["ABORTED", 404]}}"#,
        r#"{"rate_limit": {"tokens_per_minute": 5, "learn_from_headers": true}}"#,
        r#"{"http": {"replay_max_bytes": 1, "deadline_headers": ["x-deadline"], "attempt_header": "x-attempt"}}"#,
        r#"{"circuit_breaker": {"per_key": "authority", "max_keys": 9}, "concurrency": {"per_key": "route"}}"#,
        r#"{"rate_limit": {"requests_per_second": 1, "per_key": "client_ip"}, "http": {"trusted_hops": 1}}"#,
        r#"{"rate_limit": {"requests_per_second": 1, "per_key": "header:x-tenant", "key_limits": {"acme": 9}}}"#,
        r#"{"cache": {"ttl": "1m", "key_headers": ["x-tenant"], "max_body_bytes": 9}}"#,
    ];
    for text in served {
        assert!(validate(text, Limits::text(), &Capabilities::http(), None).is_valid, "{text}");
        let is_model = text.contains("model_api") || text.contains("cache");
        assert_eq!(validate(text, Limits::text(), &Capabilities::grpc(), None).is_valid, !is_model, "{text}");
        assert!(!validate(text, Limits::text(), &Capabilities::function(), None).is_valid, "{text}");
    }
    let refused = [
        r#"{"gateway": {"routes": {"/a": "a"}}}"#,
        r#"{"fallback": {"targets": ["http://b"]}}"#,
        r#"{"fallback": {"status": 503}}"#,
        r#"{"monitoring": {"max_events": 5}}"#,
        r#"{"chaos": {"enabled": true}}"#,
    ];
    for text in refused {
        assert!(!validate(text, Limits::text(), &Capabilities::http(), None).is_valid, "{text}");
    }
}

#[test]
fn what_shapes_keys_says_nothing_without_them() {
    let cases = [
        (r#"{"circuit_breaker": {"max_keys": 9}}"#, "circuit_breaker.max_keys"),
        (r#"{"rate_limit": {"requests_per_second": 1, "max_keys": 9}}"#, "rate_limit.max_keys"),
        (r#"{"rate_limit": {"requests_per_second": 1, "key_limits": {"a": 1}}}"#, "rate_limit.key_limits"),
        (r#"{"concurrency": {"max_keys": 9}}"#, "concurrency.max_keys"),
        (r#"{"rate_limit": {"tokens_per_minute": 5, "per_key": "route"}}"#, "rate_limit.per_key"),
    ];
    for (text, path) in cases {
        let error = ResilienceConfig::from_json(text).unwrap_err();
        assert_eq!(paths(&error), [path], "{text}");
        assert_eq!(error.violations()[0].code, ViolationCode::CrossField, "{text}");
    }
    for text in
        [r#"{"circuit_breaker": {"per_key": "operation"}}"#, r#"{"concurrency": {"enabled": false, "max_keys": 1}}"#]
    {
        assert!(validate(text, Limits::text(), &Capabilities::function(), None).is_valid, "{text}");
    }
}

#[test]
fn keys_that_no_request_has_are_refused_with_what_to_write_instead() {
    let limits = |source: &str, key: &str| {
        format!(
            r#"{{"rate_limit": {{"requests_per_second": 1, "per_key": "{source}", "key_limits": {{"{key}": 9}}}}}}"#
        )
    };
    let cases = [
        (r#"{"concurrency": {"per_key": "header:Host"}}"#.to_owned(), "concurrency.per_key", "Use authority"),
        (r#"{"concurrency": {"per_key": "header:te"}}"#.to_owned(), "concurrency.per_key", "passed on"),
        (limits("authority", "Shop.Example"), "rate_limit.key_limits.Shop.Example", "Write 'shop.example'"),
        (limits("client_ip", "2001:db8::7"), "rate_limit.key_limits.2001:db8::7", "Write '2001:db8::/64'"),
        (limits("client_ip", "10.0.0.0/8"), "rate_limit.key_limits.10.0.0.0/8", "an IPv4 address"),
    ];
    for (text, path, suggestion) in cases {
        let error = ResilienceConfig::from_json(&text).unwrap_err();
        assert_eq!(paths(&error), [path], "{text}");
        let said = error.violations()[0].suggestion.as_deref().unwrap();
        assert!(said.contains(suggestion), "{said}");
    }
    for text in [
        limits("authority", "shop.example:8443"),
        limits("client_ip", "2001:db8::/64"),
        limits("header:x-tenant", "Acme"),
        r#"{"concurrency": {"enabled": false, "per_key": "header:host"}}"#.to_owned(),
    ] {
        assert!(validate(&text, Limits::text(), &Capabilities::http(), None).is_valid, "{text}");
    }
}

#[test]
fn keys_are_resolved_for_each_operation_and_printed_as_they_are_read() {
    let config = ResilienceConfig::from_json(
        r#"{"rate_limit": {"requests_per_minute": 60, "per_key": "header:X-Tenant", "key_limits": {"acme": 600, "b.c": 0.5}},
        "circuit_breaker": {"per_key": "authority", "max_keys": 7}, "operation_overrides": {"a": {"circuit_breaker": {"per_key": "operation"}}}}"#,
    )
    .unwrap();
    let keys = config.operation("other").keys;
    assert_eq!(keys.rate_limit.source(), Some(&KeySource::Header("x-tenant".to_owned())));
    assert_eq!((keys.rate_limit.max_keys, keys.circuit_breaker.max_keys), (100_000, 7));
    let rate = keys.rate(Duration::from_secs(60));
    assert_eq!((rate.limits["acme"].burst_size, rate.limits["b.c"].burst_size), (10, 1));
    assert_eq!(config.operation("a").keys.circuit_breaker.source(), None);
    let again = ResilienceConfig::from_json(&config.to_json().to_string()).unwrap();
    assert_eq!((again.operation("a"), again.operation("other")), (config.operation("a"), config.operation("other")));
}

#[test]
fn what_is_off_needs_nothing() {
    let text = r#"{"cache": {"enabled": false, "ttl": 5}, "rate_limit": {"enabled": false, "per_key": "route"},
        "gateway": {"routes": {}}, "classify": {"profile": "http", "transient_status": []}}"#;
    assert!(validate(text, Limits::text(), &Capabilities::function(), None).is_valid);
}

#[test]
fn a_host_without_clones_has_no_retries() {
    let host = Capabilities::function().without(Capability::CloneRequest);
    let simple = ResilienceConfig::from_preset(Preset::Simple);
    assert_eq!(paths(&simple.check(&host).unwrap_err()), ["retry"]);
    let off = ResilienceConfig::from_json(r#"{"retry": {"enabled": false}}"#).unwrap();
    assert!(off.check(&host).is_ok());
    let hedged = ResilienceConfig::from_json(r#"{"retry": {"enabled": false}, "hedge": {"delay": 1}}"#).unwrap();
    assert_eq!(paths(&hedged.check(&host).unwrap_err()), ["hedge"]);
}

#[test]
fn a_function_has_no_statuses_and_no_gateway_grants_others() {
    let status = ResilienceConfig::from_json(r#"{"circuit_breaker": {"exclude": [404]}}"#).unwrap();
    assert!(status.check(&Capabilities::http()).is_ok());
    assert!(status.check(&Capabilities::function()).is_err());
    let code = ResilienceConfig::from_json(r#"{"circuit_breaker": {"exclude": ["ABORTED"]}}"#).unwrap();
    assert!(code.check(&Capabilities::grpc()).is_ok());
    assert!(code.check(&Capabilities::http()).is_ok());
    assert!(code.check(&Capabilities::function()).is_err());
}

#[test]
fn routes_are_tried_from_the_most_particular() {
    let text = r#"{"gateway": {"routes": {"/": "all", "/a/b": "ab", "header:X-Op=x": "x"}}}"#;
    let config = ResilienceConfig::from_json(text).unwrap();
    let operations: Vec<&str> = config.gateway().routes.iter().map(|it| it.operation.as_str()).collect();
    assert_eq!(operations, ["x", "ab", "all"]);
    assert!(matches!(&config.gateway().routes[0].matches, RouteMatch::Header { name, .. } if name == "x-op"));
}

#[test]
fn an_override_in_code_is_judged_with_what_lies_below() {
    let config = ResilienceConfig::from_preset(Preset::Development);
    let error = config.with_operation_overrides("a", r#"{"retry": {"backoff": {"min": "6s"}}}"#).unwrap_err();
    assert_eq!(paths(&error), ["retry.backoff.min"]);
    assert!(error.to_string().starts_with("the override of 'a' is refused:\n"), "{error}");
    assert!(config.with_operation_overrides("a", r#"{"retry_attempts": 40, "x": 1}"#).is_err());
    assert!(config.with_operation_overrides("a b", r#"{"retry_attempts": 4}"#).is_err());
    assert!(config.with_operation_overrides("a", "[]").is_err());
}

#[test]
fn the_error_lists_every_violation_on_a_line_of_its_own() {
    let error = ResilienceConfig::from_json(r#"{"retry_attempts": 15, "recovery_timeout": 5}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "retry_attempts: retry_attempts must be between 1 and 10 (got 15) (Use a value between 1 and 10)\n\
         recovery_timeout: recovery_timeout must be between 10 and 300 (got 5) (Use a value between 10 and 300)"
    );
}

fn batch() -> PresetDefinition {
    PresetDefinition {
        name: "batch".to_owned(),
        description: "Nightly work".to_owned(),
        retry_attempts: 10,
        circuit_breaker_threshold: 20,
        recovery_timeout: seconds(300),
        default_strategy: Strategy::Critical,
        operation_overrides: vec![("export".to_owned(), Strategy::Aggressive)],
        environment_contexts: vec![Context::Production],
    }
}

#[test]
fn a_registered_preset_appears_where_the_built_in_ones_do() {
    let mut presets = Presets::builtin();
    presets.register(batch()).unwrap();
    assert_eq!(presets.names().collect::<Vec<_>>(), ["simple", "development", "production", "batch"]);
    let config = presets.named("batch").unwrap();
    assert_eq!(line(&config.base()), "10 1.5s 2s..30s 2s | 20 300s | 120s 30s");
    assert_eq!(config.operation("export").retry.max_attempts, 2);
    assert_eq!(source(&config, "x", "retry.max_attempts"), "preset:batch");
    assert!(presets.find("batc").unwrap_err().to_string().ends_with("'batch']. Did you mean 'batch'?"));
    let text = r#"{"preset": "batch"}"#;
    assert!(presets.validate(text, Limits::text(), &Capabilities::http(), None).is_valid);
    assert!(!validate(text, Limits::text(), &Capabilities::http(), None).is_valid);
    assert_eq!(paths(&presets.register(batch()).unwrap_err()), ["name"]);
}

#[test]
fn a_preset_out_of_range_is_not_registered() {
    let bad = PresetDefinition {
        name: "Batch".to_owned(),
        description: String::new(),
        retry_attempts: 11,
        circuit_breaker_threshold: 0,
        recovery_timeout: seconds(9),
        operation_overrides: vec![("_".to_owned(), Strategy::Balanced)],
        environment_contexts: vec![Context::Testing, Context::Testing],
        ..batch()
    };
    let error = Presets::builtin().register(bad).unwrap_err();
    assert_eq!(
        paths(&error),
        [
            "name",
            "description",
            "retry_attempts",
            "circuit_breaker_threshold",
            "recovery_timeout",
            "environment_contexts",
            "operation_overrides._"
        ]
    );
}

#[test]
fn sources_serialise_as_text() {
    let all = [
        Source::Default,
        Source::Preset("simple".to_owned()),
        Source::Strategy(Strategy::Critical),
        Source::Environment("AI_LIB_RPS".to_owned()),
        Source::Document,
        Source::OperationOverride,
        Source::Code,
    ];
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(
        text,
        r#"["default","preset:simple","strategy:critical","environment:AI_LIB_RPS","document","operation_override","code"]"#
    );
}

#[test]
fn messages_name_the_value_and_the_range() {
    let cases = [
        (r#"{"retry_attempts": 15}"#, "retry_attempts must be between 1 and 10 (got 15)"),
        (r#"{"exponential_min": 0.49}"#, "exponential_min must be between 0.5 and 10.0 (got 0.49)"),
        (r#"{"retry": {"backoff": {"factor": 0.5}}}"#, "retry.backoff.factor must be at least 1.0 (got 0.5)"),
        (r#"{"timeout": {"attempt": "25h"}}"#, "timeout.attempt must be between 1ms and 24h (got \"25h\")"),
        (
            r#"{"circuit_breaker": {"failure_rate_threshold": 0}}"#,
            "circuit_breaker.failure_rate_threshold must be above 0 and at most 1.0 (got 0)",
        ),
        (
            r#"{"retry": {"backoff": {"min": "5x"}}}"#,
            "retry.backoff.min must be a duration between 0s and 24h, as \"250ms\", \"2s\", \"1m\", \"1h\" or seconds as a number (got \"5x\")",
        ),
        (
            r#"{"operation_overrides": {"qa": "turbo"}}"#,
            "operation_overrides.qa must be one of aggressive, balanced, conservative, critical (got \"turbo\")",
        ),
        (
            r#"{"preset": "development", "exponential_min": 9}"#,
            "exponential_min must be at most retry.backoff.max (got 9s and 5s)",
        ),
        (
            r#"{"concurrency": {"max_inflight": 60, "adaptive": {"algorithm": "vegas", "max": 50}}}"#,
            "concurrency.max_inflight must be at most concurrency.adaptive.max (got 60 and 50)",
        ),
        (
            r#"{"concurrency": {"max_inflight": 4, "adaptive": {"algorithm": "aimd", "min": 5}}}"#,
            "concurrency.adaptive.min must be at most concurrency.max_inflight (got 5 and 4)",
        ),
        (
            r#"{"concurrency": {"max_inflight": 2000, "adaptive": {"algorithm": "gradient2"}}}"#,
            "concurrency.max_inflight must be at most concurrency.adaptive.max (got 2000 and 1000)",
        ),
    ];
    for (text, message) in cases {
        let result = validate(text, Limits::text(), &Capabilities::all(), None);
        assert_eq!(result.errors, [message], "{text}");
    }
}

#[test]
fn bounds_of_a_limit_that_moves_say_nothing_of_where_it_begins() {
    let document = r#"{"concurrency": {"adaptive": {"algorithm": "vegas", "max": 50}},
        "operation_overrides": {"qa": {"concurrency": {"adaptive": {"algorithm": "aimd", "min": 200, "max": 300}}},
                                "export": {"concurrency": {"max_inflight": 7}}}}"#;
    let config = ResilienceConfig::from_json(document).unwrap();
    let limit = |operation: &str| config.operation(operation).concurrency;
    let [base, qa, export] = ["other", "qa", "export"].map(limit);
    assert_eq!([base.max_inflight, qa.max_inflight, export.max_inflight], [100, 100, 7]);
    let bounds =
        |it: tower_rampart_core::concurrency::Config| it.adaptive.map(|it| (it.algorithm.as_str(), it.min, it.max));
    assert_eq!(bounds(base), Some(("vegas", 1, 50)));
    assert_eq!(bounds(qa), Some(("aimd", 200, 300)));
    assert_eq!(bounds(export), bounds(base));
    let printed = ResilienceConfig::from_json(&config.to_json().to_string()).unwrap();
    assert_eq!(["other", "qa", "export"].map(|it| printed.operation(it).concurrency), [base, qa, export]);
}

#[test]
fn a_limit_that_moves_is_printed_as_it_was_said_under_a_base_that_does_not_move() {
    for base in [r#"{"queue_size": 3}"#, r#"{"max_inflight": 40}"#, r#"{"adaptive": {"algorithm": "vegas"}}"#] {
        let document = format!(
            r#"{{"concurrency": {base}, "operation_overrides": {{
                "qa": {{"concurrency": {{"adaptive": {{"algorithm": "aimd", "max": 50}}}}}},
                "export": {{"concurrency": {{"max_inflight": 100}}}}}}}}"#
        );
        let config = ResilienceConfig::from_json(&document).unwrap();
        let printed = ResilienceConfig::from_json(&config.to_json().to_string()).unwrap();
        for operation in ["other", "qa", "export"] {
            let limit = |it: &ResilienceConfig| it.operation(operation).concurrency;
            assert_eq!(limit(&printed), limit(&config), "{base} {operation}");
        }
    }
}

#[test]
fn a_path_is_no_name_of_a_field() {
    for text in [
        r#"{"retry.max_attempts": 4}"#,
        r#"{"concurrency.adaptive.max": 4}"#,
        r#"{"concurrency": {"adaptive.max": 4}}"#,
        r#"{"operation_overrides": {"a": {"retry.max_attempts": 4}}}"#,
    ] {
        let result = validate(text, Limits::text(), &Capabilities::all(), None);
        assert_eq!(result.violations.len(), 1, "{text}: {:?}", result.errors);
        assert_eq!(result.violations[0].code, ViolationCode::UnknownField, "{text}");
    }
}

#[test]
fn monitoring_is_of_the_whole_document_and_every_field_of_it_has_a_place() {
    let plain = ResilienceConfig::from_preset(Preset::Simple);
    let monitoring = plain.monitoring();
    assert_eq!(
        (monitoring.max_events, monitoring.max_alerts, monitoring.retention),
        (10_000, 1000, seconds(24 * 3600))
    );
    let thresholds = &monitoring.thresholds;
    assert_eq!((thresholds.load_time, thresholds.changes_per_hour), (Duration::from_millis(100), 10));
    assert_eq!((thresholds.error_rate, thresholds.validation_failure_rate), (0.05, 0.1));
    assert_eq!((thresholds.success_rate, thresholds.minimum_calls, thresholds.open_circuit), (0.8, 10, true));
    assert!(plain.to_json().get("monitoring").is_none(), "a host without monitoring takes back what it printed");

    let text = r#"{"monitoring": {"max_events": 50000, "max_alerts": 7, "retention": "48h", "thresholds": {"load_time": "50ms",
        "error_rate": 0.5, "changes_per_hour": 3, "validation_failure_rate": 0.25, "success_rate": 0.9, "minimum_calls": 4,
        "open_circuit": false}}}"#;
    let config = ResilienceConfig::from_json(text).unwrap();
    let given: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        config.to_json()["monitoring"]["thresholds"]["load_time"],
        given["monitoring"]["thresholds"]["load_time"]
    );
    assert_eq!(config.monitoring().retention, seconds(48 * 3600));
    assert_eq!((config.monitoring().max_alerts, config.monitoring().thresholds.minimum_calls), (7, 4));
    let again = ResilienceConfig::from_file_text(&config.to_json().to_string()).unwrap();
    assert_eq!(again.monitoring(), config.monitoring());
    let changed = tower_rampart_config::diff(&plain, &config);
    assert_eq!(changed.len(), 10, "{changed:?}");
    assert!(changed.iter().all(|it| it.operation.is_none() && !it.from.is_null() && !it.to.is_null()), "{changed:?}");

    let over = r#"{"operation_overrides": {"a": {"monitoring": {"max_events": 5}}}}"#;
    assert_eq!(ResilienceConfig::from_json(over).unwrap_err().violations()[0].code, ViolationCode::Misplaced);
}

#[test]
fn header_of_nested_retries_means_nothing_else() {
    for (beside, other) in [
        (r#""http": {"attempt_header": "X-Again"}"#, "http.attempt_header"),
        (r#""http": {"deadline_headers": ["x-timeout", "X-Again"]}"#, "http.deadline_headers"),
        (r#""concurrency": {"max_inflight": 3}, "priority": {"header": "x-again"}"#, "priority.header"),
        (r#""circuit_breaker": {"per_key": "header:X-Again"}"#, "circuit_breaker.per_key"),
        (r#""rate_limit": {"requests_per_second": 5, "per_key": "header:x-again"}"#, "rate_limit.per_key"),
        (r#""concurrency": {"max_inflight": 3, "per_key": "header:x-again"}"#, "concurrency.per_key"),
        (r#""cache": {"key_headers": ["accept", "X-Again"]}"#, "cache.key_headers"),
        (
            r#""gateway": {"routes": {"/a": "qa", "header:X-Again=?1": "qa"}}"#,
            "the route 'header:x-again=?1' of gateway.routes",
        ),
    ] {
        let document =
            |enabled: bool| format!(r#"{{"nested_retry": {{"enabled": {enabled}, "header": "X-AGAIN"}}, {beside}}}"#);
        let error = ResilienceConfig::from_json(&document(true)).unwrap_err();
        assert_eq!(paths(&error), ["nested_retry.header"]);
        let message = format!("nested_retry.header and {other} are both x-again");
        assert!(error.to_string().contains(&message), "{error}");
        assert!(ResilienceConfig::from_json(&document(false)).is_ok(), "what is off says nothing");
    }
    for beside in [
        r#""circuit_breaker": {"enabled": false, "per_key": "header:x-again"}"#,
        r#""cache": {"enabled": false, "key_headers": ["x-again"]}"#,
        r#""circuit_breaker": {"per_key": "header:x-against"}"#,
        r#""gateway": {"routes": {"header:x-against=x-again": "qa"}}"#,
    ] {
        let document = format!(r#"{{"nested_retry": {{"header": "X-Again"}}, {beside}}}"#);
        assert!(ResilienceConfig::from_json(&document).is_ok(), "nobody reads it there: {beside}");
    }
    let config = ResilienceConfig::from_json(r#"{"nested_retry": {}}"#).unwrap().base();
    assert_eq!((config.nested_retry.enabled, config.nested_retry.header.as_str()), (true, "x-resilience-retried"));
    assert!(!ResilienceConfig::from_json(r#"{"preset": "production"}"#).unwrap().base().nested_retry.enabled);
}

#[test]
fn header_of_nested_retries_is_none_that_others_read() {
    let taken = [
        "Authorization",
        "proxy-authorization",
        "cookie",
        "HOST",
        "content-type",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "upgrade",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "forwarded",
        "x-forwarded-for",
        "x-request-id",
        "accept",
        "accept-encoding",
        "grpc-timeout",
        "x-api-key",
        "x-resilience-explain",
    ];
    for name in taken {
        let document = |enabled: bool| format!(r#"{{"nested_retry": {{"enabled": {enabled}, "header": "{name}"}}}}"#);
        let error = ResilienceConfig::from_json(&document(true)).unwrap_err();
        let violation = &error.violations()[0];
        assert_eq!((paths(&error), violation.code), (vec!["nested_retry.header"], ViolationCode::UnknownValue));
        let message = format!("nested_retry.header cannot be '{}'", name.to_lowercase());
        assert!(error.to_string().contains(&message), "{error}");
        assert!(ResilienceConfig::from_json(&document(false)).is_ok(), "what is off says nothing");
    }
    let text = r#"{"nested_retry": {}, "operation_overrides": {"qa": {"nested_retry": {"header": "te"}}}}"#;
    let error = ResilienceConfig::from_json(text).unwrap_err();
    assert_eq!(paths(&error), ["operation_overrides.qa.nested_retry.header"]);
    assert!(error.to_string().contains("for the operation 'qa'"), "{error}");
}
