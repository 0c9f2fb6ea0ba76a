//! The latency of a service that nobody waits for, and the drains by which it is found. What is made of it is in `vegas` and `gradient2`.

use super::round::Seen;

/// Rounds from one drain to the next.
const PERIOD: u32 = 100;
/// The fewest rounds before one that is early.
const EARLY: u32 = 10;
/// A service is faster if it takes less than this of the time before. While calls queue, half as many take half as long.
const FASTER: f64 = 0.7;
/// A round that is faster than the base by more than this puts it in doubt.
const DOUBT: f64 = 0.25;
/// A base that is further off than this from the one before is another one, not the same that varies.
const OTHER: f64 = 0.1;

/// The base, and how far a drain has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Baseline {
    /// In nanoseconds; `None`: nothing was measured yet.
    base: Option<f64>,
    phase: Phase,
    /// The limit when the base was last measured.
    limit_then: f64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// Nothing was measured yet.
    #[default]
    Fresh,
    // Fresh => Warm: calls that were sent together at the beginning have spread
    Warm,
    // Warm | Draining => Steady: halving the limit has not made the service faster
    Steady {
        rounds: u32,
    },
    // Warm | Steady => Draining: the base is to be measured
    Draining {
        /// The limit before it was halved, and the latency at that.
        from: f64,
        before: f64,
    },
}

/// What comes of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// The limit is to be this while the base is measured.
    Hold(f64),
    /// The limit is to move by the rule of its algorithm, on this base.
    Move(f64),
}

impl Baseline {
    /// Takes a round in.
    pub(super) fn after_round(&mut self, limit: f64, least: f64, seen: &Seen) -> Step {
        match self.phase {
            // What is not used cannot be drained either.
            Phase::Fresh | Phase::Warm if !seen.is_busy(limit) => {
                let base = self.base.get_or_insert(seen.latency);
                *base = base.min(seen.latency);
                Step::Move(*base)
            }
            Phase::Fresh => {
                self.phase = Phase::Warm;
                Step::Hold(limit)
            }
            Phase::Warm => self.drain(limit, least, seen),
            Phase::Steady { rounds } => {
                let base = self.base.unwrap_or(seen.latency);
                self.phase = Phase::Steady { rounds: rounds.saturating_add(1) };
                let is_doubtful = seen.latency < base * (1.0 - DOUBT)
                    || limit * 2.0 < self.limit_then
                    || limit > self.limit_then * 2.0;
                if !(rounds >= PERIOD || rounds >= EARLY && is_doubtful) {
                    return Step::Move(base);
                }
                if seen.is_busy(limit) {
                    return self.drain(limit, least, seen);
                }
                // Nothing is drained that is not used; what is faster without is believed at once.
                let base = base.min(seen.latency);
                self.base = Some(base);
                Step::Move(base)
            }
            Phase::Draining { before, .. } if seen.latency < before * FASTER => self.drain(limit, least, seen),
            Phase::Draining { from, .. } => self.measured(from, seen),
        }
    }

    /// The latency of a service that nobody waits for, in nanoseconds, as far as it is known.
    pub(super) fn base(&self) -> Option<f64> {
        self.base
    }

    /// Ends a drain without an answer; the limit that it had begun from, or come to.
    pub(super) fn give_up(&mut self, limit: f64) -> f64 {
        match self.phase {
            Phase::Draining { from, .. } => {
                self.phase = Phase::Steady { rounds: 0 };
                self.limit_then = from;
                from
            }
            Phase::Fresh | Phase::Warm | Phase::Steady { .. } => limit,
        }
    }

    /// Halves the limit, as far as its bound lets it. At its bound there is no less to be seen.
    fn drain(&mut self, limit: f64, least: f64, seen: &Seen) -> Step {
        if limit <= least {
            return self.measured(limit, seen);
        }
        self.phase = Phase::Draining { from: limit, before: seen.latency };
        Step::Hold((limit / 2.0).max(least))
    }

    /// Believes a latency that is far from the base at once, and another by half.
    fn measured(&mut self, limit: f64, seen: &Seen) -> Step {
        // What is new, or slower than before, may have been measured amid a change: it is looked at again soon.
        let is_surprising = self.base.is_none_or(|base| seen.latency > base * (1.0 + OTHER));
        let rounds = if is_surprising { PERIOD - EARLY } else { 0 };
        let base = match self.base {
            Some(base) if (seen.latency - base).abs() <= base * OTHER => f64::midpoint(base, seen.latency),
            _ => seen.latency,
        };
        self.base = Some(base);
        self.phase = Phase::Steady { rounds };
        self.limit_then = limit;
        Step::Hold(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round at a limit that is in use.
    fn busy(limit: f64, latency: f64) -> Seen {
        Seen { latency, peak: limit }
    }

    #[test]
    fn base_is_doubted_once_the_limit_is_beyond_twice_or_half_of_what_it_was_or_a_round_is_much_faster() {
        let step = |limit, latency| {
            let phase = Phase::Steady { rounds: EARLY };
            let mut baseline = Baseline { base: Some(100.0), phase, limit_then: 20.0 };
            baseline.after_round(limit, 1.0, &busy(limit, latency))
        };
        assert_eq!([step(10.0, 100.0), step(40.0, 100.0), step(20.0, 75.0)], [Step::Move(100.0); 3]);
        let doubted = [step(9.5, 100.0), step(40.5, 100.0), step(20.0, 74.5)];
        assert_eq!(doubted, [4.75, 20.25, 10.0].map(Step::Hold));
    }

    #[test]
    fn latency_within_a_tenth_of_the_base_is_believed_by_half_and_another_at_once() {
        let measured = |latency| {
            let phase = Phase::Draining { from: 20.0, before: 100.0 };
            let mut baseline = Baseline { base: Some(100.0), phase, limit_then: 20.0 };
            assert_eq!(baseline.after_round(10.0, 1.0, &busy(10.0, latency)), Step::Hold(20.0));
            let is_soon = matches!(baseline.phase, Phase::Steady { rounds } if rounds == PERIOD - EARLY);
            (baseline.base.unwrap(), is_soon)
        };
        assert_eq!([92.0, 100.0, 108.0].map(measured), [96.0, 100.0, 104.0].map(|base| (base, false)));
        assert_eq!([70.0, 88.0].map(measured), [70.0, 88.0].map(|base| (base, false)));
        assert_eq!(measured(112.0), (112.0, true), "what is slower is looked at again soon");
    }
}
