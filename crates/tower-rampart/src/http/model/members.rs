//! Finds single members of a JSON object while it streams by, whatever its size. What they say is read in `usage`.

use serde_json::{Map, Value};

/// The most of a member that is kept, in bytes.
const MAX_MEMBER: usize = 4096;
/// The most of a name that is compared, in bytes.
const MAX_NAME: usize = 32;

/// Keeps those members of a JSON object that have one of these names. What is not at the top of the object is passed over, as is the whole text if it is
/// no object.
#[derive(Clone, Debug)]
pub(in crate::http) struct MemberReader {
    names: &'static [&'static str],
    /// How many objects and lists are open.
    depth: u32,
    state: State,
    is_escaped: bool,
    /// The name that is read, or was last.
    name: Vec<u8>,
    /// The value of a member with one of the names.
    value: Option<Vec<u8>>,
    found: Map<String, Value>,
}

/// Where in the text the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space has come.
    Before,
    /// Between names and values.
    Between,
    /// Between a name of the object itself and its colon.
    AfterName,
    /// In a name of the object itself.
    Name,
    /// In the value of a member of the object itself, outside of strings.
    Value,
    /// In a string within that value.
    Text,
    /// The object has ended, or there is none.
    Over,
}

impl MemberReader {
    pub(in crate::http) fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            depth: 0,
            state: State::Before,
            is_escaped: false,
            name: Vec::new(),
            value: None,
            found: Map::new(),
        }
    }

    /// Reads a piece; it may be cut at any byte.
    pub(in crate::http) fn read(&mut self, piece: &[u8]) {
        for &byte in piece {
            if self.state == State::Over {
                return;
            }
            self.step(byte);
        }
    }

    /// What was found so far.
    pub(in crate::http) fn found(&self) -> Value {
        Value::Object(self.found.clone())
    }

    fn step(&mut self, byte: u8) {
        match self.state {
            State::Before if byte.is_ascii_whitespace() => {}
            State::Before => self.state = if byte == b'{' { State::Between } else { State::Over },
            State::Between => match byte {
                b'"' => {
                    self.name.clear();
                    self.state = State::Name;
                }
                b'}' => self.state = State::Over,
                _ => {}
            },
            State::Name => {
                if self.ends_text(byte) {
                    self.state = State::AfterName;
                } else if self.name.len() <= MAX_NAME {
                    self.name.push(byte);
                }
            }
            State::AfterName if byte == b':' => {
                let is_wanted = self.names.iter().any(|name| name.as_bytes() == self.name);
                self.value = is_wanted.then(Vec::new);
                self.state = State::Value;
            }
            State::Value => self.step_value(byte),
            State::Text => {
                self.keep(byte);
                if self.ends_text(byte) {
                    self.state = State::Value;
                }
            }
            State::AfterName | State::Over => {}
        }
    }

    fn step_value(&mut self, byte: u8) {
        if self.depth == 0 && matches!(byte, b',' | b'}') {
            self.end_value();
            self.state = if byte == b',' { State::Between } else { State::Over };
            return;
        }
        self.keep(byte);
        match byte {
            b'"' => self.state = State::Text,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether a byte within a string ends it.
    fn ends_text(&mut self, byte: u8) -> bool {
        match byte {
            _ if std::mem::take(&mut self.is_escaped) => false,
            b'\\' => {
                self.is_escaped = true;
                false
            }
            _ => byte == b'"',
        }
    }

    fn keep(&mut self, byte: u8) {
        if let Some(value) = &mut self.value {
            value.push(byte);
            if value.len() > MAX_MEMBER {
                self.value = None;
            }
        }
    }

    fn end_value(&mut self) {
        let name = self.names.iter().find(|name| name.as_bytes() == self.name);
        if let (Some(value), Some(name)) = (self.value.take(), name)
            && let Ok(value) = serde_json::from_slice(&value)
        {
            self.found.insert((*name).to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NAMES: &[&str] = &["usage", "error"];

    fn found<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Value {
        let mut reader = MemberReader::new(NAMES);
        for piece in pieces {
            reader.read(piece);
        }
        reader.found()
    }

    fn find(text: &str) -> Value {
        found([text.as_bytes()])
    }

    #[test]
    fn members_at_the_top_are_found_and_those_below_are_not() {
        let text = r#" {"a": {"usage": 1, "b": [{"usage": 2}]}, "usage" : {"total": [3, "}\",{"]} , "c": "usage", "error":null}"#;
        assert_eq!(find(text), json!({"usage": {"total": [3, "}\",{"]}, "error": null}));
        assert_eq!(find(r#"{"text": "\"usage\": 5", "x": "\\", "usage": 6}"#), json!({"usage": 6}));
        assert_eq!(find(r#"{"usage": 1, "usage": 2}"#), json!({"usage": 2}));
    }

    #[test]
    fn what_is_no_object_or_does_not_end_has_none() {
        for text in ["", "[{\"usage\": 1}]", "null", "{\"usage\": 1", "{\"usage\": x}", "data: {\"usage\": 1}"] {
            assert_eq!(find(text), json!({}), "{text}");
        }
    }

    #[test]
    fn huge_bodies_are_read_and_huge_members_are_not() {
        let large = "x".repeat(100_000);
        assert_eq!(find(&format!(r#"{{"a": "{large}", "usage": 1}}"#)), json!({"usage": 1}));
        assert_eq!(find(&format!(r#"{{"{large}": 1, "usage": 1}}"#)), json!({"usage": 1}));
        assert_eq!(find(&format!(r#"{{"usage": "{large}", "error": 1}}"#)), json!({"error": 1}));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],:é]{0,8}".prop_map(Value::from),
        ];
        let name = prop_oneof![Just("usage".to_owned()), Just("error".to_owned()), "[a-z\"\\\\]{0,6}"];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn members_are_those_that_a_parser_finds_however_the_text_is_cut(
            value in values(),
            pretty: bool,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces = at.windows(2).map(|it| &text.as_bytes()[it[0]..it[1]]);
            let members = value.as_object().cloned().unwrap_or_default();
            let wanted: Map<String, Value> = members.into_iter().filter(|(name, _)| NAMES.contains(&name.as_str())).collect();
            prop_assert_eq!(found(pieces), Value::Object(wanted));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = found([&bytes[..]]);
        }
    }
}
