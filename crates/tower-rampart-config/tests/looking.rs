//! What a configuration tells of itself, beside the numbers that run: what was written, which strategy was chosen, what a host can serve.
//! Where each number comes from is in `resolve.rs`.

use tower_rampart_config::{Capabilities, Capability, ResilienceConfig, Strategy};

const DOCUMENT: &str = r#"{
    "preset": "production", "default_strategy": "conservative", "retry": {"max_attempts": 4},
    "operation_overrides": {"pay": "critical", "list": {"fallback": {"enabled": true}}}
}"#;

fn config() -> ResilienceConfig {
    ResilienceConfig::from_json(DOCUMENT).expect("the document is valid")
}

#[test]
fn what_was_written_is_told_without_what_lies_below_it() {
    let given = config().given();
    assert_eq!(given["retry"], serde_json::json!({"max_attempts": 4}));
    assert_eq!(given["preset"], "production");
    assert!(given.get("timeout").is_none(), "{given}");
    let little = ResilienceConfig::from_json(r#"{"retry_attempts": 2}"#).expect("the document is valid");
    assert_eq!(little.given(), serde_json::json!({"preset": "simple", "retry_attempts": 2}));
    assert!(!little.is_legacy());
}

#[test]
fn last_strategy_that_was_chosen_is_told() {
    let config = config();
    assert_eq!(config.strategy(None), Strategy::Conservative);
    assert_eq!(config.strategy(Some("pay")), Strategy::Critical);
    assert_eq!(config.strategy(Some("nobody named this")), Strategy::Conservative);
    let in_code = config.with_operation_overrides("pay", r#"{"default_strategy": "aggressive"}"#).unwrap();
    assert_eq!(in_code.strategy(Some("pay")), Strategy::Aggressive);
    assert_eq!(in_code.strategy(None), Strategy::Conservative);
}

#[test]
fn host_is_judged_by_the_operation_that_it_serves() {
    let host = Capabilities::http().without(Capability::Fallback);
    let error = config().check_operation("list", &host).expect_err("this host has no fallback");
    assert!(error.to_string().contains("fallback"), "{error}");
    assert!(config().check_operation("pay", &host).is_ok(), "what others have is not looked at");
    assert!(config().check_operation("list", &Capabilities::all()).is_ok());
}
