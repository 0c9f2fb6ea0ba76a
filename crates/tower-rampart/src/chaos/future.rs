//! The future of a call that may be late or fail on purpose.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Timestamp,
    rejection::{Injected, Name},
};
use tower_service::Service;

use super::Shared;
use crate::{error::FromRejection, timer::Timer};

/// The response of a [`ChaosService`](super::ChaosService).
///
/// # Cancel safety
/// Dropping it drops the call; one that is still being held up was not sent.
#[pin_project]
pub struct ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    #[pin]
    state: State<S, S::Future, Req>,
}

#[pin_project(project = StateProjection)]
enum State<S, F, Req> {
    // Afflicted => Calling: the latency is over, and there is no fault
    Afflicted {
        until: Option<Timestamp>,
        /// The service and its request; `None`: the call fails.
        kept: Option<(S, Req)>,
        #[pin]
        timer: Timer,
        shared: Arc<Shared>,
    },
    Calling(#[pin] F),
}

impl<S, Req> ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    pub(crate) fn calling(future: S::Future) -> Self {
        Self { state: State::Calling(future) }
    }

    pub(crate) fn afflicted(until: Option<Timestamp>, kept: Option<(S, Req)>, shared: Arc<Shared>) -> Self {
        Self { state: State::Afflicted { until, kept, timer: Timer::new(), shared } }
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
            match this.state.as_mut().project() {
                StateProjection::Afflicted { until, kept, timer, shared } => {
                    if let Some(until) = *until {
                        ready!(timer.poll_until(cx, until));
                    }
                    let Some((mut service, request)) = kept.take() else {
                        let rejection = Injected::new(Name::clone(&shared.name)).into();
                        return Poll::Ready(Err(S::Error::from_rejection(rejection)));
                    };
                    let future = service.call(request);
                    this.state.set(State::Calling(future));
                }
                StateProjection::Calling(future) => return future.poll(cx),
            }
        }
    }
}

impl<S, Req> fmt::Debug for ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("chaos::ResponseFuture").finish_non_exhaustive()
    }
}
