//! What the environment's variables make, and that a bad one is an error that names it.

use std::{error::Error, io, time::Duration};

use tower_rampart_config::{ConfigError, Loaded, Preset, PresetDefinition, Presets, ResilienceConfig, Surroundings};
use tower_rampart_core::rate::Quota;

fn load(vars: &[(&str, &str)]) -> Result<ResilienceConfig, ConfigError> {
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ResilienceConfig::from_vars(vars, |path| match path.to_str() {
        Some("rampart.json") => Ok(r#"{"preset": "development", "retry_attempts": 9}"#.to_owned()),
        Some("large.json") => Ok(format!(r#"{{"retry_attempts": 9{}}}"#, " ".repeat(5000))),
        Some("bad.json") => Ok(r#"{"retry_attempts": 99}"#.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    })
}

fn refused(vars: &[(&str, &str)]) -> ConfigError {
    load(vars).expect_err("the variables are bad")
}

fn surroundings(vars: &[(&str, &str)]) -> Surroundings<'static> {
    Surroundings::new(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), |_| false)
}

fn loaded(surroundings: &Surroundings<'_>) -> Result<Loaded, ConfigError> {
    Loaded::from_surroundings(&Presets::builtin(), surroundings, |_| Ok(r#"{"retry_attempts": 9}"#.to_owned()))
}

#[test]
fn without_variables_the_preset_is_the_one_for_the_detected_environment() {
    let table = [
        (&[("PATH", "/bin")][..], "simple", "unknown (auto-detected)"),
        (&[("ENVIRONMENT", "production")], "production", "production (auto-detected)"),
        (&[("NODE_ENV", "staging"), ("AI_LIB_RPS", "5")], "production", "staging (auto-detected)"),
        (&[("DEBUG", "1")], "development", "development (auto-detected)"),
    ];
    for (vars, preset, environment) in table {
        assert_eq!(load(vars).unwrap().preset_name(), preset, "{vars:?}");
        let loaded = loaded(&surroundings(vars)).unwrap();
        assert_eq!(loaded.config.preset_name(), preset);
        assert_eq!(loaded.recommendation.unwrap().environment_detected, environment);
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}

#[test]
fn a_document_without_a_preset_lies_over_simple_whatever_the_environment() {
    for variable in ["RESILIENCE_CUSTOM_CONFIG", "RESILIENCE_CONFIG_FILE"] {
        let value = if variable.ends_with("FILE") { "rampart.json" } else { r#"{"retry_attempts": 9}"# };
        let loaded = loaded(&surroundings(&[("ENVIRONMENT", "production"), (variable, value)])).unwrap();
        assert_eq!((loaded.config.preset_name(), loaded.recommendation), ("simple", None));
        assert_eq!(loaded.config.base().retry.max_attempts, 9);
        assert_eq!(loaded.file.is_some(), variable.ends_with("FILE"));
        assert!(loaded.warnings.iter().any(|it| it.contains("9 attempts")), "{:?}", loaded.warnings);
    }
}

#[test]
fn the_process_outranks_the_file_of_variables() {
    let text = "RESILIENCE_PRESET=production\nAI_LIB_MAX_INFLIGHT=7 # calls\nTOKEN='x'\n";
    let read = |vars: &[(&str, &str)]| loaded(&surroundings(vars).with_dotenv(".env", text).unwrap()).unwrap().config;
    assert_eq!(read(&[]).preset_name(), "production");
    let config = read(&[("RESILIENCE_PRESET", "development")]);
    assert_eq!((config.preset_name(), config.base().concurrency.max_inflight), ("development", 7));
}

#[test]
fn a_bad_line_in_the_file_of_variables_is_an_error_with_its_number() {
    let error = surroundings(&[]).with_dotenv("/srv/.env", "A=1\nRESILIENCE_PRESET\n").unwrap_err();
    assert_eq!(error.origin(), Some("/srv/.env"));
    assert_eq!(error.violations()[0].path, "/srv/.env:2");
    assert!(error.to_string().contains("/srv/.env:2 must be NAME=value"), "{error}");
}

#[test]
fn surroundings_keep_and_show_no_more_than_they_know() {
    let surroundings = surroundings(&[("SECRET_TOKEN", "hunter2"), ("DEBUG", "hunter2"), ("RETRY_ENABLED", "yes")]);
    assert_eq!(surroundings.var("SECRET_TOKEN"), None);
    assert_eq!(surroundings.vars().count(), 2);
    assert!(!format!("{surroundings:?}").contains("hunter2"));
}

#[test]
fn a_registered_preset_can_be_named_by_the_variable() {
    let mut presets = Presets::builtin();
    presets.register(PresetDefinition { name: "batch".to_owned(), ..Preset::Production.definition() }).unwrap();
    let load = |name| {
        Loaded::from_surroundings(&presets, &surroundings(&[("RESILIENCE_PRESET", name)]), |_| Ok(String::new()))
    };
    assert_eq!(load("batch").unwrap().config.preset_name(), "batch");
    let error = load("batsh").unwrap_err().to_string();
    assert!(error.contains("'production', 'batch']") && error.contains("Did you mean 'batch'?"), "{error}");
}

#[test]
fn the_custom_document_lies_over_the_preset_of_the_variable() {
    let config = load(&[("RESILIENCE_PRESET", "production"), ("RESILIENCE_CUSTOM_CONFIG", r#"{"retry_attempts": 2}"#)]);
    let config = config.unwrap();
    assert_eq!(config.preset_name(), "production");
    assert_eq!(config.base().retry.max_attempts, 2);
    assert_eq!(config.base().circuit_breaker.failure_threshold, 10);
}

#[test]
fn a_file_may_be_larger_and_stands_for_the_custom_document() {
    let config = load(&[("RESILIENCE_CONFIG_FILE", "rampart.json")]).unwrap();
    assert_eq!((config.preset_name(), config.base().retry.max_attempts), ("development", 9));
    assert_eq!(load(&[("RESILIENCE_CONFIG_FILE", "large.json")]).unwrap().base().retry.max_attempts, 9);
    let text = format!(r#"{{"retry_attempts": 9{}}}"#, " ".repeat(5000));
    assert!(load(&[("RESILIENCE_CUSTOM_CONFIG", &text)]).is_err());
}

#[test]
fn the_four_numbers_lie_above_the_preset_and_below_the_document() {
    let numbers = [
        ("RESILIENCE_PRESET", "production"),
        ("AI_LIB_RPS", "2.5"),
        ("AI_LIB_BREAKER_FAILURE_THRESHOLD", "40"),
        ("AI_LIB_BREAKER_COOLDOWN_SECS", "1.5"),
        ("AI_LIB_MAX_INFLIGHT", "6"),
    ];
    let config = load(&numbers).unwrap();
    for resolved in [config.base(), config.operation("qa")] {
        assert!(resolved.rate_limit.enabled && resolved.concurrency.enabled);
        assert_eq!(resolved.rate_limit.quota, Quota { limit: 2.5, period: Duration::from_secs(1) });
        assert_eq!(resolved.circuit_breaker.failure_threshold, 40);
        assert_eq!(resolved.circuit_breaker.recovery_timeout, Duration::from_millis(1500));
        assert_eq!(resolved.concurrency.max_inflight, 6);
    }
    let sources = config.provenance("qa");
    let source = |path: &str| sources.iter().find(|it| it.0 == path).unwrap().1.to_string();
    assert_eq!(source("circuit_breaker.failure_threshold"), "environment:AI_LIB_BREAKER_FAILURE_THRESHOLD");
    assert_eq!(source("rate_limit.limit"), "environment:AI_LIB_RPS");

    let document = r#"{"circuit_breaker_threshold": 7, "rate_limit": {"enabled": false}}"#;
    let config = load(&[&numbers[..], &[("RESILIENCE_CUSTOM_CONFIG", document)]].concat()).unwrap();
    assert_eq!(config.base().circuit_breaker.failure_threshold, 7);
    assert_eq!(config.operation("qa").circuit_breaker.failure_threshold, 10, "its strategy wins over the document");
    assert!(!config.base().rate_limit.enabled);
    let strategy = load(&[numbers[2], ("RESILIENCE_CUSTOM_CONFIG", r#"{"default_strategy": "aggressive"}"#)]).unwrap();
    assert_eq!(strategy.base().circuit_breaker.failure_threshold, 3);
}

#[test]
fn a_bad_value_is_an_error_that_names_its_variable() {
    let cases = [
        ("RESILIENCE_PRESET", "prod"),
        ("RESILIENCE_PRESET", ""),
        ("RESILIENCE_PRESET", "Production"),
        ("RESILIENCE_CUSTOM_CONFIG", "{"),
        ("RESILIENCE_CUSTOM_CONFIG", ""),
        ("RESILIENCE_CUSTOM_CONFIG", r#"{"retry_attempts": 99}"#),
        ("RESILIENCE_CONFIG_FILE", "missing.json"),
        ("RESILIENCE_CONFIG_FILE", "bad.json"),
        ("AI_LIB_RPS", "0"),
        ("AI_LIB_RPS", "many"),
        ("AI_LIB_RPS", ""),
        ("AI_LIB_BREAKER_FAILURE_THRESHOLD", "2.0"),
        ("AI_LIB_BREAKER_COOLDOWN_SECS", "\"5s\""),
        ("AI_LIB_BREAKER_COOLDOWN_SECS", "0"),
        ("AI_LIB_MAX_INFLIGHT", "-1"),
    ];
    for (variable, value) in cases {
        let error = refused(&[(variable, value)]);
        assert!(error.to_string().contains(variable), "{variable}={value}: {error}");
        assert!(!error.violations().is_empty());
    }
    let all = refused(&[("RESILIENCE_PRESET", "prod"), ("AI_LIB_RPS", "x"), ("AI_LIB_MAX_INFLIGHT", "0")]);
    let paths: Vec<&str> = all.violations().iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["RESILIENCE_PRESET", "AI_LIB_RPS", "AI_LIB_MAX_INFLIGHT"]);
}

#[test]
fn a_document_and_a_file_together_are_an_error() {
    let error = refused(&[("RESILIENCE_CUSTOM_CONFIG", "{}"), ("RESILIENCE_CONFIG_FILE", "rampart.json")]);
    assert_eq!(error.violations()[0].path, "RESILIENCE_CUSTOM_CONFIG");
    assert!(error.to_string().contains("RESILIENCE_CONFIG_FILE"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_cause() {
    let error = refused(&[("RESILIENCE_CONFIG_FILE", "missing.json")]);
    assert_eq!(error.origin(), Some("RESILIENCE_CONFIG_FILE (missing.json)"));
    let cause = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::NotFound));
}
