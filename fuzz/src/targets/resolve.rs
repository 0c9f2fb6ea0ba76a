//! The resolver: a preset, a document over it, an operation's override over that, and a patch, each on a line. What is accepted can be
//! run and printed, whatever name it is asked for; what is refused changes nothing.

use tower_rampart_config::{Capabilities, Preset, ResilienceConfig};

const PRESETS: [Preset; 3] = [Preset::Simple, Preset::Development, Preset::Production];

/// Checks the four lines: the operation's name (its first byte names the preset), a document, an override, a patch.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (name, document, overrides, patch) = (line(), line(), line(), line());
    let preset = PRESETS[name.len() % PRESETS.len()];
    let Ok(config) = ResilienceConfig::over(preset, document) else { return };
    runs(&config, name);

    let before = config.to_json();
    if let Ok(over) = config.with_operation_overrides(name, overrides) {
        runs(&over, name);
        for other in config.operation_names().into_iter().filter(|it| *it != name) {
            assert_eq!(over.operation(other), config.operation(other), "an override is of one operation");
        }
    }
    if let Ok(patched) = config.patched(patch) {
        let patched = ResilienceConfig::over(preset, &patched);
        if let Ok(config) = &patched {
            runs(config, name);
        }
    }
    assert_eq!(config.to_json(), before, "a configuration is a value");
}

fn runs(config: &ResilienceConfig, name: &str) {
    let resolved = config.operation(name);
    resolved.circuit_breaker.check().expect("what is resolved can run");
    resolved.retry.check().expect("what is resolved can run");
    resolved.rate_limit.check().expect("what is resolved can run");
    resolved.concurrency.check().expect("what is resolved can run");
    resolved.timeout.check().expect("what is resolved can run");
    assert_eq!(config.operation(name), resolved, "resolving is a function");
    assert!(!config.provenance(name).is_empty(), "each field comes from somewhere");
    // Which host can serve it is a question that has an answer.
    let _ = config.check_operation(name, &Capabilities::all());
    let alone = serde_json::json!({ "operation_overrides": { "only": resolved.to_json() } }).to_string();
    let again = ResilienceConfig::from_file_text(&alone).expect("what is printed is an override");
    assert_eq!(again.operation("only"), resolved);
}
