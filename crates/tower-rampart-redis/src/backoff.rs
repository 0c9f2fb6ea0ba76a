//! The pauses between attempts to come back: doubled up to a bound, with full jitter, so that a fleet does not come back in one step.

use std::time::Duration;

use tower_rampart_core::retry::Seeds;

/// The share of the longest pause that the first one is at most.
const FIRST: u32 = 10;

#[derive(Debug)]
pub(crate) struct Backoff {
    max: Duration,
    next: Duration,
    seeds: Seeds,
}

impl Backoff {
    pub(crate) fn new(max: Duration, seeds: Seeds) -> Self {
        Self { max, next: max / FIRST, seeds }
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.next = self.max / FIRST;
    }

    /// The next pause: half of its bound at least, so that a server that is down is not asked without a pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(self.max);
        let random = (self.seeds.next() >> 11) as f64 / (1_u64 << 53) as f64;
        bound.mul_f64(0.5 + random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Seeds::new(7));
        for bound in [50, 100, 200, 400, 500, 500].map(Duration::from_millis) {
            let pause = backoff.pause();
            assert!(pause >= bound / 2 && pause <= bound, "{pause:?} of {bound:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(50));
    }
}
