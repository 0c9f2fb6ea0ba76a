//! One round of a half-open breaker's probes: how many may be in flight, and what their outcomes decide. What follows is done in `state`.

use super::{Config, HalfOpenPolicy, probes::Probes, rules::rate};

/// The failure rate at which a round of probes fails under `half_open_policy = rate` if `failure_rate_threshold` is off.
const DEFAULT_PROBE_FAILURE_RATE: f64 = 0.5;

/// One round of probes.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) probes: Probes,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

impl Round {
    pub(super) const fn new() -> Self {
        Self { probes: Probes::new(), succeeded: 0, failed: 0, slow: 0 }
    }

    /// Probes in flight at once. Under `rate` no more than there are verdicts to come, but always one, so that the round ends.
    pub(super) fn limit(&self, config: &Config) -> u32 {
        match config.half_open_policy {
            HalfOpenPolicy::FirstFailure => config.half_open_max_calls,
            HalfOpenPolicy::Rate => config.half_open_max_calls.saturating_sub(self.succeeded + self.failed).max(1),
        }
    }

    /// Whether the round has succeeded; `None` while it is undecided. A slow probe fails where slow calls can open the circuit.
    pub(super) fn verdict(&self, config: &Config) -> Option<bool> {
        let outcomes = self.succeeded + self.failed;
        match config.half_open_policy {
            HalfOpenPolicy::FirstFailure if self.failed > 0 => Some(false),
            HalfOpenPolicy::FirstFailure if self.slow > 0 && config.slow_call_rate_threshold.is_some() => Some(false),
            HalfOpenPolicy::FirstFailure => (self.succeeded >= config.success_threshold).then_some(true),
            HalfOpenPolicy::Rate if outcomes < config.half_open_max_calls => None,
            HalfOpenPolicy::Rate => {
                let failure_rate = config.failure_rate_threshold.unwrap_or(DEFAULT_PROBE_FAILURE_RATE);
                let slow =
                    config.slow_call_rate_threshold.is_some_and(|it| rate(self.slow.into(), outcomes.into()) >= it);
                Some(!slow && rate(self.failed.into(), outcomes.into()) < failure_rate)
            }
        }
    }
}
