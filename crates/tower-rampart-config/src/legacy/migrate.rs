//! The way out of the legacy variables: the equivalent document, the shell lines that put it in force and those that take it back.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value as Json;

use super::{Legacy, VARIABLES, judged, shell_quoted};
use crate::{
    ConfigError, Preset, PresetDefinition, Presets, Surroundings,
    env::{CUSTOM, FILE, PRESET},
    recommend::rounded,
};

/// What equal fields weigh: attempts, strategy, threshold, operations, recovery.
const WEIGHTS: [f64; 5] = [3.0, 2.5, 2.0, 2.0, 1.5];

/// What to put in the place of the legacy variables.
///
/// As JSON: `{has_legacy_config, legacy_variables{}, document, shell_lines[], rollback_lines[], preset_similarity_scores{}, suggested_preset,
/// similarity_confidence, recommendation, warnings[]}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Migration {
    /// Whether any of the variables is set.
    pub has_legacy_config: bool,
    /// Those that are set, with their values.
    pub legacy_variables: BTreeMap<String, String>,
    /// The document that says the same, its preset included; `None` without variables.
    pub document: Option<Json>,
    /// Shell lines that put the document in force and unset the variables.
    pub shell_lines: Vec<String>,
    /// Shell lines that restore what was before.
    pub rollback_lines: Vec<String>,
    /// How much of each preset the variables say, 0 to 1, in the order of the presets.
    #[serde(serialize_with = "as_map")]
    pub preset_similarity_scores: Vec<(String, f64)>,
    /// The most similar preset, the first of equals; `simple` without variables.
    pub suggested_preset: String,
    /// How similar it is.
    pub similarity_confidence: f64,
    /// What to do, in one sentence.
    pub recommendation: String,
    /// What is worth knowing before doing it.
    pub warnings: Vec<String>,
}

/// Says what to put in the place of the legacy variables; see [`Presets::migrate`].
///
/// # Errors
/// Names every variable with a value that is none.
///
/// # Examples
/// ```
/// use tower_rampart_config::{Surroundings, migrate};
///
/// let vars = [("RETRY_MAX_ATTEMPTS".to_owned(), "4".to_owned())];
/// let migration = migrate(&Surroundings::new(vars, |_file| false))?;
/// assert_eq!(
///     migration.shell_lines,
///     [r#"export RESILIENCE_CUSTOM_CONFIG='{"preset":"simple","retry_attempts":4}'"#, "unset RETRY_MAX_ATTEMPTS"]
/// );
/// # Ok::<(), tower_rampart_config::ConfigError>(())
/// ```
pub fn migrate(surroundings: &Surroundings<'_>) -> Result<Migration, ConfigError> {
    Presets::builtin().migrate(surroundings)
}

impl Presets {
    /// Says what to put in the place of the legacy variables: the document that gives every operation the same configuration, all of it, whatever
    /// preset it resembles.
    ///
    /// Similarity: equal `retry_attempts` weigh 3, `default_strategy` 2.5, `circuit_breaker_threshold` 2, `operation_overrides` 2 (their share of equal
    /// ones among common ones), `recovery_timeout` 1.5, of 11. What no variable says matches nothing.
    ///
    /// # Errors
    /// Names every variable with a value that is none, or that contradicts another.
    pub fn migrate(&self, surroundings: &Surroundings<'_>) -> Result<Migration, ConfigError> {
        let legacy = Legacy::read(surroundings)?;
        if legacy.set.is_empty() {
            return Ok(Migration::nothing());
        }
        let judged = judged(&legacy, self);
        let mut warnings = judged.warnings.clone();
        judged.into_config()?;
        warnings.extend(ignored(surroundings));
        let scores: Vec<(String, f64)> = self.iter().map(|it| (it.name.clone(), similarity(&legacy, it))).collect();
        let first = (String::new(), -1.0);
        let best = scores.iter().fold(&first, |best, it| if it.1 > best.1 { it } else { best }).clone();
        let mut document = legacy.document.clone();
        document.insert("preset".to_owned(), Json::from(Preset::Simple.as_str()));
        let document = Json::Object(document);
        let value = |name: &str| surroundings.var(name).unwrap_or_default();
        let export = |name: &str, value: &str| format!("export {name}={}", shell_quoted(value));
        let mut shell_lines = vec![export(CUSTOM, &document.to_string())];
        shell_lines.extend(legacy.set.iter().map(|it| format!("unset {it}")));
        let mut rollback_lines: Vec<String> = legacy.set.iter().map(|it| export(it, value(it))).collect();
        rollback_lines.push(match surroundings.var(CUSTOM) {
            Some(custom) => export(CUSTOM, custom),
            None => format!("unset {CUSTOM}"),
        });
        // Both together are an error.
        if let Some(file) = surroundings.var(FILE) {
            shell_lines.push(format!("unset {FILE}"));
            rollback_lines.push(export(FILE, file));
        }
        Ok(Migration {
            has_legacy_config: true,
            legacy_variables: legacy.set.iter().map(|it| ((*it).to_owned(), value(it).to_owned())).collect(),
            document: Some(document),
            shell_lines,
            rollback_lines,
            recommendation: advice(&best.0, best.1, legacy.set.len()),
            suggested_preset: best.0,
            similarity_confidence: best.1,
            preset_similarity_scores: scores,
            warnings,
        })
    }
}

