//! What is said about a document: the same object from every entrance.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::Violation;

/// What is said about a document.
///
/// As JSON: `{is_valid, errors[], warnings[], suggestions[], violations[{path, code, message, suggestion}], security_info{size_bytes,
/// max_size_bytes, field_count, validation_timestamp}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ValidationResult {
    /// Whether nothing is wrong.
    pub is_valid: bool,
    /// The messages of all violations.
    pub errors: Vec<String>,
    /// What is valid but seldom meant.
    pub warnings: Vec<String>,
    /// What to do about the violations, each once.
    pub suggestions: Vec<String>,
    /// All that is wrong.
    pub violations: Vec<Violation>,
    /// How large the document is, and when it was judged.
    pub security_info: SecurityInfo,
}

/// How large a document is, and when it was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SecurityInfo {
    /// The bytes of the raw text.
    pub size_bytes: usize,
    /// The most that they may be.
    pub max_size_bytes: usize,
    /// The fields at the document's top level.
    pub field_count: usize,
    /// When it was judged, as RFC 3339 in UTC; `None` unless [`ValidationResult::at`] said so.
    pub validation_timestamp: Option<String>,
}

impl ValidationResult {
    pub(crate) fn new(
        violations: Vec<Violation>,
        warnings: Vec<String>,
        size_bytes: usize,
        max_size_bytes: usize,
        field_count: usize,
    ) -> Self {
        let mut suggestions: Vec<String> = Vec::new();
        for suggestion in violations.iter().filter_map(|it| it.suggestion.as_ref()) {
            if !suggestions.contains(suggestion) {
                suggestions.push(suggestion.clone());
            }
        }
        Self {
            is_valid: violations.is_empty(),
            errors: violations.iter().map(|it| it.message.clone()).collect(),
            warnings,
            suggestions,
            violations,
            security_info: SecurityInfo { size_bytes, max_size_bytes, field_count, validation_timestamp: None },
        }
    }

    /// Says when the document was judged; this crate reads no clock.
    #[must_use]
    pub fn at(mut self, now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.security_info.validation_timestamp = Some(rfc3339(since.as_secs()));
        self
    }
}

/// Seconds since 1970 as a UTC time, by the calendar algorithm of Howard Hinnant (`civil_from_days`).
fn rfc3339(seconds: u64) -> String {
    // The year 9999 is the last that the format can write.
    let seconds = seconds.min(253_402_300_799);
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_by_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ];
        for (seconds, text) in table {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
