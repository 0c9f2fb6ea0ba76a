//! The steps of the walk through the stages, in their order; the future only drives them.

use std::sync::Arc;

use tower_rampart_core::{
    Rejection, Stage, Timestamp, Verdict, breaker, rate,
    rejection::{OverloadReason, TimeoutKind},
    retry::{Decision, StopReason},
};

use super::{
    call::Call,
    state::{Answer, State},
};
use crate::{clock, clone_request::CloneRequest, error::Error, payment::Payment};

/// What a step comes to.
pub(super) enum Step<F, G, Res, E> {
    /// The first attempt is admitted: go on by readying the service.
    Admitted,
    /// Go on in this state.
    Go(State<F, G, Res, E>),
    /// An attempt has ended.
    Attempted(Answer<Res, E>),
    /// The call has an answer.
    Answered(Answer<Res, E>),
}

/// What ends the wait for a permit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// The queue timeout.
    Queue,
    /// The time of the whole call.
    Total,
}

/// What is carried from one attempt to the next.
pub(super) struct Carry<Res, E> {
    /// The last real answer, which comes back if there is no other.
    last: Option<Answer<Res, E>>,
    /// The retry was paid for; refunded unless it is made.
    payment: Payment,
}

impl<Res, E> Carry<Res, E> {
    pub(super) fn new(last: Answer<Res, E>, payment: Payment) -> Self {
        Self { last: Some(last), payment }
    }
}

impl<Res, E> Default for Carry<Res, E> {
    fn default() -> Self {
        Self { last: None, payment: Payment::default() }
    }
}

/// Asks the stages in front of the attempts without waiting for any.
///
/// # Errors
/// The refusal of the first that refuses.
pub(super) fn enter_at_once<J, K, A, R>(call: &mut Call<J, K, A, R>) -> Result<(), Rejection> {
    take_all(call, call.began)?;
    while call.is_between() {
        call.renew();
        take_all(call, clock::now())?;
    }
    call.admit();
    Ok(())
}

fn take_all<J, K, A, R>(call: &mut Call<J, K, A, R>, now: Timestamp) -> Result<(), Rejection> {
    if call.settings.throttle {
        call.enter_throttle(now)?;
    }
    if call.rate_in(rate::Scope::Call)
        && let Err(rejection) = call.take_rate(now)
        && !call.passes(&rejection, now)
    {
        return Err(rejection);
    }
    if call.settings.concurrency {
        call.take_permit()?;
    }
    if call.circuit_in(breaker::Scope::Call) {
        call.enter_circuit(now)?;
    }
    Ok(())
}

/// Asks the throttle, then the rate limiter, unless the circuit would refuse a call that had waited for it.
#[inline]
pub(super) fn enter<F, G, Res, E, J, K, A, R>(call: &mut Call<J, K, A, R>, now: Timestamp) -> Step<F, G, Res, E> {
    if call.settings.throttle
        && let Err(rejection) = call.enter_throttle(now)
    {
        return refuse(call, rejection);
    }
    if !call.rate_in(rate::Scope::Call) {
        return enter_concurrency(call, now);
    }
    if call.rate_waits()
        && let Err(rejection) = call.foresee_circuit(breaker::Scope::Call, now)
    {
        return refuse(call, rejection);
    }
    match call.enter_rate(now) {
        Ok(true) => enter_concurrency(call, now),
        Ok(false) => Step::Go(State::RateQueue { since: now }),
        Err(rejection) if call.passes(&rejection, now) => enter_concurrency(call, now),
        Err(rejection) => refuse(call, rejection),
    }
}

/// Asks the concurrency limiter.
#[inline]
pub(super) fn enter_concurrency<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    if !call.settings.concurrency {
        return enter_circuit(call, now);
    }
    match call.enter_concurrency() {
        Ok(true) => enter_circuit(call, now),
        Ok(false) => {
            let queue = call.limiter().config().queue_timeout.map(|wait| now.after(wait));
            let until = match (queue, call.deadline) {
                (Some(queue), deadline) if deadline.is_none_or(|deadline| queue <= deadline) => {
                    Some((queue, Patience::Queue))
                }
                (_, deadline) => deadline.map(|deadline| (deadline, Patience::Total)),
            };
            Step::Go(State::PermitQueue { since: now, until })
        }
        Err(rejection) => refuse(call, rejection),
    }
}

