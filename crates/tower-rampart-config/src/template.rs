//! The five templates: whole documents to begin from, and which of them a document resembles. Presets, which lie below a document, are in `preset.rs`.

mod suggest;

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::{
    Capabilities, Limits, Presets, ValidationResult, Violation, ViolationCode, names, parse,
    parse::Parsed,
    validate::{Request, judge_tree},
};
pub use suggest::{Suggestion, suggest};

/// A document to begin from.
///
/// | | attempts | threshold | recovery | strategy | besides |
/// |---|---|---|---|---|---|
/// | fast_development | 1 | 2 | 15 s | aggressive | sentiment aggressive |
/// | robust_production | 6 | 12 | 180 s | conservative | qa critical, summarize conservative |
/// | low_latency | 1 | 2 | 10 s | aggressive | 5 s in all, waits of 0.5 to 5 s |
/// | high_throughput | 3 | 8 | 45 s | balanced | sentiment aggressive, key_points balanced |
/// | maximum_reliability | 8 | 15 | 300 s | critical | all five operations, waits of 3 to 60 s, jitter up to 5 s |
///
/// # Examples
/// ```
/// use tower_rampart_config::{ResilienceConfig, Template};
///
/// let template: Template = "low_latency".parse()?;
/// let config = ResilienceConfig::from_json(&template.document().to_string())?;
/// assert_eq!(config.base().timeout.total, Some(std::time::Duration::from_secs(5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Template {
    /// Fails at once, for quick feedback.
    FastDevelopment,
    /// Tries often and opens late.
    RobustProduction,
    /// One attempt within seconds.
    LowLatency,
    /// Some retries, quick recovery.
    HighThroughput,
    /// Tries hardest, whatever the time.
    MaximumReliability,
}

impl Template {
    /// All templates; of two that a document resembles alike, the first is suggested.
    pub const ALL: [Self; 5] = [
        Self::FastDevelopment,
        Self::RobustProduction,
        Self::LowLatency,
        Self::HighThroughput,
        Self::MaximumReliability,
    ];