impl Migration {
    fn nothing() -> Self {
        Self {
            has_legacy_config: false,
            legacy_variables: BTreeMap::new(),
            document: None,
            shell_lines: Vec::new(),
            rollback_lines: Vec::new(),
            preset_similarity_scores: Vec::new(),
            suggested_preset: Preset::Simple.as_str().to_owned(),
            similarity_confidence: 0.0,
            recommendation: format!(
                "none of the {} legacy variables is set; there is nothing to migrate",
                VARIABLES.len()
            ),
            warnings: Vec::new(),
        }
    }
}

/// What is set already and decides instead of the variables.
fn ignored(surroundings: &Surroundings<'_>) -> Option<String> {
    let set: Vec<&str> = [PRESET, CUSTOM, FILE].into_iter().filter(|it| surroundings.var(it).is_some()).collect();
    (!set.is_empty()).then(|| {
        format!("{} is set, so the legacy variables have no effect now; the lines would change that", set.join(" and "))
    })
}

fn advice(preset: &str, similarity: f64, count: usize) -> String {
    let how = match similarity {
        it if it >= 0.8 => "a strong match",
        it if it >= 0.6 => "a good match",
        it if it >= 0.4 => "a partial match",
        _ => "no match",
    };
    let end = if similarity >= 0.4 { "; the document keeps what differs" } else { "; keep the document" };
    format!("the preset '{preset}' is {how} for the {count} legacy variables{end}")
}

fn similarity(legacy: &Legacy, preset: &PresetDefinition) -> f64 {
    let says = |field: &str, value: Json| f64::from(u8::from(legacy.document.get(field) == Some(&value)));
    let empty = serde_json::Map::new();
    let operations = legacy.document.get("operation_overrides").and_then(Json::as_object).unwrap_or(&empty);
    let common: Vec<bool> = preset
        .operation_overrides
        .iter()
        .filter_map(|(name, strategy)| operations.get(name).map(|it| it.as_str() == Some(strategy.as_str())))
        .collect();
    let equal = common.iter().filter(|it| **it).count();
    let overrides = match (operations.is_empty() && preset.operation_overrides.is_empty(), common.len()) {
        (true, _) => 1.0,
        (false, 0) => 0.0,
        (false, of) => equal as f64 / of as f64,
    };
    let parts = [
        says("retry_attempts", Json::from(preset.retry_attempts)),
        says("default_strategy", Json::from(preset.default_strategy.as_str())),
        says("circuit_breaker_threshold", Json::from(preset.circuit_breaker_threshold)),
        overrides,
        says("recovery_timeout", Json::from(preset.recovery_timeout.as_secs())),
    ];
    let weighed: f64 = parts.iter().zip(WEIGHTS).map(|(part, weight)| part * weight).sum();
    rounded(weighed / WEIGHTS.iter().sum::<f64>())
}

fn as_map<S: Serializer>(scores: &[(String, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(scores.len()))?;
    for (name, score) in scores {
        map.serialize_entry(name, score)?;
    }
    map.end()
}
