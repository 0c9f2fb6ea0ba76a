//! The parts of refusals' messages that say something only sometimes. The messages themselves stand at the refusals.

use std::{fmt, time::Duration};

use crate::rate::Unit;

/// That the machine is that of one key.
pub(super) struct PerKey(pub(super) bool);

impl fmt::Display for PerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { " per key" } else { "" })
    }
}

/// What a limiter counts, where that is not requests.
pub(super) struct Counting(pub(super) Unit);

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unit::Requests => Ok(()),
            unit => write!(f, " ({})", unit.as_str()),
        }
    }
}

/// The last words of a refusal: when to come back.
pub(super) struct Wait(pub(super) Option<Duration>);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(wait) => write!(f, ", retry after {wait:?}"),
            None => Ok(()),
        }
    }
}
