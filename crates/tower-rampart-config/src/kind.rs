//! The types of fields: their ranges, how a JSON value is read as one, and what is said if it cannot be.

mod wording;

use std::{collections::BTreeMap, time::Duration};

use tower_rampart_core::{Code, breaker::Matcher, classify::Method, retry::Methods};

use crate::{
    ViolationCode, duration, names,
    parse::Node,
    value::{METHODS, Value, matcher},
};

/// The type and range of a field. Ranges are inclusive unless stated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    Integer {
        min: u64,
        max: u64,
    },
    Number {
        min: f64,
        max: f64,
    },
    /// A number above 0.
    Positive {
        max: f64,
    },
    /// A whole number of seconds.
    WholeSeconds {
        min: u64,
        max: u64,
    },
    /// A number of seconds.
    Seconds {
        min: f64,
        max: f64,
    },
    /// A duration with its unit, or seconds as a number.
    Duration {
        min: Duration,
        max: Duration,
    },
    /// A duration or `"off"`.
    DurationOrOff {
        min: Duration,
        max: Duration,
    },
    Words(&'static [&'static str]),
    /// A list of some of these words.
    WordList(&'static [&'static str]),
    Text,
    /// A header's name.
    Header,
    Headers,
    /// What keys state.
    Key,
    /// Numbers above 0 by key.
    KeyLimits {
        max: f64,
    },
    Methods,
    Matchers,
    Statuses,
    /// Base URLs.
    Targets,
    /// A count or a duration, as the `type` beside it says.
    WindowSize {
        max: u64,
        longest: Duration,
    },
    /// Read by `document.rs` itself.
    Document,
}

/// Why a value was refused.
#[derive(Debug)]
pub(crate) struct Problem {
    /// Which item: `[0]`, or nothing.
    pub(crate) at: String,
    pub(crate) code: ViolationCode,
    /// What would have been accepted: `between 1 and 10`.
    pub(crate) expected: String,
    pub(crate) suggestion: Option<String>,
}

/// One or two problems of the whole value, or those of its items.
type Read = Result<Value, Vec<Problem>>;

impl Kind {
    /// Reads a value. `beside` are the properties of the same object.
    pub(crate) fn read(&self, node: &Node, beside: &[(String, Node)]) -> Read {
        match (*self, node) {
            (Self::Bool, Node::Bool(value)) => Ok(Value::Bool(*value)),
            (Self::Integer { min, max }, Node::Integer(value)) => match u64::try_from(*value) {
                Ok(value) if (min..=max).contains(&value) => Ok(Value::Integer(value)),
                _ => self.outside(),
            },
            (Self::WholeSeconds { min, max }, Node::Integer(value)) => match u64::try_from(*value) {
                Ok(value) if (min..=max).contains(&value) => Ok(Value::Duration(Duration::from_secs(value))),
                _ => self.outside(),
            },
            (Self::Number { .. } | Self::Positive { .. } | Self::Seconds { .. }, _) => match number(node) {
                Some(value) => self.number(value),
                None => self.mistyped(),
            },
            (Self::DurationOrOff { .. }, Node::Text(text)) if text == "off" => Ok(Value::Off),
            (Self::Duration { min, max } | Self::DurationOrOff { min, max }, _) => self.duration(node, min, max),
            (Self::Words(words), Node::Text(text)) => match words.iter().find(|it| *it == text) {
                Some(word) => Ok(Value::Word(word)),
                None => self.unknown(names::nearest(text, words.iter().copied())),
            },
            (Self::Text, Node::Text(text)) => Ok(Value::Text(text.clone())),
            (Self::Header, Node::Text(text)) if is_header(text) => Ok(Value::Text(text.to_ascii_lowercase())),
            (Self::Key, Node::Text(text)) if is_key(text) => Ok(Value::Text(text.clone())),
            (Self::Header | Self::Key, Node::Text(_)) => self.unknown(None),
            (Self::Methods, Node::Text(text)) => match text.as_str() {
                "idempotent" => Ok(Value::Methods(Methods::Idempotent)),
                "all" => Ok(Value::Methods(Methods::All)),
                _ => self.unknown(names::nearest(text, ["idempotent", "all"])),
            },
            (Self::KeyLimits { max }, Node::Object(limits)) => Self::key_limits(limits, max),
            (Self::WindowSize { max, longest }, _) => Self::window(node, beside, max, longest),
            (_, Node::List(items)) => self.list(items),
            _ => self.mistyped(),
        }
    }

