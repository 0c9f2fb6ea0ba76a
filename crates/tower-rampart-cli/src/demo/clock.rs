//! The stopwatch of the demonstration, which alone reads a clock there.

use std::time::Duration;

use tokio::time::Instant;

use super::phase::Phase;

/// Runs from the beginning of the demonstration.
#[derive(Clone, Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    total: Duration,
}

impl Stopwatch {
    /// Begins a demonstration that takes `total`.
    pub(crate) fn start(total: Duration) -> Self {
        Self { began: now(), total }
    }

    /// The time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.began)
    }

    /// How long it takes.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }

    /// Where the demonstration is.
    pub(crate) fn phase(&self) -> Phase {
        Phase::at(self.elapsed(), self.total)
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.elapsed() >= self.total
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn now() -> Instant {
    Instant::now()
}
