//! How a call asks the circuit, and what it tells it. What else a call holds is in `call`.

use std::time::Duration;

use tower_rampart_core::{Outcome, Rejection, Timestamp, Verdict, breaker, rejection::CircuitOpen};

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
        match self.breaker().try_acquire(now) {
            Ok(permit) => {
                self.circuit = Some(permit);
                Ok(())
            }
            Err(refused) => Err(self.circuit_open(refused)),
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
            Some(breaker::Scope::Attempt) => self.breaker().peek(now).is_err(),
            // The call itself may be the half-open circuit's probe, and goes on then.
            Some(breaker::Scope::Call) => {
                matches!(self.breaker().state(now), breaker::State::Open | breaker::State::ForcedOpen)
            }
        }
    }
}