/// Asks the circuit, if it takes whole calls as its samples.
#[inline]
pub(super) fn enter_circuit<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    if call.circuit_in(breaker::Scope::Call)
        && let Err(rejection) = call.enter_circuit(now)
    {
        return refuse(call, rejection);
    }
    begin_first(call, now)
}

/// Asks for the first attempt what [`begin`] asks for every other: nothing is carried to it, and so nothing is moved.
#[inline]
fn begin_first<F, G, Res, E, J, K, A, R>(call: &mut Call<J, K, A, R>, now: Timestamp) -> Step<F, G, Res, E> {
    if call.rate_in(rate::Scope::Attempt) {
        return begin(call, Carry::default(), now);
    }
    if call.circuit_in(breaker::Scope::Attempt)
        && let Err(rejection) = call.enter_circuit(now)
    {
        return refuse(call, rejection);
    }
    if call.is_between() {
        return enter_anew(call);
    }
    if call.deadline.is_some_and(|deadline| now >= deadline) {
        return past_deadline(call, Carry::default());
    }
    call.begin_attempt(now);
    Step::Admitted
}

/// Begins a further attempt, unless meanwhile the circuit has opened or the request was lost.
pub(super) fn begin_again<F, G, Req, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    carry: Carry<Res, E>,
    spare: Option<&Req>,
) -> Step<F, G, Res, E>
where
    K: CloneRequest<Req>,
{
    let now = clock::now();
    match carry.last {
        Some(last) if call.circuit_forbids_retry(now) => {
            call.stopped(StopReason::CircuitOpen);
            Step::Answered(last)
        }
        Some(last) if !spare.is_some_and(|request| call.shared.cloner.can_send(request)) => {
            // More of it went by, while the call waited, than is kept.
            call.stopped(StopReason::NotIdempotent);
            Step::Answered(last)
        }
        last => begin(call, Carry { last, payment: carry.payment }, now),
    }
}

/// Asks the stages that take attempts as their samples. Who may have to wait for tokens holds no place in the circuit meanwhile.
fn begin<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    carry: Carry<Res, E>,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    if !call.rate_in(rate::Scope::Attempt) {
        return enter_attempt_circuit(call, carry, now);
    }
    if let Err(rejection) = call.foresee_circuit(breaker::Scope::Attempt, now) {
        return stop(call, carry, StopReason::CircuitOpen, rejection);
    }
    match call.enter_rate(now) {
        Ok(true) => enter_attempt_circuit(call, carry, now),
        Ok(false) => Step::Go(State::AttemptRateQueue { since: now, carry }),
        Err(rejection) if call.passes(&rejection, now) => enter_attempt_circuit(call, carry, now),
        Err(rejection) => wait_for_tokens(call, carry, rejection, now),
    }
}

/// Asks the circuit, if it takes attempts as its samples; a call that it refuses gives its tokens back.
pub(super) fn enter_attempt_circuit<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    carry: Carry<Res, E>,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    if call.circuit_in(breaker::Scope::Attempt)
        && let Err(rejection) = call.enter_circuit(now)
    {
        return stop(call, carry, StopReason::CircuitOpen, rejection);
    }
    admit_attempt(call, carry, now)
}

/// The attempt is made, unless it is the first and the stages that admitted it are not those of one configuration.
fn admit_attempt<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    carry: Carry<Res, E>,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    if call.is_between() {
        return enter_anew(call);
    }
    if call.deadline.is_some_and(|deadline| now >= deadline) {
        return past_deadline(call, carry);
    }
    let Carry { last, mut payment } = carry;
    payment.spend();
    call.begin_attempt(now);
    match last {
        None => Step::Admitted,
        last => Step::Go(State::Readying { last }),
    }
}

#[cold]
#[inline(never)]
fn enter_anew<F, G, Res, E, J, K, A, R>(call: &mut Call<J, K, A, R>) -> Step<F, G, Res, E> {
    call.renew();
    enter(call, clock::now())
}

