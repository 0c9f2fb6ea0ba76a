//! The keys of a file that is read again while the API serves: keys come and go without a restart. What stands in such a file is `key_file.rs`'s business.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tower_rampart_core::control::ConfigCell;

use crate::{
    key_file::{self, KeyFileError},
    keys::Keys,
};

/// The keys of a file, as they were when it was read last. Clones are the same.
///
/// Whoever serves says when to read: on a signal, when the file has changed.
///
/// # Examples
/// ```no_run
/// use tower_rampart_admin::{AdminConfig, KeyRing};
///
/// let ring = KeyRing::open("/etc/rampart/keys")?;
/// let config = AdminConfig::new().key_ring(&ring);
/// // …serve; then, when the file has changed:
/// if let Err(error) = ring.read_again() {
///     eprintln!("the keys stay as they are: {error}");
/// }
/// # Ok::<(), tower_rampart_admin::KeyFileError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyRing {
    path: PathBuf,
    keys: Arc<ConfigCell<Keys>>,
}

impl KeyRing {
    /// Reads a file as [`AdminConfig::key_file`](crate::AdminConfig::key_file) does.
    ///
    /// # Errors
    /// If the file can be read by others than its owner and group, holds no key, or a line is wrong. Names the line, never the key.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref().to_owned();
        let keys = Arc::new(ConfigCell::new(read(&path)?));
        Ok(Self { path, keys })
    }

    /// Reads the file again, blocking. From then on its keys are known and no others; streams of events that were opened with another say nothing more.
    ///
    /// # Errors
    /// As [`open`](Self::open); the keys stay as they were then.
    pub fn read_again(&self) -> Result<(), KeyFileError> {
        self.keys.store(read(&self.path)?);
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn shared(&self) -> Arc<ConfigCell<Keys>> {
        Arc::clone(&self.keys)
    }
}

fn read(path: &Path) -> Result<Keys, KeyFileError> {
    let mut keys = Keys::default();
    key_file::read(path, &mut keys)?;
    Ok(keys)
}
