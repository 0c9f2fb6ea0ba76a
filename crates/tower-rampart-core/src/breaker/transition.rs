//! A change of state, as observers see it; the changes themselves are made in `state`.

use std::fmt;

use super::State;
use crate::{Timestamp, rejection::Name};

/// One change of a breaker's state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The breaker's name.
    pub name: Name,
    /// The state that was left: what the previous transition entered.
    pub from: State,
    /// The state that was entered.
    pub to: State,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: TransitionReason,
    /// Whether the breaker only would have changed, had it not been in [`State::MetricsOnly`]. It refuses nothing.
    pub would_be: bool,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransitionReason {
    /// `failure_threshold` calls failed in a row.
    ConsecutiveFailures,
    /// The failure rate of the window reached `failure_rate_threshold`.
    FailureRate,
    /// The share of slow calls in the window reached `slow_call_rate_threshold`.
    SlowCallRate,
    /// So many calls were abandoned that they counted as failures.
    AbandonedCalls,
    /// A call failed while most of the fleet had opened its circuits; see [`Breaker::be_cautious`](super::Breaker::be_cautious).
    FleetOpen,
    /// The recovery time was over when a call came.
    RecoveryElapsed,
    /// The probes succeeded.
    ProbesSucceeded,
    /// A probe failed or was slow, or too many of them.
    ProbesFailed,
    /// An operator reset the breaker.
    Reset,
    /// An operator opened it, to recover by itself.
    Tripped,
    /// An operator forced it open.
    ForcedOpen,
    /// An operator forced it closed.
    ForcedClosed,
    /// An operator switched it off.
    Disabled,
    /// An operator made it judge without refusing.
    MetricsOnly,
    /// A configuration switched it on or off.
    Reconfigured,
}

impl TransitionReason {
    /// The word used in events and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::SlowCallRate => "slow_call_rate",
            Self::AbandonedCalls => "abandoned_calls",
            Self::FleetOpen => "fleet_open",
            Self::RecoveryElapsed => "recovery_elapsed",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ProbesFailed => "probes_failed",
            Self::Reset => "reset",
            Self::Tripped => "tripped",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
            Self::Reconfigured => "reconfigured",
        }
    }
}

impl fmt::Display for TransitionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change without the name and the time, as the machine makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) reason: TransitionReason,
    pub(super) would_be: bool,
}

impl Change {
    /// What can be seen from outside between two pairs of the state and the phase behind it.
    pub(super) fn between(before: (State, State), after: (State, State), reason: TransitionReason) -> Option<Self> {
        if before.0 != after.0 {
            return Some(Self { from: before.0, to: after.0, reason, would_be: false });
        }
        let would_be = after.0 == State::MetricsOnly && before.1 != after.1;
        would_be.then_some(Self { from: before.1, to: after.1, reason, would_be })
    }
}

/// How often the state changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) all: u64,
    pub(super) opens: u64,
    pub(super) half_opens: u64,
    pub(super) closes: u64,
    pub(super) would_be: u64,
    pub(super) would_be_opens: u64,
}

impl Changes {
    pub(super) fn count(&mut self, change: Change) {
        let opens = u64::from(change.to == State::Open);
        if change.would_be {
            self.would_be += 1;
            self.would_be_opens += opens;
        } else {
            self.all += 1;
            self.opens += opens;
            self.half_opens += u64::from(change.to == State::HalfOpen);
            self.closes += u64::from(change.to == State::Closed);
        }
    }
}
