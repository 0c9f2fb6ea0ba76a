//! The error of a configuration that is not one: every violation, and where the text came from.

use std::{fmt, io};

use crate::Violation;

/// Why there is no configuration; its text lists every violation, one a line.
#[derive(Debug)]
pub struct ConfigError {
    origin: Option<String>,
    violations: Vec<Violation>,
    source: Option<io::Error>,
}

impl ConfigError {
    pub(crate) fn new(violations: Vec<Violation>) -> Self {
        Self { origin: None, violations, source: None }
    }

    /// Says where the text came from, as a variable, a file or a call.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    pub(crate) fn with_source(mut self, source: io::Error) -> Self {
        self.source = Some(source);
        self
    }

    /// All that is wrong.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The variable, the file or the call that the text came from, where it is known.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }
}

/// What a host of its own finds wrong.
impl From<Violation> for ConfigError {
    fn from(violation: Violation) -> Self {
        Self::new(vec![violation])
    }
}

/// What a host of its own finds wrong.
impl From<Vec<Violation>> for ConfigError {
    fn from(violations: Vec<Violation>) -> Self {
        Self::new(violations)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            writeln!(f, "{origin} is refused:")?;
        }
        for (index, violation) in self.violations.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|it| it as _)
    }
}
