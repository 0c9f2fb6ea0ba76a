//! The variables of older systems: each takes effect, a bad one is an error, and what replaces them survives a real shell.
#![expect(clippy::float_cmp, reason = "confidences are rounded to four digits")]

use std::process::Command;

use proptest::prelude::*;
use serde_json::json;
use tower_rampart_config::{
    ConfigError, Loaded, Migration, Preset, PresetDefinition, Presets, ResilienceConfig, Surroundings, migrate,
    shell_quoted,
};

/// Each variable, a value unlike the default, and what it makes of the configuration as a path of the printed form and the value there.
const ALL: [(&str, &str, &str, &str); 17] = [
    ("RETRY_MAX_ATTEMPTS", "6", "/retry/max_attempts", "6"),
    ("RETRY_MAX_DELAY", "90", "/timeout/total", "\"90s\""),
    ("RETRY_EXPONENTIAL_MULTIPLIER", "2.5", "/retry/backoff/base", "\"2500ms\""),
    ("RETRY_EXPONENTIAL_MIN", "1.0", "/retry/backoff/min", "\"1s\""),
    ("RETRY_EXPONENTIAL_MAX", "60", "/retry/backoff/max", "\"1m\""),
    ("RETRY_JITTER_ENABLED", "No", "/retry/jitter/kind", "\"none\""),
    ("RETRY_JITTER_MAX", "1", "/retry/jitter/max", "\"1s\""),
    ("RETRY_ENABLED", "false", "/retry/enabled", "false"),
    ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "9", "/circuit_breaker/failure_threshold", "9"),
    ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "45", "/circuit_breaker/recovery_timeout", "\"45s\""),
    ("CIRCUIT_BREAKER_ENABLED", "0", "/circuit_breaker/enabled", "false"),
    ("DEFAULT_RESILIENCE_STRATEGY", "critical", "/timeout/total", "\"5m\""),
    ("SUMMARIZE_RESILIENCE_STRATEGY", "critical", "/operation_overrides/summarize/retry/max_attempts", "7"),
    ("SENTIMENT_RESILIENCE_STRATEGY", "aggressive", "/operation_overrides/sentiment/retry/max_attempts", "2"),
    ("KEY_POINTS_RESILIENCE_STRATEGY", "conservative", "/operation_overrides/key_points/retry/max_attempts", "5"),
    ("QUESTIONS_RESILIENCE_STRATEGY", "critical", "/operation_overrides/questions/timeout/total", "\"5m\""),
    ("QA_RESILIENCE_STRATEGY", "aggressive", "/operation_overrides/qa/timeout/total", "\"10s\""),
];

fn surroundings(vars: &[(&str, &str)]) -> Surroundings<'static> {
    Surroundings::new(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), |_| false)
}

