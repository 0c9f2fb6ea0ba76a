//! Which template a document resembles, by a score over three fields.

use serde::Serialize;
use serde_json::Value as Json;

use super::Template;
use crate::recommend::rounded;

/// Below this score a document resembles nothing.
const ENOUGH: u32 = 4;

/// The template that a document resembles most.
///
/// As JSON: `{suggested_template, confidence, reasoning, available_templates[]}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Suggestion {
    /// The template; `None` if none is near.
    pub suggested_template: Option<Template>,
    /// The share of fields equal to the template's among those of the three that the document has, 0 to 1, rounded to four digits; 0.5 if it has none of
    /// them, 0 without a template.
    pub confidence: f64,
    /// Why, in one sentence.
    pub reasoning: String,
    /// All templates.
    pub available_templates: &'static [&'static str],
}

/// The three fields, and where a document may say the same in a section.
const FIELDS: [(&str, &str); 3] = [
    ("retry_attempts", "/retry/max_attempts"),
    ("circuit_breaker_threshold", "/circuit_breaker/failure_threshold"),
    ("default_strategy", "/default_strategy"),
];

/// Suggests the template that a document resembles most.
///
/// | field | points | where the document does not say |
/// |---|---|---|
/// | `retry_attempts` | 3 if at most 1 apart, 1 if 2 apart | 3 |
/// | `circuit_breaker_threshold` | 2 if at most 2 apart, 1 if at most 5 apart | 5 |
/// | `default_strategy` | 3 if equal | `balanced` |
///
/// The most points win, the first of equals, from 4 on. A field that is no number, or no text, counts as not said; the document need not be valid.
///
/// # Examples
/// ```
/// use serde_json::json;
/// use tower_rampart_config::{Template, suggest};
///
/// let found = suggest(&json!({"retry_attempts": 8, "default_strategy": "critical"}));
/// assert_eq!((found.suggested_template, found.confidence), (Some(Template::MaximumReliability), 1.0));
/// ```
pub fn suggest(document: &Json) -> Suggestion {
    let said = FIELDS.map(|(flat, section)| document.get(flat).or_else(|| document.pointer(section)));
    let number = |value: Option<&Json>, default: i64| match value.and_then(Json::as_f64) {
        // The conversion saturates, and the templates lie far from where it does.
        Some(value) => value.round() as i64,
        None => default,
    };
    let (attempts, threshold) = (number(said[0], 3), number(said[1], 5));
    let strategy = said[2].and_then(Json::as_str).unwrap_or("balanced");
    let scored = Template::ALL.map(|template| (score(template, attempts, threshold, strategy), template));
    let best = scored.iter().fold(scored[0], |best, it| if it.0 > best.0 { *it } else { best });
    if best.0 < ENOUGH {
        let reasoning = format!("no template has {ENOUGH} of 8 points; '{}' is nearest with {}", best.1, best.0);
        return suggestion(None, 0.0, reasoning);
    }
    let own = best.1.document();
    let given: Vec<bool> =
        said.iter().zip(FIELDS).filter_map(|(said, (field, _))| said.map(|it| own.get(field) == Some(it))).collect();
    let equal = given.iter().filter(|it| **it).count();
    let confidence = if given.is_empty() { 0.5 } else { rounded(equal as f64 / given.len() as f64) };
    let reasoning = format!(
        "'{}' has {} of 8 points for attempts, threshold and strategy; {equal} of {} fields given are equal",
        best.1,
        best.0,
        given.len()
    );
    suggestion(Some(best.1), confidence, reasoning)
}

fn suggestion(suggested_template: Option<Template>, confidence: f64, reasoning: String) -> Suggestion {
    Suggestion { suggested_template, confidence, reasoning, available_templates: Template::NAMES }
}

fn score(template: Template, attempts: i64, threshold: i64, strategy: &str) -> u32 {
    let own = template.document();
    let apart = |field: &str, value: i64| own[field].as_i64().unwrap_or_default().abs_diff(value);
    let attempts = match apart("retry_attempts", attempts) {
        0 | 1 => 3,
        2 => 1,
        _ => 0,
    };
    let threshold = match apart("circuit_breaker_threshold", threshold) {
        0..=2 => 2,
        3..=5 => 1,
        _ => 0,
    };
    attempts + threshold + if own["default_strategy"] == strategy { 3 } else { 0 }
}
