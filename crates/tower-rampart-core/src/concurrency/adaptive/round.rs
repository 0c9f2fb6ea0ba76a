//! A round: the answers to attempts that were sent since it began, taken together.

use super::Sample;
use crate::{Timestamp, clock::nanos};

/// The fewest answers of a round: fewer say little of a latency that varies.
const FEWEST: u32 = 32;

/// The answers so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    began: Timestamp,
    answers: u32,
    nanos: u64,
    peak: u32,
}

/// What a round that is over has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The mean latency in nanoseconds, at least 1.
    pub(super) latency: f64,
    /// The most attempts in flight at once.
    pub(super) peak: f64,
}

impl Seen {
    /// Whether so much of the limit was in use that the round says something about more.
    pub(super) fn is_busy(&self, limit: f64) -> bool {
        self.peak * 2.0 >= limit
    }
}

impl Round {
    pub(super) fn begin(now: Timestamp) -> Self {
        Self { began: now, ..Self::default() }
    }

    /// When it began.
    pub(super) fn began(&self) -> Timestamp {
        self.began
    }

    /// Takes an answer in, which was one of `inflight`; what was sent before the round is left out. Gives what the round has seen if it is over.
    pub(super) fn add(&mut self, sample: &Sample, inflight: u32) -> Option<Seen> {
        // What was sent at the very moment may have been sent before.
        if sample.began <= self.began {
            return None;
        }
        self.answers += 1;
        self.nanos = self.nanos.saturating_add(nanos(sample.latency()));
        self.peak = self.peak.max(inflight);
        // As many as there are at once: of calls that were sent together the first are answered sooner than the others.
        (self.answers >= self.peak.max(FEWEST))
            .then(|| Seen { latency: (self.nanos as f64 / f64::from(self.answers)).max(1.0), peak: self.peak.into() })
    }
}
