//! Notices that the configuration file was touched. What it says is read in `file`, when, in `maintain`.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};

use tower_rampart_config::ResilienceConfig;

use super::{ChangeBy, ReloadError, file::Named, owner::lock};
use crate::Resilience;

/// The directory of a file cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be watched: {source}", path.display())]
#[non_exhaustive]
pub struct WatchError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    source: notify::Error,
}

/// Watches the directories of one file: where it is named, and where the links that stand there lead. Editors rename, clusters swap links, and both
/// would be lost on whoever watches the file itself.
pub(super) struct Watcher {
    inner: RecommendedWatcher,
    path: PathBuf,
    directories: BTreeSet<PathBuf>,
}

impl Watcher {
    fn new(path: &Path, touch: impl Fn() + Send + 'static) -> notify::Result<Self> {
        let inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may hide an event. Reading is none: whoever answers it by reading would never end.
            if event.map_or(true, |event| is_a_change(event.kind)) {
                touch();
            }
        })?;
        let mut watcher = Self { inner, path: path.to_owned(), directories: BTreeSet::new() };
        let named = directory(path);
        watcher.inner.watch(&named, RecursiveMode::NonRecursive)?;
        watcher.directories.insert(named);
        watcher.follow();
        Ok(watcher)
    }

    /// Watches where the file is now: a link may lead elsewhere, and a directory that was made anew is another one.
    fn follow(&mut self) {
        let behind = self.path.canonicalize().map(|path| directory(&path));
        let present: BTreeSet<PathBuf> = [directory(&self.path)].into_iter().chain(behind).collect();
        for gone in self.directories.difference(&present) {
            // It may be gone for good, and its watch with it.
            let _gone = self.inner.unwatch(gone);
        }
        let inner = &mut self.inner;
        self.directories = present
            .into_iter()
            // One that cannot be watched now is tried again with the next look.
            .filter(|it| inner.watch(it, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("path", &self.path).finish_non_exhaustive()
    }
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn is_a_change(kind: EventKind) -> bool {
    !kind.is_access() || kind == EventKind::Access(AccessKind::Close(AccessMode::Write))
}

impl Resilience {
    /// Follows a file of at most 64 KiB: what it says is the document, now and whenever it says something else. It is read when it was left alone
    /// for 200 ms, by whoever runs [`maintain`](Self::maintain); in the place of the file that was followed before.
    ///
    /// A file that cannot be read, or says what is wrong, leaves the configuration as it is: that is an event and in the audit, not an error.
    ///
    /// # Errors
    /// If the directory of the file cannot be watched. The file is followed all the same: looked at every 30 seconds, and read by
    /// [`reload_file`](Self::reload_file).
    pub fn watch(&self, path: impl AsRef<Path>) -> Result<(), WatchError> {
        let path = path.as_ref();
        let (watcher, result) = match self.watcher(path) {
            Ok(watcher) => (Some(watcher), Ok(())),
            Err(error) => (None, Err(error)),
        };
        *lock(&self.owner().watcher) = watcher;
        self.owner().change(|_, state| state.file = Some(Named::new(path.to_owned())));
        self.owner().signal.send_modify(|_| ());
        self.look_at_file();
        result
    }

    fn watcher(&self, path: &Path) -> Result<Watcher, WatchError> {
        let signal = self.owner().signal.clone();
        let touch = move || signal.send_modify(|touches| *touches = touches.wrapping_add(1));
        Watcher::new(path, touch).map_err(|source| WatchError { path: path.to_owned(), source })
    }

    /// Begins to watch the file that the environment named, unless it is watched already.
    pub(super) fn watch_named(&self) {
        let Some(path) = self.file() else { return };
        if lock(&self.owner().watcher).is_none() {
            match self.watcher(&path) {
                Ok(watcher) => *lock(&self.owner().watcher) = Some(watcher),
                Err(error) => {
                    let error = ReloadError::File { path: path.clone(), error: io::Error::other(error) };
                    self.owner().change(|_, state| state.refuse(&ChangeBy::file(&path), None, &error));
                }
            }
        }
        // It may have been touched before anybody watched.
        self.look_at_file();
    }

    /// Whether there is a file to look at.
    pub(super) fn is_watching(&self) -> bool {
        self.file().is_some()
    }

    /// Reads the file, from wherever it is now.
    pub(super) fn follow_file(&self) {
        if let Some(watcher) = lock(&self.owner().watcher).as_mut() {
            watcher.follow();
        }
        self.look_at_file();
    }

    /// Reads the file and, if it says something else than the last time and than what runs, replaces the document by it.
    fn look_at_file(&self) {
        self.owner().change(|owner, state| {
            let Some((true, document)) = owner.read_file(state) else { return };
            let is_known = |it: &ResilienceConfig| it.to_json() == state.basis.document.to_json();
            if !document.as_ref().is_ok_and(is_known) {
                let by = ChangeBy::file(state.file.as_ref().map_or(Path::new(""), |named| &named.path));
                // Errors are in the audit and told to observers.
                let _told = owner.take_document(state, document, &by);
            }
        });
    }
}
