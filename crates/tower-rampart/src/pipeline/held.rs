//! What a call still holds when the head of its answer is on its way: it lives in the body of the answer, and ends with it.

use std::{fmt, sync::Arc, time::Duration};

use tower_rampart_config::OutcomeAt;
use tower_rampart_core::{
    Outcome, Rejection, RequestInfo, Timestamp, Verdict,
    breaker::{self, Breaker},
    concurrency::{self, Ended, Limiter, Sample},
    rate,
    rejection::{Name, TimedOut, TimeoutKind},
    retry::StopReason,
};

use super::{Machines, Reserved, call::outcome};
use crate::clock;

/// The places that a call still takes, in flight and in the circuit, while its answer goes on after its head.
///
/// Handed to [`Report::hold`](super::Report::hold), which puts it into the body of the answer. It is ended once, by [`Held::finish`]; an answer that
/// is dropped before has been abandoned by its reader, unless its head had already decided the outcome.
///
/// # Cancel safety
/// Dropping it gives back everything and counts the call.
pub struct Held {
    machines: Arc<Machines>,
    /// With the circuit that gave it: the operation's, or that of its key.
    circuit: Option<(Arc<Breaker>, breaker::Permit)>,
    /// With the limiter that gave it.
    permit: Option<(Arc<Limiter>, concurrency::Permit)>,
    /// The tokens of a model API, where any were reserved.
    reserved: Option<Reserved>,
    /// What the head decided; `None`: the end decides.
    decided: Option<Verdict>,
    stated: Option<Timestamp>,
    span: Span,
    is_over: bool,
}

/// The times of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) began: Timestamp,
    pub(super) deadline: Option<Timestamp>,
    pub(super) stall: Option<Duration>,
    pub(super) attempts: u32,
    pub(super) outcome_at: OutcomeAt,
    /// What the head was like, where that moves a limit.
    pub(super) head: Option<Head>,
}

/// What moves a limit of an attempt whose head is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// When it was sent, and when its head came.
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    /// The time that the configuration grants an attempt.
    pub(super) granted: Option<Duration>,
}

impl Held {
    pub(super) fn new(
        machines: Arc<Machines>,
        circuit: Option<(Arc<Breaker>, breaker::Permit)>,
        permit: Option<(Arc<Limiter>, concurrency::Permit)>,
        reserved: rate::Receipt,
        decided: Option<Verdict>,
        info: &RequestInfo,
        span: Span,
    ) -> Self {
        let stated = info.time_left.map(|left| span.began.after(left));
        let reserved = Reserved::new(&machines, reserved);
        Self { machines, circuit, permit, reserved, decided, stated, span, is_over: false }
    }

    /// Whether tokens of a model API were reserved, so that somebody wants to know how many were used.
    pub fn wants_usage(&self) -> bool {
        self.reserved.is_some()
    }

    /// Notes how many tokens the call has used, its request included; the last word counts. Settled at the end: what was reserved too much
    /// comes back if the call succeeds, what was too little is owed, up to the tokens of an hour.
    pub fn used(&mut self, tokens: u32) {
        if let Some(reserved) = &mut self.reserved {
            reserved.used(tokens);
        }
    }

    /// Keeps the tokens apart from the rest, which may then end before them.
    #[cfg(feature = "http")]
    pub(crate) fn split_reserved(&mut self) -> Option<Reserved> {
        self.reserved.take()
    }

    /// The operation.
    pub fn name(&self) -> &Name {
        self.machines.operation.name()
    }

    /// When the outcome is known, as the configuration says: what ends with its head by that may be given back, what is a stream by its protocol
    /// is kept all the same.
    pub fn outcome_at(&self) -> OutcomeAt {
        self.span.outcome_at
    }

    /// Whether the head has decided the outcome: then only the places are held until the body has ended.
    pub fn is_decided(&self) -> bool {
        self.decided.is_some()
    }

    /// When the whole call must have ended, its body included.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.span.deadline
    }

    /// When the whole call must have ended by what the request itself stated.
    pub fn stated_deadline(&self) -> Option<Timestamp> {
        self.stated
    }

    /// The longest silence between two pieces of the body: the time that an attempt has.
    pub fn stall(&self) -> Option<Duration> {
        self.span.stall
    }

    /// The end of the time as a rejection, counted, and a drop for a limit that moves; end the call with its [verdict](Rejection::verdict).
    pub fn timed_out(&self, kind: TimeoutKind) -> Rejection {
        self.record_timeout();
        self.overdue(kind)
    }

    /// Tells a limit that moves that the service has run out of time, by the rule for attempts: at least half of what the configuration grants must have passed.
    fn record_timeout(&self) {
        let now = clock::now();
        if let (Some(head), Some((limiter, _)), None) = (self.span.head, &self.permit, self.decided)
            && head.granted.is_some_and(|granted| now.since(head.began) >= granted / 2)
        {
            limiter.record(&Sample::dropped(head.began, now), now);
        }
    }

    /// The end of the time as a rejection, counted, where it says nothing about the service.
    pub(crate) fn overdue(&self, kind: TimeoutKind) -> Rejection {
        self.machines.operation.timed_out(kind);
        let limit = match kind {
            TimeoutKind::Attempt => self.span.stall,
            _ => self.span.deadline.map(|deadline| deadline.since(self.span.began)),
        };
        TimedOut::new(Name::clone(self.name()), kind, limit.unwrap_or_default()).into()
    }

    /// The answer has ended and was judged so; what its head decided stands.
    pub fn finish(mut self, verdict: &Verdict) {
        let verdict = self.decided.unwrap_or(*verdict);
        self.end(Some(&verdict));
    }

    fn end(&mut self, verdict: Option<&Verdict>) {
        self.is_over = true;
        if let Some((breaker, permit)) = self.circuit.take() {
            let outcome = verdict.map_or(Outcome::Abandoned, |verdict| breaker.outcome(verdict));
            breaker.record(permit, outcome, verdict.and_then(|it| it.class.retry_after()), clock::now);
        }
        let (operation, now) = (&self.machines.operation, clock::now());
        if let Some((limiter, permit)) = self.permit.take() {
            // How long the head took, judged by the end: a body is as long as it is, whatever the load.
            if let (Some(Head { began, ended, .. }), Some(verdict), None) = (self.span.head, verdict, self.decided)
                && let Some(how) = Ended::of(verdict)
            {
                limiter.record(&Sample { began, ended, how }, now);
            }
            limiter.release(permit);
        }
        if let (Some(reserved), Some(verdict)) = (self.reserved.take(), verdict) {
            reserved.settle(verdict);
        }
        operation.attempts(self.span.attempts);
        if let Some(verdict) = verdict {
            if self.decided.is_none()
                && let Some(class) = verdict.provider_class
            {
                operation.provider_error(class);
            }
            let class = verdict.class.kind();
            operation.finished(outcome(class), class, now.since(self.span.began), now);
        } else {
            operation.stopped(StopReason::Cancelled);
            operation.abandoned(now);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_over {
            let decided = self.decided;
            self.end(decided.as_ref());
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("operation", self.name()).finish_non_exhaustive()
    }
}
