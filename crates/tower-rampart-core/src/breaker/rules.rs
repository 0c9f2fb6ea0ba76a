//! The rules that open a closed circuit, and the runs of outcomes that they look at. When they are asked is decided in `state`.

use super::{Config, TransitionReason, window::Window};
use crate::{Outcome, Timestamp};

/// Outcomes in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    /// Failures since the last success.
    pub(super) failed: u32,
    /// Abandoned calls since any other outcome.
    pub(super) abandoned: u32,
    /// Failed and abandoned calls since the last success.
    pub(super) down: u32,
}

impl Runs {
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Success => *self = Self::default(),
            Outcome::Failure => {
                self.failed = self.failed.saturating_add(1);
                self.down = self.down.saturating_add(1);
                self.abandoned = 0;
            }
            Outcome::Ignored => self.abandoned = 0,
            Outcome::Abandoned => {
                self.abandoned = self.abandoned.saturating_add(1);
                self.down = self.down.saturating_add(1);
            }
        }
    }
}

/// The first rule that holds. `window` is there if and only if a rule needs it.
pub(super) fn tripped(
    config: &Config,
    runs: Runs,
    window: Option<&Window>,
    now: Timestamp,
) -> Option<TransitionReason> {
    let minimum = config.effective_minimum_calls();
    if runs.failed >= config.failure_threshold {
        return Some(TransitionReason::ConsecutiveFailures);
    }
    let Some(window) = window else {
        // Without a window a run of nothing but abandoned calls is the window, and its share of them is one.
        let abandoned = runs.abandoned >= config.failure_threshold.max(minimum);
        return abandoned.then_some(TransitionReason::AbandonedCalls);
    };
    let tally = window.tally(now);
    let minimum = u64::from(minimum);
    let failure_rate = config.failure_rate_threshold;
    if tally.judged >= minimum {
        if failure_rate.is_some_and(|threshold| rate(tally.failed, tally.judged) >= threshold) {
            return Some(TransitionReason::FailureRate);
        }
        if config.slow_call_rate_threshold.is_some_and(|threshold| rate(tally.slow, tally.judged) >= threshold) {
            return Some(TransitionReason::SlowCallRate);
        }
    }
    // From this share on abandoned calls count as failures, under every rule that counts failures.
    let abandoned_count = tally.abandoned > 0
        && tally.ended >= minimum
        && rate(tally.abandoned, tally.ended) >= config.abandoned_rate_threshold;
    let down = runs.down >= config.failure_threshold
        || failure_rate.is_some_and(|threshold| rate(tally.failed + tally.abandoned, tally.ended) >= threshold);
    (abandoned_count && down).then_some(TransitionReason::AbandonedCalls)
}

/// A share of a number of calls, 0 to 1; 0 if there are none.
pub(crate) fn rate(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { (part as f64 / of as f64).min(1.0) }
}
