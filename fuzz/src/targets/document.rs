//! A document: an answer, no panic; `validate` accepts exactly what `resolve` can run; what is printed is the same again.

use tower_rampart_config::{Capabilities, Limits, ResilienceConfig, validate};

/// Checks one document.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let verdict = validate(text, Limits::text(), &Capabilities::all(), None);
    let verdict_on_file = validate(text, Limits::file(), &Capabilities::all(), None);
    assert!(verdict_on_file.is_valid || !verdict.is_valid, "a file may be larger, never stricter");
    assert_eq!(verdict.is_valid, verdict.violations.is_empty());

    let loaded = ResilienceConfig::from_json(text);
    assert_eq!(loaded.is_ok(), verdict.is_valid, "{:?}", verdict.errors);
    let Ok(config) = loaded else { return };

    for operation in config.operation_names().into_iter().chain(["an operation that no document names"]) {
        let operation = config.operation(operation);
        operation.circuit_breaker.check().expect("what is valid can run");
        operation.retry.check().expect("what is valid can run");
        operation.rate_limit.check().expect("what is valid can run");
        operation.concurrency.check().expect("what is valid can run");
        operation.timeout.check().expect("what is valid can run");
    }
    let printed = config.to_json();
    let again = ResilienceConfig::from_file_text(&printed.to_string()).expect("what is printed is a document");
    assert_eq!(again.to_json(), printed);
}
