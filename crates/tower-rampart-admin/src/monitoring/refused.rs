//! Why a request about monitoring or performance is refused. What status and shape that has on the wire is the router's business.

use std::time::Duration;

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
    /// So many follow the events already, of one caller or of all: 429.
    #[error("{max} clients follow the events, and no more can")]
    TooManyClients {
        /// The bound: of one caller's, or of all.
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
    fn texts_are_shortened_between_characters() {
        assert_eq!(shortened("äöü", 6), "äöü");
        assert_eq!(shortened("äöü", 5), "äö…");
        assert_eq!(shortened("äöü", 1), "…");
    }
}
