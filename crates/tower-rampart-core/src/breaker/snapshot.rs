//! One look at everything a breaker knows, for people and for the management API.

use std::time::Duration;

use super::State;
use crate::Timestamp;

/// What a breaker knows of itself. Totals count from its creation and never go down; a reset leaves them alone.
///
/// The totals are summed over the threads' own counters: each is exact once the calls have ended, while calls run they may be some calls apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state: half open as soon as the recovery time has passed, although the step is made, counted and observed with the call that it admits.
    pub state: State,
    /// The time until the next call is admitted; `None` unless open.
    pub retry_after: Option<Duration>,
    /// Consecutive failures that open it.
    pub failure_threshold: u32,
    /// How long it stays open at first.
    pub recovery_timeout: Duration,
    /// Calls that were admitted and have ended: successful, failed, ignored and abandoned.
    pub total: u64,
    /// Calls that succeeded.
    pub successful: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that were refused.
    pub rejected: u64,
    /// Calls that count neither way.
    pub ignored: u64,
    /// Calls that were dropped before they had an answer.
    pub abandoned: u64,
    /// Calls that took `slow_call_duration` or longer, whether they succeeded or failed.
    pub slow: u64,
    /// Failures since the last success; successes of older generations do not end the run.
    pub consecutive_failures: u32,
    /// Successes since the last failure.
    pub consecutive_successes: u64,
    /// Share of failures, 0 to 1, among the successes and failures in the window, or among all of them where no rule needs a window; 0 if there are none.
    pub failure_rate: f64,
    /// Share of successes among the same calls, 0 to 1; 0 if there are none.
    pub success_rate: f64,
    /// Share of slow calls among the same calls, 0 to 1.
    pub slow_rate: f64,
    /// Changes of state.
    pub state_changes: u64,
    /// Changes to open.
    pub opens: u64,
    /// Changes to half open.
    pub half_opens: u64,
    /// Changes to closed.
    pub closes: u64,
    /// Changes that `metrics_only` judged and did not make.
    pub would_be_changes: u64,
    /// How often it would have opened, had `metrics_only` not been on.
    pub would_be_opens: u64,
    /// When the last failure was recorded.
    pub last_failure: Option<Timestamp>,
    /// When the last success was recorded that needed the time; successes that only are counted tell no time, the registry knows the precise one.
    pub last_success: Option<Timestamp>,
}
