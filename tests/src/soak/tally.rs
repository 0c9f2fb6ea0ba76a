//! What the drivers counted: the other side of the books.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::play::Play;

/// How many different complaints are kept.
const KEPT: usize = 20;

/// What one process under test was asked, and what it answered.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// The numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Calls that were begun, those of `raw` included.
    pub(crate) calls: u64,
    /// Answers whose head came, by status.
    pub(crate) answers: BTreeMap<u16, u64>,
    /// Answers of the upstream among them.
    pub(crate) from_upstream: u64,
    /// Bodies that came whole.
    pub(crate) whole: u64,
    /// Bodies that broke off before their end.
    pub(crate) broken_bodies: u64,
    /// Uploads whose sender failed before it looked for an answer.
    pub(crate) unheard: u64,
    /// Calls that the driver itself ended, by where.
    pub(crate) cut: BTreeMap<&'static str, u64>,
    /// Calls with a play that misbehaves.
    pub(crate) misbehaviour: BTreeMap<Play, u64>,
    /// What went wrong meanwhile, on purpose.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What must not be, and how often it was.
    pub(crate) wrong: BTreeMap<String, u64>,
}

impl Tally {
    /// Changes the numbers.
    pub(crate) fn add<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The numbers now.
    pub(crate) fn counts(&self) -> Counts {
        self.add(|counts| counts.clone())
    }

    /// Notes what must not be.
    pub(crate) fn complain(&self, what: impl Into<String>) {
        self.add(|counts| counts.complain(what.into()));
    }

    /// Notes a fault.
    pub(crate) fn fault(&self, kind: &'static str) {
        self.add(|counts| *counts.faults.entry(kind).or_default() += 1);
    }
}

impl Counts {
    /// Notes what must not be.
    pub(crate) fn complain(&mut self, what: String) {
        if self.wrong.len() < KEPT || self.wrong.contains_key(&what) {
            *self.wrong.entry(what).or_default() += 1;
        }
    }

    /// Answers whose head came.
    pub(crate) fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Faults of both kinds: of processes and connections, and of single calls.
    pub(crate) fn all_faults(&self) -> u64 {
        self.faults.values().sum::<u64>() + self.misbehaviour.values().sum::<u64>() + self.cut.values().sum::<u64>()
    }
}
