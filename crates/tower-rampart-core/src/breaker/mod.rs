//! Circuit breaker: stops calling what does not answer, and finds out by itself when it does again.

pub(crate) mod config;

pub use config::{Config, HalfOpenPolicy, Matcher, Scope, Window};

use std::fmt;

/// The state of a circuit breaker, by the words used everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Calls pass and are counted.
    #[default]
    Closed,
    /// Calls are refused until the recovery time has passed.
    Open,
    /// A bounded number of calls pass as probes.
    HalfOpen,
    /// Calls are refused until an operator says otherwise.
    ForcedOpen,
    /// Calls pass and are counted, but nothing opens the circuit.
    ForcedClosed,
    /// Calls pass and nothing is counted.
    Disabled,
    /// Calls pass and are judged: transitions are reported as they would have been, none is made.
    MetricsOnly,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::ForcedClosed,
        Self::Disabled,
        Self::MetricsOnly,
    ];

    /// The word used in metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
