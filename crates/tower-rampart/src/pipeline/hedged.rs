//! Attempts that may have copies: what the walk of `hedge::run` needs of a call. Attempts that come after one that failed are `steps`' business.

use std::sync::Arc;

use tower_rampart_core::{Timestamp, Verdict, breaker::State, hedge::Hedging};
use tower_service::Service;

use super::{
    Judge,
    call::Call,
    chaos::{self, Failure, Sender},
    judge::judge,
    state::Answer,
    steps::Step,
};
use crate::{
    clock,
    clone_request::CloneRequest,
    hedge::{
        Race,
        run::{Host, Lap, Schedule},
    },
    payment::Payment,
};

/// The copies of an attempt of the pipeline.
pub(super) type RaceFor<S, Req, J> = Race<
    Sender<S>,
    Req,
    Answer<
        <S as Service<Req>>::Response,
        <J as Judge<Req, <S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Error,
    >,
>;

/// A call, its service and its request, for as long as one poll takes.
pub(super) struct Hand<'a, S, Req, J, K, A, R> {
    pub(super) call: &'a mut Call<J, K, A, R>,
    pub(super) service: &'a S,
    /// The request as it was kept for another attempt or a copy.
    pub(super) spare: Option<&'a Req>,
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// When the copies of an attempt that is sent now begin.
    #[inline]
    pub(super) fn schedule(&self) -> Schedule {
        if self.settings.max_hedges == 0 { Schedule::OFF } else { self.scheduled() }
    }

    #[inline(never)]
    fn scheduled(&self) -> Schedule {
        let now = clock::now();
        let may_repeat = self.attempts.may_repeat(&self.info);
        let delay = self.shared.machines.hedging.delay(now).filter(|_| may_repeat);
        Schedule::new(now, delay)
    }

    /// Whether the circuit lets more be sent than one for each permit: a half-open one counts what is in flight.
    fn circuit_takes_copies(&self, now: Timestamp) -> bool {
        self.settings.circuit.is_none()
            || !matches!(self.breaker().state(now), State::Open | State::ForcedOpen | State::HalfOpen)
    }

    /// Pays for a copy.
    fn pay_for_copy(&self, now: Timestamp) -> Option<Payment> {
        let machines = &self.shared.machines;
        let withdrawal = machines.budget.try_withdraw(now);
        if withdrawal.is_none() {
            machines.hedging.unpaid();
        }
        withdrawal.map(|it| Payment::new(&machines.budget, it))
    }
}

impl<S, Req, J, K, A, R> Host<Sender<S>, Req> for Hand<'_, S, Req, J, K, A, R>
where
    S: Service<Req> + Clone,
    J: Judge<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
{
    type Answer = Answer<S::Response, J::Error>;

    fn inside<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.call.inside(run)
    }

    fn lift(&self, result: Result<S::Response, Failure<S::Error>>) -> Self::Answer {
        result.map_err(|failure| chaos::lift::<J, Req, _, S::Error>(&self.call.shared.judge, failure))
    }

    fn judge(&self, answer: &Self::Answer) -> Verdict {
        judge::<J, Req, _, S::Error>(&self.call.shared.judge, &self.call.info, answer)
    }

    fn another(&mut self, now: Timestamp) -> Option<(Sender<S>, Req, Payment)> {
        let call = &*self.call;
        let cloner = &call.shared.cloner;
        let spare = self.spare.filter(|it| cloner.can_send(it) && call.circuit_takes_copies(now))?;
        let mut request = cloner.clone_request(spare)?;
        let payment = call.pay_for_copy(now)?;
        // A copy is of the same attempt.
        let left = call.deadline.map(|deadline| deadline.since(now));
        cloner.stamp(&mut request, call.explain.attempts, || left);
        if call.settings.nested_retry {
            call.mark_copy(&mut request);
        }
        Some((call.sender(self.service.clone()), request, payment))
    }

    fn most(&self) -> u32 {
        self.call.settings.max_hedges.into()
    }

    fn sent(&mut self, count: u32) {
        self.call.explain.hedged(count);
    }

    fn ends(&self) -> Option<Timestamp> {
        self.call.attempt_ends()
    }

    fn hedging(&self) -> &Arc<Hedging> {
        &self.call.shared.machines.hedging
    }
}

/// An attempt that had copies has ended.
#[cold]
pub(super) fn lapped<F, G, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    lap: Lap<Answer<Res, E>>,
) -> Step<F, G, Res, E> {
    match lap {
        Lap::Answer(copy, answer) => {
            call.explain.answered_by(copy);
            Step::Attempted(answer)
        }
        Lap::Over => {
            call.explain.answered_by(0);
            Step::Attempted(Err(call.attempt_timed_out().into()))
        }
    }
}
