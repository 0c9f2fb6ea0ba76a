//! A JSON merge patch (RFC 7396) over a document, which knows that one thing may have two names. What comes of it is judged as any document is.

use serde_json::{Map, Value as Json};

use crate::{
    ConfigError, Limits,
    field::{self, Field},
    parse::{self, Parsed},
    violation::join,
};

/// The document with the patch laid over it, as text.
pub(crate) fn patched(document: Json, patch: &str) -> Result<String, ConfigError> {
    let Parsed { root, violations, .. } = parse::parse(patch, &Limits::text());
    let (Some(root), true) = (root, violations.is_empty()) else {
        return Err(ConfigError::new(violations).with_origin("the patch"));
    };
    let Json::Object(mut document) = document else { return Ok(document.to_string()) };
    let patch: Map<String, Json> = root.iter().map(|(name, node)| (name.clone(), node.to_json())).collect();
    forget_twins(&mut document, &patch);
    let operations = patch.get("operation_overrides").and_then(Json::as_object).into_iter().flatten();
    for (operation, fields) in operations {
        let own = document.get_mut("operation_overrides").and_then(|it| it.get_mut(operation));
        if let (Some(Json::Object(own)), Json::Object(fields)) = (own, fields) {
            forget_twins(own, fields);
        }
    }
    merge(&mut document, patch);
    Ok(Json::Object(document).to_string())
}

/// The algorithm of RFC 7396, section 2. As deep as the text's limits allow.
fn merge(target: &mut Map<String, Json>, patch: Map<String, Json>) {
    for (name, value) in patch {
        match value {
            Json::Null => drop(target.remove(&name)),
            Json::Object(inner) => {
                let held = target.entry(name).or_insert(Json::Null);
                let mut merged = match held.take() {
                    Json::Object(held) => held,
                    _ => Map::new(),
                };
                merge(&mut merged, inner);
                *held = Json::Object(merged);
            }
            value => drop(target.insert(name, value)),
        }
    }
}

/// Takes away what the patch says by another name.
fn forget_twins(object: &mut Map<String, Json>, patch: &Map<String, Json>) {
    let mut said = Vec::new();
    leaves(patch, "", &mut said);
    for path in said {
        let Some(field) = field::find(&path) else { continue };
        for twin in field::all().filter(|it| is_twin(it, field)) {
            remove(object, twin.path);
        }
    }
}

/// Whether a field is another name of what `field` says, or of a part of it: a rate says limit and period at once.
fn is_twin(other: &Field, field: &Field) -> bool {
    let is_rate = |it: &Field| it.path.starts_with("rate_limit.requests_per_");
    let is_quota = |it: &Field| is_rate(it) || ["rate_limit.limit", "rate_limit.period"].contains(&it.path);
    let is_same = other.canonical() == field.canonical()
        || ((is_rate(other) || is_rate(field)) && is_quota(other) && is_quota(field));
    is_same && other.path != field.path
}

/// The paths of all values, lists counting as one.
fn leaves(object: &Map<String, Json>, at: &str, found: &mut Vec<String>) {
    for (name, value) in object {
        let path = join(at, name);
        match value {
            Json::Object(inner) => leaves(inner, &path, found),
            _ => found.push(path),
        }
    }
}

/// Removes a value, and the sections that it leaves empty: an empty section turns its stage on.
fn remove(object: &mut Map<String, Json>, path: &str) {
    match path.split_once('.') {
        None => drop(object.remove(path)),
        Some((section, rest)) => {
            let Some(Json::Object(inner)) = object.get_mut(section) else { return };
            remove(inner, rest);
            if inner.is_empty() {
                object.remove(section);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(document: Json, patch: &Json) -> Json {
        let text = patched(document, &patch.to_string()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_patch_is_laid_over_as_the_rfc_says() {
        let document =
            json!({"retry": {"max_attempts": 3, "backoff": {"base": 1, "max": 5}}, "default_strategy": "critical"});
        let over = json!({"retry": {"max_attempts": 4, "backoff": {"base": null}}, "default_strategy": null, "timeout": {"total": 9}});
        let merged = json!({"retry": {"max_attempts": 4, "backoff": {"max": 5}}, "timeout": {"total": 9}});
        assert_eq!(patch(document, &over), merged);
    }

    #[test]
    fn the_other_name_of_what_a_patch_says_gives_way() {
        let table = [
            (json!({"retry": {"max_attempts": 3}}), json!({"retry_attempts": 4}), json!({"retry_attempts": 4})),
            (
                json!({"retry_attempts": 3}),
                json!({"retry": {"max_attempts": 4}}),
                json!({"retry": {"max_attempts": 4}}),
            ),
            (json!({"retry_attempts": 3}), json!({"retry": {"max_attempts": null}}), json!({"retry": {}})),
            (
                json!({"rate_limit": {"limit": 5, "period": "1m", "burst_size": 2}}),
                json!({"rate_limit": {"requests_per_second": 9}}),
                json!({"rate_limit": {"requests_per_second": 9, "burst_size": 2}}),
            ),
            (
                json!({"rate_limit": {"requests_per_second": 9}}),
                json!({"rate_limit": {"requests_per_minute": 9}}),
                json!({"rate_limit": {"requests_per_minute": 9}}),
            ),
            (
                json!({"rate_limit": {"limit": 5, "period": "1m"}}),
                json!({"rate_limit": {"limit": 6}}),
                json!({"rate_limit": {"limit": 6, "period": "1m"}}),
            ),
            (
                json!({"operation_overrides": {"a": {"retry_attempts": 3, "recovery_timeout": 20}, "b": "critical"}}),
                json!({"operation_overrides": {"a": {"retry": {"max_attempts": 5}}, "b": {"retry_attempts": 2}}}),
                json!({"operation_overrides": {"a": {"retry": {"max_attempts": 5}, "recovery_timeout": 20}, "b": {"retry_attempts": 2}}}),
            ),
        ];
        for (document, over, merged) in table {
            assert_eq!(patch(document.clone(), &over), merged, "{over} over {document}");
        }
    }

    #[test]
    fn a_patch_is_read_as_strictly_as_a_document() {
        for text in [
            "",
            "[]",
            "{\"retry_attempts\": 1, \"retry_attempts\": 2}",
            "{\"a\": NaN}",
            "{\"default_strategy\": \"<script>\"}",
        ] {
            assert!(patched(json!({}), text).is_err(), "{text}");
        }
        assert!(patched(json!({}), &format!("{{{}}}", " ".repeat(5000))).is_err());
    }
}