    fn list(&self, items: &[Node]) -> Read {
        match self {
            Self::Headers => Self::items(items, |it| header(it).ok_or("a header name")).map(Value::Texts),
            Self::Targets => Self::items(items, |it| target(it).ok_or("an http:// or https:// URL")).map(Value::Texts),
            Self::WordList(words) => {
                let word = |node: &Node| words.iter().copied().find(|it| Some(*it) == text(node));
                Self::items(items, |it| word(it).ok_or_else(|| format!("one of {}", words.join(", "))))
                    .map(Value::WordList)
            }
            Self::Statuses => {
                Self::items(items, |it| status(it).ok_or("an HTTP status between 100 and 999")).map(Value::Statuses)
            }
            Self::Matchers => {
                let expected = "a class, an HTTP status (100 to 999) or a gRPC code (0 to 16 or its name)";
                Self::items(items, |it| matcher_of(it).ok_or(expected)).map(Value::Matchers)
            }
            Self::Methods => Self::items(items, |it| method(it).ok_or("an HTTP method in upper case")).map(|methods| {
                if methods.is_empty() {
                    Value::Methods(Methods::Idempotent)
                } else {
                    Value::Methods(Methods::also(methods))
                }
            }),
            _ => Err(vec![self.problem(ViolationCode::Type)]),
        }
    }

