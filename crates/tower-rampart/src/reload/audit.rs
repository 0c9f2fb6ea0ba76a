//! Who changed the configuration, when, and how. Events tell it to observers; this keeps it.

use std::{collections::VecDeque, fmt, path::Path, sync::Arc, time::SystemTime};

use tower_rampart_config::Change;

use super::OverrideId;
use crate::clock;

/// Who makes a change, and where from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ChangeBy {
    /// A user, the name of a key, `code` or `file`.
    pub who: Arc<str>,
    /// An address, a path, a part of the program.
    pub from: Arc<str>,
}

impl ChangeBy {
    /// Somebody, from somewhere.
    pub fn new(who: impl Into<Arc<str>>, from: impl Into<Arc<str>>) -> Self {
        Self { who: who.into(), from: from.into() }
    }

    /// The program itself; `from` says which part of it.
    pub fn code(from: impl Into<Arc<str>>) -> Self {
        Self::new("code", from)
    }

    /// A file.
    pub fn file(path: &Path) -> Self {
        Self::new("file", path.display().to_string())
    }
}

impl fmt::Display for ChangeBy {
    /// `who (from)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.who, self.from)
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// Another document was loaded.
    Reload,
    /// An override was laid over the document.
    Override,
    /// An override was taken back.
    Revert,
    /// An override's time was over.
    Expire,
    /// A change was refused; the old configuration stayed.
    Refused,
    /// A preset was registered.
    Preset,
    /// An operator did something else, by this word; see [`Resilience::note`](crate::Resilience::note).
    Command(&'static str),
}

impl AuditAction {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Override => "override",
            Self::Revert => "revert",
            Self::Expire => "expire",
            Self::Refused => "refused",
            Self::Preset => "preset",
            Self::Command(command) => command,
        }
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One change, or an attempt at one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When.
    pub at: SystemTime,
    /// Who, and where from; of an override that expires, who made it.
    pub by: ChangeBy,
    /// What was done.
    pub action: AuditAction,
    /// The override that it was done to; `None` for documents and for overrides given in code.
    pub override_id: Option<OverrideId>,
    /// What became different.
    pub changes: Arc<[Change]>,
    /// Why it was refused, or which overrides it dropped; which preset was registered; what a command was done to.
    pub detail: Option<Arc<str>>,
}

/// The last entries, oldest first.
#[derive(Debug)]
pub(super) struct Audit {
    entries: VecDeque<AuditEntry>,
    capacity: usize,
    /// How many values became different by all entries together.
    changes: usize,
}

impl Audit {
    pub(super) const CAPACITY: usize = 1000;
    /// The most differences that all entries together keep: one document can make thousands. The last entry keeps all of its own.
    pub(super) const MOST_CHANGES: usize = 50_000;

    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), capacity: Self::CAPACITY, changes: 0 }
    }

    pub(super) fn push(
        &mut self,
        by: &ChangeBy,
        (action, override_id): (AuditAction, Option<OverrideId>),
        changes: &[Change],
        detail: Option<Arc<str>>,
    ) {
        self.changes += changes.len();
        let (by, changes) = (by.clone(), changes.into());
        self.entries.push_back(AuditEntry { at: clock::wall(), by, action, override_id, changes, detail });
        self.forget();
    }

    pub(super) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.forget();
        self.entries.shrink_to(capacity);
    }

    /// Lets the oldest go until both bounds are met.
    fn forget(&mut self) {
        while self.entries.len() > self.capacity || (self.changes > Self::MOST_CHANGES && self.entries.len() > 1) {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.changes -= oldest.changes.len();
        }
    }

    pub(super) fn all(&self) -> Vec<AuditEntry> {
        self.entries.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use tower_rampart_config::{ResilienceConfig, diff};

    use super::*;

    #[test]
    fn the_ring_keeps_the_last_entries_only() {
        let mut audit = Audit::new();
        audit.resize(2);
        for who in ["a", "b", "c"] {
            audit.push(&ChangeBy::code(who), (AuditAction::Reload, None), &[], None);
        }
        let from = |audit: &Audit| audit.all().iter().map(|it| it.by.from.to_string()).collect::<Vec<_>>();
        assert_eq!(from(&audit), ["b", "c"]);
        audit.resize(0);
        audit.push(&ChangeBy::code("d"), (AuditAction::Reload, None), &[], None);
        assert!(from(&audit).is_empty());
    }

    #[test]
    fn large_differences_make_the_ring_shorter() {
        let [one, other] = ["simple", "production"].map(|it| ResilienceConfig::named(it).unwrap());
        let change = diff(&one, &other).pop().unwrap();
        let (half, all) = (vec![change.clone(); Audit::MOST_CHANGES / 2], vec![change; Audit::MOST_CHANGES + 1]);
        let mut audit = Audit::new();
        let kept = |audit: &Audit| audit.all().iter().map(|it| it.changes.len()).collect::<Vec<_>>();
        for _ in 0..5 {
            audit.push(&ChangeBy::code("a"), (AuditAction::Reload, None), &half, None);
        }
        assert_eq!(kept(&audit), [half.len(); 2]);
        audit.push(&ChangeBy::code("b"), (AuditAction::Reload, None), &[], None);
        assert_eq!(kept(&audit), [half.len(), half.len(), 0]);
        audit.push(&ChangeBy::code("c"), (AuditAction::Reload, None), &all, None);
        assert_eq!(kept(&audit), [all.len()], "the last change is told in full");
    }
}
