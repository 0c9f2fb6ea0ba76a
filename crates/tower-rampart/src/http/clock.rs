//! The wall clock, for dates in headers. Everything monotonic is a parameter.

use std::time::SystemTime;

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
