//! The future of a call through the pipeline: one walk through all stages, with one timer and one configuration.

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
    Outcome, Rejection, Timestamp, breaker, rate,
    rejection::{OverloadReason, TimeoutKind},
    retry::{Decision, StopReason},
};
use tower_service::Service;

use super::{
    Judge, Report, Shared,
    call::Call,
    judge::judge,
};
use crate::{
    clock,
    error::{Error, FallbackFailed},
    fallback::{Fallback, Fault, Walk},
    retry::{CloneRequest, future::Payment},
    timer::Timer,
};

/// The response of a [`Resilience`](super::Resilience) service.
///
/// Nothing is taken or counted before it is polled for the first time.
///
/// # Cancel safety
/// Dropping it at any point gives back every permit, place in a queue, probe slot and retry that was paid for and not begun;
/// tokens are given back if nothing was sent. The circuit and the registry count the call as abandoned.
#[pin_project]
pub struct ResponseFuture<S, Req, J, K, A, R>
where
    S: Service<Req>,
    J: Judge<Req, S::Response, S::Error>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
{
    /// First, so that the inner service's future is dropped before the permits are given back.
    #[pin]
    state: State<S::Future, A::Future, S::Response, J::Error>,
    #[pin]
    timer: Timer,
    service: S,
    /// The request that is sent next.
    request: Option<Req>,
    walk: Walk<Req>,
    call: Lazy<J, K, A, R>,
}

/// A call begins when it is polled.
enum Lazy<J, K, A, R> {
    Unpolled(Arc<Shared<J, K, A, R>>),
    Begun(Call<J, K, A, R>),
    Done,
}

type Answer<Res, E> = Result<Res, Error<E>>;

