//! The only place of this crate that reads a clock: tokio's, so that a paused clock rules in tests, and the wall clock for dates in headers.
//! How readings of tokio's are spared is in `counter`.

mod counter;

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

/// Whether tokio was built with its `test-util`, by anybody: then its clock may be paused, and it alone rules.
///
/// Cargo builds tokio once for all crates of a program that share it, with the features that any of them asks for, and this crate against that build.
/// Whoever can call `tokio::time::pause` therefore has the answer `true` here too.
const CAN_PAUSE: bool = {
    trait Answer {
        const IS_TOKIOS: bool;
    }
    struct Missing;
    impl Answer for () {
        const IS_TOKIOS: bool = true;
    }
    impl Answer for Missing {
        const IS_TOKIOS: bool = false;
    }
    const fn is_tokios<A: Answer>(_pause: fn() -> A, _of: Option<Instant>) -> bool {
        A::IS_TOKIOS
    }
    const fn pause() -> Missing {
        Missing
    }
    // Used here, because it is hidden below where tokio has one.
    let _: fn() -> Missing = pause;
    {
        // Cargo does not tell a crate what others asked of its dependencies, but a name that is found in an inner block hides one around it.
        #[cfg_attr(
            not(test),
            expect(clippy::wildcard_imports, reason = "a name that may be missing cannot be imported by itself")
        )]
        use tokio::time::*;
        is_tokios(pause, None::<Instant>)
    }
};

/// The present. Monotonic within a thread; from thread to thread to within 12 microseconds. Both hold while the processor's counter and the system's clock
/// keep the rate to each other that was measured, to a thousandth; while one of them is slewed faster than that, a thread may be told a time that lies up to
/// a millisecond back, and threads may differ by 30 microseconds.
///
/// Costs a third of a reading of the system's clock where the processor has a counter to go by, whose rate was measured when the first [`Registry`],
/// circuit breaker or rate limit was built, and tokio's clock cannot be paused (no crate of the program enables its feature `test-util`). Anywhere
/// else it is that reading.
///
/// [`Registry`]: crate::Registry
#[inline]
pub fn now() -> Timestamp {
    if CAN_PAUSE { read_now() } else { counter::now(read_now) }
}

/// Makes ready what makes [`now`] cheap. Takes a millisecond once in a process (200 at worst), so it is done where a layer or a registry is built, and
/// never by a call.
pub(crate) fn prepare() {
    if !CAN_PAUSE {
        counter::prepare();
    }
}

fn read_now() -> Timestamp {
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
#[cfg(any(
    feature = "retry",
    feature = "rate-limit",
    feature = "concurrency",
    feature = "timeout",
    feature = "cache",
    feature = "chaos",
    feature = "hedge"
))]
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

    // Nothing here asks for tokio's `test-util` but the tests: that they can pause the clock is what is found out.
    #[tokio::test(start_paused = true)]
    async fn timestamps_follow_the_paused_clock() {
        const { assert!(CAN_PAUSE) };
        prepare();
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
