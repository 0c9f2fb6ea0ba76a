//! One thing that is wrong with a document; all of them together are a `ValidationResult` or a `ConfigError`.

use std::fmt;

use serde::Serialize;

/// What kind of thing is wrong, as a word that programs can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ViolationCode {
    /// The text is not JSON.
    Syntax,
    /// The text has too many bytes.
    TooLarge,
    /// The text is JSON, but no object.
    NotAnObject,
    /// The document says nothing.
    Empty,
    /// A key stands twice in one object.
    DuplicateKey,
    /// The nesting is too deep.
    TooDeep,
    /// An array has too many items.
    TooManyItems,
    /// An object has too many properties.
    TooManyProperties,
    /// A key or a string is too long.
    TooLong,
    /// More is wrong than is listed.
    TooManyViolations,
    /// A key or a string holds a control, format, surrogate or private-use character.
    ForbiddenCharacter,
    /// A key or a string holds a pattern of markup or code.
    ForbiddenPattern,
    /// There is no such field.
    UnknownField,
    /// The field exists, but not here.
    Misplaced,
    /// The value is of another type than the field.
    Type,
    /// The value is outside its range.
    Range,
    /// The value is none of those that are known.
    UnknownValue,
    /// Two fields set the same thing.
    Conflict,
    /// A field needs another one that is not there.
    Missing,
    /// Two fields contradict each other.
    CrossField,
    /// An operation's name breaks the rule for names.
    OperationName,
    /// There is no such operation.
    UnknownOperation,
    /// The host cannot serve what the document enables.
    Unsupported,
    /// The file cannot be read.
    Unreadable,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// Where, as `a.b[0]`; empty for the document as a whole.
    pub path: String,
    /// What kind of thing.
    pub code: ViolationCode,
    /// What is wrong, with the value and what would be right.
    pub message: String,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl Violation {
    /// A violation without a suggestion.
    pub fn new(path: impl Into<String>, code: ViolationCode, message: impl Into<String>) -> Self {
        Self { path: path.into(), code, message: message.into(), suggestion: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    pub(crate) fn suggest_nearest(mut self, nearest: Option<&str>) -> Self {
        self.suggestion = nearest.map(|name| format!("Did you mean '{name}'?")).or(self.suggestion);
        self
    }
}

impl fmt::Display for Violation {
    /// `path: message (suggestion)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "document" } else { &self.path };
        write!(f, "{path}: {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

/// `name` below `parent`, either of which may be empty.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}