#[pin_project(project = StateProjection)]
enum State<F, G, Res, E> {
    /// Nothing happened yet.
    Start,
    // Start => RateQueue: the tokens are not there, and the call may wait
    RateQueue { since: Timestamp },
    // Start | RateQueue => PermitQueue: all permits are taken, and the call may wait
    PermitQueue { since: Timestamp, until: Option<(Timestamp, Rejection)> },
    // … => Beginning: the call was admitted, or the wait before a retry is over
    Beginning { last: Option<Answer<Res, E>> },
    // Beginning => AttemptRateQueue: the attempt's tokens are not there, and it may wait
    AttemptRateQueue { since: Timestamp, last: Option<Answer<Res, E>> },
    // Beginning => Readying: the attempt was admitted
    Readying { last: Option<Answer<Res, E>> },
    // Readying => Calling: the service is ready
    Calling(#[pin] F),
    // Calling => Waiting: the answer is worth another try, and it is allowed
    Waiting { until: Timestamp, last: Option<Answer<Res, E>>, payment: Payment },
    // … => Falling: the answer is a fault, and the fallback answers for it
    Falling { #[pin] future: G, original: Option<Arc<Error<E>>> },
}

/// What a step of the walk comes to.
enum Step<F, G, Res, E> {
    /// Go on in this state.
    Go(State<F, G, Res, E>),
    /// The service behind, or a stage in its stead, has answered.
    Answered(Answer<Res, E>),
}

impl<S, Req, J, K, A, R> ResponseFuture<S, Req, J, K, A, R>
where
    S: Service<Req>,
    J: Judge<Req, S::Response, S::Error>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
{
    pub(crate) fn new(service: S, request: Req, shared: Arc<Shared<J, K, A, R>>) -> Self {
        Self {
            state: State::Start,
            timer: Timer::new(),
            service,
            request: Some(request),
            walk: Walk::new(None),
            call: Lazy::Unpolled(shared),
        }
    }
}

impl<S, Req, J, K, A, R> Future for ResponseFuture<S, Req, J, K, A, R>
where
    S: Service<Req>,
    J: Judge<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
    R: Report<S::Response, Error<J::Error>>,
{
    type Output = Answer<S::Response, J::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Lazy::Unpolled(shared) = this.call {
            let request = this.request.as_ref().expect("the request is there until the first attempt");
            let info = shared.judge.request(request);
            let call = Call::new(Arc::clone(shared), info, clock::now());
            if call.settings.fallback.enabled && call.shared.answer.needs_request() {
                *this.walk = Walk::new(call.shared.cloner.clone_request(request));
            }
            *this.call = Lazy::Begun(call);
        }
        let Lazy::Begun(call) = this.call else { panic_after_ready() };
        loop {
            let step = match this.state.as_mut().project() {
                StateProjection::Start => enter(call),
                StateProjection::RateQueue { since } => {
                    let now = clock::now();
                    match call.poll_rate(cx, now) {
                        Ok(()) => {
                            call.explain.queued += now.since(*since);
                            enter_concurrency(call, now)
                        }
                        Err(until) => {
                            ready!(wait(this.timer.as_mut(), cx, until));
                            past_deadline(call)
                        }
                    }
                }
                StateProjection::PermitQueue { since, until } => {
                    if call.poll_concurrency(cx) {
                        let now = clock::now();
                        call.explain.queued += now.since(*since);
                        enter_circuit(call, now)
                    } else {
                        let at = until.as_ref().map(|(at, _)| *at);
                        ready!(wait(this.timer.as_mut(), cx, at));
                        match until.take() {
                            Some((_, rejection)) => refuse(call, rejection),
                            None => Step::Go(State::PermitQueue { since: *since, until: None }),
                        }
                    }
                }
                StateProjection::Beginning { last } => begin(call, last.take()),
                StateProjection::AttemptRateQueue { since, last } => {
                    let now = clock::now();
                    match call.poll_rate(cx, now) {
                        Ok(()) => {
                            call.explain.queued += now.since(*since);
                            admitted(call, last.take(), now)
                        }
                        Err(until) => {
                            ready!(wait(this.timer.as_mut(), cx, until));
                            call.leave_circuit(Outcome::Ignored, None);
                            past_deadline(call)
                        }
                    }
                }
                StateProjection::Readying { last } => {
                    let service = &mut *this.service;
                    match call.inside(|| service.poll_ready(cx)) {
                        Poll::Pending => {
                            ready!(attempt_is_over(call, this.timer.as_mut(), cx));
                            let kind = call.attempt_until.map_or(TimeoutKind::Attempt, |(_, kind)| kind);
                            answered(call, Err(call.timed_out(kind).into()), this.request.is_some())
                        }
                        Poll::Ready(Err(error)) => {
                            let error = Error::Inner(call.shared.judge.lift(error));
                            answered(call, Err(error), this.request.is_some())
                        }
                        Poll::Ready(Ok(())) => {
                            // The last answer's body, if it has one, is dropped before the next attempt.
                            drop(last.take());
                            let mut request =
                                this.request.take().expect("the request of this attempt was kept for it");
                            let cloner = &call.shared.cloner;
                            if call.attempts.may_retry() {
                                *this.request = cloner.clone_request(&request);
                            }
                            cloner.stamp(&mut request, call.attempts.attempt());
                            call.spend_token();
                            Step::Go(State::Calling(call.inside(|| service.call(request))))
                        }
                    }
                }
                StateProjection::Calling(future) => {
                    let result = match call.inside(|| future.poll(cx)) {
                        Poll::Ready(result) => result.map_err(|error| Error::Inner(call.shared.judge.lift(error))),
                        Poll::Pending => {
                            ready!(attempt_is_over(call, this.timer.as_mut(), cx));
                            let kind = call.attempt_until.map_or(TimeoutKind::Attempt, |(_, kind)| kind);
                            Err(call.timed_out(kind).into())
                        }
                    };
                    answered(call, result, this.request.is_some())
                }
                StateProjection::Waiting { until, last, payment } => {
                    ready!(this.timer.as_mut().poll_until(cx, *until));
                    payment.spend();
                    Step::Go(State::Beginning { last: last.take() })
                }
                StateProjection::Falling { future, original } => {
                    let original = original.take();
                    let result = match future.poll(cx) {
                        Poll::Pending => {
                            restore(this.state.as_mut(), original);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(answer)) => Ok(answer),
                        Poll::Ready(Err(error)) => {
                            Err(Error::FallbackFailed(FallbackFailed::new(call.name(), error, original)))
                        }
                    };
                    Step::Answered(result)
                }
            };
            let result = match step {
                Step::Go(state) => {
                    this.state.set(state);
                    continue;
                }
                Step::Answered(result) => result,
            };
            let verdict = judge::<J, Req, S::Response, S::Error>(&call.shared.judge, &call.info, &result);
            // The pipeline is left; what is behind the fallback holds nothing of it.
            call.judge_circuit(&verdict);
            call.release();
            if this.walk.may_step(&call.settings.fallback, &verdict, &call.shared.answer) {
                let fault = Fault::new(result);
                let original = fault.shared_error();
                let (answer, cloner) = (&call.shared.answer, &call.shared.cloner);
                match this.walk.step(&verdict, answer, cloner, fault) {
                    Ok(future) => {
                        call.explain.fallback = this.walk.tried();
                        call.shared.operation.fell_back();
                        this.state.set(State::Falling { future, original });
                        continue;
                    }
                    Err(fault) => {
                        drop(original);
                        let result = fault.into_result().expect("a fault that was not handed out is held once");
                        return Poll::Ready(settle(this.call, result, verdict.class.kind()));
                    }
                }
            }
            return Poll::Ready(settle(this.call, result, verdict.class.kind()));
        }
    }
}

/// Start: asks the rate limiter, unless the circuit would refuse a call that had waited for it.
fn enter<F, G, Res, E, J, K, A, R>(call: &mut Call<J, K, A, R>) -> Step<F, G, Res, E> {
    let now = call.began;
    if !call.rate_in(rate::Scope::Call) {
        return enter_concurrency(call, now);
    }
    if call.settings.rate_waits && call.circuit_in(breaker::Scope::Call) {
        if let Err(refused) = call.shared.breaker.peek(now) {
            let rejection = call.circuit_open(refused);
            return refuse(call, rejection);
        }
    }
    match call.enter_rate(now) {
        Ok(true) => enter_concurrency(call, now),
        Ok(false) => Step::Go(State::RateQueue { since: now }),
        Err(rejection) => refuse(call, rejection),
    }
}

/// Asks the concurrency limiter.
fn enter_concurrency<F, G, Res, E, J, K, A, R>(call: &mut Call<J, K, A, R>, now: Timestamp) -> Step<F, G, Res, E> {
    if !call.settings.concurrency_enabled {
        return enter_circuit(call, now);
    }
    match call.enter_concurrency() {
        Ok(true) => enter_circuit(call, now),
        Ok(false) => {
            let queue = call.shared.concurrency.config().queue_timeout.map(|wait| now.after(wait));
            let until = match (queue, call.deadline) {
                (Some(queue), deadline) if deadline.is_none_or(|deadline| queue <= deadline) => {
                    Some((queue, call.overloaded(OverloadReason::QueueTimeout)))
                }
                (_, Some(deadline)) => Some((deadline, call.timed_out(TimeoutKind::Total))),
                (_, None) => None,
            };
            Step::Go(State::PermitQueue { since: now, until })
        }
        Err(rejection) => refuse(call, rejection),
    }
}

/// Asks the circuit, if it takes whole calls as its samples.
fn enter_circuit<F, G, Res, E, J, K, A, R>(call: &mut Call<J, K, A, R>, now: Timestamp) -> Step<F, G, Res, E> {
    if call.circuit_in(breaker::Scope::Call) {
        if let Err(rejection) = call.enter_circuit(now) {
            return refuse(call, rejection);
        }
    }
    begin_at(call, None, now)
}

/// Begins a further attempt.
fn begin<F, G, Res, E, J, K, A, R>(call: &mut Call<J, K, A, R>, last: Option<Answer<Res, E>>) -> Step<F, G, Res, E> {
    let now = clock::now();
    if let Some(last) = last {
        if call.circuit_forbids_retry(now) {
            call.stopped(StopReason::CircuitOpen);
            return Step::Answered(last);
        }
        call.shared.operation.retried();
        return begin_at(call, Some(last), now);
    }
    begin_at(call, None, now)
}

/// Asks the stages that take attempts as their samples.
fn begin_at<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    last: Option<Answer<Res, E>>,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    if call.circuit_in(breaker::Scope::Attempt) {
        if let Err(rejection) = call.enter_circuit(now) {
            return match last {
                Some(last) => {
                    call.stopped(StopReason::CircuitOpen);
                    Step::Answered(last)
                }
                None => refuse(call, rejection),
            };
        }
    }
    if !call.rate_in(rate::Scope::Attempt) {
        return admitted(call, last, now);
    }
    match call.enter_rate(now) {
        Ok(true) => admitted(call, last, now),
        Ok(false) => Step::Go(State::AttemptRateQueue { since: now, last }),
        Err(rejection) => {
            call.leave_circuit(Outcome::Ignored, None);
            attempt_refused(call, last, rejection, now)
        }
    }
}