fn load(vars: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    Loaded::from_surroundings(&Presets::builtin(), &surroundings(vars), |_| Ok(r#"{"retry_attempts": 2}"#.to_owned()))
}

/// The variables that a shell has after the lines.
fn after(vars: &[(&str, &str)], lines: &[String], names: &[&str]) -> Vec<(String, String)> {
    let print: Vec<String> = names.iter().map(|it| format!("printf '%s=%s\\0' {it} \"${{{it}-unset}}\"")).collect();
    let script = [lines, &print].concat().join("\n");
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .env_clear()
        .envs(vars.iter().copied())
        .output()
        .expect("there is a shell");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("the values are text");
    let pairs = text.split_terminator('\0').map(|it| it.split_once('=').expect("the script prints pairs"));
    pairs.filter(|it| it.1 != "unset").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn each_of_the_seventeen_takes_effect_at_the_field_that_it_names() {
    for (variable, value, pointer, expected) in ALL {
        let config = load(&[(variable, value)]).unwrap_or_else(|error| panic!("{error}")).config.to_json();
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(config.pointer(pointer), Some(&expected), "{variable}={value}: {config}");
        let plain = ResilienceConfig::from_preset(Preset::Simple).to_json();
        assert_ne!(plain.pointer(pointer), Some(&expected), "{variable} has a value of its own");
    }
}

#[test]
fn switches_switch_their_stages_off_and_on() {
    for (on, words) in [(true, ["true", "1", "YES", "on"]), (false, ["False", "0", "no", "off"])] {
        for word in words {
            let base = load(&[("RETRY_ENABLED", word), ("CIRCUIT_BREAKER_ENABLED", word)]).unwrap().config.base();
            assert_eq!((base.retry.enabled, base.circuit_breaker.enabled), (on, on), "{word}");
        }
    }
}

#[test]
fn the_source_of_a_legacy_value_is_its_variable_and_a_warning_names_the_way_out() {
    let loaded =
        load(&[("RETRY_MAX_ATTEMPTS", "4"), ("QA_RESILIENCE_STRATEGY", "critical"), ("ENVIRONMENT", "production")])
            .unwrap();
    assert_eq!(loaded.config.preset_name(), "simple");
    let sources = loaded.config.provenance("other");
    let source = |path: &str| sources.iter().find(|it| it.0 == path).unwrap().1.to_string();
    assert_eq!(source("retry.max_attempts"), "environment:RETRY_MAX_ATTEMPTS");
    assert_eq!(source("timeout.total"), "preset:simple");
    assert_eq!(loaded.warnings.len(), 1);
    for part in ["RETRY_MAX_ATTEMPTS, QA_RESILIENCE_STRATEGY", "rampart migrate", "RESILIENCE_CUSTOM_CONFIG"] {
        assert!(loaded.warnings[0].contains(part), "{:?}", loaded.warnings);
    }
}

#[test]
fn a_bad_value_is_an_error_that_names_the_variable_and_all_are_said_together() {
    let cases = [
        ("RETRY_MAX_ATTEMPTS", "many"),
        ("RETRY_MAX_ATTEMPTS", "3.0"),
        ("RETRY_MAX_ATTEMPTS", "0"),
        ("RETRY_MAX_ATTEMPTS", "11"),
        ("RETRY_MAX_ATTEMPTS", ""),
        ("RETRY_MAX_DELAY", "4"),
        ("RETRY_EXPONENTIAL_MIN", "$(reboot)"),
        ("RETRY_EXPONENTIAL_MAX", "NaN"),
        ("RETRY_JITTER_MAX", "99999999999999999999999999999999999999999"),
        ("RETRY_JITTER_ENABLED", "maybe"),
        ("RETRY_ENABLED", ""),
        ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "600"),
        ("DEFAULT_RESILIENCE_STRATEGY", "Balanced"),
        ("QA_RESILIENCE_STRATEGY", "turbo"),
    ];
    for (variable, value) in cases {
        for error in
            [load(&[(variable, value)]).unwrap_err(), migrate(&surroundings(&[(variable, value)])).unwrap_err()]
        {
            assert_eq!(error.violations().len(), 1);
            assert_eq!(error.violations()[0].path, variable, "{error}");
            assert!(error.violations()[0].message.contains(variable), "{error}");
        }
    }
    let error = load(&[("RETRY_MAX_ATTEMPTS", "x"), ("QA_RESILIENCE_STRATEGY", "y")]).unwrap_err();
    assert_eq!(error.violations().len(), 2);
}

#[test]
fn variables_that_contradict_each_other_or_the_preset_are_an_error_that_names_them() {
    let error = load(&[("RETRY_EXPONENTIAL_MIN", "9"), ("RETRY_EXPONENTIAL_MAX", "6")]).unwrap_err();
    assert!(error.violations().iter().any(|it| it.path == "RETRY_EXPONENTIAL_MIN"), "{error}");
    let error = load(&[("RETRY_EXPONENTIAL_MIN", "6"), ("DEFAULT_RESILIENCE_STRATEGY", "aggressive")]).unwrap_err();
    assert_eq!(error.violations()[0].path, "RETRY_EXPONENTIAL_MIN", "{error}");
}

#[test]
fn what_is_set_in_the_new_way_decides_and_the_warning_says_so() {
    for (variable, value) in [
        ("RESILIENCE_PRESET", "production"),
        ("RESILIENCE_CUSTOM_CONFIG", r#"{"retry_attempts": 2}"#),
        ("RESILIENCE_CONFIG_FILE", "any.json"),
    ] {
        let loaded = load(&[(variable, value), ("RETRY_MAX_ATTEMPTS", "nonsense")]).unwrap();
        assert_ne!(loaded.config.base().retry.max_attempts, 3);
        assert!(loaded.warnings[0].contains(variable) && loaded.warnings[0].contains("RETRY_MAX_ATTEMPTS"));
    }
}

#[test]
fn without_variables_there_is_nothing_to_migrate() {
    let migration = migrate(&surroundings(&[("RESILIENCE_PRESET", "production")])).unwrap();
    assert_eq!((migration.has_legacy_config, migration.document, migration.shell_lines.len()), (false, None, 0));
}

#[test]
fn similarity_is_weighed_by_the_table_and_the_first_of_equals_wins() {
    let production = [
        ("RETRY_MAX_ATTEMPTS", "5"),
        ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "10"),
        ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "120"),
        ("DEFAULT_RESILIENCE_STRATEGY", "conservative"),
        ("QA_RESILIENCE_STRATEGY", "critical"),
        ("SENTIMENT_RESILIENCE_STRATEGY", "balanced"),
    ];
    let migration = migrate(&surroundings(&production)).unwrap();
    let scores = [("simple".to_owned(), 0.0), ("development".to_owned(), 0.0), ("production".to_owned(), 0.9091)];
    assert_eq!(migration.preset_similarity_scores, scores, "10 of 11: one of two operations is equal");
    assert_eq!((migration.suggested_preset.as_str(), migration.similarity_confidence), ("production", 0.9091));
    assert!(migration.recommendation.contains("strong match"), "{}", migration.recommendation);
    let development = migrate(&surroundings(&[("RETRY_MAX_ATTEMPTS", "2")])).unwrap();
    assert_eq!(development.preset_similarity_scores[0].1, 0.1818, "no operations on either side");
    assert_eq!(development.preset_similarity_scores[1].1, 0.2727);
    let json = serde_json::to_value(&development).unwrap();
    assert_eq!(json["preset_similarity_scores"], json!({"simple": 0.1818, "development": 0.2727, "production": 0.0}));
    let tie =
        migrate(&surroundings(&[("RETRY_JITTER_MAX", "1"), ("QUESTIONS_RESILIENCE_STRATEGY", "critical")])).unwrap();
    assert_eq!((tie.suggested_preset.as_str(), tie.similarity_confidence), ("simple", 0.0));
    let mut presets = Presets::builtin();
    presets
        .register(PresetDefinition { name: "ours".into(), retry_attempts: 9, ..Preset::Simple.definition() })
        .unwrap();
    let ours = presets.migrate(&surroundings(&[("RETRY_MAX_ATTEMPTS", "9")])).unwrap();
    assert_eq!(ours.suggested_preset, "ours");
}

/// The configuration that a shell has after the lines of a migration.
fn migrated(migration: &Migration, vars: &[(&str, &str)]) -> ResilienceConfig {
    let names = ALL.map(|it| it.0);
    let names: Vec<&str> = names.into_iter().chain(["RESILIENCE_CUSTOM_CONFIG", "RESILIENCE_CONFIG_FILE"]).collect();
    let left = after(vars, &migration.shell_lines, &names);
    assert_eq!(left.len(), 1, "{left:?}");
    ResilienceConfig::from_vars(left, |_| Ok(String::new())).expect("the migration is valid")
}

#[test]
fn the_shell_lines_give_the_same_configuration_and_the_others_take_them_back() {
    let mut vars: Vec<(&str, &str)> = ALL.iter().map(|it| (it.0, it.1)).collect();
    let migration = migrate(&surroundings(&vars)).unwrap();
    let before = load(&vars).unwrap().config;
    assert_eq!(migrated(&migration, &vars).to_json(), before.to_json());

    let old = "{\"fallback\":{\"body\":\"it's $(date) `date` \\\"x\\\" \\\\ \n*\"}}";
    vars.extend([("RESILIENCE_CUSTOM_CONFIG", old), ("RESILIENCE_CONFIG_FILE", "a b'c")]);
    let migration = migrate(&surroundings(&vars)).unwrap();
    assert!(migration.warnings.iter().any(|it| it.contains("no effect now")), "{:?}", migration.warnings);
    let names: Vec<&str> = vars.iter().map(|it| it.0).collect();
    let lines = [migration.shell_lines, migration.rollback_lines].concat();
    let mut restored = after(&vars, &lines, &names);
    restored.sort_unstable();
    let mut expected: Vec<_> = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    expected.sort_unstable();
    assert_eq!(restored, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_quoted_text_survives_a_real_shell(text in "[^\0]{0,60}", sharp in "['\"$`\\\\\n\t !*?~#;&|<>(){}\\[\\]%=-]{0,40}") {
        for text in [text, sharp, "$(touch x)'; rm '\n".to_owned()] {
            let line = format!("X={}; printf '%s' \"$X\"", shell_quoted(&text));
            let output = Command::new("/bin/sh").arg("-c").arg(line).env_clear().output().unwrap();
            prop_assert_eq!(output.stdout, text.as_bytes());
            prop_assert!(output.stderr.is_empty());
        }
    }

    #[test]
    fn any_choice_of_variables_migrates_to_the_same_configuration(chosen in prop::collection::vec(any::<bool>(), 17)) {
        let vars: Vec<(&str, &str)> = ALL.iter().zip(chosen).filter(|it| it.1).map(|(it, _)| (it.0, it.1)).collect();
        let migration = migrate(&surroundings(&vars)).unwrap();
        prop_assert_eq!(migration.has_legacy_config, !vars.is_empty());
        if let Some(document) = &migration.document {
            let again = ResilienceConfig::from_json(&document.to_string()).unwrap();
            prop_assert_eq!(again.to_json(), load(&vars).unwrap().config.to_json());
        }
    }
}
