//! The future of a call with a permit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Rejection, Timestamp,
    concurrency::{Limiter, Permit, Ticket},
    rejection::{Name, OverloadReason, Overloaded},
};
use tower_service::Service;

use crate::{clock, error::FromRejection, timer::Timer};

/// The response of a [`ConcurrencyLimit`](super::ConcurrencyLimit).
///
/// # Cancel safety
/// Dropping it gives its permit to the next in the queue, or its place in the queue up.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, Req> {
    #[pin]
    state: State<S::Future, S, Req>,
    /// Dropped after the inner future.
    held: Option<Held>,
}

#[pin_project(project = StateProjection)]
enum State<F, S, Req> {
    /// The limiter refused; taken when polled.
    Refused(Option<Rejection>),
    // Queued => Calling: a permit is free
    Queued {
        service: S,
        request: Option<Req>,
        /// When the wait is over; none without a queue timeout.
        until: Option<Timestamp>,
        #[pin]
        timer: Timer,
    },
    Calling(#[pin] F),
    /// The inner future has ended and is dropped.
    Done,
}

/// What a call holds of the limiter.
#[derive(Debug)]
pub(crate) enum Place {
    Permit(Permit),
    Ticket(Ticket),
}

/// Gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    limiter: Arc<Limiter>,
    place: Option<Place>,
    per_key: bool,
}

impl Held {
    pub(crate) fn new(limiter: Arc<Limiter>, place: Place) -> Self {
        Self { limiter, place: Some(place), per_key: false }
    }

    /// A call that goes on without a permit.
    pub(crate) fn nothing(limiter: Arc<Limiter>) -> Self {
        Self { limiter, place: None, per_key: false }
    }

    /// Says that the limiter is that of one key among many.
    pub(crate) fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }

    /// Whether it holds a permit, or does so from now on.
    fn poll_permit(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(Place::Ticket(ticket)) = &self.place else { return Poll::Ready(()) };
        let permit = ready!(self.limiter.poll_ticket(ticket, cx.waker()));
        self.place = Some(Place::Permit(permit));
        Poll::Ready(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match self.place.take() {
            Some(Place::Permit(permit)) => self.limiter.release(permit),
            Some(Place::Ticket(ticket)) => self.limiter.cancel(ticket),
            None => {}
        }
    }
}

impl<S: Service<Req>, Req> ResponseFuture<S, Req> {
    pub(crate) fn calling(future: S::Future, held: Held) -> Self {
        Self { state: State::Calling(future), held: Some(held) }
    }

    pub(crate) fn queued(service: S, request: Req, held: Held) -> Self {
        let until = held.limiter.config().queue_timeout.map(|wait| clock::now().after(wait));
        let state = State::Queued { service, request: Some(request), until, timer: Timer::new() };
        Self { state, held: Some(held) }
    }

    #[cold]
    pub(crate) fn refused(rejection: Rejection) -> Self {
        Self { state: State::Refused(Some(rejection)), held: None }
    }
}

impl<S, Req> Future for ResponseFuture<S, Req>
where
    S: Service<Req>,
    S::Error: FromRejection,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.state.as_mut().project() {
                StateProjection::Calling(future) => {
                    let result = ready!(future.poll(cx));
                    this.state.set(State::Done);
                    *this.held = None;
                    return Poll::Ready(result);
                }
                StateProjection::Queued { service, request, until, timer } => {
                    let held = this.held.as_mut().expect("a queued call holds its place");
                    if held.poll_permit(cx).is_pending() {
                        let Some(until) = *until else { return Poll::Pending };
                        ready!(timer.poll_until(cx, until));
                        let limiter = &held.limiter;
                        let name = Name::clone(limiter.name());
                        let overloaded =
                            Overloaded::new(name, OverloadReason::QueueTimeout, limiter.max_inflight(), None);
                        let rejection = if held.per_key { overloaded.per_key() } else { overloaded }.into();
                        this.state.set(State::Done);
                        *this.held = None;
                        return Poll::Ready(Err(S::Error::from_rejection(rejection)));
                    }
                    let request = request.take().expect("the request is there until it is sent");
                    service.call(request)
                }
                StateProjection::Refused(rejection) => {
                    let rejection = rejection.take().expect("a future is not polled after it was ready");
                    return Poll::Ready(Err(S::Error::from_rejection(rejection)));
                }
                StateProjection::Done => unreachable!("a future is not polled after it was ready"),
            };
            this.state.set(State::Calling(future));
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for ResponseFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("concurrency::ResponseFuture").finish_non_exhaustive()
    }
}
