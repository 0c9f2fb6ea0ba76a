//! Who may ask: named keys, each with a role. Where a request carries its key is `caller.rs`'s business; files of keys are read in `key_file.rs`.

use std::{fmt, str::FromStr, sync::Arc};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Looking, and validating documents.
    Read,
    /// All that, and changing what traffic meets.
    Write,
}

impl Role {
    /// The word used in key files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => Err(KeyError::Role),
        }
    }
}

/// What is wrong with a key. Says nothing of what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name breaks the rule for names.
    #[error("a key's name must be 1 to 64 letters, digits, `_`, `-` and `.`")]
    Name,
    /// There is a key of that name.
    #[error("there is a key of that name already")]
    NameTaken,
    /// There is another name for the same key: the audit could not tell who it was.
    #[error("another name stands for the same key")]
    KeyTaken,
    /// The role is neither.
    #[error("the role must be `read` or `write`")]
    Role,
    /// The key could be guessed, or a header could not carry it.
    #[error("a key must have {} to {} visible ASCII characters", Key::SHORTEST, Key::LONGEST)]
    Key,
    /// There are too many keys.
    #[error("there can be {} keys", Keys::MOST)]
    TooMany,
}

/// A key: its name, its role and the SHA-256 of its text, which is not kept.
///
/// # Examples
/// ```
/// use tower_rampart_admin::{Key, Role};
///
/// let key = Key::new("alice", Role::Write, "an0therL0ngSecret")?;
/// assert_eq!((key.name(), key.role()), ("alice", Role::Write));
/// assert!(!format!("{key:?}").contains("an0ther"));
/// # Ok::<(), tower_rampart_admin::KeyError>(())
/// ```
#[derive(Clone)]
pub struct Key {
    name: Arc<str>,
    role: Role,
    hash: [u8; 32],
}

impl Key {
    /// The fewest characters of a key.
    pub const SHORTEST: usize = 16;
    /// The most characters of a key.
    pub const LONGEST: usize = 256;

    /// A key. The name is what the audit calls who uses it.
    ///
    /// # Errors
    /// If the name or the text breaks its rule.
    pub fn new(name: &str, role: Role, text: &str) -> Result<Self, KeyError> {
        let plain = name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it));
        if !plain || !(1..=64).contains(&name.len()) {
            return Err(KeyError::Name);
        }
        let long_enough = (Self::SHORTEST..=Self::LONGEST).contains(&text.len());
        if !long_enough || !text.bytes().all(|it| it.is_ascii_graphic()) {
            return Err(KeyError::Key);
        }
        Ok(Self { name: name.into(), role, hash: hash(text.as_bytes()) })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// All keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// The most keys; every request is compared with all of them.
    pub(crate) const MOST: usize = 64;

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.0.iter().any(|it| it.name == key.name) {
            return Err(KeyError::NameTaken);
        }
        if self.0.iter().any(|it| it.hash == key.hash) {
            return Err(KeyError::KeyTaken);
        }
        if self.0.len() >= Self::MOST {
            return Err(KeyError::TooMany);
        }
        self.0.push(key);
        Ok(())
    }

    /// Whether this very key, of this name and role, is among them.
    pub(crate) fn has(&self, key: &Key) -> bool {
        let is_same = |it: &Key| it.name == key.name && it.role == key.role && bool::from(it.hash.ct_eq(&key.hash));
        self.0.iter().any(is_same)
    }

    /// The key of this text. All are compared, whole, whichever it is: the time tells nothing.
    pub(crate) fn find(&self, text: &[u8]) -> Option<&Key> {
        let hash = hash(text);
        self.0.iter().fold(None, |found, key| if bool::from(key.hash.ct_eq(&hash)) { Some(key) } else { found })
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "correct-horse-battery";

    #[test]
    fn a_key_is_found_by_its_whole_text_only() {
        let mut keys = Keys::default();
        keys.add(Key::new("alice", Role::Write, SECRET).unwrap()).unwrap();
        keys.add(Key::new("bob", Role::Read, "another-long-secret").unwrap()).unwrap();
        assert_eq!(keys.find(SECRET.as_bytes()).map(Key::name), Some("alice"));
        assert_eq!(keys.find(b"another-long-secret").map(Key::role), Some(Role::Read));
        for wrong in ["", "correct-horse-batter", "correct-horse-battery ", "Correct-horse-battery"] {
            assert!(keys.find(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_name_or_a_key_stands_once() {
        let mut keys = Keys::default();
        keys.add(Key::new("alice", Role::Write, SECRET).unwrap()).unwrap();
        let again = Key::new("alice", Role::Read, "another-long-secret").unwrap();
        assert_eq!(keys.add(again), Err(KeyError::NameTaken));
        assert_eq!(keys.add(Key::new("bob", Role::Read, SECRET).unwrap()), Err(KeyError::KeyTaken));
    }

    #[test]
    fn weak_keys_and_odd_names_are_refused() {
        for text in
            ["", "short", "fifteen-letters", "with a space in it", "line\nbreak-in-the-key", "ключ-ключ-ключ-ключ"]
        {
            assert_eq!(Key::new("alice", Role::Read, text).err(), Some(KeyError::Key), "{text}");
        }
        for name in ["", "a b", "a:b", "é", &"a".repeat(65)] {
            assert_eq!(Key::new(name, Role::Read, SECRET).err(), Some(KeyError::Name), "{name}");
        }
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut keys = Keys::default();
        for index in 0..Keys::MOST {
            keys.add(Key::new(&format!("k{index}"), Role::Read, &format!("{SECRET}{index}")).unwrap()).unwrap();
        }
        assert_eq!(keys.add(Key::new("one-more", Role::Read, SECRET).unwrap()), Err(KeyError::TooMany));
    }
}
