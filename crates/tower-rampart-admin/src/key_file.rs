//! Reads a file of keys: one `name:role:key` a line. What a key must be is in `keys.rs`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::keys::{Key, KeyError, Keys};

/// The most bytes of a file of keys.
const MOST_BYTES: u64 = 64 * 1024;

/// Why a file of keys is refused. Names the line, never what stands there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Others than its owner may read or change it.
    #[error("the key file {} has the mode {mode:03o}: others may read it, or its group may change it; chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is too large, or no text, or no regular file.
    #[error("the key file {} must be a regular file of at most 64 KiB of UTF-8 text", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// A line has another form.
    #[error("line {line} of the key file {} must read `name:role:key`", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A line has the form, and is refused.
    #[error("line {line} of the key file {}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        error: KeyError,
    },
    /// It holds no key.
    #[error("the key file {} holds no key", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads all keys of a file into `keys`.
pub(crate) fn read(path: &Path, keys: &mut Keys) -> Result<(), KeyFileError> {
    let text = text(path)?;
    let mut found = false;
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // A key may hold colons, a name and a role do not.
        let mut parts = line.splitn(3, ':').map(str::trim);
        let (Some(name), Some(role), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyFileError::Form { path: path.to_owned(), line: number });
        };
        let refused = |error| KeyFileError::Line { path: path.to_owned(), line: number, error };
        let key = Key::new(name, role.parse().map_err(refused)?, key).map_err(refused)?;
        keys.add(key).map_err(refused)?;
        found = true;
    }
    if found { Ok(()) } else { Err(KeyFileError::Empty { path: path.to_owned() }) }
}

fn text(path: &Path) -> Result<String, KeyFileError> {
    let unreadable = |error| KeyFileError::Unreadable { path: path.to_owned(), error };
    let no_text = || KeyFileError::NoText { path: path.to_owned() };
    // What is no regular file is not opened: a pipe would never end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(no_text());
    }
    let file = File::open(path).map_err(unreadable)?;
    check_mode(path, &file).map_err(|mode| KeyFileError::Exposed { path: path.to_owned(), mode })?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(no_text());
    }
    String::from_utf8(bytes).map_err(|_| no_text())
}

/// Asks the open file, so that none can take its place between the look and the reading.
#[cfg(unix)]
fn check_mode(_path: &Path, file: &File) -> Result<(), u32> {
    use std::os::unix::fs::PermissionsExt as _;

    /// All that others may do, and that the group may write.
    const EXPOSED: u32 = 0o027;
    // A file without readable permissions was not opened by its owner alone.
    let mode = file.metadata().map_or(0o777, |it| it.permissions().mode() & 0o777);
    if mode & EXPOSED == 0 { Ok(()) } else { Err(mode) }
}

/// Elsewhere permissions are no three digits; whoever runs the program there guards the file.
#[cfg(not(unix))]
fn check_mode(_path: &Path, _file: &File) -> Result<(), u32> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{error::Error as _, fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::keys::Role;

    const KEY: &str = "correct-horse:battery";

    fn of(text: &str, mode: u32) -> Result<Keys, KeyFileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut keys = Keys::default();
        read(&path, &mut keys).map(|()| keys)
    }

    #[test]
    fn lines_are_keys_and_comments_are_none() {
        let keys = of(&format!("# who may\n\n alice : write : {KEY}\nbob:read:another-long-secret\n"), 0o600).unwrap();
        assert_eq!(keys.find(KEY.as_bytes()).map(|it| (it.name(), it.role())), Some(("alice", Role::Write)));
        assert_eq!(keys.find(b"another-long-secret").map(|it| (it.name(), it.role())), Some(("bob", Role::Read)));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        for mode in [0o644, 0o604, 0o620, 0o601] {
            let error = of(&format!("alice:write:{KEY}"), mode).unwrap_err();
            assert!(matches!(error, KeyFileError::Exposed { mode: it, .. } if it == mode), "{error}");
        }
        for mode in [0o400, 0o600, 0o640] {
            assert!(of(&format!("alice:write:{KEY}"), mode).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn an_error_names_the_line_and_never_the_key() {
        let table = [
            (format!("# a\nalice:{KEY}"), "role"),
            (format!("# a\nalice:owner:{KEY}"), "role"),
            (format!("# a\n{KEY}:read:short"), "key"),
            ("# a\nalice".to_owned(), "line 2"),
            (format!("alice:read:{KEY}\nalice:write:another-long-secret"), "already"),
            (format!("alice:read:{KEY}\nbob:write:{KEY}"), "another name"),
        ];
        for (text, said) in table {
            let error = of(&text, 0o600).unwrap_err();
            let whole = format!("{error}: {:?} {:?}", error.source().map(ToString::to_string), error);
            assert!(whole.contains("line 2") && whole.contains(said), "{whole}");
            assert!(!whole.contains("horse") && !whole.contains("another-long"), "{whole}");
        }
        assert!(matches!(of("# nobody\n", 0o600), Err(KeyFileError::Empty { .. })));
        assert!(matches!(of(&"#".repeat(65 * 1024), 0o600), Err(KeyFileError::NoText { .. })));
    }
}
