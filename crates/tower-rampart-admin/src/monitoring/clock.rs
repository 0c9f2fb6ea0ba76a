//! When things happen: by a monotonic clock, which ages are told by, and by the calendar, which people read. The clocks themselves are those of
//! `tower_rampart::clock`, or whatever a test puts in their place.

use std::{fmt, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp as Date};
use tower_rampart::{Timestamp, clock};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the monotonic clock of the registry.
    pub at: Timestamp,
    /// By the calendar, UTC.
    pub date: Date,
}

impl fmt::Display for Moment {
    /// RFC 3339 in UTC, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.date)
    }
}

impl Moment {
    /// The moment `by` later, for tests that let time pass.
    pub fn after(self, by: Duration) -> Self {
        let date = SignedDuration::try_from(by).ok().and_then(|by| self.date.checked_add(by).ok());
        Self { at: self.at.after(by), date: date.unwrap_or(Date::MAX) }
    }

    /// How long ago `earlier` was.
    pub fn since(self, earlier: Self) -> Duration {
        self.at.since(earlier.at)
    }
}

/// Where moments come from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    /// A clock that reads whatever `read` gives.
    pub fn new(read: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The present.
    pub fn now(&self) -> Moment {
        (self.0)()
    }
}

impl Default for Clock {
    /// The clocks of `tower_rampart`: tokio's, so that a paused clock rules in tests, and the wall's.
    fn default() -> Self {
        Self::new(|| Moment { at: clock::now(), date: Date::try_from(clock::wall()).unwrap_or(Date::UNIX_EPOCH) })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
