//! Caution: while others have found the service behind to be down, one failure of one's own is enough. It is the only thing that what others say
//! can do to a circuit; the rules that open it otherwise are in `rules`.

use std::time::Duration;

use super::{Breaker, State, TransitionReason, shared::Core, state::Recorded, transition::Change};
use crate::{Outcome, Timestamp, sync::lock};

impl Breaker {
    /// Until then the first failure opens the circuit, if it is closed; [`Timestamp::ZERO`] ends the caution.
    ///
    /// It opens nothing by itself: a service that answers keeps the circuit closed, whatever anybody says. A circuit that is forced, disabled or
    /// only watched is left alone, and how it recovers is not changed.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_core::{Outcome, Timestamp, breaker::{Breaker, Config, State}};
    ///
    /// let breaker = Breaker::new("search", Config::default())?;
    /// let now = Timestamp::from_millis(1);
    /// breaker.be_cautious(Timestamp::from_millis(5000));
    /// let permit = breaker.try_acquire(now).expect("it is closed");
    /// breaker.record(permit, Outcome::Failure, None, now);
    /// assert_eq!(breaker.state(now), State::Open);
    /// # Ok::<(), tower_rampart_core::InvalidConfig>(())
    /// ```
    pub fn be_cautious(&self, until: Timestamp) {
        lock(&self.core).cautious_until = until;
    }
}

impl Core {
    // Closed => Open: a call failed, and others have opened theirs.
    pub(super) fn caution(
        &mut self,
        outcome: Outcome,
        recorded: Recorded,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Option<Change> {
        let is_cause = outcome == Outcome::Failure && recorded.current && now < self.cautious_until;
        if !is_cause || self.machine.state() != State::Closed {
            return None;
        }
        self.machine.trip(TransitionReason::FleetOpen, retry_after, now)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::breaker::Config;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn cautious() -> Breaker {
        let breaker = Breaker::new("search", Config::default()).expect("it is valid");
        breaker.be_cautious(at(1000));
        breaker
    }

    fn end(breaker: &Breaker, outcome: Outcome, now: Timestamp) -> State {
        let permit = breaker.try_acquire(now).expect("it is admitted");
        breaker.record(permit, outcome, None, now);
        breaker.state(now)
    }

    #[test]
    fn nothing_but_a_failure_opens_a_cautious_circuit() {
        let breaker = cautious();
        for outcome in [Outcome::Success, Outcome::Ignored, Outcome::Abandoned] {
            assert_eq!(end(&breaker, outcome, at(1)), State::Closed);
        }
        assert_eq!(end(&breaker, Outcome::Failure, at(2)), State::Open);
    }

    #[test]
    fn what_the_server_says_of_its_return_is_kept() {
        let breaker = cautious();
        let permit = breaker.try_acquire(at(1)).expect("it is closed");
        let said = breaker.config().recovery_timeout * 2;
        breaker.record(permit, Outcome::Failure, Some(said), at(1));
        assert!(breaker.retry_after(at(1)).is_some_and(|wait| wait >= said), "{:?}", breaker.retry_after(at(1)));
    }

    #[test]
    fn caution_ends_by_itself_and_by_word() {
        let breaker = cautious();
        assert_eq!(end(&breaker, Outcome::Failure, at(1000)), State::Closed);
        breaker.be_cautious(at(5000));
        breaker.be_cautious(Timestamp::ZERO);
        assert_eq!(end(&breaker, Outcome::Failure, at(1001)), State::Closed);
    }

    #[test]
    fn circuits_that_an_operator_holds_are_left_alone() {
        let breaker = cautious();
        breaker.force_close(at(1));
        assert_eq!(end(&breaker, Outcome::Failure, at(2)), State::ForcedClosed);
        breaker.metrics_only(at(3));
        assert_eq!(end(&breaker, Outcome::Failure, at(4)), State::MetricsOnly);
    }

    #[test]
    fn probes_are_judged_as_ever() {
        let breaker = cautious();
        assert_eq!(end(&breaker, Outcome::Failure, at(1)), State::Open);
        let later = at(1).after(breaker.config().recovery_timeout);
        breaker.be_cautious(Timestamp::MAX);
        assert_eq!(end(&breaker, Outcome::Success, later), State::Closed);
    }
}
