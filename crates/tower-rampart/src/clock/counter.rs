//! Tells the time between two readings of the system's clock by the processor's counter; the readings are made in `clock`.
//!
//! A counter runs at a rate of its own, and on some machines stops, jumps or differs from core to core. Each thread therefore follows it for
//! [`SPAN`] at most and then reads the system's clock again; a thread that catches the counter straying leaves it for [`REST`], as it may be the
//! clock that was slewed. Where the processor says of itself that its counter is not to be relied on, and on processors without one, `quanta` reads the system's clock in its stead.
//!
//! What is told is then never ahead of the system's clock, so that time does not step back within a thread, and late by [`INTERRUPTED`] and a
//! thousandth of [`SPAN`] at most. By a counter that strays it is wrong by [`SPAN`] at most, and time may step back by as much when the clock is read
//! again; that is noticed by a call that comes within another span, so not by a thread that always rests for longer. After a machine was suspended it
//! is late by what its counter has missed, until the counter has moved by [`SPAN`].

use std::{cell::Cell, sync::OnceLock};

use quanta::Clock;
use tower_rampart_core::Timestamp;

/// How long the counter is followed after a reading of the system's clock, in nanoseconds.
const SPAN: u64 = 1_000_000;
/// A reading of the system's clock that took longer than this, in nanoseconds, was interrupted: nobody knows when in between it was made.
const INTERRUPTED: u64 = 10_000;
/// By how much the counter may run ahead of the clock in a span, and stay behind it, in nanoseconds; beyond that it strays.
const AHEAD: u64 = 1_000;
const BEHIND: u64 = 3 * INTERRUPTED;
/// How long a counter that strays is left alone, in nanoseconds.
const REST: u64 = 1_000_000_000;

/// What a thread read last: the counter, and the system's clock in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    counter: u64,
    nanos: u64,
}

impl Reading {
    /// Nothing was read: any counter has gone on for longer than a span since.
    const NONE: Self = Self { counter: 0, nanos: 0 };

    /// The counter strayed then: no counter gets beyond this, so that the system's clock is always read.
    const fn strayed(nanos: u64) -> Self {
        Self { counter: u64::MAX, nanos }
    }

    const fn has_strayed(self) -> bool {
        self.counter == u64::MAX
    }
}

/// The processor's counter, or what tests have for one.
trait Counter {
    fn ticks(&self) -> u64;
    fn nanos(&self, from: u64, to: u64) -> u64;
}

impl Counter for Clock {
    #[inline]
    fn ticks(&self) -> u64 {
        self.raw()
    }

    #[inline]
    fn nanos(&self, from: u64, to: u64) -> u64 {
        self.delta_as_nanos(from, to)
    }
}

static COUNTER: OnceLock<Clock> = OnceLock::new();

/// Measures the counter's rate, once for the process: a millisecond, up to 200 where the thread is interrupted all the time.
pub(super) fn prepare() {
    COUNTER.get_or_init(Clock::new);
}

/// The present, by the counter as long as it is known and the last reading of this thread is young enough, else by `read`.
// A function of its own, so that benches can count how often a call reads the clock.
#[inline(never)]
pub(super) fn now(read: fn() -> Timestamp) -> Timestamp {
    thread_local! {
        static LAST: Cell<Reading> = const { Cell::new(Reading::NONE) };
    }
    match COUNTER.get() {
        Some(counter) => LAST.with(|last| follow(counter, last, read)),
        None => read(),
    }
}

#[inline]
fn follow(counter: &impl Counter, last: &Cell<Reading>, read: impl FnOnce() -> Timestamp) -> Timestamp {
    let (present, known) = (counter.ticks(), last.get());
    // A counter that went back is as good as one that was followed for too long.
    if present >= known.counter {
        let passed = counter.nanos(known.counter, present);
        if passed < SPAN {
            return Timestamp::from_nanos(told(known, passed));
        }
    }
    renew(counter, last, read)
}

/// What the counter says: a thousandth slower than it runs, more than its rate can be mistaken by, so that the next reading is never before it.
#[inline]
const fn told(known: Reading, passed: u64) -> u64 {
    known.nanos.saturating_add(passed - (passed >> 10))
}

