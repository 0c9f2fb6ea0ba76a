//! What one call through the pipeline holds, and how it is given back however the call ends.

use std::{sync::Arc, time::Duration};

use tower_rampart_core::{
    ClassKind, Outcome, Rejection, RequestInfo, Stage, Timestamp, Verdict, breaker,
    concurrency, rate,
    rejection::{CircuitOpen, Name, OverloadReason, Overloaded, RateLimited, TimedOut, TimeoutKind},
    retry::{Attempts, StopReason},
};

use super::{Explain, Shared, settings::Settings};
use crate::clock;

/// The permits, tickets and accounts of one call. Dropped early, it ends them all.
#[derive(Debug)]
pub(crate) struct Call<J, K, A, R> {
    pub(crate) shared: Arc<Shared<J, K, A, R>>,
    /// The configuration that this call runs on from its first to its last poll.
    pub(crate) settings: Settings,
    pub(crate) info: RequestInfo,
    pub(crate) began: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) attempts: Attempts,
    /// When the attempt in flight has to end, and how long it had.
    pub(crate) attempt_until: Option<(Timestamp, TimeoutKind)>,
    pub(crate) explain: Explain,
    token: bool,
    rate_ticket: Option<rate::Ticket>,
    queue_ticket: Option<concurrency::Ticket>,
    permit: Option<concurrency::Permit>,
    /// The circuit's permit, of the call or of the attempt in flight, as its scope says.
    circuit: Option<breaker::Permit>,
    /// Whether the call was counted as admitted and must be counted as ended.
    started: bool,
    /// Whether code of the inner service runs now: a panic in it is a failure.
    inside: bool,
}

impl<J, K, A, R> Call<J, K, A, R> {
    pub(crate) fn new(shared: Arc<Shared<J, K, A, R>>, info: RequestInfo, now: Timestamp) -> Self {
        let settings = shared.settings.with(|settings| *settings);
        let attempts = Attempts::new(&settings.retry, shared.seeds.next());
        Self {
            info,
            began: now,
            deadline: settings.timeout.deadline(now, info.time_left),
            attempts,
            attempt_until: None,
            explain: Explain::default(),
            token: false,
            rate_ticket: None,
            queue_ticket: None,
            permit: None,
            circuit: None,
            started: false,
            inside: false,
            settings,
            shared,
        }
    }

    pub(crate) fn name(&self) -> Name {
        Name::clone(self.shared.operation.name())
    }

    /// Whether the circuit takes its samples in `scope`.
    pub(crate) fn circuit_in(&self, scope: breaker::Scope) -> bool {
        self.settings.breaker_enabled && self.settings.breaker_scope == scope
    }

    /// Whether the rate limiter takes its tokens in `scope`.
    pub(crate) fn rate_in(&self, scope: rate::Scope) -> bool {
        self.settings.rate_enabled && self.settings.rate_scope == scope
    }

    /// Takes a permit of the circuit.
    pub(crate) fn enter_circuit(&mut self, now: Timestamp) -> Result<(), Rejection> {
        match self.shared.breaker.try_acquire(now) {
            Ok(permit) => {
                self.circuit = Some(permit);
                Ok(())
            }
            Err(refused) => Err(self.circuit_open(refused)),
        }
    }

    #[cold]
    pub(crate) fn circuit_open(&self, refused: breaker::Refused) -> Rejection {
        CircuitOpen::new(self.name(), refused.state, refused.retry_after).into()
    }

    /// Ends the circuit's permit.
    pub(crate) fn leave_circuit(&mut self, outcome: Outcome, retry_after: Option<Duration>) {
        if let Some(permit) = self.circuit.take() {
            self.shared.breaker.record(permit, outcome, retry_after, clock::now);
        }
    }

    /// Ends the circuit's permit as an answer says.
    pub(crate) fn judge_circuit(&mut self, verdict: &Verdict) {
        if self.circuit.is_some() {
            let outcome = self.shared.breaker.outcome(verdict);
            self.leave_circuit(outcome, verdict.class.retry_after());
        }
    }

