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
    shadow::WouldBe,
};

use super::{Config, Shared};
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
    end: End,
    #[pin]
    timer: Timer,
    shared: Arc<Shared>,
}

/// When the time is over.
#[derive(Debug, Clone, Copy)]
enum End {
    // Unknown => Never | At: the inner service did not answer at once
    // At => Never: the time is over, and the layer in shadow
    Unknown,
    Never,
    At(Timestamp, Limit),
}

/// The limit that acts, and what it is called.
type Limit = (Duration, TimeoutKind);

impl End {
    #[inline(never)]
    fn new(shared: &Shared) -> Self {
        match shared.config.with(limit) {
            Some(limit) => Self::At(clock::now().after(limit.0), limit),
            None => Self::Never,
        }
    }
}

fn limit(config: &Config) -> Option<Limit> {
    let attempt = config.attempt.map(|limit| (limit, TimeoutKind::Attempt));
    let total = config.total.map(|limit| (limit, TimeoutKind::Total));
    attempt.into_iter().chain(total).min_by_key(|(limit, _)| *limit)
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(future: F, shared: Arc<Shared>) -> Self {
        Self { future, end: End::Unknown, timer: Timer::new(), shared }
    }
}

impl<F, Res, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: FromRejection,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.future.poll(cx) {
            return Poll::Ready(result);
        }
        if let End::Unknown = this.end {
            *this.end = End::new(this.shared);
        }
        let End::At(until, (limit, kind)) = *this.end else { return Poll::Pending };
        ready!(this.timer.poll_until(cx, until));
        if this.shared.shadow.is_on() {
            this.shared.shadow.count(WouldBe::Refused);
            *this.end = End::Never;
            return Poll::Pending;
        }
        let rejection = TimedOut::new(Name::clone(&this.shared.name), kind, limit).into();
        Poll::Ready(Err(E::from_rejection(rejection)))
    }
}
