//! Text to a bounded tree: strict JSON with every limit applied while it is read; what the tree means is in `document.rs`.

use std::fmt;

use serde_json::Value as Json;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{Limits, Violation, ViolationCode, forbidden, names, violation::join};

/// The most violations that are listed; one more says that there are more.
const MOST: usize = 1000;
/// Integers beyond this lose digits in programs that hold numbers as doubles.
const EXACT: i128 = 1 << 53;

/// A JSON value that kept what a document must know: how a number was spelt, and the order of the keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    /// Was refused while reading: its violation is already listed.
    Refused,
}

impl Node {
    /// The value as any parser of JSON would have it. An integer beyond 64 bits is out of every field's range.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Null | Self::Refused => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Integer(value) => i64::try_from(*value).map_or(Json::Null, Json::from),
            Self::Number(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Object(all) => all.iter().map(|(name, node)| (name.clone(), node.to_json())).collect(),
        }
    }

    /// The value as a message shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => format!("{value:?}"),
            Self::Text(text) => format!("\"{}\"", names::shown(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) | Self::Refused => "an object".to_owned(),
        }
    }
}

/// What reading gave.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The properties of the document, if the text is an object.
    pub(crate) root: Option<Vec<(String, Node)>>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<String>,
}

/// Reads one JSON object. Memory is bounded by the size limit, the stack by the depth limit.
pub(crate) fn parse(text: &str, limits: &Limits) -> Parsed {
    if text.len() > limits.bytes {
        let message = format!("the document must have at most {} bytes (got {})", limits.bytes, text.len());
        let violation = Violation::new("", ViolationCode::TooLarge, message)
            .suggest("Remove whitespace and what the preset already says");
        return Parsed { violations: vec![violation], ..Parsed::default() };
    }
    let mut reader = Reader { limits, path: Vec::new(), parsed: Parsed::default() };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Seed { reader: &mut reader, depth: 0 }.deserialize(&mut json);
    match read.and_then(|node| json.end().map(|()| node)) {
        Ok(Node::Object(properties)) => reader.parsed.root = Some(properties),
        Ok(other) => {
            let message = format!("the document must be a JSON object (got {})", other.shown());
            reader.note("", ViolationCode::NotAnObject, message);
        }
        Err(error) => reader.syntax(&error),
    }
    reader.parsed
}

/// Reads one JSON number, for a variable that holds nothing else.
pub(crate) fn number(text: &str) -> Option<Node> {
    let limits = Limits::text();
    let mut reader = Reader { limits: &limits, path: Vec::new(), parsed: Parsed::default() };
    let mut json = serde_json::Deserializer::from_str(text);
    let node = Seed { reader: &mut reader, depth: 0 }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    matches!(node, Node::Integer(_) | Node::Number(_)).then_some(node)
}

#[derive(Debug)]
enum Segment {
    Key(String),
    Index(usize),
}

struct Reader<'a> {
    limits: &'a Limits,
    path: Vec<Segment>,
    parsed: Parsed,
}

impl Reader<'_> {
    fn here(&self) -> String {
        self.path.iter().fold(String::new(), |path, segment| match segment {
            Segment::Key(key) => join(&path, key),
            Segment::Index(index) => format!("{path}[{index}]"),
        })
    }

    fn note(&mut self, path: impl Into<String>, code: ViolationCode, message: impl Into<String>) {
        let listed = self.parsed.violations.len();
        if listed < MOST {
            self.parsed.violations.push(Violation::new(path, code, message));
        } else if listed == MOST {
            let message = format!("more than {MOST} violations, the rest is not listed");
            self.parsed.violations.push(Violation::new("", ViolationCode::TooManyViolations, message));
        }
    }

    fn syntax(&mut self, error: &serde_json::Error) {
        let text = error.to_string();
        // An unpaired surrogate is known to the parser only as a bad escape; its path is the one that was being read.
        if error.is_syntax() && (text.contains("surrogate") || text.contains("end of hex escape")) {
            let path = self.here();
            return self.note(path, ViolationCode::ForbiddenCharacter, format!("unpaired surrogate: {text}"));
        }
        self.note("", ViolationCode::Syntax, format!("the document is not valid JSON: {text}"));
    }

    /// Whether a key or string may stand; lists what is wrong with it if not.
    fn admits(&mut self, text: &str, path: &str, what: &str) -> bool {
        let most = self.limits.characters;
        if text.chars().count() > most {
            self.note(path, ViolationCode::TooLong, format!("a {what} must have at most {most} characters"));
            return false;
        }
        if let Some(found) = forbidden::character(text) {
            let message = format!("the {what} holds the forbidden character U+{:04X}", u32::from(found));
            self.note(path, ViolationCode::ForbiddenCharacter, message);
            return false;
        }
        if let Some(found) = forbidden::pattern(text) {
            let message = format!("the {what} '{}' holds the forbidden pattern `{found}`", names::shown(text));
            self.note(path, ViolationCode::ForbiddenPattern, message);
            return false;
        }
        self.warn_repeated(text, path, what);
        true
    }

    fn warn_repeated(&mut self, text: &str, path: &str, what: &str) {
        let (mut last, mut run) = (None, 0);
        for c in text.chars() {
            run = if last == Some(c) { run + 1 } else { 1 };
            last = Some(c);
            if run > 10 {
                let warning = format!("{path}: the {what} repeats one character more than 10 times");
                return self.parsed.warnings.push(warning);
            }
        }
    }

    fn warn_large(&mut self, shown: impl fmt::Display) {
        let path = self.here();
        self.parsed.warnings.push(format!("{path}: the integer {shown} is beyond 2^53 and loses digits elsewhere"));
    }
}

