//! What no key and no string may hold: invisible characters, and the fifteen patterns of markup and code. Applied to decoded text, one by one.

use unicode_general_category::{GeneralCategory, get_general_category};

/// The first control, format, surrogate or private-use character.
pub(crate) fn character(text: &str) -> Option<char> {
    text.chars().find(|c| {
        matches!(
            get_general_category(*c),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
        )
    })
}

/// Whether a pattern is in a lower-cased text.
type Found = fn(&[u8]) -> bool;

/// The fifteen patterns, by how they are shown.
const PATTERNS: [(&str, Found); 15] = [
    ("<script", |text| holds(text, b"<script")),
    ("javascript:", |text| holds(text, b"javascript:")),
    ("data:", |text| holds(text, b"data:")),
    ("vbscript:", |text| holds(text, b"vbscript:")),
    ("on…=", event_handler),
    ("../", |text| holds(text, b"../")),
    ("\\x..", |text| escape(text, b"\\x", 2)),
    ("\\u....", |text| escape(text, b"\\u", 4)),
    ("<% … %>", |text| between(text, b"<%", b"%>")),
    ("${ … }", |text| between(text, b"${", b"}")),
    ("eval(", |text| call(text, b"eval")),
    ("exec(", |text| call(text, b"exec")),
    ("import …", |text| after(text, b"import").any(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))),
    ("require(", |text| call(text, b"require")),
    ("__ … __", |text| between(text, b"__", b"__")),
];

/// The patterns of markup and code that no key and no string of a document may hold, as messages show them.
///
/// # Examples
/// ```
/// assert!(tower_rampart_config::forbidden_patterns().any(|it| it == "<script"));
/// ```
pub fn forbidden_patterns() -> impl Iterator<Item = &'static str> {
    PATTERNS.iter().map(|it| it.0)
}

/// The first forbidden pattern in `text`, as it is shown to people.
pub(crate) fn pattern(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    PATTERNS.iter().find(|(_, found)| found(text.as_bytes())).map(|(shown, _)| *shown)
}

/// What follows each occurrence of `word`.
fn after<'a>(text: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    text.windows(word.len()).enumerate().filter(move |(_, it)| *it == word).map(move |(at, _)| &text[at + word.len()..])
}

fn holds(text: &[u8], word: &[u8]) -> bool {
    after(text, word).next().is_some()
}

fn between(text: &[u8], open: &[u8], close: &[u8]) -> bool {
    after(text, open).next().is_some_and(|rest| holds(rest, close))
}

fn call(text: &[u8], name: &[u8]) -> bool {
    after(text, name).any(|rest| rest.trim_ascii_start().first() == Some(&b'('))
}

fn escape(text: &[u8], start: &[u8], digits: usize) -> bool {
    after(text, start).any(|rest| rest.len() >= digits && rest[..digits].iter().all(u8::is_ascii_hexdigit))
}

fn event_handler(text: &[u8]) -> bool {
    after(text, b"on").any(|rest| {
        let word = rest.iter().take_while(|it| it.is_ascii_alphanumeric() || **it == b'_').count();
        word > 0 && rest[word..].trim_ascii_start().first() == Some(&b'=')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_fifteen_patterns_is_found() {
        let samples = [
            "<ScRipt>",
            "javascript:x",
            "data:text",
            "vbscript:x",
            "onclick =x",
            "a/../b",
            "\\x41",
            "\\u0041",
            "<% a %>",
            "${a}",
            "eval (x)",
            "exec(x)",
            "import os",
            "require('fs')",
            "__a__",
        ];
        for (sample, (shown, _)) in samples.iter().zip(PATTERNS) {
            assert_eq!(pattern(sample), Some(shown), "{sample}");
        }
    }

    #[test]
    fn ordinary_words_are_no_offence() {
        for text in ["balanced", "important", "evaluate", "on = 1", "__a", "a..b", "é", "\\xg1", "required", "$5 {a}"]
        {
            assert_eq!(pattern(text), None, "{text}");
        }
    }

    #[test]
    fn invisible_characters_are_found_and_letters_are_not() {
        assert_eq!(character("bal\u{200b}anced"), Some('\u{200b}'));
        assert_eq!(character("a\nb"), Some('\n'));
        assert_eq!(character("\u{e000}"), Some('\u{e000}'));
        assert_eq!(character("日本 é 😀"), None);
    }
}