    /// Whether the circuit is open, so that a retry would call what it is meant to protect.
    pub(crate) fn circuit_forbids_retry(&self, now: Timestamp) -> bool {
        if !self.settings.breaker_enabled {
            return false;
        }
        match self.settings.breaker_scope {
            breaker::Scope::Attempt => self.shared.breaker.peek(now).is_err(),
            // The call itself may be the half-open circuit's probe, and goes on then.
            breaker::Scope::Call => {
                matches!(self.shared.breaker.state(now), breaker::State::Open | breaker::State::ForcedOpen)
            }
        }
    }

    /// Takes tokens, or a place in the queue for them: `Ok(true)` if they were taken.
    pub(crate) fn enter_rate(&mut self, now: Timestamp) -> Result<bool, Rejection> {
        let limiter = &self.shared.rate;
        let admission = if self.settings.rate_waits {
            limiter.enqueue(self.info.cost, now, self.deadline)
        } else {
            limiter.try_acquire(self.info.cost, now).map(|()| rate::Admission::Granted)
        };
        match admission {
            Ok(rate::Admission::Granted) => {
                self.token = true;
                Ok(true)
            }
            Ok(rate::Admission::Queued(ticket)) => {
                self.rate_ticket = Some(ticket);
                Ok(false)
            }
            Err(exceeded) => Err(self.rate_limited(exceeded)),
        }
    }

    #[cold]
    fn rate_limited(&self, exceeded: rate::Exceeded) -> Rejection {
        let burst = self.shared.rate.config().most_at_once();
        RateLimited::new(self.name(), exceeded.reason, exceeded.retry_after, burst).into()
    }

    /// Waits for the tokens: `Err` says until when.
    pub(crate) fn poll_rate(&mut self, cx: &std::task::Context<'_>, now: Timestamp) -> Result<(), Option<Timestamp>> {
        let Some(ticket) = &self.rate_ticket else { return Ok(()) };
        match self.shared.rate.poll_ticket(ticket, cx.waker(), now) {
            rate::Turn::Granted => {
                self.rate_ticket = None;
                self.token = true;
                Ok(())
            }
            rate::Turn::WaitUntil(at) => Err(Some(self.deadline.map_or(at, |deadline| deadline.min(at)))),
            rate::Turn::Queued => Err(self.deadline),
        }
    }

    /// Takes a permit of the concurrency limiter, or a place in its queue: `Ok(true)` if it was taken.
    pub(crate) fn enter_concurrency(&mut self) -> Result<bool, Rejection> {
        let limiter = &self.shared.concurrency;
        if let Ok(permit) = limiter.try_acquire() {
            self.permit = Some(permit);
            return Ok(true);
        }
        match limiter.enqueue() {
            Ok(concurrency::Admission::Granted(permit)) => {
                self.permit = Some(permit);
                Ok(true)
            }
            Ok(concurrency::Admission::Queued(ticket)) => {
                self.queue_ticket = Some(ticket);
                Ok(false)
            }
            Err(_) => Err(self.overloaded(OverloadReason::QueueFull)),
        }
    }

    #[cold]
    pub(crate) fn overloaded(&self, reason: OverloadReason) -> Rejection {
        Overloaded::new(self.name(), reason, self.shared.concurrency.max_inflight(), None).into()
    }

    /// Whether the permit that was waited for is there.
    pub(crate) fn poll_concurrency(&mut self, cx: &std::task::Context<'_>) -> bool {
        let Some(ticket) = self.queue_ticket.take() else { return true };
        match self.shared.concurrency.poll_ticket(ticket, cx.waker()) {
            Ok(permit) => {
                self.permit = Some(permit);
                true
            }
            Err(ticket) => {
                self.queue_ticket = Some(ticket);
                false
            }
        }
    }

    /// The end of the time, as an error.
    #[cold]
    pub(crate) fn timed_out(&self, kind: TimeoutKind) -> Rejection {
        self.shared.operation.timed_out(kind);
        let total = || self.deadline.map_or(Duration::ZERO, |deadline| deadline.since(self.began));
        let limit = match kind {
            TimeoutKind::Attempt => self.settings.timeout.attempt.unwrap_or_else(total),
            _ => total(),
        };
        TimedOut::new(self.name(), kind, limit).into()
    }

