//! The future of a retried call.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Class, Classify, RequestInfo, Timestamp,
    retry::{Attempts, Decision},
};
use tower_service::Service;

use super::{CloneRequest, Shared};
use crate::{UnderRetry, clock, payment::Payment, timer::Timer};

/// The response of a [`Retry`](super::Retry).
///
/// # Cancel safety
/// Dropping it drops the attempt in flight; a retry that was paid for and not begun is refunded. A dropped call is never sent again.
#[pin_project]
pub struct ResponseFuture<S, Req, C, K>
where
    S: Service<Req>,
{
    shared: Arc<Shared<C, K>>,
    service: S,
    /// The request of the next attempt, while one is possible.
    spare: Option<Req>,
    /// The last real error, which comes back where the attempt after it is refused by a stage further in.
    failure: Option<S::Error>,
    /// Whether the attempt before was refused by a stage further in.
    is_refused: bool,
    info: RequestInfo,
    attempts: Attempts,
    deadline: Option<Timestamp>,
    #[pin]
    state: State<S::Future, Result<S::Response, S::Error>>,
    #[pin]
    timer: Timer,
}

#[pin_project(project = StateProjection)]
enum State<F, T> {
    // Calling => Waiting: the answer is worth another try, and it is allowed
    Calling(#[pin] F),
    // Waiting => Readying: the wait is over
    Waiting { until: Timestamp, last: Option<T>, payment: Payment },
    // Readying => Calling: the service is ready for another attempt
    Readying { last: Option<T>, payment: Payment },
}

impl<S, Req, C, K> ResponseFuture<S, Req, C, K>
where
    S: Service<Req>,
{
    pub(crate) fn new(
        shared: Arc<Shared<C, K>>,
        service: S,
        future: S::Future,
        spare: Option<Req>,
        info: RequestInfo,
        attempts: Attempts,
        deadline: Option<Timestamp>,
    ) -> Self {
        let state = State::Calling(future);
        let (failure, is_refused) = (None, false);
        Self { shared, service, spare, failure, is_refused, info, attempts, deadline, state, timer: Timer::new() }
    }
}

impl<S, Req, C, K> Future for ResponseFuture<S, Req, C, K>
where
    S: Service<Req>,
    C: Classify<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Calling(future) => {
                    let result = ready!(future.poll(cx));
                    let verdict = this.shared.classifier.classify(this.info, result.as_ref());
                    let is_refusal = verdict.class == Class::Ignored && verdict.unprocessed;
                    let may_repeat = this.attempts.may_retry() && verdict.is_retryable();
                    if may_repeat && !this.spare.as_ref().is_some_and(|it| this.shared.cloner.can_send(it)) {
                        // The request could not be kept: it was sent once.
                        return Poll::Ready(result);
                    }
                    let budget = &this.shared.budget;
                    match this.attempts.decide(&verdict, this.info, clock::now, *this.deadline, Some(budget)) {
                        Decision::Accept => return Poll::Ready(result),
                        Decision::Stop(_) => {
                            let failure = if is_refusal { this.failure.take() } else { None };
                            return Poll::Ready(failure.map_or(result, Err));
                        }
                        Decision::Wait(wait, withdrawal) => {
                            *this.is_refused = is_refusal;
                            let payment = Payment::new(budget, withdrawal);
                            let until = clock::now().after(wait);
                            this.state.set(State::Waiting { until, last: Some(result), payment });
                        }
                    }
                }
                StateProjection::Waiting { until, last, payment } => {
                    ready!(this.timer.as_mut().poll_until(cx, *until));
                    if !this.spare.as_ref().is_some_and(|it| this.shared.cloner.can_send(it)) {
                        // More of the request went by, while the call waited, than is kept.
                        drop(mem::take(payment));
                        let last = last.take().expect("the last answer is kept until the next attempt begins");
                        let failure = if *this.is_refused { this.failure.take() } else { None };
                        return Poll::Ready(failure.map_or(last, Err));
                    }
                    let (last, payment) = (last.take(), mem::take(payment));
                    this.state.set(State::Readying { last, payment });
                }
                StateProjection::Readying { last, payment } => {
                    ready!(this.service.poll_ready(cx))?;
                    let Some(mut request) = this.spare.take() else {
                        let last = last.take().expect("the last answer is kept until the next attempt begins");
                        return Poll::Ready(last);
                    };
                    payment.spend();
                    // The last answer's body, if it has one, is dropped before the next attempt.
                    let error = last.take().and_then(Result::err);
                    if !*this.is_refused {
                        // A refusal is no real error: the one before it stays.
                        *this.failure = error;
                    }
                    if this.attempts.may_retry() {
                        *this.spare = this.shared.cloner.clone_request(&request);
                    }
                    this.shared.cloner.stamp(&mut request, this.attempts.attempt(), || None);
                    // A harmful request is sent again only where nothing was processed, so that nobody can promise another attempt.
                    // Who leaves the retries to the sender does not come here.
                    this.shared.cloner.mark(&mut request, UnderRetry(this.attempts.may_repeat(this.info)));
                    let future = this.service.call(request);
                    this.state.set(State::Calling(future));
                }
            }
        }
    }
}

impl<S, Req, C, K> fmt::Debug for ResponseFuture<S, Req, C, K>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("retry::ResponseFuture").field("attempt", &self.attempts.attempt()).finish_non_exhaustive()
    }
}
