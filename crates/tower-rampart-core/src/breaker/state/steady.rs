//! When a success is only a number: what spares successes the machine's lock under the rules over a time window. The rest of the machine is in `state`.

use super::{Machine, Tally, Timestamp, tripped};

impl Machine {
    /// Whether a success that comes before [`steady_until`](Self::steady_until) can neither end a run nor make a rule hold, but only lower shares.
    ///
    /// Where something in the window counts against the service, a success could complete the fewest calls that a share is taken of; once those are
    /// there, it only dilutes. What leaves the window meanwhile changes nothing: a bucket is emptied no sooner than this one is full. Another
    /// configuration may have made a rule hold that nobody has asked since.
    pub(super) fn is_steady(&self) -> bool {
        let Some((window, last)) = self.window.as_deref().and_then(|window| Some((window, window.last_bucket()?)))
        else {
            return false;
        };
        let tally = window.tally(last);
        let is_clean = matches!(tally, Tally { failed: 0, slow: 0, abandoned: 0, .. });
        let is_enough = tally.judged >= u64::from(self.config.effective_minimum_calls());
        self.runs.down == 0
            && tally.judged > 0
            && (is_clean || is_enough && tripped(&self.config, self.runs, Some(window), last).is_none())
    }

    /// Until when that holds, if it does.
    pub(in crate::breaker) fn steady_until(&self) -> Option<Timestamp> {
        self.window.as_deref()?.bucket_ends()
    }

    /// Takes successes that were only counted.
    pub(in crate::breaker) fn take_successes(&mut self, count: u64) {
        if let Some(window) = self.window.as_deref_mut().filter(|_| count > 0) {
            window.add_successes(count);
        }
    }

    /// Which change of phase or mode it is at.
    pub(in crate::breaker) fn generation(&self) -> u32 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        Outcome,
        breaker::{Config, Window},
    };

    fn machine(window: Window) -> Machine {
        let mut config = Config::default();
        (config.failure_threshold, config.failure_rate_threshold, config.minimum_calls) = (100, Some(0.5), 4);
        config.window = window;
        Machine::new(Arc::new(config), 1)
    }

    fn call(machine: &mut Machine, outcome: Outcome) -> bool {
        let permit = machine.try_acquire(Timestamp::ZERO).0.unwrap();
        machine.record(&permit, outcome, None, Timestamp::ZERO);
        machine.is_steady()
    }

    #[test]
    fn success_is_only_a_number_where_it_ends_no_run_and_completes_no_share() {
        let mut machine = machine(Window::Time { size: Duration::from_secs(10) });
        assert!(!machine.is_steady(), "the first call says which bucket is filled");
        let seen = [Outcome::Success, Outcome::Failure, Outcome::Success, Outcome::Success]
            .map(|outcome| call(&mut machine, outcome));
        assert_eq!(seen, [true, false, false, true], "a run to end; three of the four calls of a share; one in four");
    }

    #[test]
    fn every_success_has_its_place_in_a_window_of_calls() {
        let mut machine = machine(Window::Count { size: 10 });
        assert!(!call(&mut machine, Outcome::Success) && !call(&mut machine, Outcome::Success));
    }
}
