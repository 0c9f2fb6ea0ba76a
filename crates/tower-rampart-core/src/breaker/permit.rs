//! What [`Breaker::try_acquire`](super::Breaker::try_acquire) answers: a [`Permit`] to call, or [`Refused`].

use std::time::Duration;

use super::{State, counters::Witness};
use crate::Timestamp;

/// The leave to make one call, given back through [`Breaker::record`](super::Breaker::record) exactly once.
///
/// It is plain data without a destructor: whoever holds it must record [`Outcome::Abandoned`](crate::Outcome::Abandoned) when the call is
/// dropped, or a probe's slot stays taken until `half_open_max_wait` has passed.
#[must_use = "a permit that is never recorded holds its probe slot until `half_open_max_wait`"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    /// The generation that admitted the call; zero belongs to none, so that the outcome is counted and not judged.
    pub(super) generation: u64,
    /// When the call was admitted; [`Timestamp::MAX`] if nobody needed to know.
    pub(super) started: Timestamp,
    /// The probe slot that it holds, or [`Permit::NO_SLOT`].
    pub(super) slot: u32,
    /// What had succeeded when a closed breaker admitted the call, in two parts for its size.
    successful: u16,
    stripe: u8,
    /// Whether its outcome is counted at all.
    pub(super) counted: bool,
}

impl Permit {
    pub(super) const NO_SLOT: u32 = u32::MAX;
    const NO_STRIPE: u8 = u8::MAX;

    /// Of a call that passes a breaker which is off.
    pub(super) const fn uncounted() -> Self {
        Self {
            generation: 0,
            started: Timestamp::MAX,
            slot: Self::NO_SLOT,
            successful: 0,
            stripe: Self::NO_STRIPE,
            counted: false,
        }
    }

    /// Of a call that passes a closed breaker.
    pub(super) const fn closed(generation: u64, started: Timestamp) -> Self {
        Self { generation, started, slot: Self::NO_SLOT, successful: 0, stripe: Self::NO_STRIPE, counted: true }
    }

    /// The same, with what had succeeded by then.
    pub(super) const fn witnessed(mut self, witness: Witness) -> Self {
        (self.successful, self.stripe) = (witness.successful, witness.stripe);
        self
    }

    /// What had succeeded when a closed breaker admitted the call.
    pub(super) const fn witness(&self) -> Option<Witness> {
        match self.stripe {
            Self::NO_STRIPE => None,
            stripe => Some(Witness { stripe, successful: self.successful }),
        }
    }

    /// Of a call that is counted, and whose outcome says nothing about the state.
    pub(super) const fn unjudged(started: Timestamp) -> Self {
        Self::closed(0, started)
    }

    /// Of a call that probes a half-open breaker.
    pub(super) const fn probe(generation: u64, started: Timestamp, slot: u32) -> Self {
        Self { generation, started, slot, successful: 0, stripe: Self::NO_STRIPE, counted: true }
    }

    /// Whether the call is a probe of a half-open breaker.
    pub const fn is_probe(&self) -> bool {
        self.slot != Self::NO_SLOT
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