struct Seed<'a, 'b> {
    reader: &'a mut Reader<'b>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth <= self.reader.limits.depth {
            return deserializer.deserialize_any(self);
        }
        // The rest of this value is skipped by the parser's loop, which needs no stack.
        deserializer.deserialize_ignored_any(IgnoredAny)?;
        let path = match self.reader.path.first() {
            Some(Segment::Key(key)) => key.clone(),
            Some(Segment::Index(_)) | None => String::new(),
        };
        let known = self.reader.parsed.violations.iter().any(|it| it.code == ViolationCode::TooDeep && it.path == path);
        if !known {
            let message = format!("nesting must be at most {} levels deep", self.reader.limits.depth);
            self.reader.note(path, ViolationCode::TooDeep, message);
        }
        Ok(Node::Refused)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        if i128::from(value).abs() > EXACT {
            self.reader.warn_large(value);
        }
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        if i128::from(value) > EXACT {
            self.reader.warn_large(value);
        }
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        // Integers beyond 64 bits reach the parser's visitor only as doubles.
        if value.abs() > EXACT as f64 {
            self.reader.warn_large(format_args!("{value:?}"));
        }
        Ok(Node::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        let path = self.reader.here();
        if self.reader.admits(text, &path, "text") { Ok(Node::Text(text.to_owned())) } else { Ok(Node::Refused) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let Self { reader, depth } = self;
        let mut list = Vec::new();
        loop {
            if list.len() == reader.limits.items {
                let mut more = 0_usize;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    more += 1;
                }
                if more > 0 {
                    let (path, most) = (reader.here(), reader.limits.items);
                    let message = format!("an array must have at most {most} items (got {})", most + more);
                    reader.note(path, ViolationCode::TooManyItems, message);
                }
                return Ok(Node::List(list));
            }
            reader.path.push(Segment::Index(list.len()));
            let item = items.next_element_seed(Seed { reader: &mut *reader, depth: depth + 1 })?;
            reader.path.pop();
            match item {
                Some(item) => list.push(item),
                None => return Ok(Node::List(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let Self { reader, depth } = self;
        let container = reader.here();
        let mut seen: Vec<String> = Vec::new();
        let mut properties = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            if seen.len() == reader.limits.properties {
                entries.next_value::<IgnoredAny>()?;
                let mut count = seen.len() + 1;
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                let message =
                    format!("an object must have at most {} properties (got {count})", reader.limits.properties);
                reader.note(container, ViolationCode::TooManyProperties, message);
                break;
            }
            let too_long = key.chars().count() > reader.limits.characters;
            let shown = if too_long { names::shown(&key) } else { names::visible(&key) };
            let path = if too_long { container.clone() } else { join(&container, &shown) };
            let admitted = reader.admits(&key, &path, "key");
            let twice = seen.contains(&key);
            if twice {
                let message = format!("the key '{}' stands twice", names::shown(&key));
                reader.note(path, ViolationCode::DuplicateKey, message);
            }
            reader.path.push(Segment::Key(shown));
            let value = entries.next_value_seed(Seed { reader: &mut *reader, depth: depth + 1 })?;
            reader.path.pop();
            if admitted && !twice {
                properties.push((key.clone(), value));
            }
            seen.push(key);
        }
        Ok(Node::Object(properties))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<(String, ViolationCode)> {
        parse(text, &Limits::file()).violations.into_iter().map(|it| (it.path, it.code)).collect()
    }

    #[test]
    fn the_spelling_of_a_number_is_kept() {
        let root = parse(r#"{"a": 1, "b": 1.0, "c": 1e1, "d": 9223372036854775808}"#, &Limits::text());
        let values: Vec<Node> = root.root.unwrap_or_default().into_iter().map(|it| it.1).collect();
        assert_eq!(
            values,
            [Node::Integer(1), Node::Number(1.0), Node::Number(10.0), Node::Integer(9_223_372_036_854_775_808)]
        );
        assert_eq!(root.warnings.len(), 1);
    }

    #[test]
    fn duplicates_are_found_at_every_level() {
        let found = codes(r#"{"a": 1, "a": 2, "b": {"c": 1, "c": [{"d": 1, "d": 1}]}}"#);
        let twice = ViolationCode::DuplicateKey;
        assert_eq!(found, [("a".into(), twice), ("b.c".into(), twice), ("b.c[0].d".into(), twice)]);
    }

    #[test]
    fn nesting_beyond_the_limit_is_an_answer_and_not_an_overflow() {
        let text = format!("{{\"x\": {}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(codes(&text), [("x".to_owned(), ViolationCode::TooDeep)]);
    }

    #[test]
    fn an_overflowing_number_and_a_byte_order_mark_are_syntax() {
        for text in [r#"{"a": 1e400}"#, "\u{feff}{}", "{} x", "{\"a\": NaN}", "nul"] {
            assert_eq!(codes(text), [(String::new(), ViolationCode::Syntax)], "{text}");
        }
    }

    #[test]
    fn an_unpaired_surrogate_is_reported_at_its_field() {
        for text in [r#"{"a": {"b": "\ud800"}}"#, r#"{"a": {"b": "\udc00"}}"#, r#"{"a": {"b": "\ud800\u0041"}}"#] {
            assert_eq!(codes(text), [("a.b".to_owned(), ViolationCode::ForbiddenCharacter)], "{text}");
        }
    }
}
