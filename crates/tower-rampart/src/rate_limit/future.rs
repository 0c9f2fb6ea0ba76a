//! The future of a call with tokens.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Rejection,
    rate::{Exceeded, RateLimiter, Ticket, Turn},
    rejection::RateLimited,
};
use tower_service::Service;

use crate::{clock, error::FromRejection, timer::Timer};

/// The response of a [`RateLimit`](super::RateLimit).
///
/// # Cancel safety
/// Dropping it while it waits gives its place up and takes no token; after that the tokens are spent.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, Req> {
    #[pin]
    state: State<S::Future, S, Req>,
}

#[pin_project(project = StateProjection)]
enum State<F, S, Req> {
    /// The limiter refused; taken when polled.
    Refused(Option<Rejection>),
    // Queued => Calling: it is this call's turn and the tokens are there
    Queued {
        place: Place,
        service: S,
        request: Option<Req>,
        #[pin]
        timer: Timer,
    },
    Calling(#[pin] F),
}

/// A place in the queue; given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: Arc<RateLimiter>,
    ticket: Option<Ticket>,
    per_key: bool,
}

impl Place {
    pub(crate) fn new(limiter: Arc<RateLimiter>, ticket: Ticket) -> Self {
        Self { limiter, ticket: Some(ticket), per_key: false }
    }

    /// Says that the limiter is that of one key among many.
    pub(crate) fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }

    /// Whether the tokens were taken.
    ///
    /// # Errors
    /// The limiter refuses after all: another configuration, or a timer that came late.
    fn poll_turn(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Timer>) -> Poll<Result<(), Rejection>> {
        loop {
            let Some(ticket) = &self.ticket else { return Poll::Ready(Ok(())) };
            match self.limiter.poll_ticket(ticket, cx.waker(), clock::now()) {
                Turn::Granted(_spent) => self.ticket = None,
                Turn::WaitUntil(at) => ready!(timer.as_mut().poll_until(cx, at)),
                Turn::Queued => match ticket.expires_at() {
                    Some(at) => ready!(timer.as_mut().poll_until(cx, at)),
                    None => return Poll::Pending,
                },
                Turn::Refused(exceeded) => {
                    self.ticket = None;
                    let refusal = exceeded.refusal(&self.limiter);
                    return Poll::Ready(Err(if self.per_key { refusal.per_key() } else { refusal }.into()));
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.limiter.cancel(ticket);
        }
    }
}

impl<S: Service<Req>, Req> ResponseFuture<S, Req> {
    pub(crate) fn calling(future: S::Future) -> Self {
        Self { state: State::Calling(future) }
    }

    pub(crate) fn queued(service: S, request: Req, place: Place) -> Self {
        Self { state: State::Queued { place, service, request: Some(request), timer: Timer::new() } }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn refused(limiter: &RateLimiter, exceeded: Exceeded) -> Self {
        Self::rejected(exceeded.refusal(limiter))
    }

    #[cold]
    pub(crate) fn rejected(refusal: RateLimited) -> Self {
        Self { state: State::Refused(Some(refusal.into())) }
    }
}

impl<S, Req> Future for ResponseFuture<S, Req>
where
    S: Service<Req>,
    S::Error: FromRejection,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.state.as_mut().project() {
                StateProjection::Calling(future) => return future.poll(cx),
                StateProjection::Queued { place, service, request, timer } => {
                    if let Err(rejection) = ready!(place.poll_turn(cx, timer)) {
                        return Poll::Ready(Err(S::Error::from_rejection(rejection)));
                    }
                    let request = request.take().expect("the request is there until it is sent");
                    service.call(request)
                }
                StateProjection::Refused(rejection) => {
                    let rejection = rejection.take().expect("a future is not polled after it was ready");
                    return Poll::Ready(Err(S::Error::from_rejection(rejection)));
                }
            };
            this.state.set(State::Calling(future));
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for ResponseFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("rate_limit::ResponseFuture").finish_non_exhaustive()
    }
}
