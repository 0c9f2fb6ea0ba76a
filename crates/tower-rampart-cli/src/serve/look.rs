//! Notices that files have changed, by looking at them now and then, and is told so by SIGHUP. What they are read for is in `tls` and `admin`; the
//! configuration has a watch of its own.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::signal::unix::Signal;

/// How often to look whether the files have changed. They are read once two looks have seen the same, so that what is being replaced is not read in
/// between.
const INTERVAL: Duration = Duration::from_secs(2);

/// What tells one content of a file from the next, as far as that shows without reading it. The time of the last change of its owner or permissions counts:
/// a file that was refused for them is read once they are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    length: u64,
}

impl Stamp {
    /// That of the file that a path leads to now, through all links; `None` if it leads nowhere.
    fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for Stamp {
    fn from(it: &Metadata) -> Self {
        Self {
            file: (it.dev(), it.ino()),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
            length: it.len(),
        }
    }
}

/// Files that are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Look<const N: usize> {
    paths: [PathBuf; N],
    /// What they looked like just before they were read last.
    seen: [Option<Stamp>; N],
    /// What else the last look saw.
    changed: Option<[Option<Stamp>; N]>,
}

impl<const N: usize> Look<N> {
    /// As they are now: to be called before they are read for the first time.
    pub(crate) fn at(paths: [PathBuf; N]) -> Self {
        let seen = stamps(&paths);
        Self { paths, seen, changed: None }
    }

    /// Waits until they have changed or `hangup` says that they are to be read; `false` if nobody will say so any more.
    pub(crate) async fn wait(&mut self, hangup: &mut Signal) -> bool {
        loop {
            let is_told = tokio::select! {
                signal = hangup.recv() => match signal {
                    Some(()) => true,
                    None => return false,
                },
                () = tokio::time::sleep(INTERVAL) => false,
            };
            let now = look(self.paths.clone()).await;
            if is_told || (now != self.seen && self.changed == Some(now)) {
                (self.seen, self.changed) = (now, None);
                return true;
            }
            self.changed = (now != self.seen).then_some(now);
        }
    }
}

/// What the files look like now. On a disk that hangs, only this waits.
async fn look<const N: usize>(paths: [PathBuf; N]) -> [Option<Stamp>; N] {
    tokio::task::spawn_blocking(move || stamps(&paths)).await.unwrap_or([None; N])
}

fn stamps<const N: usize>(paths: &[PathBuf; N]) -> [Option<Stamp>; N] {
    std::array::from_fn(|index| Stamp::of(&paths[index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_file_has_another_stamp() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, other) = (directory.path().join("a"), directory.path().join("b"));
        assert_eq!(Stamp::of(&path), None);
        std::fs::write(&path, "one").expect("written");
        let before = Stamp::of(&path);
        assert!(before.is_some() && before == Stamp::of(&path));
        std::fs::write(&other, "two").expect("written");
        std::fs::rename(&other, &path).expect("renamed");
        assert_ne!(before, Stamp::of(&path));
    }
}
