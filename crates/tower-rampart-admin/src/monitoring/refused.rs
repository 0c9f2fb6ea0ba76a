//! Why a request about monitoring or performance is refused. What status and shape that has on the wire is the router's business.

use std::{ops::RangeInclusive, time::Duration};

/// Why nothing is answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A parameter is not what it may be: 400.
    #[error("{field} must be {expected} (got {value})")]
    Invalid {
        /// Which one.
        field: &'static str,
        /// What it is, shortened.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// There is no such preset, alert or operation: 422.
    #[error("there is no {what} '{name}'")]
    Unknown {
        /// What was looked for: `preset`, `alert`, `operation`.
        what: &'static str,
        /// By which name, shortened.
        name: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A benchmark runs already: 409.
    #[error("benchmark {running} runs already")]
    Busy {
        /// Which one.
        running: String,
        /// When it is over at the latest.
        retry_after: Duration,
    },
    /// So many follow the events already: 429.
    #[error("{max} clients follow the events, and no more can")]
    TooManyClients {
        /// The bound.
        max: usize,
    },
}

impl Refused {
    /// A parameter that is not what it may be.
    pub fn invalid(field: &'static str, value: impl AsRef<str>, expected: impl Into<String>) -> Self {
        Self::Invalid { field, value: shortened(value.as_ref(), 64), expected: expected.into() }
    }

    /// A name that nothing has.
    pub fn unknown(what: &'static str, name: &str, available: Vec<String>) -> Self {
        Self::Unknown { what, name: shortened(name, 64), available }
    }
}

/// Reads a whole number of a query; `default` where there is none.
///
/// # Errors
/// Names the field, the value and the range.
pub fn whole(
    field: &'static str,
    value: Option<&str>,
    range: RangeInclusive<u32>,
    default: u32,
) -> Result<u32, Refused> {
    let Some(text) = value else { return Ok(default) };
    let expected = || format!("a whole number between {} and {}", range.start(), range.end());
    // `parse` takes a sign, which no number of a query has.
    let number = text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.filter(|it| range.contains(it)).ok_or_else(|| Refused::invalid(field, text, expected()))
}

/// The beginning of a text, at most `most` bytes of it and a mark that there was more.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_query_are_refused_with_field_value_and_range() {
        let hours = |value| whole("hours", value, 1..=168, 24);
        assert_eq!((hours(None), hours(Some("1")), hours(Some("168"))), (Ok(24), Ok(1), Ok(168)));
        for value in ["0", "169", "-1", "+1", "1.0", "", "x", "99999999999999999999", "٣"] {
            let error = hours(Some(value)).expect_err(value).to_string();
            assert_eq!(error, format!("hours must be a whole number between 1 and 168 (got {value})"));
        }
        let long = hours(Some(&"9".repeat(10_000))).expect_err("too long").to_string();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn texts_are_shortened_between_characters() {
        assert_eq!(shortened("äöü", 6), "äöü");
        assert_eq!(shortened("äöü", 5), "äö…");
        assert_eq!(shortened("äöü", 1), "…");
    }
}
