//! The waits between attempts: a backoff is an iterator. Whether there is another attempt at all is decided in `ladder`.

use std::time::Duration;

use super::{Backoff, Jitter, JitterKind};
use crate::{clock::nanos, random::SplitMix64};

/// The endless schedule of waits of one call: `clamp(base * factor^(n-1), min, max)`, then jitter.
///
/// | jitter | wait before retry `n`, where `w` is the clamped backoff |
/// |---|---|
/// | none | `w` |
/// | full | uniform in `0..=w` |
/// | equal | uniform in `w/2..=w` |
/// | decorrelated | uniform in `base..=3 * last`, clamped to `min..=max`; `last` is `base` at first |
/// | additive | `w` plus uniform in `0..=jitter.max`, which may exceed `max` |
///
/// The kinds are those of Marc Brooker, "Exponential backoff and jitter" (AWS Architecture Blog, 2015). The same seed gives the same
/// schedule. Growth saturates at `max`; a negative or not finite number never reaches a [`Duration`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tower_rampart_core::retry::{Backoff, Delays, Jitter, JitterKind};
///
/// let jitter = Jitter { kind: JitterKind::None, ..Jitter::default() };
/// let seconds: Vec<u64> = Delays::new(Backoff::default(), jitter, 0).map(|it| it.as_secs()).take(8).collect();
/// assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Delays {
    base: u64,
    min: u64,
    max: u64,
    jitter_max: u64,
    factor: f64,
    /// `base * factor^(n-1)` in nanoseconds; grows to infinity at most, never to NaN, because a finite `base` is only ever multiplied.
    raw: f64,
    /// The last wait of decorrelated jitter.
    last: u64,
    random: SplitMix64,
    kind: JitterKind,
}

impl Delays {
    /// The schedule of one call.
    pub fn new(backoff: Backoff, jitter: Jitter, seed: u64) -> Self {
        let base = nanos(backoff.base);
        Self {
            base,
            min: nanos(backoff.min),
            max: nanos(backoff.max),
            jitter_max: nanos(jitter.max),
            factor: backoff.factor,
            raw: base as f64,
            last: base,
            random: SplitMix64::new(seed),
            kind: jitter.kind,
        }
    }

    /// The same schedule with other waits where they are drawn.
    #[inline]
    pub(super) fn seeded(&self, seed: u64) -> Self {
        Self { random: SplitMix64::new(seed), ..*self }
    }

    /// What is added to a server's hint: uniform in `0..=hint/10`, nothing where jitter is off.
    ///
    /// Positive only, so that no client comes before the time that the server named, and clients told the same time do not come together.
    pub(super) fn spread(&mut self, hint: Duration) -> Duration {
        match self.kind {
            JitterKind::None => Duration::ZERO,
            _ => self.random.duration_up_to(hint / 10),
        }
    }

    /// The next wait; `times` the backoff, capped at `max` before jitter.
    pub(super) fn advance(&mut self, times: u64) -> Duration {
        // A float above u64 saturates in this conversion, NaN becomes 0.
        let wait = (self.raw as u64).max(self.min).min(self.max).saturating_mul(times).min(self.max);
        self.raw *= self.factor;
        Duration::from_nanos(match self.kind {
            JitterKind::None => wait,
            JitterKind::Full => self.random.up_to(wait),
            JitterKind::Equal => wait - self.random.up_to(wait / 2),
            JitterKind::Additive => wait.saturating_add(self.random.up_to(self.jitter_max)),
            JitterKind::Decorrelated => {
                let span = self.last.saturating_mul(3).saturating_sub(self.base);
                let drawn = self.base.saturating_add(self.random.up_to(span)).saturating_mul(times);
                self.last = drawn.max(self.min).min(self.max);
                self.last
            }
        })
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.advance(1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_is_spread_over_a_tenth_of_it_and_not_where_jitter_is_off() {
        let spread = |kind, seed| {
            let jitter = Jitter { kind, ..Jitter::default() };
            Delays::new(Backoff::default(), jitter, seed).spread(Duration::from_secs(10))
        };
        let mut drawn = [1, 2, 3, 4].map(|seed| {
            let expected = SplitMix64::new(seed).duration_up_to(Duration::from_secs(1));
            assert_eq!(spread(JitterKind::Equal, seed), expected);
            assert_eq!(spread(JitterKind::None, seed), Duration::ZERO);
            expected
        });
        drawn.sort_unstable();
        assert!(drawn[0] > Duration::ZERO && drawn.windows(2).all(|pair| pair[0] < pair[1]), "{drawn:?}");
    }

    #[test]
    fn schedule_that_is_seeded_anew_is_that_of_the_seed() {
        let waits = |delays: Delays| delays.take(4).collect::<Vec<_>>();
        let of = |seed| Delays::new(Backoff::default(), Jitter::default(), seed);
        assert_eq!(waits(of(1).seeded(2)), waits(of(2)));
        assert_ne!(waits(of(1)), waits(of(2)));
    }
}
