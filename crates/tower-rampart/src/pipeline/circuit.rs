//! How a call asks the circuit, and what it tells it. What else a call holds is in `call`.

use std::time::Duration;

use tower_rampart_core::{
    Outcome, Rejection, Stage, Timestamp, Verdict, breaker, rejection::CircuitOpen, shadow::WouldBe,
};

use super::call::Call;
use crate::clock;

impl<J, K, A, R> Call<J, K, A, R> {
    /// Whether the circuit takes its samples in `scope`.
    pub(crate) fn circuit_in(&self, scope: breaker::Scope) -> bool {
        self.settings.circuit == Some(scope)
    }

    /// Takes a permit of the circuit.
    #[inline]
    pub(crate) fn enter_circuit(&mut self, now: Timestamp) -> Result<(), Rejection> {
        match self.breaker().try_acquire_uncounted(now) {
            Ok(permit) => {
                self.circuit = Some(permit);
                Ok(())
            }
            Err(refused) => self.pass_circuit(refused),
        }
    }

    /// The circuit refuses, which stops the call unless it is in shadow.
    #[cold]
    fn pass_circuit(&self, refused: breaker::Refused) -> Result<(), Rejection> {
        if self.shadows(Stage::CircuitBreaker) {
            self.would(Stage::CircuitBreaker, WouldBe::Refused);
            return Ok(());
        }
        self.breaker().count_refusal();
        Err(self.circuit_open(refused))
    }

    /// Whether the circuit would refuse a call now, so that it need not wait for anything else.
    #[inline]
    pub(super) fn foresee_circuit(&self, scope: breaker::Scope, now: Timestamp) -> Result<(), Rejection> {
        if !self.circuit_in(scope) {
            return Ok(());
        }
        match self.breaker().peek(now) {
            Err(refused) if !self.shadows(Stage::CircuitBreaker) => {
                // The call ends here or waits for nothing more: nobody else counts it.
                self.breaker().count_refusal();
                Err(self.circuit_open(refused))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    pub(crate) fn circuit_open(&self, refused: breaker::Refused) -> Rejection {
        let open = CircuitOpen::new(self.name(), refused.state, refused.retry_after);
        if self.own_circuit().is_some() { open.per_key().into() } else { open.into() }
    }

    /// Ends the circuit's permit.
    #[inline]
    pub(crate) fn leave_circuit(&mut self, outcome: Outcome, retry_after: Option<Duration>) {
        if let Some(permit) = self.circuit.take() {
            self.breaker().record(permit, outcome, retry_after, clock::now);
        }
    }

    /// Ends the circuit's permit of a call or an attempt that is not sent: it says nothing about the service behind.
    pub(crate) fn leave_unsent_circuit(&mut self) {
        if !self.started || self.circuit_in(breaker::Scope::Attempt) {
            self.leave_circuit(Outcome::Ignored, None);
        }
    }

    /// Ends the circuit's permit as an answer says.
    #[inline]
    pub(crate) fn judge_circuit(&mut self, verdict: &Verdict) {
        if self.circuit.is_some() {
            let outcome = self.breaker().outcome(verdict);
            self.leave_circuit(outcome, verdict.class.retry_after());
        }
    }

    /// Whether the circuit is open, so that a retry would call what it is meant to protect.
    pub(crate) fn circuit_forbids_retry(&self, now: Timestamp) -> bool {
        match self.settings.circuit {
            None => false,
            Some(_) if self.shadows(Stage::CircuitBreaker) => false,
            Some(breaker::Scope::Attempt) => self.breaker().peek(now).is_err(),
            // The call itself may be the half-open circuit's probe, and goes on then.
            Some(breaker::Scope::Call) => {
                matches!(self.breaker().state(now), breaker::State::Open | breaker::State::ForcedOpen)
            }
        }
    }
}
