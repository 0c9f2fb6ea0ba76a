//! A validated configuration: a preset, what lies over it, and what each operation gets from both.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::{
    Capabilities, ConfigError, GatewayConfig, Limits, MonitoringConfig, OperationConfig, Preset, Presets, Source,
    Strategy,
    check::{check, check_operation},
    document::{Reader, bad_name, is_operation_name},
    field, parse, patch, print,
    resolve::{MAX_INFLIGHT, Stack},
};

/// The field that is set wherever the section `fallback` is written.
const FALLBACK: &str = "fallback.enabled";

/// A validated configuration, cheap to clone.
///
/// # Examples
/// ```
/// use tower_rampart_config::ResilienceConfig;
///
/// let config = ResilienceConfig::from_json(
///     r#"{"preset": "production", "retry_attempts": 4, "operation_overrides": {"export": "critical"}}"#,
/// )?;
/// assert_eq!(config.base().retry.max_attempts, 4);
/// assert_eq!(config.operation("export").retry.max_attempts, 7);
/// assert_eq!(config.operation("anything else"), config.base());
/// # Ok::<(), tower_rampart_config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResilienceConfig {
    stack: Arc<Stack>,
}

impl ResilienceConfig {
    pub(crate) fn of(stack: Stack) -> Self {
        Self { stack: Arc::new(stack) }
    }

    /// The configuration of a built-in preset alone.
    pub fn from_preset(preset: Preset) -> Self {
        Self::of(Stack::of(preset.definition()))
    }

