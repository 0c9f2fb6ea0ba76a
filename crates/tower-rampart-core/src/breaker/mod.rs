//! Circuit breaker: stops calling what does not answer, and finds out by itself when it does again.
//!
//! A [`Breaker`] is closed and admits calls until one of its rules holds: `failure_threshold` failures in a row, or a rate over a [`Window`]. It is
//! then open and refuses at once, until the recovery time has passed; then half open, admitting a few probes whose outcomes decide.
//! Every admission carries the generation of the breaker, and an outcome of an older generation is counted without moving the state.
//!
//! The machine (`state`) is pure and takes the time as an argument; the shell (`shared`) puts it behind a short lock and publishes a summary in one
//! atomic word, so that a success on a closed breaker without window rules costs one load and one count.
//!
//! ```
//! use std::time::Duration;
//! use tower_rampart_core::{Outcome, Timestamp, breaker::{Breaker, Config, State}};
//!
//! let mut config = Config::default();
//! config.failure_threshold = 2;
//! config.recovery_timeout = Duration::from_secs(30);
//! let breaker = Breaker::new("search", config)?;
//!
//! for second in 0..2 {
//!     let now = Timestamp::from_millis(second * 1000);
//!     let permit = breaker.try_acquire(now).expect("a closed breaker admits");
//!     breaker.record(permit, Outcome::Failure, None, now);
//! }
//! let now = Timestamp::from_millis(11_000);
//! let refused = breaker.try_acquire(now).expect_err("an open breaker refuses");
//! assert_eq!((refused.state, refused.retry_after), (State::Open, Some(Duration::from_secs(20))));
//! assert!(breaker.try_acquire(now.after(Duration::from_secs(20))).is_ok());
//! # Ok::<(), tower_rampart_core::InvalidConfig>(())
//! ```

mod audience;
mod caution;
mod commands;
mod config;
mod counters;
mod keyed;
mod permit;
mod probes;
mod recovery;
mod registry;
mod round;
mod rules;
mod shared;
mod snapshot;
mod state;
mod steady;
mod transition;
mod uncounted;
mod window;
mod word;

pub use config::{Config, HalfOpenPolicy, Matcher, Scope, Window};
pub use permit::{Permit, Refused};
pub use registry::{Breakers, BreakersError};
pub(crate) use rules::rate;
pub use shared::Breaker;
pub use snapshot::Snapshot;
pub use transition::{Transition, TransitionReason};

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
