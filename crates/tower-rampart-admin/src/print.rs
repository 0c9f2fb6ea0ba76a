//! JSON as text that is harmless wherever it is printed: what is invisible, or could steer a terminal or turn a line around, is escaped.

use std::fmt::Write as _;

use axum::body::Bytes;
use serde::Serialize;

/// The JSON of an answer.
pub(crate) fn json(body: &impl Serialize) -> Bytes {
    let text = serde_json::to_string(body).expect("answers have text keys and serialise without failing");
    if !text.contains(is_invisible) {
        return text.into();
    }
    // Outside of strings there is none of these characters.
    let mut escaped = String::with_capacity(text.len() + 64);
    for character in text.chars() {
        if is_invisible(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("writing to a string does not fail");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped.into()
}

/// Control characters that JSON lets stand, separators of lines, and what changes the direction of writing or takes no room.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_invisible_is_escaped_and_reads_back_the_same() {
        let text = "a\u{7f}b\u{9b}31m\u{202e}c\u{feff}\n\u{1b}é😀\u{e0041}";
        let printed = json(&text);
        let printed = std::str::from_utf8(&printed).unwrap();
        assert_eq!(printed, r#""a\u007fb\u009b31m\u202ec\ufeff\n\u001bé😀\udb40\udc41""#);
        assert_eq!(serde_json::from_str::<String>(printed).unwrap(), text);
    }
}
