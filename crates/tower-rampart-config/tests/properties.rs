//! What holds for every document: an answer to any text, agreement of validation and resolution, and print-and-read as identity.

mod documents;

use documents::{document, layer, put, sound};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};
use tower_rampart_config::{Capabilities, Capability, Limits, OperationConfig, Preset, ResilienceConfig, validate};

fn machines_accept(config: &OperationConfig) -> Result<(), String> {
    config.circuit_breaker.check().map_err(|it| it.to_string())?;
    config.retry.check().map_err(|it| it.to_string())?;
    config.rate_limit.check().map_err(|it| it.to_string())?;
    config.concurrency.check().map_err(|it| it.to_string())?;
    config.timeout.check().map_err(|it| it.to_string())
}

fn runs(config: &ResilienceConfig) -> Result<(), String> {
    machines_accept(&config.base())?;
    config.operation_names().into_iter().try_for_each(|name| machines_accept(&config.operation(name)))
}

fn is_same(one: &ResilienceConfig, other: &ResilienceConfig) -> Result<(), TestCaseError> {
    prop_assert_eq!(one.preset_name(), other.preset_name());
    prop_assert_eq!(one.operation_names(), other.operation_names());
    prop_assert_eq!(one.gateway(), other.gateway());
    prop_assert_eq!(one.base(), other.base());
    let hosts = [Capabilities::none(), Capabilities::function(), Capabilities::http(), Capabilities::all()];
    for host in hosts.into_iter().chain(hosts.map(|it| it.without(Capability::Fallback))) {
        prop_assert_eq!(one.check(&host).is_ok(), other.check(&host).is_ok(), "{:?}", host);
    }
    for name in one.operation_names() {
        prop_assert_eq!(one.operation(name), other.operation(name), "{}", name);
    }
    Ok(())
}

proptest! {
    #[test]
    fn sound_documents_are_valid_and_run(document in document()) {
        let text = document.to_string();
        let result = validate(&text, Limits::file(), &Capabilities::all(), None);
        prop_assert!(result.is_valid, "{}\n{:?}", text, result.violations);
        let config = ResilienceConfig::from_file_text(&text).unwrap();
        prop_assert_eq!(runs(&config), Ok(()));
    }

    #[test]
    fn what_is_printed_is_read_back_as_the_same_configuration(document in document(), code in layer()) {
        let config = ResilienceConfig::from_file_text(&document.to_string()).unwrap();
        let code = Value::Object(code).to_string();
        let both = format!("{document}{code}");
        prop_assume!(!(both.contains("\"hedge\"") && (both.contains("tokens_per_minute") || both.contains("\"attempt\""))), "they cannot stand side by side");
        let config = config.with_operation_overrides("coded", &code).unwrap();
        let printed = config.to_json();
        let again = ResilienceConfig::from_file_text(&printed.to_string());
        prop_assert!(again.is_ok(), "{}\n{}", printed, again.unwrap_err());
        let again = again.unwrap();
        is_same(&config, &again)?;
        prop_assert_eq!(printed, again.to_json());
    }

    #[test]
    fn an_operation_printed_alone_is_an_override_that_says_the_same(document in document()) {
        let config = ResilienceConfig::from_file_text(&document.to_string()).unwrap();
        for name in config.operation_names() {
            let resolved = config.operation(name);
            let wrapped = json!({"operation_overrides": {"only": resolved.to_json()}}).to_string();
            let again = ResilienceConfig::from_file_text(&wrapped);
            prop_assert!(again.is_ok(), "{}\n{}", wrapped, again.unwrap_err());
            prop_assert_eq!(again.unwrap().operation("only"), resolved);
        }
    }

    #[test]
    fn validation_accepts_exactly_what_can_be_loaded_and_run(
        document in document(),
        wild in prop::collection::vec((0..60_usize, select(vec![
            json!(-1), json!(0), json!(1), json!(3.5), json!(1e9), json!(u64::MAX), json!("x"), json!("2s"), json!(null), json!(true),
            json!([]), json!([1]), json!({}), json!({"a": 1}),
        ])), 0..3),
        contradiction in 0..6_usize,
    ) {
        let mut object = document.as_object().unwrap().clone();
        let fields: Vec<_> = sound(true).into_iter().chain(sound(false)).collect();
        for (at, value) in wild {
            let path = fields[at % fields.len()].0;
            if path.split_once('.').is_none_or(|(section, _)| object.get(section).is_none_or(Value::is_object)) {
                let inner = path.split('.').count() > 2 && object.get(path.split('.').next().unwrap()).is_some();
                if !inner {
                    put(&mut object, path, value);
                }
            }
        }
        let cross = [
            ("retry.backoff.max", json!("1ms")),
            ("circuit_breaker.recovery_timeout_max", json!("1ms")),
            ("concurrency.adaptive", json!({"algorithm": "aimd", "min": 9, "max": 2})),
        ];
        if let Some((path, value)) = cross.get(contradiction)
            && path.split_once('.').is_some_and(|(section, _)| object.get(section).is_none_or(Value::is_object))
            && object.get("retry").is_none_or(|it| it.get("backoff").is_none_or(Value::is_object))
        {
            put(&mut object, path, value.clone());
        }
        let text = Value::Object(object).to_string();
        let result = validate(&text, Limits::file(), &Capabilities::all(), None);
        let loaded = ResilienceConfig::from_file_text(&text);
        prop_assert_eq!(result.is_valid, loaded.is_ok(), "{}", text);
        match loaded {
            Ok(config) => prop_assert_eq!(runs(&config), Ok(())),
            Err(error) => prop_assert_eq!(error.violations(), &result.violations[..]),
        }
    }

    #[test]
    fn any_text_has_an_answer(text in ".{0,300}") {
        let result = validate(&text, Limits::text(), &Capabilities::http(), None);
        prop_assert_eq!(result.is_valid, result.errors.is_empty());
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(validate(&text, Limits::file(), &Capabilities::http(), None).is_valid, ResilienceConfig::from_file_text(&text).is_ok());
    }

    #[test]
    fn any_damage_to_a_document_has_an_answer(document in document(), at in any::<prop::sample::Index>(), with in r#"[\[\]{}",:\\0-9eE.\-u\x00-\x1f]{0,4}"#) {
        let mut text = document.to_string();
        let at = at.index(text.len());
        if text.is_char_boundary(at) {
            text.replace_range(at..=at, &with);
        }
        let result = validate(&text, Limits::file(), &Capabilities::all(), None);
        prop_assert_eq!(result.is_valid, ResilienceConfig::from_file_text(&text).is_ok());
    }

    #[test]
    fn the_highest_layer_that_speaks_is_heard(
        preset in select(Preset::ALL.to_vec()),
        strategy in any::<bool>(),
        top in prop::option::of(1..=10_u32),
        own in prop::option::of(1..=10_u32),
        code in prop::option::of(1..=10_u32),
        operation in select(vec!["qa", "sentiment", "other"]),
    ) {
        let mut document = json!({"operation_overrides": {}});
        if let Some(top) = top {
            document["retry_attempts"] = json!(top);
        }
        if strategy {
            document["default_strategy"] = json!("conservative");
        }
        if let Some(own) = own {
            document["operation_overrides"][operation] = json!({"retry_attempts": own});
        }
        let mut config = ResilienceConfig::over(preset, &document.to_string()).unwrap();
        if let Some(code) = code {
            config = config.with_operation_overrides(operation, &json!({"retry_attempts": code}).to_string()).unwrap();
        }
        let definition = preset.definition();
        let by_preset = definition.operation_overrides.iter().find(|it| it.0 == operation).map(|it| it.1.numbers().max_attempts);
        let by_strategy = strategy.then_some(5);
        let expected = code.or(own).or(by_preset).or(top).or(by_strategy).unwrap_or(definition.retry_attempts);
        prop_assert_eq!(config.operation(operation).retry.max_attempts, expected);
        prop_assert_eq!(config.base().retry.max_attempts, top.or(by_strategy).unwrap_or(definition.retry_attempts));
    }
}

