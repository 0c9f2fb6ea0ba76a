//! The future of a call that may have copies.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{Classify, RequestInfo, Timestamp, Verdict, hedge::Hedging};
use tower_service::Service;

use super::{
    Shared,
    race::Race,
    run::{self, Host, Lap, Schedule},
};
use crate::{clone_request::CloneRequest, payment::Payment, timer::Timer};

type Answer<S, Req> = Result<<S as Service<Req>>::Response, <S as Service<Req>>::Error>;

type RaceOf<S, Req> = Race<S, Req, Answer<S, Req>>;

/// The response of a [`Hedge`](super::Hedge).
///
/// # Cancel safety
/// Dropping it drops all copies; those that were sent count as abandoned, one that was paid for and not sent is refunded.
#[pin_project]
pub struct ResponseFuture<S, Req, C, K>
where
    S: Service<Req>,
{
    #[pin]
    state: State<S::Future>,
    /// The copies beside the first, once there is one.
    race: Option<Box<RaceOf<S, Req>>>,
    schedule: Schedule,
    #[pin]
    timer: Timer,
    own: Own<S, Req, C, K>,
}

#[pin_project(project = StateProjection)]
enum State<F> {
    // Calling => Racing: the first copy failed, others run
    Calling(#[pin] F),
    Racing,
}

/// What a call holds of its layer and its request.
struct Own<S, Req, C, K> {
    service: S,
    shared: Arc<Shared<C, K>>,
    spare: Option<Req>,
    info: RequestInfo,
    most: u32,
}

impl<S, Req, C, K> ResponseFuture<S, Req, C, K>
where
    S: Service<Req>,
{
    pub(crate) fn new(
        future: S::Future,
        service: S,
        shared: Arc<Shared<C, K>>,
        spare: Option<Req>,
        info: RequestInfo,
        schedule: Schedule,
        most: u32,
    ) -> Self {
        let own = Own { service, shared, spare, info, most };
        Self { state: State::Calling(future), race: None, schedule, timer: Timer::new(), own }
    }
}

impl<S, Req, C, K> Host<S, Req> for Own<S, Req, C, K>
where
    S: Service<Req> + Clone,
    C: Classify<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
{
    type Answer = Answer<S, Req>;

    fn inside<T>(&mut self, run: impl FnOnce() -> T) -> T {
        run()
    }

    fn lift(&self, result: Answer<S, Req>) -> Answer<S, Req> {
        result
    }

    fn judge(&self, answer: &Answer<S, Req>) -> Verdict {
        self.shared.classifier.classify(&self.info, answer.as_ref())
    }

    fn another(&mut self, now: Timestamp) -> Option<(S, Req, Payment)> {
        let shared = &self.shared;
        let spare = self.spare.as_ref().filter(|it| shared.cloner.can_send(it))?;
        let mut request = shared.cloner.clone_request(spare)?;
        let Some(withdrawal) = shared.budget.try_withdraw(now) else {
            shared.hedging.unpaid();
            return None;
        };
        shared.cloner.stamp(&mut request, 1, || None);
        Some((self.service.clone(), request, Payment::new(&shared.budget, withdrawal)))
    }

    fn most(&self) -> u32 {
        self.most
    }

    fn sent(&mut self, _count: u32) {}

    fn ends(&self) -> Option<Timestamp> {
        None
    }

    fn hedging(&self) -> &Arc<Hedging> {
        &self.shared.hedging
    }
}

impl<S, Req, C, K> Future for ResponseFuture<S, Req, C, K>
where
    S: Service<Req> + Clone,
    C: Classify<Req, S::Response, S::Error>,
    K: CloneRequest<Req>,
{
    type Output = Answer<S, Req>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut is_first_running = false;
        if let StateProjection::Calling(future) = this.state.as_mut().project() {
            match (future.poll(cx), this.schedule.is_on()) {
                (polled, false) => return polled,
                (Poll::Pending, true) => is_first_running = true,
                (Poll::Ready(result), true) => {
                    if let Some(answer) = run::first(this.own, *this.schedule, this.race, result) {
                        return Poll::Ready(answer);
                    }
                    this.state.set(State::Racing);
                }
            }
        }
        match ready!(run::others(this.own, this.schedule, this.race, is_first_running, this.timer, cx)) {
            Lap::Answer(_, answer) => {
                this.state.set(State::Racing);
                Poll::Ready(answer)
            }
            Lap::Over => unreachable!("the host has no end"),
        }
    }
}

impl<S, Req, C, K> fmt::Debug for ResponseFuture<S, Req, C, K>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("hedge::ResponseFuture").finish_non_exhaustive()
    }
}
