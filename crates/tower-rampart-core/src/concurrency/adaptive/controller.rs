//! The machine that moves a limit: samples in, a limit out. The rules of the algorithms are in `aimd`, `vegas` and `gradient2`.

use std::time::Duration;

use super::{
    Adaptive, Algorithm, Ended, Sample, aimd,
    baseline::{Baseline, Step},
    gradient2,
    round::{Round, Seen},
    vegas,
};
use crate::Timestamp;

/// Moves a limit between its bounds by what becomes of attempts; see the [module](super).
///
/// It knows no clock: whoever records says when an attempt began and ended. A sample is O(1) and allocates nothing.
#[derive(Clone, Debug)]
pub struct Controller {
    config: Adaptive,
    /// Between the bounds; with a fraction, so that small steps add up.
    limit: f64,
    round: Round,
    baseline: Baseline,
    /// Drops of what was sent before have been answered for.
    lowered: Timestamp,
}

impl Controller {
    /// A limit that begins at `limit`, or at the nearest of its bounds.
    pub fn new(config: Adaptive, limit: u32) -> Self {
        let limit = config.bound(limit.into());
        Self { config, limit, round: Round::default(), baseline: Baseline::default(), lowered: Timestamp::ZERO }
    }

    /// What it was made with.
    pub const fn config(&self) -> Adaptive {
        self.config
    }

    /// The limit, within its bounds.
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// The latency of the service when nobody waits for it, as last measured; `None` before that, and under AIMD, which does not go by it.
    pub fn base_latency(&self) -> Option<Duration> {
        let base = self.baseline.base().filter(|_| self.config.algorithm != Algorithm::Aimd)?;
        Some(Duration::from_nanos(base as u64))
    }

    /// Takes an attempt in that has ended, and was one of `inflight` until then. Gives the limit from `now` on: when this is decided, which is later than when the
    /// sample ended if that is only the head of an answer whose end decides.
    pub fn record(&mut self, sample: &Sample, inflight: u32, now: Timestamp) -> u32 {
        match sample.how {
            Ended::Answered => {
                if let Some(seen) = self.round.add(sample, inflight) {
                    let limit = self.after_round(&seen);
                    self.go_on(limit, now);
                }
            }
            // All drops of what was sent under the old limit are one sign.
            Ended::Dropped if sample.began <= self.lowered => {}
            Ended::Dropped => {
                // What was sent before a drain was too much for the limit before it; what was sent amid it, for the limit that it has come to.
                let before = self.baseline.give_up(self.limit);
                let was_sent_before = sample.began <= self.round.began();
                self.lowered = now;
                self.go_on(aimd::after_drop(if was_sent_before { before } else { self.limit }), now);
            }
        }
        self.limit()
    }

    /// Moves within other bounds from now on, or by another algorithm, beginning at the present limit.
    pub(in crate::concurrency) fn reconfigure(&mut self, config: Adaptive) {
        if config.algorithm != self.config.algorithm {
            self.limit = self.baseline.give_up(self.limit);
            self.baseline = Baseline::default();
        }
        self.config = config;
        self.limit = config.bound(self.limit);
    }

    fn after_round(&mut self, seen: &Seen) -> f64 {
        let limit = self.limit;
        if self.config.algorithm == Algorithm::Aimd {
            return aimd::after_round(limit, seen);
        }
        match self.baseline.after_round(limit, self.config.min.into(), seen) {
            Step::Hold(limit) => limit,
            Step::Move(base) if self.config.algorithm == Algorithm::Vegas => vegas::after_round(limit, base, seen),
            Step::Move(base) => gradient2::after_round(limit, base, seen),
        }
    }

    fn go_on(&mut self, limit: f64, now: Timestamp) {
        self.limit = self.config.bound(limit);
        self.round = Round::begin(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty of a hundred in flight, and half of them wait: Vegas has fewer of them, the others move only what is in use.
    #[test]
    fn each_algorithm_moves_the_limit_by_its_own_rule() {
        let after = |algorithm| {
            let mut controller = Controller::new(Adaptive::new(algorithm), 100);
            controller.after_round(&Seen { latency: 100.0, peak: 40.0 });
            controller.after_round(&Seen { latency: 200.0, peak: 40.0 })
        };
        let limits = Algorithm::ALL.map(|it| (it, after(it)));
        assert_eq!(limits, [(Algorithm::Aimd, 100.0), (Algorithm::Vegas, 95.0), (Algorithm::Gradient2, 100.0)]);
    }
}