    /// The names, in the order of [`Template::ALL`].
    pub const NAMES: &'static [&'static str] =
        &["fast_development", "robust_production", "low_latency", "high_throughput", "maximum_reliability"];

    /// The name, lower case and exact.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FastDevelopment => "fast_development",
            Self::RobustProduction => "robust_production",
            Self::LowLatency => "low_latency",
            Self::HighThroughput => "high_throughput",
            Self::MaximumReliability => "maximum_reliability",
        }
    }

    /// The name as a title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::FastDevelopment => "Fast Development",
            Self::RobustProduction => "Robust Production",
            Self::LowLatency => "Low Latency",
            Self::HighThroughput => "High Throughput",
            Self::MaximumReliability => "Maximum Reliability",
        }
    }

    /// What it is for, in one sentence.
    pub const fn description(self) -> &'static str {
        match self {
            Self::FastDevelopment => "Fails at once, so that a developer sees what is wrong",
            Self::RobustProduction => "Tries often and opens late, for production that must ride out short outages",
            Self::LowLatency => "One attempt within five seconds, for callers that cannot wait",
            Self::HighThroughput => "Some retries and a quick recovery, for many calls of which each matters little",
            Self::MaximumReliability => "Tries hardest and longest, for what must not fail",
        }
    }

    /// The document.
    pub fn document(self) -> Json {
        match self {
            Self::FastDevelopment => json!({
                "retry_attempts": 1,
                "circuit_breaker_threshold": 2,
                "recovery_timeout": 15,
                "default_strategy": "aggressive",
                "operation_overrides": { "sentiment": "aggressive" },
            }),
            Self::RobustProduction => json!({
                "retry_attempts": 6,
                "circuit_breaker_threshold": 12,
                "recovery_timeout": 180,
                "default_strategy": "conservative",
                "operation_overrides": { "qa": "critical", "summarize": "conservative" },
            }),
            Self::LowLatency => json!({
                "retry_attempts": 1,
                "circuit_breaker_threshold": 2,
                "recovery_timeout": 10,
                "max_delay_seconds": 5,
                "exponential_multiplier": 0.5,
                "exponential_min": 0.5,
                "exponential_max": 5.0,
                "default_strategy": "aggressive",
            }),
            Self::HighThroughput => json!({
                "retry_attempts": 3,
                "circuit_breaker_threshold": 8,
                "recovery_timeout": 45,
                "default_strategy": "balanced",
                "operation_overrides": { "sentiment": "aggressive", "key_points": "balanced" },
            }),
            Self::MaximumReliability => json!({
                "retry_attempts": 8,
                "circuit_breaker_threshold": 15,
                "recovery_timeout": 300,
                "exponential_multiplier": 2.0,
                "exponential_min": 3.0,
                "exponential_max": 60.0,
                "jitter_enabled": true,
                "jitter_max": 5.0,
                "default_strategy": "critical",
                "operation_overrides": {
                    "qa": "critical",
                    "summarize": "critical",
                    "sentiment": "conservative",
                    "key_points": "conservative",
                    "questions": "conservative",
                },
            }),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The error of a name that no template has; names are lower case and exact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid template '{0}'. Available: {available}", available = listed(Template::NAMES.iter().copied()))]
pub struct UnknownTemplate(pub String);

impl FromStr for Template {
    type Err = UnknownTemplate;

    fn from_str(name: &str) -> Result<Self, UnknownTemplate> {
        Self::ALL.into_iter().find(|it| it.as_str() == name).ok_or_else(|| UnknownTemplate(names::shown(name)))
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|it| format!("'{it}'")).collect();
    format!("[{}]", names.join(", "))
}

/// Says what is to be said about a template or built-in preset with overrides; see [`Presets::validate_template`].
///
/// # Examples
/// ```
/// use tower_rampart_config::{Capabilities, validate_template};
///
/// let http = Capabilities::http();
/// assert!(validate_template("low_latency", Some(r#"{"retry_attempts": 2}"#), &http, None).is_valid);
/// let refused = validate_template("low_latency", Some(r#"{"retry_attempts": 20}"#), &http, None);
/// assert_eq!(refused.errors, ["retry_attempts must be between 1 and 10 (got 20)"]);
/// ```
pub fn validate_template(
    name: &str,
    overrides: Option<&str>,
    capabilities: &Capabilities,
    operations: Option<&[&str]>,
) -> ValidationResult {
    Presets::builtin().validate_template(name, overrides, capabilities, operations)
}

impl Presets {
    /// Says what is to be said about a template with overrides, or about a preset with them. `overrides` is a JSON object of at most 4096 bytes; each of
    /// its fields takes the place of the template's, whole. The sizes of the answer are those of `overrides`.
    ///
    /// A name that is neither's makes a result that is not valid and lists both.
    pub fn validate_template(
        &self,
        name: &str,
        overrides: Option<&str>,
        capabilities: &Capabilities,
        operations: Option<&[&str]>,
    ) -> ValidationResult {
        let limits = Limits::text();
        let text = overrides.unwrap_or("{}");
        let template: Result<Template, _> = name.parse();
        let (document, unknown) = match (template, self.get(name)) {
            (Ok(template), _) => (template.document(), None),
            (Err(_), Some(preset)) => (json!({ "preset": preset.name }), None),
            (Err(_), None) => (json!({}), Some(self.unknown_template(name))),
        };
        let Parsed { root, mut violations, warnings } = parse::parse(text, &limits);
        if let Some(unknown) = unknown {
            violations.insert(0, unknown);
            return ValidationResult::new(
                violations,
                warnings,
                text.len(),
                limits.bytes,
                root.map_or(0, |it| it.len()),
            );
        }
        let given = parse::parse(&document.to_string(), &Limits::file());
        let root = root.map(|overrides| {
            let mut merged = given.root.unwrap_or_default();
            merged.retain(|(name, _)| overrides.iter().all(|it| it.0 != *name));
            merged.extend(overrides);
            merged
        });
        let request = Request { limits, operations, capabilities: Some(*capabilities), ..Request::new(self) };
        judge_tree(Parsed { root, violations, warnings }, &request).into_result(text, &limits)
    }

    fn unknown_template(&self, name: &str) -> Violation {
        let known: Vec<&str> = Template::NAMES.iter().copied().chain(self.names()).collect();
        let message =
            format!("Invalid template '{}'. Available: {}", names::shown(name), listed(known.iter().copied()));
        Violation::new("template_name", ViolationCode::UnknownValue, message)
            .suggest_nearest(names::nearest(name, known))
    }
}
