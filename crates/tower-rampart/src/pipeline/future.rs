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
use tower_rampart_core::{Class, Timestamp, Verdict};
use tower_service::Service;

use super::{
    CacheUse, Judge, Report, Shared, cached,
    call::{Call, Phase},
    hedged::{Hand, RaceFor, lapped},
    judge::judge,
    rate::Turn,
    state::{Answer, State, StateProjection},
    steps::{self, Carry, Step},
};
use crate::{
    cache::{self, Caching},
    clock,
    error::{Error, FallbackFailed},
    fallback::{Fallback, Fault, Walk},
    hedge::run,
    retry::CloneRequest,
    timer::Timer,
};

/// The response of a [`ResilienceService`](super::ResilienceService).
///
/// Nothing is taken or counted before it is polled for the first time.
///
/// # Cancel safety
/// Dropping it at any point gives back every permit, place in a queue, probe slot and retry that was paid for and not begun;
/// tokens are given back if no attempt had begun. The circuit and the registry count the call as abandoned.
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
    /// The copies of the attempt in flight, once there are any.
    race: Option<Box<RaceFor<S, Req, J>>>,
    #[pin]
    timer: Timer,
    service: S,
    /// The request that is sent next.
    request: Option<Req>,
    walk: Walk<Req>,
    /// The error that the fallback answers for.
    original: Option<Arc<Error<J::Error>>>,
    call: Call<J, K, A, R>,
    /// What the call has to do with its cache: last, so that whoever goes on in its place finds free what it held.
    visit: Option<<J::Cache as Caching<Req, S::Response>>::Visit>,
}

impl<S, Req, J, K, A, R> ResponseFuture<S, Req, J, K, A, R>
where
    S: Service<Req>,
    J: Judge<Req, S::Response, S::Error>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
{
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the future is then put together where it stays")]
    pub(crate) fn new(service: S, request: Req, shared: Arc<Shared<J, K, A, R>>) -> Self {
        Self {
            state: State::Start { at: None },
            race: None,
            timer: Timer::new(),
            service,
            request: Some(request),
            walk: Walk::new(None),
            original: None,
            call: Call::unpolled(shared),
            visit: None,
        }
    }
}

impl<S, Req, J, K, A, R> ResponseFuture<S, Req, J, K, A, R>
where
    S: Service<Req>,
    J: Judge<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
{
    /// A call that a preflight has admitted.
    pub(crate) fn admitted(service: S, request: Req, call: Call<J, K, A, R>) -> Self {
        let keep = call.settings.fallback.enabled && call.shared.answer.needs_request();
        let spare = keep.then(|| call.shared.cloner.clone_request(&request)).flatten();
        Self {
            state: State::Beginning { carry: Carry::default() },
            race: None,
            timer: Timer::new(),
            service,
            request: Some(request),
            walk: Walk::new(spare),
            original: None,
            call,
            visit: None,
        }
    }
}

