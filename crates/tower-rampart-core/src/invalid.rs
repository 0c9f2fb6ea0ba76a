//! The error of a configuration value outside its range; whole documents are judged by `tower-rampart-config`.

use std::fmt;

/// A configuration value that a machine cannot run on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} must be {expected} (got {value})")]
#[non_exhaustive]
pub struct InvalidConfig {
    /// The field, as in the configuration document: `circuit_breaker.failure_threshold`.
    pub field: &'static str,
    /// The value that was given.
    pub value: String,
    /// What would have been accepted: `between 1 and 1000000`.
    pub expected: String,
}

impl InvalidConfig {
    /// An error about `field`, which is `value` and should be `expected`.
    pub fn new(field: &'static str, value: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self { field, value: value.to_string(), expected: expected.to_string() }
    }

    /// Checks that `value` lies in `min..=max`. NaN lies nowhere.
    pub fn range<T: PartialOrd + fmt::Display + Copy>(
        field: &'static str,
        value: T,
        min: T,
        max: T,
    ) -> Result<(), Self> {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self::new(field, value, format_args!("between {min} and {max}")))
    }

    /// Checks that `value` lies in `min..=max`.
    pub fn duration(
        field: &'static str,
        value: std::time::Duration,
        min: std::time::Duration,
        max: std::time::Duration,
    ) -> Result<(), Self> {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self::new(field, format_args!("{value:?}"), format_args!("between {min:?} and {max:?}")))
    }
}