    /// The configuration of the built-in preset of this exact name.
    ///
    /// # Errors
    /// When there is none; the error names those that there are, and the nearest.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        Presets::builtin().named(name)
    }

    /// The configuration of a document of at most 4096 bytes, over the preset that it names or `simple`.
    ///
    /// # Errors
    /// Lists every violation.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Presets::builtin().load(text, Limits::text())
    }

    /// The configuration of a file's text of at most 64 KiB, over the preset that it names or `simple`.
    ///
    /// # Errors
    /// Lists every violation.
    pub fn from_file_text(text: &str) -> Result<Self, ConfigError> {
        Presets::builtin().load(text, Limits::file())
    }

    /// The configuration of a document of at most 4096 bytes over a preset. A preset that the document itself names wins.
    ///
    /// # Errors
    /// Lists every violation.
    pub fn over(preset: Preset, text: &str) -> Result<Self, ConfigError> {
        Presets::builtin().load_over(preset.as_str(), text, Limits::text())
    }

    /// The name of the preset.
    pub fn preset_name(&self) -> &str {
        &self.stack.preset.name
    }

    /// The operations that are configured by name, sorted.
    pub fn operation_names(&self) -> Vec<&str> {
        self.stack.operations()
    }

    /// The document as it was given, without what lies below it (a preset's numbers, variables) or over it; only the preset's name is always there.
    /// Where [`to_json`](Self::to_json) says everything, this says what somebody wrote.
    pub fn given(&self) -> Json {
        let mut given = self.stack.document.given.clone();
        given.insert("preset".to_owned(), Json::from(self.preset_name()));
        Json::Object(given)
    }

    /// Whether the document was made from the variables of older systems.
    pub fn is_legacy(&self) -> bool {
        self.stack.document.is_legacy
    }

    /// The strategy of an operation, or of all that are not configured by name: the last that was chosen, by the preset, the document or code. Fields that
    /// were set beside it win over its numbers.
    pub fn strategy(&self, operation: Option<&str>) -> Strategy {
        self.stack.strategy(operation)
    }

    /// Lays a JSON merge patch (RFC 7396) of at most 4096 bytes over the document [as it was given](Self::given): what comes of it, as text.
    ///
    /// Two names of one thing (`retry_attempts` and `retry.max_attempts`) are one: the patch's takes the place of the other.
    ///
    /// # Errors
    /// Lists what is wrong with the patch as a text; what it makes of the document has still to be judged.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_config::ResilienceConfig;
    ///
    /// let config = ResilienceConfig::from_json(r#"{"retry": {"max_attempts": 4, "enabled": true}, "recovery_timeout": 90}"#)?;
    /// let patched = config.patched(r#"{"retry_attempts": 2, "recovery_timeout": null}"#)?;
    /// assert_eq!(patched, r#"{"preset":"simple","retry":{"enabled":true},"retry_attempts":2}"#);
    /// # Ok::<(), tower_rampart_config::ConfigError>(())
    /// ```
    pub fn patched(&self, patch: &str) -> Result<String, ConfigError> {
        patch::patched(self.given(), patch)
    }

    /// What applies to every operation that is not configured by name.
    pub fn base(&self) -> OperationConfig {
        self.stack.merge(None).resolve()
    }

    /// What applies to an operation; an unknown name has the base.
    pub fn operation(&self, name: &str) -> OperationConfig {
        self.stack.merge(Some(name)).resolve()
    }

    /// The routes of the gateway.
    pub fn gateway(&self) -> &GatewayConfig {
        &self.stack.gateway
    }

    /// What is kept for operators and when they are told, which no operation has for itself.
    pub fn monitoring(&self) -> MonitoringConfig {
        self.stack.merge(None).monitoring()
    }

    /// Lays an override over one operation, above all that the document says. It takes the fields that an operation's override in a document takes.
    ///
    /// # Errors
    /// Lists every violation of the override, and of what it makes of the operation.
    pub fn with_operation_overrides(&self, operation: &str, json: &str) -> Result<Self, ConfigError> {
        let refused = |violations| {
            ConfigError::new(violations).with_origin(format!("the override of '{}'", crate::names::shown(operation)))
        };
        let parsed = parse::parse(json, &Limits::text());
        let mut violations = parsed.violations;
        let mut reader = Reader::new(None);
        let layer = reader.overrides(&parsed.root.unwrap_or_default());
        violations.append(&mut reader.violations);
        if !is_operation_name(operation) {
            violations.push(bad_name("", operation));
        }
        if !violations.is_empty() {
            return Err(refused(violations));
        }
        let mut stack = Stack::clone(&self.stack);
        stack.code.entry(operation.to_owned()).or_default().push(layer);
        check_operation(&stack, Some(operation), None, &mut violations);
        if violations.is_empty() { Ok(Self::of(stack)) } else { Err(refused(violations)) }
    }

    /// Where the value of each field of an operation came from, by path.
    pub fn provenance(&self, operation: &str) -> Vec<(String, Source)> {
        let merged = self.stack.merge(Some(operation));
        let config = merged.resolve();
        field::all()
            .filter(|it| it.is_for_operations() && it.value(&config).is_some())
            .map(|it| (it.path.to_owned(), merged.get(it.path).map_or(Source::Default, |held| held.source.clone())))
            .collect()
    }

    /// The configuration as a document: sections only, the base in full, each operation by its differences. Given back as a document it is the same
    /// configuration; only what each value came from is not kept.
    pub fn to_json(&self) -> Json {
        let merged = self.stack.merge(None);
        let base = merged.resolve();
        let mut document = Map::new();
        document.insert("preset".to_owned(), Json::from(self.preset_name()));
        document.extend(print::base(&base));
        // Whoever writes this section asks for a fallback; the default only takes one that is there.
        let asked = merged.get(FALLBACK).is_some();
        if !asked {
            document.remove("fallback");
        }
        // Printed it would be said, also for an operation whose limit moves within bounds that exclude it.
        if merged.get(MAX_INFLIGHT).is_none()
            && let Some(Json::Object(limit)) = document.get_mut("concurrency")
            && self.operation_names().into_iter().any(|it| !has_beginning(&self.stack.merge(Some(it)).resolve()))
        {
            limit.remove("max_inflight");
        }
        // A host without monitoring refuses the section, so it stands here only where somebody asked for another one than there is anyway.
        let monitoring = self.monitoring();
        if monitoring != MonitoringConfig::default() {
            for field in field::all() {
                if let Some(value) = field.of_monitoring(&monitoring) {
                    print::insert(&mut document, field.path, value.to_json());
                }
            }
        }
        if !self.gateway().routes.is_empty() {
            document.insert("gateway".to_owned(), self.gateway().to_json());
        }
        let operations: Map<String, Json> = self
            .operation_names()
            .into_iter()
            .map(|name| {
                let merged = self.stack.merge(Some(name));
                let mut own = print::difference(&self.stack.over_base(&base, name), &merged.resolve());
                if !asked && merged.get(FALLBACK).is_some() {
                    print::insert(&mut own, FALLBACK, Json::from(merged.resolve().fallback.enabled));
                }
                (name.to_owned(), Json::Object(own))
            })
            .collect();
        if !operations.is_empty() {
            document.insert("operation_overrides".to_owned(), Json::Object(operations));
        }
        Json::Object(document)
    }

    /// Checks that a host can serve all that is enabled.
    ///
    /// # Errors
    /// Names each stage that is enabled and the capability that is missing.
    pub fn check(&self, capabilities: &Capabilities) -> Result<(), ConfigError> {
        let violations = check(&self.stack, Some(*capabilities));
        if violations.is_empty() { Ok(()) } else { Err(ConfigError::new(violations)) }
    }

    /// Checks that a pipeline of one operation can serve all that is enabled for it; what others have is not looked at.
    ///
    /// # Errors
    /// Names each stage that is enabled and the capability that is missing.
    pub fn check_operation(&self, operation: &str, capabilities: &Capabilities) -> Result<(), ConfigError> {
        let mut violations = Vec::new();
        check_operation(&self.stack, Some(operation), Some(*capabilities), &mut violations);
        if violations.is_empty() { Ok(()) } else { Err(ConfigError::new(violations)) }
    }
}

/// Whether where the limit begins can be said: not where it moves within bounds that exclude what nobody has said.
fn has_beginning(config: &OperationConfig) -> bool {
    field::find(MAX_INFLIGHT).is_some_and(|it| it.value(config).is_some())
}
