//! What a body that decides the outcome of its call carries: the places that the call holds, the judge of its frames, and a timer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use pin_project::pin_project;
use tower_rampart_core::{Class, Timestamp, Verdict, rejection::TimeoutKind};

use super::{BodyError, FrameJudge};
use crate::{
    clock,
    pipeline::{Held, Reserved},
    timer::Timer,
};

/// Watches one body until its end.
#[pin_project]
pub(super) struct Watch {
    ending: Ending,
    #[pin]
    timer: Timer,
    /// The longest silence.
    stall: Option<Duration>,
    /// When the body must have ended.
    until: Option<Timestamp>,
    /// Since when the reader waits for a frame; a reader that does something else is no silence.
    waiting_since: Option<Timestamp>,
}

/// What is still open of a call.
enum Open {
    /// All that it holds: its body decides the outcome.
    Call(Held),
    /// Only the tokens that it had reserved.
    Tokens(Reserved),
}

/// What is ended once, and how. Dropped, the reader has gone.
struct Ending {
    open: Option<Open>,
    judge: FrameJudge,
    /// Whether code of the inner body runs now: a panic in it is a failure.
    inside: bool,
}

impl Watch {
    pub(super) fn new(held: Held, judge: FrameJudge) -> Self {
        let (stall, until) = judge.times(&held);
        let ending = Ending { open: Some(Open::Call(held)), judge, inside: false };
        Self { ending, timer: Timer::new(), stall, until, waiting_since: None }
    }

    /// Watches a body only for the tokens that it says were used: it may take as long as it likes.
    pub(super) fn counting(reserved: Reserved, judge: FrameJudge) -> Self {
        let ending = Ending { open: Some(Open::Tokens(reserved)), judge, inside: false };
        Self { ending, timer: Timer::new(), stall: None, until: None, waiting_since: None }
    }

    /// Whether the time was over before the reader asked again.
    pub(super) fn is_overdue(&self) -> bool {
        self.waiting_since.is_none() && self.until.is_some_and(|until| clock::now() >= until)
    }

    pub(super) fn enter(self: Pin<&mut Self>) {
        self.project().ending.inside = true;
    }

    pub(super) fn leave(self: Pin<&mut Self>) {
        self.project().ending.inside = false;
    }

    /// Takes note of a frame; says whether it is the last.
    pub(super) fn saw(self: Pin<&mut Self>, frame: &Frame<Bytes>) -> bool {
        let this = self.project();
        *this.waiting_since = None;
        this.ending.judge.saw(frame)
    }

    /// Ready once nothing came for too long, or the time of the call is over.
    pub(super) fn poll_time(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TimeoutKind> {
        let this = self.project();
        let (stall, until) = (*this.stall, *this.until);
        let since = *this.waiting_since.get_or_insert_with(clock::now);
        let stalled = stall.map(|stall| (since.after(stall), TimeoutKind::Attempt));
        let over = until.map(|until| (until, TimeoutKind::Total));
        let first = stalled.into_iter().chain(over).min_by_key(|(at, _)| *at);
        let Some((at, kind)) = first else { return Poll::Pending };
        ready!(this.timer.poll_until(cx, at));
        Poll::Ready(kind)
    }

    /// The body has ended.
    pub(super) fn finish(self: Pin<&mut Self>) {
        let ending = self.project().ending;
        let verdict = ending.judge.end();
        ending.end(&verdict);
    }

    /// The body has failed.
    pub(super) fn fail(self: Pin<&mut Self>, error: &BodyError) {
        let ending = self.project().ending;
        let verdict = ending.judge.error(error);
        ending.end(&verdict);
    }

    /// The reader has waited for too long.
    pub(super) fn expire(mut self: Pin<Box<Self>>, kind: TimeoutKind) -> Result<Frame<Bytes>, BodyError> {
        let stall = self.stall.unwrap_or_default();
        let ending = self.as_mut().project().ending;
        let held = ending.held();
        // A stream goes on for as long as it likes: only its caller may have bounded it, which says nothing about the service.
        let is_callers = kind == TimeoutKind::Total && ending.judge.is_stream();
        let rejection = if is_callers { held.overdue(kind) } else { held.timed_out(kind) };
        held.finish(&rejection.verdict());
        ending.judge.cut_short(&rejection).ok_or(match kind {
            TimeoutKind::Attempt => BodyError::Stalled { after: stall },
            _ => BodyError::TimedOut(rejection),
        })
    }

    /// The reader has come back too late: what the service had to say is not known.
    pub(super) fn abandon(mut self: Pin<Box<Self>>) -> Result<Frame<Bytes>, BodyError> {
        let ending = self.as_mut().project().ending;
        let held = ending.held();
        let rejection = held.overdue(TimeoutKind::Total);
        ending.judge.cut_short(&rejection).ok_or(BodyError::TimedOut(rejection))
    }
}

impl Ending {
    /// What a call holds whose time is over.
    fn held(&mut self) -> Held {
        self.count();
        match self.open.take() {
            Some(Open::Call(held)) => held,
            _ => unreachable!("a watch is ended once, and only a call has a time"),
        }
    }

    /// Notes the tokens that were used.
    fn count(&mut self) {
        let Some(tokens) = self.judge.usage() else { return };
        match &mut self.open {
            Some(Open::Call(held)) => held.used(tokens),
            Some(Open::Tokens(reserved)) => reserved.used(tokens),
            None => {}
        }
    }

    fn end(&mut self, verdict: &Verdict) {
        self.count();
        match self.open.take() {
            Some(Open::Call(held)) => held.finish(verdict),
            Some(Open::Tokens(reserved)) => reserved.settle(verdict),
            None => {}
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.inside {
            self.end(&Verdict::new(Class::Transient));
        } else if let Some(failure) = self.judge.failure() {
            // Whoever is told of an error within a stream reads no further.
            self.end(&failure);
        }
        self.count();
    }
}