    fn items<T, E: std::fmt::Display>(
        items: &[Node],
        read: impl Fn(&Node) -> Result<T, E>,
    ) -> Result<Vec<T>, Vec<Problem>> {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match (item, read(item)) {
                (Node::Refused, _) => {}
                (_, Ok(value)) => values.push(value),
                (_, Err(expected)) => problems.push(Problem {
                    at: format!("[{index}]"),
                    code: ViolationCode::UnknownValue,
                    expected: format!("{expected} (got {})", item.shown()),
                    suggestion: None,
                }),
            }
        }
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }

    fn key_limits(limits: &[(String, Node)], max: f64) -> Read {
        let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
        for (key, node) in limits {
            let problem = |code, expected: String| Problem {
                at: format!(".{key}"),
                code,
                expected: format!("{expected} (got {})", node.shown()),
                suggestion: None,
            };
            match (node, Self::Positive { max }.read(node, &[])) {
                (Node::Refused, _) => {}
                (_, Ok(Value::Number(limit))) if !key.is_empty() => drop(values.insert(key.clone(), limit)),
                (_, Ok(_)) => problems.push(problem(ViolationCode::UnknownValue, "the limit of a key".to_owned())),
                (_, Err(found)) => problems.extend(found.into_iter().map(|it| problem(it.code, it.expected))),
            }
        }
        if problems.is_empty() { Ok(Value::KeyLimits(values)) } else { Err(problems) }
    }

    fn number(&self, value: f64) -> Read {
        // One zero: so that what is printed is what was read.
        let value = if value == 0.0 { 0.0 } else { value };
        match *self {
            Self::Number { min, max } if value >= min && value <= max => Ok(Value::Number(value)),
            Self::Positive { max } if value > 0.0 && value <= max => Ok(Value::Number(value)),
            Self::Seconds { min, max } if value >= min && value <= max => match Duration::try_from_secs_f64(value) {
                Ok(duration) => Ok(Value::Duration(duration)),
                Err(_) => self.outside(),
            },
            _ => self.outside(),
        }
    }

    fn duration(&self, node: &Node, min: Duration, max: Duration) -> Read {
        let read = match node {
            Node::Text(text) => match duration::parse(text) {
                Some(duration) => duration,
                None => return self.mistyped(),
            },
            _ => match number(node) {
                // What is negative or does not fit is out of every range.
                Some(seconds) => match Duration::try_from_secs_f64(seconds) {
                    Ok(duration) => duration,
                    Err(_) => return self.outside(),
                },
                None => return self.mistyped(),
            },
        };
        if read >= min && read <= max { Ok(Value::Duration(read)) } else { self.outside() }
    }

    fn window(node: &Node, beside: &[(String, Node)], max: u64, longest: Duration) -> Read {
        let time = beside.iter().any(|(key, value)| key == "type" && *value == Node::Text("time".to_owned()));
        if time {
            Self::Duration { min: Duration::from_millis(1), max: longest }.read(node, beside)
        } else {
            Self::Integer { min: 1, max }.read(node, beside)
        }
    }

    fn outside(&self) -> Read {
        Err(vec![self.problem(ViolationCode::Range)])
    }

    fn mistyped(&self) -> Read {
        Err(vec![self.problem(ViolationCode::Type)])
    }

    fn unknown(&self, nearest: Option<&str>) -> Read {
        let mut problem = self.problem(ViolationCode::UnknownValue);
        problem.suggestion = nearest.map(|name| format!("Did you mean '{name}'?")).or(problem.suggestion);
        Err(vec![problem])
    }

    fn problem(&self, code: ViolationCode) -> Problem {
        let typed = code == ViolationCode::Type;
        let expected = if typed { self.accepts() } else { self.range_alone() };
        let suggestion = match self {
            Self::Integer { .. } | Self::WholeSeconds { .. } if typed => {
                Some("Write a whole number, without quotes, fraction or exponent".to_owned())
            }
            Self::Bool => Some("Write true or false, without quotes".to_owned()),
            Self::Words(words) => Some(format!("Use one of {}", words.join(", "))),
            _ if !typed && !self.range().is_empty() => Some(format!("Use a value{}", self.range())),
            _ => None,
        };
        Problem { at: String::new(), code, expected, suggestion }
    }
}

fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Integer(value) => Some(*value as f64),
        Node::Number(value) => Some(*value),
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match node {
        Node::Text(text) => Some(text),
        _ => None,
    }
}

/// Whether a text is a token of RFC 9110, which header names are.
pub(crate) fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it))
}

fn is_key(text: &str) -> bool {
    ["authority", "route", "operation", "client_ip"].contains(&text)
        || text.strip_prefix("header:").is_some_and(is_header)
}

fn header(node: &Node) -> Option<String> {
    text(node).filter(|it| is_header(it)).map(str::to_ascii_lowercase)
}

fn target(node: &Node) -> Option<String> {
    let url = text(node)?;
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = url.bytes().all(|it| it.is_ascii_graphic());
    (plain && !host.is_empty() && !host.starts_with(':') && !host.contains('@')).then(|| url.to_owned())
}

fn status(node: &Node) -> Option<u16> {
    match node {
        Node::Integer(value) => u16::try_from(*value).ok().filter(|it| (100..=999).contains(it)),
        _ => None,
    }
}

fn matcher_of(node: &Node) -> Option<Matcher> {
    match node {
        Node::Text(word) => matcher(word),
        Node::Integer(code @ 0..=16) => u8::try_from(*code).ok().map(|code| Matcher::Code(Code::Grpc(code))),
        _ => status(node).map(|status| Matcher::Code(Code::Http(status))),
    }
}

fn method(node: &Node) -> Option<Method> {
    let name = text(node)?;
    METHODS.iter().find(|(it, _)| *it == name).map(|(_, method)| *method)
}
