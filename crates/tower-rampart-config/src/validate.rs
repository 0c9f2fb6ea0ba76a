//! The one path from text to a verdict: limits, tree, fields, merge. Every entrance (file, environment, API, program) takes it.

use crate::{
    Capabilities, ConfigError, GatewayConfig, Limits, Preset, Presets, ResilienceConfig, ValidationResult, Violation,
    ViolationCode,
    check::check,
    document::{Document, Entry, Reader},
    field,
    parse::{self, Parsed},
    presets::unknown_preset,
    resolve::Stack,
};

/// Says all that is wrong with a document, over the preset that it names or `simple`.
///
/// `capabilities` are what the host can serve, `operations` the operations that exist, where they are known.
///
/// # Examples
/// ```
/// use tower_rampart_config::{Capabilities, Limits, validate};
///
/// let result = validate(r#"{"retry_attempts": 15}"#, Limits::text(), &Capabilities::http(), None);
/// assert_eq!(result.errors, ["retry_attempts must be between 1 and 10 (got 15)"]);
/// assert_eq!(result.violations[0].path, "retry_attempts");
/// ```
pub fn validate(
    text: &str,
    limits: Limits,
    capabilities: &Capabilities,
    operations: Option<&[&str]>,
) -> ValidationResult {
    Presets::builtin().validate(text, limits, capabilities, operations)
}

/// What a text is judged by.
pub(crate) struct Request<'a> {
    pub(crate) presets: &'a Presets,
    /// The preset to start from where the document names none.
    pub(crate) preset: Option<&'a str>,
    pub(crate) environment: Vec<(String, Entry)>,
    pub(crate) limits: Limits,
    pub(crate) operations: Option<&'a [&'a str]>,
    pub(crate) capabilities: Option<Capabilities>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(presets: &'a Presets) -> Self {
        Self {
            presets,
            preset: None,
            environment: Vec::new(),
            limits: Limits::text(),
            operations: None,
            capabilities: None,
        }
    }
}

/// What is to be said, and the configuration if nothing is wrong.
pub(crate) struct Judged {
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<String>,
    /// How many fields stand at the document's top level.
    pub(crate) fields: usize,
    stack: Option<Stack>,
}

impl Judged {
    /// Has what the document says come from the legacy variables.
    pub(crate) fn came_from_legacy(&mut self) {
        if let Some(stack) = &mut self.stack {
            stack.document.is_legacy = true;
        }
    }

    pub(crate) fn into_config(self) -> Result<ResilienceConfig, ConfigError> {
        match self.stack {
            Some(stack) if self.violations.is_empty() => Ok(ResilienceConfig::of(stack)),
            _ => Err(ConfigError::new(self.violations)),
        }
    }

    pub(crate) fn into_result(self, text: &str, limits: &Limits) -> ValidationResult {
        ValidationResult::new(self.violations, self.warnings, text.len(), limits.bytes, self.fields)
    }
}

/// Judges a document.
pub(crate) fn judge(text: &str, request: &Request<'_>) -> Judged {
    judge_tree(parse::parse(text, &request.limits), request)
}

/// Judges a document that was read already.
pub(crate) fn judge_tree(parsed: Parsed, request: &Request<'_>) -> Judged {
    let (mut violations, mut warnings) = (parsed.violations, parsed.warnings);
    let Some(root) = parsed.root else {
        return Judged { violations, warnings, fields: 0, stack: None };
    };
    if root.is_empty() && violations.is_empty() {
        violations.push(
            Violation::new("", ViolationCode::Empty, "the document must have at least one field")
                .suggest("Name a preset or a field that differs from it"),
        );
    }
    let mut reader = Reader::new(request.operations);
    let document = reader.document(&root);
    violations.append(&mut reader.violations);
    warnings.append(&mut reader.warnings);
    let stack = match stack(document, request) {
        Ok(stack) => {
            let found = check(&stack, request.capabilities);
            let found = found.into_iter().filter(|it| !is_shadowed(it, &violations)).collect::<Vec<_>>();
            violations.extend(found);
            Some(stack)
        }
        Err(unknown) => {
            violations.push(unknown);
            None
        }
    };
    Judged { violations, warnings, fields: root.len(), stack }
}

fn stack(document: Document, request: &Request<'_>) -> Result<Stack, Violation> {
    let name = document.preset.as_deref().or(request.preset).unwrap_or(Preset::Simple.as_str());
    let preset = request.presets.find(name).map_err(|unknown| unknown_preset("preset", &unknown))?.clone();
    let gateway = GatewayConfig::new(document.routes.clone());
    Ok(Stack { document, gateway, environment: request.environment.clone(), ..Stack::of(preset) })
}

/// Whether a violation of the merge may only be there because a field of the same section could not be read.
fn is_shadowed(merged: &Violation, document: &[Violation]) -> bool {
    let judged_alone = matches!(merged.code, ViolationCode::Unsupported | ViolationCode::TooManyProperties);
    !judged_alone && document.iter().any(|it| section(&it.path) == section(&merged.path))
}

/// The section that a path belongs to; a flat name belongs to that of its twin.
fn section(path: &str) -> &str {
    let within = path.strip_prefix("operation_overrides.").and_then(|it| it.split_once('.')).map_or(path, |it| it.1);
    let canonical: &str = match field::find(within) {
        Some(field) => field.canonical(),
        None => within,
    };
    canonical.split(['.', '[']).next().unwrap_or_default()
}
