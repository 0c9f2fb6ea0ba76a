//! Writes a flat JSON object. Not a serializer: a refusal has six fields, and the crate needs no JSON library on the call path for them.

use std::fmt::Write as _;

/// A flat JSON object, written member by member.
#[derive(Debug)]
pub(super) struct Object {
    text: String,
}

impl Object {
    pub(super) fn new() -> Self {
        Self { text: String::from("{") }
    }

    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.quoted(value);
        self
    }

    pub(super) fn number(mut self, name: &str, value: Option<u64>) -> Self {
        self.name(name);
        match value {
            Some(value) => push(&mut self.text, format_args!("{value}")),
            None => self.text.push_str("null"),
        }
        self
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.quoted(name);
        self.text.push(':');
    }

    /// Writes a string as RFC 8259 section 7 wants it.
    fn quoted(&mut self, value: &str) {
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                // Also the two line ends that JavaScript once took for its own, and what would end a script element.
                control if control.is_control() || matches!(control, '\u{2028}' | '\u{2029}' | '<') => {
                    push(&mut self.text, format_args!("\\u{:04x}", u32::from(control)));
                }
                plain => self.text.push(plain),
            }
        }
        self.text.push('"');
    }
}

fn push(text: &mut String, value: std::fmt::Arguments<'_>) {
    text.write_fmt(value).expect("writing to a String never fails");
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_out_of_a_parser(name in ".*", value in "\\PC*|[\\x00-\\x7f]*", number: Option<u64>) {
            let written = Object::new().text("n", &name).text("v", &value).number("x", number).finish();
            let read: serde_json::Value = serde_json::from_str(&written).expect("valid JSON");
            proptest::prop_assert_eq!(&read["n"], &name);
            proptest::prop_assert_eq!(&read["v"], &value);
            proptest::prop_assert_eq!(read["x"].as_u64(), number);
        }
    }

    #[test]
    fn empty_object_is_an_object() {
        assert_eq!(Object::new().finish(), "{}");
    }
}
