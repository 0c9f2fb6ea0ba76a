//! The text of a key while it is put together, without an allocation. What stays of it is a [`Key`](super::Key).

use std::{fmt, str};

use super::Key;

/// At most as many bytes as a key has, on the stack. What does not fit is an error, and then there is no key.
pub(crate) struct KeyText {
    bytes: [u8; Key::MAX_LEN],
    len: usize,
}

impl KeyText {
    /// The text that `write` writes; `None` if it says so, if it does not fit, or if there is none.
    pub(crate) fn of(write: impl FnOnce(&mut Self) -> Option<()>) -> Option<Self> {
        let mut text = Self { bytes: [0; Key::MAX_LEN], len: 0 };
        write(&mut text)?;
        (text.len > 0).then_some(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("only whole texts were written")
    }
}

impl fmt::Write for KeyText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let rest = self.bytes[self.len..].get_mut(..text.len()).ok_or(fmt::Error)?;
        rest.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn text_is_what_was_written_or_nothing() {
        let of = |parts: &[&str]| KeyText::of(|text| parts.iter().try_for_each(|it| text.write_str(it).ok()));
        assert_eq!(of(&["a", "ä"]).map(|it| it.as_str().to_owned()).as_deref(), Some("aä"));
        assert!(of(&[]).is_none() && of(&["a", &"x".repeat(Key::MAX_LEN)]).is_none());
        assert!(of(&[&"x".repeat(Key::MAX_LEN)]).is_some());
    }
}