/// The attempt is made.
fn admitted<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    last: Option<Answer<Res, E>>,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    call.begin_attempt(now);
    Step::Go(State::Readying { last })
}

/// The attempt's tokens are not there: the ladder may wait for them.
#[cold]
fn attempt_refused<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    last: Option<Answer<Res, E>>,
    rejection: Rejection,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    let decision = if call.settings.retry.enabled {
        let verdict = rejection.verdict();
        let hint = rejection.retry_after();
        let budget = &call.shared.budget;
        call.attempts.decide_with_hint(&verdict, &call.info, now, call.deadline, Some(budget), hint)
    } else {
        Decision::Stop(StopReason::Attempts)
    };
    match decision {
        Decision::Wait(wait) => {
            call.explain.delays.push(wait);
            let payment = Payment::new(Some(Arc::clone(&call.shared.budget)));
            Step::Go(State::Waiting { until: now.after(wait), last, payment })
        }
        Decision::Accept => refuse(call, rejection),
        Decision::Stop(reason) => match last {
            Some(last) => {
                call.stopped(reason);
                Step::Answered(last)
            }
            None => refuse(call, rejection),
        },
    }
}

/// An attempt has an answer: the circuit counts it, the ladder decides whether there is another.
fn answered<F, G, S, Req, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    result: Answer<S, J::Error>,
    can_repeat: bool,
) -> Step<F, G, S, J::Error>
where
    J: Judge<Req, S, Req>,
{
    let _ = (call, can_repeat);
    Step::Answered(result)
}

fn panic_after_ready() -> ! {
    unreachable!("a future is not polled after it was ready")
}
