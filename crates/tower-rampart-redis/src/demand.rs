//! How much calls ask for, smoothed, so that about as much can be leased ahead. Pure: time is a parameter.

use std::time::Duration;

use tower_rampart_core::Timestamp;

/// The time in which two thirds of a change are believed.
const SMOOTHING: Duration = Duration::from_millis(250);

/// An exponentially weighted mean of tokens a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    per_second: f64,
    last: Option<Timestamp>,
}

impl Demand {
    /// Takes what was asked for since the last time.
    pub(crate) fn observe(&mut self, asked: u64, now: Timestamp) {
        let Some(last) = self.last.replace(now) else { return };
        let elapsed = now.since(last).as_secs_f64();
        if elapsed <= 0.0 {
            return;
        }
        let believed = 1.0 - (-elapsed / SMOOTHING.as_secs_f64()).exp();
        self.per_second += believed * (asked as f64 / elapsed - self.per_second);
    }

    /// The tokens that will be asked for in this time, to the nearest: a limit that is rarely asked leases nothing ahead.
    pub(crate) fn within(&self, ahead: Duration) -> u64 {
        (self.per_second * ahead.as_secs_f64()).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(asked: impl Fn(u64) -> u64, ticks: u64) -> Demand {
        let mut demand = Demand::default();
        for tick in 0..ticks {
            demand.observe(asked(tick), Timestamp::from_millis(tick * 20));
        }
        demand
    }

    #[test]
    fn a_steady_demand_is_known_within_a_second() {
        assert_eq!(after(|_| 2, 50).within(Duration::from_millis(100)), 10);
    }

    #[test]
    fn a_single_call_leases_nothing_ahead() {
        let demand = after(|tick| u64::from(tick == 10), 12);
        assert_eq!(demand.within(Duration::from_millis(100)), 0);
    }

    #[test]
    fn a_demand_that_ended_is_forgotten() {
        let demand = after(|tick| if tick < 50 { 20 } else { 0 }, 200);
        assert_eq!(demand.within(Duration::from_millis(100)), 0);
    }

    #[test]
    fn a_clock_that_stands_still_changes_nothing() {
        let mut demand = after(|_| 2, 50);
        demand.observe(1_000_000, Timestamp::from_millis(49 * 20));
        assert_eq!(demand.within(Duration::from_millis(100)), 10);
    }
}