impl<S, Req, J, K, A, R> Future for ResponseFuture<S, Req, J, K, A, R>
where
    S: Service<Req> + Clone,
    J: Judge<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
    R: Report<S::Response, Error<J::Error>>,
{
    type Output = Answer<S::Response, J::Error>;

    #[expect(clippy::too_many_lines, reason = "one arm a state: the walk reads from top to bottom")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let call = this.call;
        match call.phase {
            Phase::Begun => {}
            Phase::Unpolled => {
                let request = this.request.as_ref().expect("the request is there until the first attempt");
                let info = call.shared.judge.request(request);
                call.begin(info, clock::now());
            }
            Phase::Done => unreachable!("a future is not polled after it was ready"),
        }
        loop {
            let step = match this.state.as_mut().project() {
                StateProjection::Start { at } => {
                    if call.settings.cache {
                        this.state.set(State::Asking);
                        continue;
                    }
                    let now = at.unwrap_or(call.began);
                    if call.settings.keyed.any() {
                        let request = this.request.as_ref().expect("the request is there until the first attempt");
                        let shared = Arc::clone(&call.shared);
                        call.take_keys(now, |stage, read| shared.judge.key(request, stage, read));
                    }
                    if call.settings.fallback.enabled && call.shared.answer.needs_request() {
                        let request = this.request.as_ref().expect("the request is there until the first attempt");
                        *this.walk = Walk::new(call.shared.cloner.clone_request(request));
                    }
                    steps::enter(call, now)
                }
                StateProjection::Asking => {
                    let request = this.request.as_ref().expect("the request is there until the first attempt");
                    ready!(cached::ask::<_, _, _, _, S::Error, _, _, _, _>(
                        call,
                        request,
                        this.visit,
                        this.timer.as_mut(),
                        cx
                    ))
                }
                StateProjection::Following => {
                    ready!(cached::follow::<_, _, Req, _, S::Error, _, _, _, _>(
                        call,
                        this.visit,
                        this.timer.as_mut(),
                        cx
                    ))
                }
                StateProjection::RateQueue { since } => match call.poll_rate(cx, *since) {
                    Turn::Granted(now) => steps::enter_concurrency(call, now),
                    Turn::Refused(rejection) => steps::refuse(call, rejection),
                    Turn::Wait(until) => {
                        ready!(poll_at(this.timer.as_mut(), cx, until));
                        if call.is_past_deadline() { steps::past_deadline(call, Carry::default()) } else { continue }
                    }
                },
                StateProjection::PermitQueue { since, until } => {
                    if call.poll_concurrency(cx) {
                        let now = clock::now();
                        call.queued(*since, now);
                        steps::enter_circuit(call, now)
                    } else {
                        let Some((at, patience)) = *until else { return Poll::Pending };
                        ready!(this.timer.as_mut().poll_until(cx, at));
                        steps::out_of_patience(call, *since, patience)
                    }
                }
                StateProjection::Beginning { carry } => {
                    steps::begin_again(call, mem::take(carry), this.request.as_ref())
                }
                StateProjection::AttemptRateQueue { since, carry } => match call.poll_rate(cx, *since) {
                    Turn::Granted(now) => steps::enter_attempt_circuit(call, mem::take(carry), now),
                    Turn::Refused(rejection) => steps::wait_for_tokens(call, mem::take(carry), rejection, clock::now()),
                    Turn::Wait(until) => {
                        ready!(poll_at(this.timer.as_mut(), cx, until));
                        if call.is_past_deadline() { steps::past_deadline(call, mem::take(carry)) } else { continue }
                    }
                },
                StateProjection::Readying { last } => {
                    let service = &mut *this.service;
                    match call.inside(|| service.poll_ready(cx)) {
                        Poll::Pending => {
                            ready!(poll_at(this.timer.as_mut(), cx, call.attempt_ends()));
                            Step::Attempted(Err(call.attempt_timed_out().into()))
                        }
                        Poll::Ready(Err(error)) => Step::Attempted(Err(Error::Inner(call.shared.judge.lift(error)))),
                        Poll::Ready(Ok(())) => {
                            // The last answer's body, if it has one, is dropped before the next attempt.
                            drop(last.take());
                            let mut request = this.request.take().expect("the request of this attempt was kept for it");
                            let schedule = call.schedule();
                            let cloner = &call.shared.cloner;
                            if call.attempts.may_retry() || schedule.may_hedge() {
                                *this.request = cloner.clone_request(&request);
                            }
                            let deadline = call.deadline;
                            cloner.stamp(&mut request, call.explain.attempts, || {
                                deadline.map(|deadline| deadline.since(clock::now()))
                            });
                            let future = call.inside(|| service.call(request));
                            this.state.set(State::Calling { future, schedule });
                            continue;
                        }
                    }
                }
                StateProjection::Calling { future, schedule } => match call.inside(|| future.poll(cx)) {
                    Poll::Ready(result) => {
                        let answer = result.map_err(|error| Error::Inner(call.shared.judge.lift(error)));
                        if schedule.is_on() {
                            let schedule = *schedule;
                            let hand = Hand { call, service: &*this.service, spare: this.request.as_ref() };
                            let Some(answer) = run::first(&hand, schedule, this.race, answer) else {
                                this.state.set(State::Racing { schedule });
                                continue;
                            };
                            call.explain.answered_by(0);
                            Step::Attempted(answer)
                        } else {
                            Step::Attempted(answer)
                        }
                    }
                    Poll::Pending if schedule.is_on() => {
                        let mut hand = Hand { call, service: &*this.service, spare: this.request.as_ref() };
                        let lap = ready!(run::others(&mut hand, schedule, this.race, true, this.timer.as_mut(), cx));
                        let schedule = *schedule;
                        this.state.set(State::Racing { schedule });
                        lapped(call, lap)
                    }
                    Poll::Pending => {
                        ready!(poll_at(this.timer.as_mut(), cx, call.attempt_ends()));
                        Step::Attempted(Err(call.attempt_timed_out().into()))
                    }
                },
                StateProjection::Racing { schedule } => {
                    let mut hand = Hand { call, service: &*this.service, spare: this.request.as_ref() };
                    let lap = ready!(run::others(&mut hand, schedule, this.race, false, this.timer.as_mut(), cx));
                    lapped(call, lap)
                }
                StateProjection::Waiting { until, carry } => {
                    ready!(this.timer.as_mut().poll_until(cx, *until));
                    Step::Go(State::Beginning { carry: mem::take(carry) })
                }
                StateProjection::Falling(future) => Step::Answered(ready!(call.inside(|| future.poll(cx)))),
                StateProjection::Answered => unreachable!("a future is not polled after it was ready"),
            };
            let (mut result, is_attempt) = match step {
                Step::Admitted => {
                    this.state.set(State::Readying { last: None });
                    continue;
                }
                Step::Go(state) => {
                    this.state.set(state);
                    continue;
                }
                Step::Attempted(result) => (result, true),
                Step::Answered(result) => (result, false),
            };
            let mut verdict = judge::<J, Req, _, S::Error>(&call.shared.judge, &call.info, &result);
            if is_attempt && let Some((until, payment)) = steps::after_attempt(call, &verdict, this.request.as_ref()) {
                this.state.set(State::Waiting { until, carry: Carry::new(result, payment) });
                continue;
            }
            // What was called is dropped first, then its permits are given back; a fallback holds none of them.
            this.state.set(State::Answered);
            let stale = cache::stand_in(this.visit.as_mut(), &verdict);
            let may_fall = stale.is_none() && this.walk.may_step(call.settings.fallback, &verdict, &call.shared.answer);
            if !may_fall && stale.is_none() && call.may_hold() && result.is_ok() {
                let held = call.hold(&verdict);
                if let Some(held) = call.shared.report.hold(held, &mut result) {
                    held.finish(&verdict);
                }
            }
            if call.settings.throttle {
                call.judge_throttle(&verdict);
            }
            call.judge_circuit(&verdict);
            call.release();
            if let Some(visit) = this.visit.take() {
                cache::end(visit, &mut result, &verdict);
            }
            if let Some(answer) = stale {
                call.explain.cache = Some(CacheUse::Stale);
                (verdict, result) = (Verdict::new(Class::Success), Ok(answer));
            }
            if may_fall {
                let fault = Fault::new(result);
                let error = fault.shared_error();
                // The time that the request stated has gone on, whatever the configuration grants a fallback.
                let stated = call.info.time_left.map(|left| call.began.after(left));
                let cloner = &call.shared.cloner;
                let stamp = |request: &mut Req| {
                    if let Some(stated) = stated {
                        cloner.stamp(request, 1, || Some(stated.since(clock::now())));
                    }
                };
                match this.walk.step(&verdict, &call.shared.answer, cloner, stamp, fault) {
                    Ok(future) => {
                        call.explain.falls_back_to(this.walk.tried());
                        call.shared.machines.operation.fell_back();
                        *this.original = this.original.take().or(error);
                        this.state.set(State::Falling(future));
                        continue;
                    }
                    Err(fault) => {
                        drop(error);
                        result = fault.into_result().expect("a fault that was not handed out is held once");
                    }
                }
            }
            if result.is_err() && call.explain.fallback().is_some() {
                let (name, original) = (call.name(), this.original.take());
                result = result.map_err(|error| Error::FallbackFailed(FallbackFailed::new(name, error, original)));
            }
            call.settle(&mut result, &verdict, A::name);
            call.done();
            return Poll::Ready(result);
        }
    }
}

/// Ready once `at` has come; never without one.
pub(super) fn poll_at(timer: Pin<&mut Timer>, cx: &mut Context<'_>, at: Option<Timestamp>) -> Poll<()> {
    match at {
        Some(at) => timer.poll_until(cx, at),
        None => Poll::Pending,
    }
}

impl<S, Req, J, K, A, R> fmt::Debug for ResponseFuture<S, Req, J, K, A, R>
where
    S: Service<Req>,
    J: Judge<Req, S::Response, S::Error>,
    A: Fallback<Req, S::Response, Error<J::Error>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("pipeline::ResponseFuture").finish_non_exhaustive()
    }
}