    /// An attempt begins: sets its end, and counts the call as admitted if it is the first.
    pub(crate) fn begin_attempt(&mut self, now: Timestamp) {
        let attempt = self.settings.timeout.attempt.map(|limit| (now.after(limit), TimeoutKind::Attempt));
        let total = self.deadline.map(|deadline| (deadline, TimeoutKind::Total));
        self.attempt_until = match (attempt, total) {
            (Some(attempt), Some(total)) => Some(if attempt.0 < total.0 { attempt } else { total }),
            (limit, None) | (None, limit) => limit,
        };
        if !self.started {
            self.started = true;
            self.shared.operation.started();
            self.shared.budget.deposit();
        }
        self.explain.attempts += 1;
    }

    /// Runs code of the inner service: a panic in it is a failure.
    pub(crate) fn inside<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.inside = true;
        let result = run();
        self.inside = false;
        result
    }

    /// Counts a refusal.
    #[cold]
    pub(crate) fn refused(&mut self, rejection: &Rejection, now: Timestamp) {
        let stage = rejection.stage();
        self.explain.rejected_by = Some(stage);
        self.shared.operation.rejected(stage);
        self.shared.operation.sample_rejection(rejection, now);
    }

    /// Counts why there is no further attempt.
    pub(crate) fn stopped(&mut self, reason: StopReason) {
        self.explain.stopped_by = Some(reason);
        self.shared.operation.stopped(reason);
    }

    /// Gives back what a call holds while it is in the pipeline; its fallback holds nothing.
    pub(crate) fn release(&mut self) {
        if let Some(ticket) = self.rate_ticket.take() {
            self.shared.rate.cancel(ticket, clock::now());
        }
        if let Some(ticket) = self.queue_ticket.take() {
            self.shared.concurrency.cancel(ticket);
        }
        if self.token && !self.started {
            // Refused or dropped before anything was sent: the tokens were not used.
            self.shared.rate.give_back(self.info.cost, clock::now());
        }
        self.token = false;
        if let Some(permit) = self.permit.take() {
            self.shared.concurrency.release(permit);
        }
    }

    /// Gives an attempt's tokens back, because the attempt is not made.
    pub(crate) fn return_token(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.token) {
            self.shared.rate.give_back(self.info.cost, now);
        }
    }

    /// The tokens are used up.
    pub(crate) fn spend_token(&mut self) {
        if self.settings.rate_scope == rate::Scope::Attempt {
            self.token = false;
        }
    }

    /// The call ends with an answer that was judged so.
    pub(crate) fn finish(&mut self, class: ClassKind) {
        if std::mem::take(&mut self.started) {
            let now = clock::now();
            let operation = &self.shared.operation;
            operation.attempts(self.explain.attempts);
            operation.finished(outcome(class), class, now.since(self.began), now);
        }
    }

    pub(crate) fn rejected_by(&self) -> Option<Stage> {
        self.explain.rejected_by
    }
}

/// How the registry counts a class: an answer that blames the request is an answer.
fn outcome(class: ClassKind) -> Outcome {
    match class {
        ClassKind::Success | ClassKind::Permanent => Outcome::Success,
        ClassKind::Transient | ClassKind::RateLimited | ClassKind::Unavailable => Outcome::Failure,
        ClassKind::Ignored => Outcome::Ignored,
    }
}

impl<J, K, A, R> Drop for Call<J, K, A, R> {
    fn drop(&mut self) {
        let outcome = if self.inside { Outcome::Failure } else { Outcome::Abandoned };
        self.leave_circuit(outcome, None);
        self.release();
        if std::mem::take(&mut self.started) {
            let now = clock::now();
            let operation = &self.shared.operation;
            operation.attempts(self.explain.attempts);
            if self.inside {
                operation.finished(Outcome::Failure, ClassKind::Transient, now.since(self.began), now);
            } else {
                operation.stopped(StopReason::Cancelled);
                operation.abandoned(now);
            }
        }
    }
}
