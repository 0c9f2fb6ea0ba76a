//! A configuration back to a document that says the same: sections only, the base in full, each operation by its differences.

use serde_json::{Map, Value as Json};

use crate::{
    OperationConfig,
    field::{self, Field},
};

/// Sections that are left out while they are as if nobody had mentioned them.
const OPTIONAL: [&str; 7] = ["rate_limit", "concurrency", "cache", "throttle", "priority", "nested_retry", "shadow"];

/// The fields that `keep` chooses, nested by section.
pub(crate) fn sections(config: &OperationConfig, keep: impl Fn(&Field) -> bool) -> Map<String, Json> {
    let mut sections = Map::new();
    for field in field::all().filter(|it| keep(it)) {
        if let Some(value) = field.value(config) {
            insert(&mut sections, field.path, value.to_json());
        }
    }
    sections
}

/// The base in full.
pub(crate) fn base(config: &OperationConfig) -> Map<String, Json> {
    sections(config, |field| is_mentioned(config, field.path))
}

/// Whether the section of a field is other than as if nobody had mentioned it.
pub(crate) fn is_mentioned(config: &OperationConfig, path: &str) -> bool {
    !OPTIONAL.iter().any(|it| within(path, it) && is_absent(config, it))
}

/// What an operation has other than without its override.
pub(crate) fn difference(base: &OperationConfig, config: &OperationConfig) -> Map<String, Json> {
    let differs = |field: &Field| field.value(base) != field.value(config);
    sections(config, |field| {
        let Some((section, leaf)) = field.path.rsplit_once('.') else { return false };
        // What a section says only by standing there, and what is only valid together.
        let together = match (section, leaf) {
            (_, "enabled") => field::all().any(|it| within(it.path, section) && differs(it)),
            ("circuit_breaker.window" | "concurrency.adaptive", _) | ("rate_limit", "limit" | "period") => {
                field::all().any(|it| within(it.path, section) && differs(it))
            }
            _ => false,
        };
        differs(field) || together
    })
}

fn within(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

fn is_absent(config: &OperationConfig, section: &str) -> bool {
    let default = OperationConfig::default();
    field::all().filter(|it| within(it.path, section)).all(|it| it.value(config) == it.value(&default))
}

/// Puts a value at a path, making the sections on the way.
pub(crate) fn insert(sections: &mut Map<String, Json>, path: &str, value: Json) {
    match path.split_once('.') {
        None => drop(sections.insert(path.to_owned(), value)),
        Some((section, rest)) => {
            let inner = sections.entry(section).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
