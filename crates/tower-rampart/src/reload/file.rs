//! The configuration file: what it said last, and whether it says something else now. Who notices that it was touched is in `watch`.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use tower_rampart_config::{Limits, ResilienceConfig};

use super::{
    AuditAction, ChangeBy, ReloadError, Reloaded,
    owner::{Owner, State},
};
use crate::Resilience;

/// A configuration file, and what it said when it was looked at last: its text, or why there was none.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) path: PathBuf,
    said: Option<Result<String, String>>,
}

impl Named {
    /// A file that was not looked at yet.
    #[cfg(feature = "watch")]
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, said: None }
    }

    /// A file that was looked at.
    pub(super) fn seen(path: PathBuf, said: Result<String, String>) -> Self {
        Self { path, said: Some(said) }
    }
}

/// Reads at most one byte more than a document may have. What is no regular file is not opened: a pipe would never end.
pub(super) fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let most = Limits::file().bytes as u64 + 1;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    // A character cut in two lies beyond the limit, which then refuses the rest as well.
    match String::from_utf8(bytes) {
        Err(error) if error.as_bytes().len() as u64 == most => {
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
        text => text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

impl Resilience {
    /// The configuration file that the environment named, or that is watched.
    pub fn file(&self) -> Option<PathBuf> {
        self.owner().change(|_, state| state.file.as_ref().map(|named| named.path.clone()))
    }

    /// Reads the configuration file again and replaces the document by it, whether or not it says something else: what a program does on SIGHUP. It
    /// reads at most 64 KiB, blocking.
    ///
    /// # Errors
    /// If no file was named, it cannot be read, or as [`reload`](Self::reload).
    pub fn reload_file(&self, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        self.owner().change(|owner, state| {
            let document = owner.read_file(state).map_or(Err(ReloadError::NoFile), |(_, document)| document);
            owner.take_document(state, document, by)
        })
    }
}

impl Owner {
    /// Reads the file while no other change is made, so that what it said last is what was made of it last. Says whether it is news; `None` if there is
    /// no file.
    pub(super) fn read_file(&self, state: &mut State) -> Option<(bool, Result<ResilienceConfig, ReloadError>)> {
        let named = state.file.as_mut()?;
        let text = read(&named.path);
        let says = Some(text.as_ref().map(String::clone).map_err(ToString::to_string));
        let is_news = named.said != says;
        named.said = says;
        let document = match text {
            Ok(text) => self.origin.file(&self.presets.load(), &named.path, &text).map_err(ReloadError::from),
            Err(error) => Err(ReloadError::File { path: named.path.clone(), error }),
        };
        Some((is_news, document))
    }

    pub(super) fn take_document(
        &self,
        state: &mut State,
        document: Result<ResilienceConfig, ReloadError>,
        by: &ChangeBy,
    ) -> Result<Reloaded, ReloadError> {
        let planned = document.and_then(|document| self.plan(state.basis.with_document(document)));
        let planned = planned.map_err(|error| match (error, &state.file) {
            (ReloadError::Config(error), Some(file)) if error.origin().is_none() => {
                ReloadError::Config(error.with_origin(file.path.display().to_string()))
            }
            (error, _) => error,
        });
        self.settle(state, planned, by, (AuditAction::Reload, None))
    }
}
