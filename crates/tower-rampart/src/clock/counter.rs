//! Tells the time between two readings of the system's clock by the processor's counter; the readings are made in `clock`.
//!
//! A counter runs at a rate of its own, and on some machines stops, jumps or differs from core to core. It is therefore never followed for longer
//! than [`SPAN`]: what it may be wrong by is 40 ns where it is sound (its rate is measured to about 40 parts in a million), and `SPAN` where it is not.

use std::{cell::Cell, sync::LazyLock};

use quanta::Clock;
use tower_rampart_core::Timestamp;

/// How long the counter is followed after a reading of the system's clock, in nanoseconds.
const SPAN: u64 = 1_000_000;

/// What a thread read last: the counter, and the system's clock in nanoseconds.
#[derive(Clone, Copy)]
struct Reading {
    counter: u64,
    nanos: u64,
}

/// The present, by the counter as long as the last reading of this thread is young enough, else by `read`.
#[inline]
pub(super) fn now(read: fn() -> Timestamp) -> Timestamp {
    // Measures the counter's rate once, in about a millisecond. Without a counter this is the system's clock again.
    static COUNTER: LazyLock<Clock> = LazyLock::new(Clock::new);
    thread_local! {
        static LAST: Cell<Reading> = const { Cell::new(Reading { counter: 0, nanos: 0 }) };
    }
    LAST.with(|last| {
        let (clock, Reading { counter, nanos }) = (&*COUNTER, last.get());
        let present = clock.raw();
        // A counter that went back is as good as one that was followed for too long.
        let passed = if present < counter { SPAN } else { clock.delta_as_nanos(counter, present) };
        if passed < SPAN { Timestamp::from_nanos(nanos.saturating_add(passed)) } else { renew(clock, last, read) }
    })
}

#[cold]
fn renew(clock: &Clock, last: &Cell<Reading>, read: fn() -> Timestamp) -> Timestamp {
    // In this order, a thread that is interrupted in between is late for a while; in the other it would be early, and then step back.
    let now = read();
    last.set(Reading { counter: clock.raw(), nanos: now.as_nanos() });
    now
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::read_now;

    #[test]
    fn counter_never_strays_from_the_clock() {
        let (mut earliest, end) = (read_now(), read_now().after(Duration::from_millis(30)));
        while earliest < end {
            let told = now(read_now);
            // An interruption between the two readings of `renew` makes the counter late by as much, for one span.
            assert!(told.after(Duration::from_secs(1)) >= earliest, "{told:?} was told after {earliest:?}");
            assert!(told <= read_now().after(Duration::from_micros(10)), "{told:?} lies ahead");
            earliest = read_now();
        }
    }

    #[test]
    fn time_passes_while_the_counter_is_followed() {
        let first = now(read_now);
        let later = (0..1_000_000).map(|_| now(read_now)).find(|it| it.since(first) > Duration::from_micros(5));
        assert!(later.is_some());
    }
}
