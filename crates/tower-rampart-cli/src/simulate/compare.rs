//! Two configurations over one trace: the calls that ended differently. The summaries are in `summary`.

use std::collections::HashMap;

use serde::Serialize;

use super::record::End;

/// So many differing calls are shown.
const SHOWN: usize = 20;

/// A call that ended differently.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    difference: Both,
}

#[derive(Debug, Serialize)]
struct Both {
    call: u64,
    first: End,
    second: End,
}

/// Holds the ends of calls that only one of both has ended yet.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    waiting: HashMap<u64, (usize, End)>,
    /// By call; the earliest calls.
    first: Vec<Difference>,
    count: u64,
}

impl Comparison {
    pub(crate) fn ended(&mut self, lane: usize, ended: End) {
        let call = ended.call;
        match self.waiting.remove(&call) {
            None => drop(self.waiting.insert(call, (lane, ended))),
            Some((_, other)) if !ended.differs(&other) => {}
            Some((0, other)) => self.differs(other, ended),
            Some((_, other)) => self.differs(ended, other),
        }
    }

    fn differs(&mut self, first: End, second: End) {
        self.count += 1;
        let at = self.first.partition_point(|it| it.difference.call < first.call);
        if at < SHOWN {
            self.first.insert(at, Difference { difference: Both { call: first.call, first, second } });
            self.first.truncate(SHOWN);
        }
    }

    /// The first calls that ended differently, by their lines.
    pub(crate) fn first(&self) -> &[Difference] {
        &self.first
    }

    /// All calls that ended differently.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}
