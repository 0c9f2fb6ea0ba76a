//! Kinds in words: what a message says would have been accepted.

use super::Kind;
use crate::duration;

impl Kind {
    /// The type and range in words.
    pub(crate) fn accepts(&self) -> String {
        let spelling = match self {
            Self::Duration { .. } => ", as \"250ms\", \"2s\", \"1m\", \"1h\" or seconds as a number",
            Self::DurationOrOff { .. } => ", as \"250ms\", \"2s\", \"1m\", \"1h\" or seconds as a number, or \"off\"",
            _ => "",
        };
        format!("{}{}{spelling}", self.noun(), self.range())
    }

    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Integer { .. } => "an integer",
            Self::WholeSeconds { .. } => "an integer number of seconds",
            Self::Number { .. } | Self::Positive { .. } => "a number",
            Self::Seconds { .. } => "a number of seconds",
            Self::Duration { .. } | Self::DurationOrOff { .. } => "a duration",
            Self::Words(_) | Self::Text => "text",
            Self::WordList(_) => "a list",
            Self::Header => "a header name",
            Self::Headers => "a list of header names",
            Self::Key => "one of authority, route, operation, client_ip, header:NAME",
            Self::KeyLimits { .. } => "an object of numbers by key",
            Self::Methods => "\"idempotent\", \"all\" or a list of HTTP methods",
            Self::Matchers => "a list of classes, HTTP statuses and gRPC codes",
            Self::Statuses => "a list of HTTP statuses",
            Self::Targets => "a list of http:// or https:// URLs",
            Self::WindowSize { .. } => "an integer (type count) or a duration (type time)",
            Self::Document => "an object",
        }
    }

    /// The range, to follow a noun.
    pub(super) fn range(&self) -> String {
        match self {
            Self::Integer { min, max } | Self::WholeSeconds { min, max } => format!(" between {min} and {max}"),
            Self::Number { min, max } if *max >= f64::MAX => format!(" of at least {min:?}"),
            Self::Number { min, max } | Self::Seconds { min, max } => format!(" between {min:?} and {max:?}"),
            Self::Positive { max } => format!(" above 0 and at most {max:?}"),
            Self::Duration { min, max } | Self::DurationOrOff { min, max } => {
                format!(" between {} and {}", duration::format(*min), duration::format(*max))
            }
            Self::Words(words) => format!(", one of {}", words.join(", ")),
            Self::WordList(words) => format!(" of some of {}", words.join(", ")),
            _ => String::new(),
        }
    }

    pub(super) fn range_alone(&self) -> String {
        match self {
            Self::Words(words) => format!("one of {}", words.join(", ")),
            _ if self.range().is_empty() => self.noun().to_owned(),
            _ => self.range().trim_start().trim_start_matches("of ").to_owned(),
        }
    }
}
