//! The 17 variables that older systems were configured by, read into a document. How to be rid of them is in `legacy/migrate.rs`.

mod migrate;
mod shell;

use serde_json::{Map, Value as Json};

use crate::{
    ConfigError, Presets, Strategy, Surroundings, Violation, ViolationCode,
    field::{self, Field},
    kind::Kind,
    names, parse,
    parse::Node,
    print,
    validate::{Judged, Request, judge},
};
pub use migrate::{Migration, migrate};
pub use shell::shell_quoted;

/// Each variable, and the path of the document that says the same.
pub(crate) const VARIABLES: [(&str, &str); 17] = [
    ("RETRY_MAX_ATTEMPTS", "retry_attempts"),
    ("RETRY_MAX_DELAY", "max_delay_seconds"),
    ("RETRY_EXPONENTIAL_MULTIPLIER", "exponential_multiplier"),
    ("RETRY_EXPONENTIAL_MIN", "exponential_min"),
    ("RETRY_EXPONENTIAL_MAX", "exponential_max"),
    ("RETRY_JITTER_ENABLED", "jitter_enabled"),
    ("RETRY_JITTER_MAX", "jitter_max"),
    ("RETRY_ENABLED", "retry.enabled"),
    ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "circuit_breaker_threshold"),
    ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "recovery_timeout"),
    ("CIRCUIT_BREAKER_ENABLED", "circuit_breaker.enabled"),
    ("DEFAULT_RESILIENCE_STRATEGY", "default_strategy"),
    ("SUMMARIZE_RESILIENCE_STRATEGY", "operation_overrides.summarize"),
    ("SENTIMENT_RESILIENCE_STRATEGY", "operation_overrides.sentiment"),
    ("KEY_POINTS_RESILIENCE_STRATEGY", "operation_overrides.key_points"),
    ("QUESTIONS_RESILIENCE_STRATEGY", "operation_overrides.questions"),
    ("QA_RESILIENCE_STRATEGY", "operation_overrides.qa"),
];

/// Whether a variable is one of the 17.
pub(crate) fn is_legacy(name: &str) -> bool {
    VARIABLES.iter().any(|it| it.0 == name)
}

/// The variable that says what a path of the document says.
pub(crate) fn variable_of(path: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|it| it.1 == path).map(|it| it.0)
}

/// What the variables that are set say.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    /// The names of those that are set, in the order of the table.
    pub(crate) set: Vec<&'static str>,
    pub(crate) document: Map<String, Json>,
}

impl Legacy {
    /// Reads them one by one.
    ///
    /// # Errors
    /// Names every variable with a value that is none.
    pub(crate) fn read(surroundings: &Surroundings<'_>) -> Result<Self, ConfigError> {
        let mut legacy = Self::default();
        let mut violations = Vec::new();
        for (variable, path) in VARIABLES {
            let Some(text) = surroundings.var(variable) else { continue };
            legacy.set.push(variable);
            match value(variable, path, text) {
                Ok(value) => print::insert(&mut legacy.document, path, value),
                Err(violation) => violations.push(violation),
            }
        }
        if violations.is_empty() { Ok(legacy) } else { Err(ConfigError::new(violations)) }
    }

    /// The names of those that are set, whatever they say.
    pub(crate) fn names(surroundings: &Surroundings<'_>) -> Vec<&'static str> {
        VARIABLES.into_iter().map(|it| it.0).filter(|it| surroundings.var(it).is_some()).collect()
    }

    /// Judges the document as any other; violations and provenance name the variables.
    pub(crate) fn judge(&self, request: &Request<'_>) -> Judged {
        let text = Json::Object(self.document.clone()).to_string();
        let mut judged = judge(&text, request);
        for violation in &mut judged.violations {
            if let Some(variable) = variable_of(&violation.path) {
                variable.clone_into(&mut violation.path);
            }
        }
        judged.came_from_legacy();
        judged
    }
}

/// Judges the variables that are set over the preset `simple`.
fn judged(legacy: &Legacy, presets: &Presets) -> Judged {
    legacy.judge(&Request { preset: Some(crate::Preset::Simple.as_str()), ..Request::new(presets) })
}

/// The value that a variable gives its field.
fn value(variable: &str, path: &str, text: &str) -> Result<Json, Violation> {
    let refused = |expected: &str, code| {
        let message = format!("{variable} must be {expected} (got \"{}\")", names::shown(text));
        Violation::new(variable, code, message)
    };
    let kind = field::find(path).map_or(Kind::Words(Strategy::NAMES), |it: &Field| it.kind);
    let node = match kind {
        Kind::Bool => Node::Bool(switch(text).ok_or_else(|| refused("true or false", ViolationCode::Type))?),
        Kind::Words(_) => Node::Text(text.to_owned()),
        _ => parse::number(text).ok_or_else(|| refused(kind.noun(), ViolationCode::Type))?,
    };
    if let Err(problems) = kind.read(&node, &[]) {
        let problem = problems.into_iter().next();
        let (expected, code) = problem.map_or((kind.accepts(), ViolationCode::Range), |it| (it.expected, it.code));
        return Err(refused(&expected, code));
    }
    Ok(match node {
        Node::Bool(on) => Json::from(on),
        Node::Integer(value) => i64::try_from(value).map_or(Json::Null, Json::from),
        Node::Number(value) => Json::from(value),
        _ => Json::from(text),
    })
}

/// The words that older systems read as switches, in any case.
fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}
