//! The words of a trace for what an attempt meets, and the verdict on each. What the words do in time is in `backend`.

use std::time::Duration;

use serde::Deserialize;
use tower_rampart::{Class, Code, Verdict};

/// What an attempt meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    Ok,
    Transient,
    Permanent,
    RateLimited,
    Unavailable,
    Ignored,
    /// No answer ever.
    Timeout,
    /// The code behind panics.
    Panic,
    ConnectError,
}

impl Word {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Ignored => "ignored",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
            Self::ConnectError => "connect_error",
        }
    }

    /// As the HTTP classifier judges what the word stands for: 429 and 503 with a hint were refused unprocessed.
    pub(crate) fn verdict(self, retry_after: Option<Duration>) -> Verdict {
        match self {
            Self::Ok => Verdict::new(Class::Success),
            Self::Transient | Self::Timeout | Self::Panic => Verdict::new(Class::Transient),
            Self::Permanent => Verdict::new(Class::Permanent),
            Self::RateLimited => {
                Verdict::new(Class::RateLimited { retry_after }).with_code(Code::Http(429)).not_processed()
            }
            Self::Unavailable => {
                let verdict = Verdict::new(Class::Unavailable { retry_after }).with_code(Code::Http(503));
                if retry_after.is_some() { verdict.not_processed() } else { verdict }
            }
            Self::Ignored => Verdict::new(Class::Ignored),
            Self::ConnectError => Verdict::new(Class::Transient).not_processed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in ["ok", "transient", "permanent", "rate_limited", "unavailable", "ignored", "timeout", "panic"] {
            let read: Word = serde_json::from_str(&format!("\"{word}\"")).expect("a word");
            assert_eq!(read.as_str(), word);
        }
        assert_eq!(serde_json::from_str::<Word>("\"connect_error\"").expect("a word"), Word::ConnectError);
    }

    #[test]
    fn only_what_provably_was_not_processed_says_so() {
        let hint = Some(Duration::from_secs(1));
        assert!(Word::RateLimited.verdict(None).unprocessed && Word::ConnectError.verdict(None).unprocessed);
        assert!(Word::Unavailable.verdict(hint).unprocessed && !Word::Unavailable.verdict(None).unprocessed);
        assert!(!Word::Transient.verdict(hint).unprocessed);
    }
}
