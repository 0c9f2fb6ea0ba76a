//! The documents of `vectors/config.json`, each by its name, through the one path that judges documents.

use std::{fs, path::Path};

use tower_rampart_config::{Capabilities, Limits, validate};

fn vectors() -> Vec<serde_json::Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../../../shared/vectors/config.json"))
        .or_else(|_| fs::read_to_string(root.join("../../vectors/config.json")))
        .expect("the vectors lie at the root of the workspace");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

#[test]
fn every_vector_is_judged_as_it_says_and_at_the_field_that_it_names() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 173);
    let mut wrong = Vec::new();
    for vector in &vectors {
        let (name, text) = (vector["name"].as_str().unwrap(), vector["text"].as_str().unwrap());
        let result = validate(text, Limits::text(), &Capabilities::http(), None);
        let paths: Vec<&str> = result.violations.iter().map(|it| it.path.as_str()).collect();
        if Some(result.is_valid) != vector["valid"].as_bool() {
            wrong.push(format!("{name}: valid is {}, {paths:?} {:?}", result.is_valid, result.errors));
        }
        if let Some(field) = vector["field"].as_str()
            && !paths.contains(&field)
        {
            wrong.push(format!("{name}: {field} is not among {paths:?}"));
        }
        assert_eq!(result.is_valid, result.violations.is_empty(), "{name}");
        assert_eq!(result.errors.len(), result.violations.len(), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_vectors_call_several_errors_is_reported_at_once() {
    let vectors = vectors();
    let many = vectors.iter().find(|it| it["name"] == "many_errors").unwrap();
    let result = validate(many["text"].as_str().unwrap(), Limits::text(), &Capabilities::http(), None);
    let paths: Vec<&str> = result.violations.iter().map(|it| it.path.as_str()).collect();
    for path in ["retry_attempts", "circuit_breaker_threshold", "malicious", "nested"] {
        assert!(paths.contains(&path), "{path} is not among {paths:?}");
    }
}

#[test]
fn warnings_leave_a_document_valid() {
    let cases = [
        (r#"{"retry_attempts": 8, "max_delay_seconds": 10}"#, 2),
        (r#"{"retry_attempts": 5, "max_delay_seconds": 10}"#, 0),
        (r#"{"retry_attempts": 8}"#, 1),
        (r#"{"circuit_breaker_threshold": 2}"#, 1),
        (r#"{"circuit_breaker_threshold": 3}"#, 0),
        (r#"{"fallback": {"body": "aaaaaaaaaaa"}}"#, 1),
        (r#"{"fallback": {"body": "aaaaaaaaaa"}}"#, 0),
        (r#"{"operation_overrides": {"qa": {"retry_attempts": 9}}}"#, 1),
    ];
    for (text, warnings) in cases {
        let result = validate(text, Limits::text(), &Capabilities::all(), None);
        assert!(result.is_valid, "{text}: {:?}", result.errors);
        assert_eq!(result.warnings.len(), warnings, "{text}: {:?}", result.warnings);
    }
}