#[cold]
#[inline(never)]
fn renew(counter: &impl Counter, last: &Cell<Reading>, read: impl FnOnce() -> Timestamp) -> Timestamp {
    let known = last.get();
    let before = counter.ticks();
    let now = read();
    if known.has_strayed() && now.as_nanos().saturating_sub(known.nanos) < REST {
        return now;
    }
    let after = counter.ticks();
    if counter.nanos(before, after) > INTERRUPTED {
        return now;
    }
    // Only what passed just now says something of the counter: it may rest while the machine does.
    let passed = counter.nanos(known.counter, before);
    let prompt = before >= known.counter && (SPAN..2 * SPAN).contains(&passed);
    let (nanos, expected) = (now.as_nanos(), told(known, passed));
    let strays = prompt && (expected > nanos.saturating_add(AHEAD) || expected.saturating_add(BEHIND) < nanos);
    last.set(if strays { Reading::strayed(nanos) } else { Reading { counter: after, nanos } });
    now
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
        time::Duration,
    };

    use super::*;
    use crate::clock::read_now;

    /// A counter that the test moves, of whose ticks each stands for a nanosecond.
    #[derive(Default)]
    struct Moved(Cell<u64>);

    impl Counter for Moved {
        fn ticks(&self) -> u64 {
            self.0.get()
        }

        fn nanos(&self, from: u64, to: u64) -> u64 {
            to.saturating_sub(from)
        }
    }

    /// What is told after each step of the counter and of the clock, and how often the clock was read for all of it.
    fn followed(steps: &[(u64, u64)]) -> (Vec<u64>, usize) {
        let (counter, last) = (Moved(Cell::new(5 * SPAN)), Cell::new(Reading::NONE));
        let (mut clock, readings) = (10 * SPAN, Cell::new(0));
        let all = steps.iter().map(|(ticks, nanos)| {
            counter.0.set(counter.0.get() + ticks);
            clock += nanos;
            let read = || {
                readings.set(readings.get() + 1);
                Timestamp::from_nanos(clock)
            };
            follow(&counter, &last, read).as_nanos()
        });
        (all.collect(), readings.get())
    }

    #[test]
    fn clock_is_read_again_after_a_span() {
        let (told, readings) = followed(&[(0, 0), (SPAN / 2, SPAN / 2), (SPAN / 2, SPAN / 2), (1, 1)]);
        assert_eq!(told, [10 * SPAN, 10 * SPAN + SPAN / 2 - SPAN / 2048, 11 * SPAN, 11 * SPAN + 1]);
        assert_eq!(readings, 2);
    }

    #[test]
    fn counter_that_runs_away_is_caught_after_a_span_and_left() {
        // Twice as fast: the first span ends too early, and every reading after it is the clock's.
        let (told, readings) = followed(&[(0, 0), (SPAN, SPAN / 2), (10, 5), (10, 5)]);
        assert_eq!(told[1..], [10 * SPAN + SPAN / 2, 10 * SPAN + SPAN / 2 + 5, 10 * SPAN + SPAN / 2 + 10]);
        assert_eq!(readings, 4);
    }

    #[test]
    fn counter_that_strayed_is_followed_again_after_a_rest() {
        let (told, readings) = followed(&[(0, 0), (SPAN, SPAN / 2), (REST, REST), (10, 10), (10, 10)]);
        assert_eq!((told[4], readings), (10 * SPAN + SPAN / 2 + REST + 20, 3));
    }

    #[test]
    fn counter_that_stays_behind_is_left_too() {
        assert_eq!(followed(&[(0, 0), (SPAN, 3 * SPAN), (10, 5), (10, 5)]).1, 4);
    }

    #[test]
    fn rest_of_the_clock_is_no_straying() {
        // A suspended machine: the counter went on, the clock did not.
        let (told, readings) = followed(&[(0, 0), (1000 * SPAN, 5), (10, 10)]);
        assert_eq!((told[2], readings), (10 * SPAN + 15, 2));
    }

    #[test]
    fn counter_that_went_back_is_not_followed() {
        let (counter, last) = (Moved(Cell::new(5)), Cell::new(Reading { counter: 6, nanos: 7 }));
        assert_eq!(follow(&counter, &last, || Timestamp::from_nanos(9)), Timestamp::from_nanos(9));
    }

    #[test]
    fn reading_that_was_interrupted_is_not_kept() {
        let (counter, last) = (Moved(Cell::new(SPAN)), Cell::new(Reading::NONE));
        for at in [9, 10] {
            let read = || {
                counter.0.set(counter.0.get() + INTERRUPTED + 1);
                Timestamp::from_nanos(at)
            };
            assert_eq!(follow(&counter, &last, read), Timestamp::from_nanos(at));
        }
        assert_eq!(last.get().counter, 0);
    }

    #[test]
    fn time_never_goes_back_in_a_thread_nor_by_more_than_microseconds_from_thread_to_thread() {
        prepare();
        let latest = AtomicU64::new(0);
        let end = read_now().after(Duration::from_millis(200));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut last = Timestamp::ZERO;
                    while last < end {
                        // Before this thread reads, so that it may be interrupted in between.
                        let seen = latest.load(Ordering::SeqCst);
                        let told = now(read_now);
                        assert!(told >= last, "{told:?} was told after {last:?}");
                        assert!(told.as_nanos() + INTERRUPTED + AHEAD + SPAN / 1000 >= seen, "{told:?} after {seen}");
                        latest.fetch_max(told.as_nanos(), Ordering::SeqCst);
                        last = told;
                    }
                });
            }
        });
    }

    #[test]
    fn counter_stays_within_microseconds_of_the_clock_for_a_second() {
        prepare();
        // Between two readings of the clock each, so that it does not matter if the thread is interrupted.
        let bracketed = || [read_now(), now(read_now), read_now()];
        let first = bracketed();
        while read_now().since(first[0]) < Duration::from_secs(1) {
            let [before, told, clock] = bracketed();
            assert!(told <= clock.after(Duration::from_nanos(AHEAD)), "{told:?} lies ahead of {clock:?}");
            assert!(
                told.after(Duration::from_nanos(BEHIND + SPAN / 1000)) >= before,
                "{told:?} lies behind {before:?}"
            );
        }
    }

    #[test]
    fn time_passes_while_the_counter_is_followed() {
        prepare();
        let first = now(read_now);
        let later = (0..1_000_000).map(|_| now(read_now)).find(|it| it.since(first) > Duration::from_micros(5));
        assert!(later.is_some());
    }
}
