//! The error of a configuration value outside its range, and the ends of the ranges that all stages share; whole documents are judged by
//! `tower-rampart-config`.

use std::{fmt, time::Duration};

/// The shortest duration of the document, where zero is not allowed.
pub(crate) const MIN: Duration = Duration::from_millis(1);
/// The longest duration of the document.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest count of the document.
pub(crate) const MAX_COUNT: u32 = 1_000_000;

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
    pub fn duration(field: &'static str, value: Duration, min: Duration, max: Duration) -> Result<(), Self> {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self::new(field, format_args!("{value:?}"), format_args!("between {min:?} and {max:?}")))
    }
}
