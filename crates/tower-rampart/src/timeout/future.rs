//! The future of a call with a limit.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;
use tower_rampart_core::{
    Timestamp,
    rejection::{Name, TimedOut, TimeoutKind},
};

use super::Shared;
use crate::{clock, error::FromRejection, timer::Timer};

/// The response of a [`Timeout`](super::Timeout).
///
/// # Cancel safety
/// Dropping it drops the call.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F> {
    #[pin]
    future: F,
    limit: Option<(Duration, TimeoutKind)>,
    /// When the time is over; known once the inner service did not answer at once.
    until: Option<Timestamp>,
    #[pin]
    timer: Timer,
    shared: Arc<Shared>,
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(future: F, limit: Option<(Duration, TimeoutKind)>, shared: Arc<Shared>) -> Self {
        Self { future, limit, until: None, timer: Timer::new(), shared }
    }
}

impl<F, Res, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: FromRejection,
{
    type Output = Result<Res, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.future.poll(cx) {
            return Poll::Ready(result);
        }
        let Some((limit, kind)) = *this.limit else { return Poll::Pending };
        let until = *this.until.get_or_insert_with(|| clock::now().after(limit));
        ready!(this.timer.poll_until(cx, until));
        let rejection = TimedOut::new(Name::clone(&this.shared.name), kind, limit).into();
        Poll::Ready(Err(E::from_rejection(rejection)))
    }
}
