//! What [`Breaker::try_acquire`](super::Breaker::try_acquire) answers: a [`Permit`] to call, or [`Refused`].

use std::{num::NonZeroU64, time::Duration};

use super::{State, counters::Witness};
use crate::{Timestamp, invalid::MAX_COUNT};

/// The leave to make one call, given back through [`Breaker::record`](super::Breaker::record) exactly once.
///
/// It is plain data without a destructor: whoever holds it must record [`Outcome::Abandoned`](crate::Outcome::Abandoned) when the call is
/// dropped, or a probe's slot stays taken until `half_open_max_wait` has passed.
#[must_use = "a permit that is never recorded holds its probe slot until `half_open_max_wait`"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    /// From the highest bit: the generation that admitted the call (32 bits), what its kind has to say (24), the kind (8). Two words pass from
    /// function to function in registers, where a struct of many small fields would be put together in memory and be waited for.
    word: NonZeroU64,
    /// When the call was admitted; [`Timestamp::MAX`] if nobody needed to know.
    pub(super) started: Timestamp,
}

/// Its outcome is not counted.
const UNCOUNTED: u64 = 1;
/// Its outcome is counted; with the witness of what had succeeded, if there is one: the stripe plus one (8 bits), the successes (16).
const COUNTED: u64 = 2;
/// Its outcome is counted, and it holds a slot (24 bits).
const PROBE: u64 = 3;

// Every slot has room: a configuration with more is not accepted.
const _: () = assert!(MAX_COUNT < 1 << 24);

impl Permit {
    #[inline]
    const fn new(generation: u32, said: u64, kind: u64, started: Timestamp) -> Self {
        let word = (generation as u64) << 32 | (said & 0xff_ffff) << 8 | kind;
        Self { word: NonZeroU64::new(word).expect("no kind is zero"), started }
    }

    const fn said(&self) -> u32 {
        (self.word.get() as u32) >> 8
    }

    const fn kind(&self) -> u64 {
        self.word.get() & 0xff
    }

    /// The generation that admitted the call; zero belongs to none, so that the outcome is counted and not judged.
    #[inline]
    pub(super) const fn generation(&self) -> u32 {
        (self.word.get() >> 32) as u32
    }

    /// Of a call that passes a breaker which is off.
    #[inline]
    pub(super) const fn uncounted() -> Self {
        Self::new(0, 0, UNCOUNTED, Timestamp::MAX)
    }

    /// Of a call that passes a closed breaker.
    #[inline]
    pub(super) const fn closed(generation: u32, started: Timestamp) -> Self {
        Self::new(generation, 0, COUNTED, started)
    }

    /// The same, with what had succeeded by then.
    #[inline]
    pub(super) const fn witnessed(generation: u32, started: Timestamp, witness: Witness) -> Self {
        Self::new(generation, (witness.stripe as u64 + 1) << 16 | witness.successful as u64, COUNTED, started)
    }

    /// What had succeeded when a closed breaker admitted the call.
    pub(super) const fn witness(&self) -> Option<Witness> {
        match (self.kind(), self.said() >> 16) {
            (COUNTED, stripe @ 1..) => Some(Witness { stripe: stripe as u8 - 1, successful: self.said() as u16 }),
            _ => None,
        }
    }

    /// Of a call that is counted, and whose outcome says nothing about the state.
    pub(super) const fn unjudged(started: Timestamp) -> Self {
        Self::closed(0, started)
    }

    /// Of a call that probes a half-open breaker; its slot is one of at most `half_open_max_calls`.
    pub(super) const fn probe(generation: u32, started: Timestamp, slot: u32) -> Self {
        Self::new(generation, slot as u64, PROBE, started)
    }

    /// The probe slot that it holds, if it is a probe.
    pub(super) const fn slot(&self) -> Option<u32> {
        if self.is_probe() { Some(self.said()) } else { None }
    }

    /// Whether its outcome is counted at all.
    #[inline]
    pub(super) const fn is_counted(&self) -> bool {
        self.kind() != UNCOUNTED
    }

    /// Whether the call is a probe of a half-open breaker.
    pub const fn is_probe(&self) -> bool {
        self.kind() == PROBE
    }
}

/// Why a breaker admits no call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker is {state}")]
pub struct Refused {
    /// The state in which it refused.
    pub state: State,
    /// When a call is admitted; `None` while half open with all slots taken and while forced open, as nobody can know.
    pub retry_after: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_comes_back_as_it_went_in() {
        let witness = Witness { stripe: 15, successful: u16::MAX };
        let permit = Permit::witnessed(u32::MAX, Timestamp::ZERO, witness);
        assert_eq!((permit.generation(), permit.witness(), permit.slot()), (u32::MAX, Some(witness), None));
        let probe = Permit::probe(7, Timestamp::from_nanos(9), MAX_COUNT - 1);
        assert_eq!((probe.generation(), probe.witness(), probe.slot()), (7, None, Some(MAX_COUNT - 1)));
        assert!(probe.is_counted() && probe.is_probe() && probe.started == Timestamp::from_nanos(9));
        assert!(!Permit::uncounted().is_counted() && Permit::closed(1, Timestamp::MAX).witness().is_none());
    }

    #[test]
    fn a_permit_is_two_words_also_where_there_may_be_none() {
        assert_eq!((size_of::<Permit>(), size_of::<Option<Permit>>()), (16, 16));
    }
}
