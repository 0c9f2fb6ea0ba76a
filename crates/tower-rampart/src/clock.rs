//! The only place of this crate that reads a clock: tokio's, so that a paused clock rules in tests, and the wall clock for dates in headers.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tower_rampart_core::Timestamp;

/// What the first reading becomes: far enough from zero that instants before it (other runtimes with paused clocks) are told apart too,
/// and near enough that the finest ticks of a rate limiter last for years.
const ORIGIN: Duration = Duration::from_secs(24 * 60 * 60);

fn anchor() -> Instant {
    static ANCHOR: OnceLock<Instant> = OnceLock::new();
    *ANCHOR.get_or_init(read)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn read() -> Instant {
    Instant::now()
}

/// The present, monotonic.
pub fn now() -> Timestamp {
    // Read the anchor first: were it made by this very call, it must not be later than the reading.
    let anchor = anchor();
    timestamp(anchor, read())
}

fn timestamp(anchor: Instant, instant: Instant) -> Timestamp {
    let origin = Timestamp::ZERO.after(ORIGIN);
    match instant.checked_duration_since(anchor) {
        Some(after) => origin.after(after),
        None => origin.before(anchor.saturating_duration_since(instant)),
    }
}

/// The instant that a timestamp of [`now`] stands for, to arm a timer with.
#[cfg(any(feature = "retry", feature = "rate-limit", feature = "concurrency", feature = "timeout"))]
pub(crate) fn instant(at: Timestamp) -> Instant {
    let origin = Timestamp::ZERO.after(ORIGIN);
    let anchor = anchor();
    if at >= origin {
        anchor.checked_add(at.since(origin)).unwrap_or_else(|| anchor + ORIGIN)
    } else {
        anchor.checked_sub(origin.since(at)).unwrap_or(anchor)
    }
}

/// The date, for headers that carry one.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn timestamps_follow_the_paused_clock() {
        let before = now();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(now().since(before), Duration::from_millis(1500));
    }

    #[cfg(feature = "timeout")]
    #[tokio::test(start_paused = true)]
    async fn instants_and_timestamps_are_the_same_points() {
        let at = now().after(Duration::from_secs(7));
        assert_eq!(timestamp(anchor(), instant(at)), at);
        let past = now().before(Duration::from_secs(7));
        assert_eq!(timestamp(anchor(), instant(past)), past);
    }
}
