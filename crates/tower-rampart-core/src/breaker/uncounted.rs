//! How callers ask the breaker whom its refusal may not stop, as the stage is in shadow. How all others ask is in `shared`.

use super::{Breaker, Permit, Refused, word::ADMITS};
use crate::Now;

impl Breaker {
    /// Does as [`Breaker::try_acquire`], for callers that a refusal may not stop: it is not counted before [`Breaker::count_refusal`] says so.
    ///
    /// # Errors
    /// As [`Breaker::try_acquire`].
    #[inline]
    pub fn try_acquire_uncounted(&self, now: impl Now) -> Result<Permit, Refused> {
        let word = self.word();
        // What admits at once counts nothing that a refusal would.
        if word.has(ADMITS) { self.try_acquire(now) } else { self.ask_open(word, now) }
    }

    /// Counts a call that was stopped by the refusal of [`Breaker::try_acquire_uncounted`].
    pub fn count_refusal(&self) {
        self.counters.reject();
    }
}
