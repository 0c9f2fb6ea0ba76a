//! The behaviour vectors, and readers that fail on what a test does not know.

use std::{path::Path, time::Duration};

use serde_json::Value;
use tower_rampart::{ProviderClass, Verdict};

/// The vectors of one kind.
pub fn vectors(kind: &str) -> Vec<Value> {
    all_vectors().into_iter().filter(|it| it["kind"] == kind).collect()
}

pub fn all_vectors() -> Vec<Value> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let path = if Path::new(shared).exists() { shared } else { copy };
    let text = std::fs::read_to_string(path).expect("the vectors are part of the project");
    let document: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    document["vectors"].as_array().expect("a list of vectors").clone()
}

/// Fails on a field of a vector that its test does not know.
pub fn knows(place: &str, object: &Value, fields: &[&str]) {
    for field in object.as_object().unwrap_or_else(|| panic!("{place}: no object: {object}")).keys() {
        assert!(fields.contains(&field.as_str()), "{place}: the test does not know the field `{field}`");
    }
}

/// The names of what every vector may have beside what is particular to its kind.
pub fn knows_vector(vector: &Value, fields: &[&str]) -> String {
    let name = vector["name"].as_str().expect("a name").to_owned();
    let common = ["name", "kind", "disputed", "note"];
    knows(&name, vector, &[&common[..], fields].concat());
    name
}

/// A count of a vector.
pub fn count(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))).expect("a small count")
}

/// Milliseconds of a vector.
pub fn millis(value: &Value) -> Duration {
    Duration::from_secs_f64(value.as_f64().unwrap_or_else(|| panic!("{value} is no time")) / 1e3)
}

/// What a model API's error is judged as, by its word in the vectors.
pub fn provider(word: &str, retry_after: Option<Duration>) -> Verdict {
    let class = ProviderClass::ALL.into_iter().find(|it| it.as_str() == word);
    class.unwrap_or_else(|| panic!("the test does not know the class `{word}`")).verdict(retry_after)
}