/// The attempt's tokens are not there: the ladder may wait for them.
#[cold]
pub(super) fn wait_for_tokens<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    carry: Carry<Res, E>,
    rejection: Rejection,
    now: Timestamp,
) -> Step<F, G, Res, E> {
    // The retry that was paid for is not made; the next wait is paid anew.
    let Carry { last, payment } = carry;
    drop(payment);
    let (verdict, hint) = (rejection.verdict(), rejection.retry_after());
    let budget = Arc::clone(&call.shared.machines.budget);
    match call.attempts.decide_with_hint(&verdict, &call.info, now, call.deadline, Some(&budget), hint) {
        Decision::Wait(wait, withdrawal) => {
            call.explain.delays.push(wait);
            let carry = Carry { last, payment: Payment::new(&budget, withdrawal) };
            Step::Go(State::Waiting { until: now.after(wait), carry })
        }
        Decision::Stop(reason) => stop(call, Carry { last, payment: Payment::default() }, reason, rejection),
        Decision::Accept => refuse(call, rejection),
    }
}

/// There is no further attempt: the last real answer comes back, or the refusal if there is none.
#[cold]
fn stop<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    carry: Carry<Res, E>,
    reason: StopReason,
    rejection: Rejection,
) -> Step<F, G, Res, E> {
    match carry.last {
        Some(last) => {
            call.stopped(reason);
            Step::Answered(last)
        }
        None => refuse(call, rejection),
    }
}

/// A stage refuses the call.
#[cold]
pub(super) fn refuse<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    rejection: Rejection,
) -> Step<F, G, Res, E> {
    call.refused(&rejection);
    Step::Answered(Err(Error::from(rejection)))
}

/// No permit came free while the call waited.
#[cold]
pub(super) fn out_of_patience<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    since: Timestamp,
    patience: Patience,
) -> Step<F, G, Res, E> {
    call.queued(since, clock::now());
    match patience {
        Patience::Queue => {
            let rejection = call.overloaded(OverloadReason::QueueTimeout);
            refuse(call, rejection)
        }
        Patience::Total => past_deadline(call, Carry::default()),
    }
}

/// The time of the whole call is over before the next attempt: the last real answer comes back, if there is one.
#[cold]
pub(super) fn past_deadline<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    carry: Carry<Res, E>,
) -> Step<F, G, Res, E> {
    call.leave_unsent_circuit();
    let rejection = call.timed_out(TimeoutKind::Total);
    stop(call, carry, StopReason::Deadline, rejection)
}

/// An attempt has ended: the circuit counts it, the ladder decides whether there is another.
///
/// When it is to be made and what was paid for it; `None`: the answer is the last one.
#[inline]
pub(super) fn after_attempt<Req, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    verdict: &Verdict,
    spare: Option<&Req>,
) -> Option<(Timestamp, Payment)>
where
    K: CloneRequest<Req>,
{
    if call.shadows(Stage::Timeout) {
        call.judge_time();
    }
    if call.circuit_in(breaker::Scope::Attempt) && !call.is_undecided(verdict) {
        call.judge_circuit(verdict);
    }
    if call.settings.adaptive && !call.is_undecided(verdict) {
        call.record_attempt(verdict);
    }
    if let Some(class) = verdict.provider_class {
        call.shared.machines.operation.provider_error(class);
    }
    let may_repeat = call.attempts.may_retry() && verdict.is_retryable();
    if may_repeat && !spare.is_some_and(|request| call.shared.cloner.can_send(request)) {
        // The request could not be kept: it was sent once.
        call.stopped(StopReason::NotIdempotent);
        return None;
    }
    let budget = &call.shared.machines.budget;
    match call.attempts.decide(verdict, &call.info, clock::now, call.deadline, Some(budget)) {
        Decision::Accept => None,
        Decision::Stop(reason) => {
            call.stopped(reason);
            None
        }
        Decision::Wait(wait, withdrawal) => {
            let payment = Payment::new(budget, withdrawal);
            let now = clock::now();
            if call.circuit_in(breaker::Scope::Attempt) {
                // An answer that would have gone on is dropped for another attempt.
                call.judge_circuit(verdict);
            }
            if call.circuit_forbids_retry(now) {
                drop(payment);
                call.stopped(StopReason::CircuitOpen);
                return None;
            }
            call.explain.delays.push(wait);
            Some((now.after(wait), payment))
        }
    }
}
