//! What one call through the pipeline holds, and how it is given back however the call ends. How it asks the stages is in `circuit`, `concurrency` and `rate`.

use std::{mem, sync::Arc, time::Duration};

use tower_rampart_core::{
    Class, ClassKind, Outcome, Rejection, RequestInfo, Stage, Timestamp, Verdict, breaker, concurrency,
    rejection::{Name, TimedOut, TimeoutKind},
    retry::{Attempts, StopReason},
};

use super::{
    Held, Report, Shared,
    account::Account,
    held::{Head, Span},
    keys::CallKeys,
    rate::RateHeld,
    settings::CallSettings,
    state::Answer,
    switches,
};
use crate::{clock, error::Error};

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was taken or counted.
    Unpolled,
    /// It is under way.
    Begun,
    /// It has its answer, and holds nothing.
    Done,
}

/// The permits, tickets and accounts of one call. Dropped early, it ends them all.
#[derive(Debug)]
pub(crate) struct Call<J, K, A, R> {
    pub(crate) shared: Arc<Shared<J, K, A, R>>,
    pub(crate) phase: Phase,
    /// The configuration that this call runs on from its first to its last poll.
    pub(crate) settings: CallSettings,
    pub(crate) info: RequestInfo,
    pub(crate) began: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) attempts: Attempts,
    pub(super) attempt_began: Timestamp,
    /// When the attempt in flight has to end, or would have to if the timeouts were not in shadow, and which limit that is.
    pub(crate) attempt_until: Option<(Timestamp, TimeoutKind)>,
    pub(crate) explain: Account,
    /// The machines that it asks in the place of its operation's, where these are kept by key.
    pub(super) keys: Option<Box<CallKeys>>,
    pub(super) rate: RateHeld,
    pub(super) queue_ticket: Option<concurrency::Ticket>,
    pub(super) permit: Option<concurrency::Permit>,
    /// The circuit's permit, of the call or of the attempt in flight, as its scope says.
    pub(super) circuit: Option<breaker::Permit>,
    /// How often stages were switched when the call took its settings.
    pub(super) switches: u32,
    /// Whether a preflight has admitted the call, whatever is switched since.
    pub(super) is_admitted: bool,
    /// Whether the call was counted as admitted and must be counted as ended.
    pub(super) started: bool,
    /// Whether code of the inner service runs now: a panic in it is a failure.
    inside: bool,
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// A call that has not begun.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the call is then put together where it stays")]
    pub(crate) fn unpolled(shared: Arc<Shared<J, K, A, R>>) -> Self {
        Self {
            phase: Phase::Unpolled,
            settings: CallSettings::NONE,
            info: RequestInfo::default(),
            began: Timestamp::ZERO,
            deadline: None,
            attempts: Attempts::once(),
            attempt_began: Timestamp::ZERO,
            attempt_until: None,
            explain: Account::default(),
            keys: None,
            rate: RateHeld::default(),
            queue_ticket: None,
            permit: None,
            circuit: None,
            started: false,
            inside: false,
            switches: 0,
            is_admitted: false,
            shared,
        }
    }

    /// The call begins, under the configuration of this moment.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what it takes is then written where it stays")]
    pub(crate) fn begin(&mut self, info: RequestInfo, now: Timestamp) {
        let (switches, settings, attempts) = switches::taken(&self.shared.machines);
        self.switches = switches;
        self.settings = settings;
        self.attempts = attempts;
        self.info = info;
        self.began = now;
        self.deadline = settings.timeout.deadline(now, info.time_left);
        self.attempt_began = now;
        self.phase = Phase::Begun;
    }

    /// The call has its answer, and what it held was given back.
    #[inline]
    pub(crate) fn done(&mut self) {
        self.return_keys();
        self.phase = Phase::Done;
    }

    pub(crate) fn name(&self) -> Name {
        Name::clone(self.shared.machines.operation.name())
    }

    /// Counts a wait in a queue.
    #[cold]
    pub(crate) fn queued(&mut self, since: Timestamp, now: Timestamp) {
        let wait = now.since(since);
        self.explain.queued_for(wait);
        self.shared.machines.operation.queued_for(wait);
    }

    /// The end of the time, as an error.
    #[cold]
    pub(crate) fn timed_out(&self, kind: TimeoutKind) -> Rejection {
        self.shared.machines.operation.timed_out(kind);
        let total = || self.deadline.map_or(Duration::ZERO, |deadline| deadline.since(self.began));
        let limit = match kind {
            TimeoutKind::Attempt => self.settings.timeout.attempt().unwrap_or_else(total),
            _ => total(),
        };
        TimedOut::new(self.name(), kind, limit).into()
    }

    /// An attempt begins: sets its end, and counts the call as admitted if it is the first.
    pub(crate) fn begin_attempt(&mut self, now: Timestamp) {
        self.attempt_began = now;
        let attempt = self.settings.timeout.attempt().map(|limit| (now.after(limit), TimeoutKind::Attempt));
        let total = self.deadline.map(|deadline| (deadline, TimeoutKind::Total));
        self.attempt_until = match (attempt, total) {
            (Some(attempt), Some(total)) => Some(if attempt.0 < total.0 { attempt } else { total }),
            (limit, None) | (None, limit) => limit,
        };
        if self.shadows(Stage::Timeout) {
            self.attempt_until = self.would_end(now);
        }
        if self.started {
            self.shared.machines.operation.retried();
        } else {
            self.started = true;
            self.shared.machines.operation.started();
            self.shared.machines.budget.deposit();
        }
        self.use_rate();
        self.explain.attempts += 1;
    }

    /// Whether the time of the whole call is over.
    pub(crate) fn is_past_deadline(&self) -> bool {
        self.deadline.is_some_and(|deadline| clock::now() >= deadline)
    }

    /// When the attempt in flight has to end.
    pub(crate) fn attempt_ends(&self) -> Option<Timestamp> {
        if self.shadows(Stage::Timeout) { self.deadline } else { self.attempt_until.map(|(at, _)| at) }
    }

    /// The end of the attempt's time, as an error.
    #[cold]
    pub(crate) fn attempt_timed_out(&self) -> Rejection {
        self.record_timeout();
        let kind = self.attempt_until.map_or(TimeoutKind::Attempt, |(_, kind)| kind);
        // In shadow only what the request itself states ends an attempt.
        self.timed_out(if self.shadows(Stage::Timeout) { TimeoutKind::Total } else { kind })
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
    pub(crate) fn refused(&mut self, rejection: &Rejection) {
        let stage = rejection.stage();
        self.explain.rejected_by = Some(stage);
        self.shared.machines.operation.rejected(stage);
        self.shared.machines.operation.sample_rejection(rejection, clock::now());
    }

    /// Counts why there is no further attempt.
    pub(crate) fn stopped(&mut self, reason: StopReason) {
        self.explain.stopped_by = Some(reason);
        self.shared.machines.operation.stopped(reason);
    }

    /// Gives back what a call holds while it is in the pipeline; its fallback holds nothing.
    pub(crate) fn release(&mut self) {
        self.release_rate();
        self.release_permit();
    }

    /// Whether an answer that was judged so decides the outcome only when it has ended.
    pub(crate) fn is_undecided(&self, verdict: &Verdict) -> bool {
        self.goes_on() && verdict.class == Class::Success
    }

    /// Whether the call was made, its answer is the service's own, and what it holds may stay with that answer.
    pub(crate) fn may_hold(&self) -> bool {
        self.goes_on() && self.started && self.explain.fallback().is_none()
    }

    /// Whether an answer may go on after its head, by the configuration or by the protocol of the request.
    fn goes_on(&self) -> bool {
        self.settings.may_hold || self.info.ends_with_body
    }

    /// What the call holds goes over to its answer, of which this is the verdict on the head. Nothing of it is left here.
    pub(crate) fn hold(&mut self, verdict: &Verdict) -> Held {
        let decided = (!self.is_undecided(verdict)).then_some(*verdict);
        if decided.is_some() {
            self.judge_circuit(verdict);
        }
        self.started = false;
        let machines = Arc::clone(&self.shared.machines);
        let reserved = self.reserved();
        let circuit = self.circuit.take().map(|permit| (Arc::clone(self.breaker()), permit));
        let permit = self.permit.take().map(|permit| (Arc::clone(self.limiter()), permit));
        Held::new(machines, circuit, permit, reserved, decided, &self.info, self.held_for())
    }

    fn held_for(&self) -> Span {
        Span {
            began: self.began,
            deadline: self.deadline,
            stall: self.settings.timeout.attempt(),
            attempts: self.explain.attempts,
            outcome_at: self.settings.outcome_at,
            head: self.settings.adaptive.then(|| Head {
                began: self.attempt_began,
                ended: clock::now(),
                granted: self.settings.timeout.shorter(),
            }),
        }
    }

    /// Counts the end of the call and reports it.
    pub(super) fn settle<Res, E>(
        &mut self,
        result: &mut Answer<Res, E>,
        verdict: &Verdict,
        name: impl FnOnce(&A, usize) -> Option<Name>,
    ) where
        R: Report<Res, Error<E>>,
    {
        self.finish(verdict.class.kind());
        if self.shared.report_all || self.explain.is_remarkable() {
            let account = mem::take(&mut self.explain);
            let name = account.fallback().and_then(|tried| name(&self.shared.answer, tried));
            self.shared.report.report(account.explain(verdict, name), result);
        }
    }

    /// The call ends with an answer that was judged so.
    pub(crate) fn finish(&mut self, class: ClassKind) {
        if mem::take(&mut self.started) {
            let now = clock::now();
            let operation = &self.shared.machines.operation;
            operation.attempts(self.explain.attempts);
            operation.finished(outcome(class), class, now.since(self.began), now);
        }
    }
}

/// How the registry counts a class: an answer that blames the request is an answer.
pub(super) fn outcome(class: ClassKind) -> Outcome {
    match class {
        ClassKind::Success | ClassKind::Permanent => Outcome::Success,
        ClassKind::Transient | ClassKind::RateLimited | ClassKind::Unavailable => Outcome::Failure,
        ClassKind::Ignored => Outcome::Ignored,
    }
}

impl<J, K, A, R> Drop for Call<J, K, A, R> {
    #[inline]
    fn drop(&mut self) {
        if self.phase == Phase::Begun {
            self.end_early();
        }
    }
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Dropped under way, it gives everything back.
    #[cold]
    fn end_early(&mut self) {
        let outcome = match (self.inside, self.started) {
            (true, _) => Outcome::Failure,
            (false, true) => Outcome::Abandoned,
            // Nothing was sent: this says nothing about the service behind.
            (false, false) => Outcome::Ignored,
        };
        self.leave_circuit(outcome, None);
        self.release();
        self.return_keys();
        if mem::take(&mut self.started) {
            if self.shadows(Stage::Timeout) {
                self.judge_time();
            }
            let now = clock::now();
            let operation = &self.shared.machines.operation;
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
