//! The presets that can be named: the three built in and those registered at run time.

use std::time::Duration;

use crate::{
    Capabilities, ConfigError, Limits, Preset, ResilienceConfig, Template, UnknownPreset, ValidationResult, Violation,
    ViolationCode,
    check::check,
    document::{MOST_OPERATIONS, bad_name, is_operation_name},
    preset::PresetDefinition,
    resolve::Stack,
    validate::{Request, judge},
};

/// The presets that can be named. Registered ones appear wherever the built-in ones do.
///
/// # Examples
/// ```
/// use tower_rampart_config::{Limits, Preset, Presets};
///
/// let mut presets = Presets::builtin();
/// let batch = tower_rampart_config::PresetDefinition {
///     name: "batch".to_owned(),
///     retry_attempts: 8,
///     ..Preset::Production.definition()
/// };
/// presets.register(batch)?;
/// let config = presets.load(r#"{"preset": "batch", "recovery_timeout": 200}"#, Limits::text())?;
/// assert_eq!(config.base().retry.max_attempts, 8);
/// # Ok::<(), tower_rampart_config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Presets {
    all: Vec<PresetDefinition>,
}

impl Default for Presets {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Presets {
    /// The most presets, the built-in ones included.
    pub const MOST: usize = 100;

    /// The built-in presets alone.
    pub fn builtin() -> Self {
        Self { all: Preset::ALL.map(Preset::definition).to_vec() }
    }

    /// Adds a preset.
    ///
    /// # Errors
    /// Lists every field that is out of its range, a name that is taken, and operations whose numbers contradict each other.
    pub fn register(&mut self, preset: PresetDefinition) -> Result<(), ConfigError> {
        let mut violations = definition_violations(&preset);
        // Templates are named in the same place as presets.
        let is_template = Template::NAMES.contains(&preset.name.as_str());
        if is_template || self.get(&preset.name).is_some() {
            let what = if is_template { "template" } else { "preset" };
            let message = format!("there is a {what} '{}' already", preset.name);
            violations.push(Violation::new("name", ViolationCode::Conflict, message));
        }
        if self.all.len() >= Self::MOST {
            let message = format!("there are {} presets already, at most {} can be", self.all.len(), Self::MOST);
            violations.push(Violation::new("", ViolationCode::TooManyItems, message));
        }
        if violations.is_empty() {
            violations = check(&Stack::of(preset.clone()), None);
        }
        if violations.is_empty() {
            self.all.push(preset);
            return Ok(());
        }
        Err(ConfigError::new(violations).with_origin(format!("the preset '{}'", crate::names::shown(&preset.name))))
    }

    /// The preset of this exact name.
    pub fn get(&self, name: &str) -> Option<&PresetDefinition> {
        self.all.iter().find(|it| it.name == name)
    }

    /// The preset of this exact name, or the refusal that names the others.
    pub fn find(&self, name: &str) -> Result<&PresetDefinition, UnknownPreset> {
        self.get(name).ok_or_else(|| UnknownPreset::new(name, self.names()))
    }

    /// All names, the built-in ones first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|it| it.name.as_str())
    }

    /// All presets, the built-in ones first.
    pub fn iter(&self) -> impl Iterator<Item = &PresetDefinition> {
        self.all.iter()
    }

    /// The configuration of a preset alone.
    ///
    /// # Errors
    /// When no preset has the name.
    pub fn named(&self, name: &str) -> Result<ResilienceConfig, ConfigError> {
        match self.find(name) {
            Ok(preset) => Ok(ResilienceConfig::of(Stack::of(preset.clone()))),
            Err(unknown) => Err(ConfigError::new(vec![unknown_preset("preset", &unknown)])),
        }
    }

    /// The configuration of a document over the preset that it names, or `simple`.
    ///
    /// # Errors
    /// Lists every violation.
    pub fn load(&self, text: &str, limits: Limits) -> Result<ResilienceConfig, ConfigError> {
        judge(text, &Request { limits, ..Request::new(self) }).into_config()
    }

    /// The configuration of a document over the preset that it names, or `preset`.
    ///
    /// # Errors
    /// Lists every violation.
    pub fn load_over(&self, preset: &str, text: &str, limits: Limits) -> Result<ResilienceConfig, ConfigError> {
        judge(text, &Request { limits, preset: Some(preset), ..Request::new(self) }).into_config()
    }

    /// What is to be said about a document; see [`validate`](crate::validate()).
    pub fn validate(
        &self,
        text: &str,
        limits: Limits,
        capabilities: &Capabilities,
        operations: Option<&[&str]>,
    ) -> ValidationResult {
        let request = Request { limits, operations, capabilities: Some(*capabilities), ..Request::new(self) };
        judge(text, &request).into_result(text, &limits)
    }
}

/// The violation of a preset's name that nobody has.
pub(crate) fn unknown_preset(path: &str, unknown: &UnknownPreset) -> Violation {
    let mut violation = Violation::new(path, ViolationCode::UnknownValue, unknown.message());
    violation.suggestion = unknown.suggestion();
    violation
}

fn definition_violations(preset: &PresetDefinition) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut note = |path: &str, code, message: String| found.push(Violation::new(path, code, message));
    let name = &preset.name;
    let plain = name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it));
    if !plain || !(1..=50).contains(&name.len()) || !name.starts_with(|it: char| it.is_ascii_lowercase()) {
        let expected = "1 to 50 of a-z, 0-9, _ and -, beginning with a letter";
        note("name", ViolationCode::UnknownValue, format!("name must be {expected}"));
    }
    let length = preset.description.chars().count();
    if !(1..=200).contains(&length) {
        note(
            "description",
            ViolationCode::TooLong,
            format!("description must have 1 to 200 characters (got {length})"),
        );
    }
    let attempts = preset.retry_attempts;
    if !(1..=10).contains(&attempts) {
        let message = format!("retry_attempts must be between 1 and 10 (got {attempts})");
        note("retry_attempts", ViolationCode::Range, message);
    }
    let threshold = preset.circuit_breaker_threshold;
    if !(1..=20).contains(&threshold) {
        let message = format!("circuit_breaker_threshold must be between 1 and 20 (got {threshold})");
        note("circuit_breaker_threshold", ViolationCode::Range, message);
    }
    let recovery = preset.recovery_timeout;
    if !(Duration::from_secs(10)..=Duration::from_secs(300)).contains(&recovery) {
        let message = format!("recovery_timeout must be between 10s and 300s (got {recovery:?})");
        note("recovery_timeout", ViolationCode::Range, message);
    }
    let contexts = &preset.environment_contexts;
    let twice = contexts.iter().enumerate().any(|(at, it)| contexts[..at].contains(it));
    if contexts.is_empty() || twice {
        let message = "environment_contexts must name at least one environment, and none twice".to_owned();
        note("environment_contexts", ViolationCode::UnknownValue, message);
    }
    let operations = &preset.operation_overrides;
    if operations.len() > MOST_OPERATIONS {
        let message = format!("at most {MOST_OPERATIONS} operations (got {})", operations.len());
        note("operation_overrides", ViolationCode::TooManyProperties, message);
    }
    for (at, (name, _)) in operations.iter().enumerate() {
        let path = format!("operation_overrides.{name}");
        if operations[..at].iter().any(|it| it.0 == *name) {
            found.push(Violation::new(path.clone(), ViolationCode::DuplicateKey, format!("'{name}' stands twice")));
        }
        if !is_operation_name(name) {
            found.push(bad_name(path, name));
        }
    }
    found
}