#[test]
fn hostile_shapes_have_an_answer_that_is_not_longer_than_they_are_wide() {
    let deep = |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    let wide = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(9000));
    let long = format!("{{\"{}\": \"{}\"}}", "k".repeat(30_000), "v".repeat(30_000));
    let many = format!("[{}1]", "1,".repeat(30_000));
    let digits = format!("{{\"retry_attempts\": {}}}", "9".repeat(5000));
    let nested = format!("{{{}\"z\":1}}", "\"a\":{\"b\":1,\"b\":1},".repeat(3000));
    for text in [
        deep("[", "]", 5000),
        deep("{\"a\":", "}", 5000),
        "[".repeat(60_000),
        "{\"a\":".repeat(12_000),
        wide,
        long,
        many,
        digits,
        nested,
        "\"".repeat(60_000),
    ] {
        let result = validate(&text, Limits::file(), &Capabilities::all(), None);
        assert!(!result.is_valid);
        assert!(result.violations.len() <= 1001, "{} violations", result.violations.len());
        let said: usize = result.errors.iter().map(String::len).sum();
        assert!(said < 4 * text.len() + 4096, "{said} bytes are said about {}", text.len());
        assert_eq!(result.security_info.size_bytes, text.len());
    }
}

#[test]
fn fifty_operations_are_the_most_with_those_of_the_preset() {
    let with = |count: usize| {
        let operations: Map<String, Value> = (0..count).map(|it| (format!("op{it}"), json!("critical"))).collect();
        json!({"preset": "production", "operation_overrides": operations}).to_string()
    };
    let config = ResilienceConfig::from_file_text(&with(45)).unwrap();
    assert!(ResilienceConfig::from_file_text(&config.to_json().to_string()).is_ok());
    assert!(ResilienceConfig::from_file_text(&with(46)).is_err());
}
