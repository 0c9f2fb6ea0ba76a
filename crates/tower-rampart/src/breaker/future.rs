//! The future of a call through a circuit.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Classify, Rejection, RequestInfo,
    breaker::Refused,
    rejection::{CircuitOpen, Name},
};

use super::{Shared, guard::Guard};
use crate::error::FromRejection;

/// The response of a [`CircuitBreaker`](super::CircuitBreaker).
///
/// # Cancel safety
/// Dropping it records the call as abandoned and frees its probe slot.
#[pin_project]
pub struct ResponseFuture<F, C, Req> {
    #[pin]
    state: State<F, C>,
    request: PhantomData<fn(Req)>,
}

#[pin_project(project = StateProjection)]
enum State<F, C> {
    /// The circuit refused; taken when polled.
    Refused(Option<Rejection>),
    // Calling => done: the outcome is recorded
    Calling {
        #[pin]
        future: F,
        guard: Guard<C>,
        info: RequestInfo,
    },
}

impl<F, C, Req> ResponseFuture<F, C, Req> {
    #[cold]
    #[inline(never)]
    pub(crate) fn refused(shared: &Shared<C>, refused: Refused) -> Self {
        let open = CircuitOpen::new(Name::clone(shared.breaker.name()), refused.state, refused.retry_after);
        let open = if shared.per_key { open.per_key() } else { open };
        Self { state: State::Refused(Some(open.into())), request: PhantomData }
    }

    pub(crate) fn calling(future: F, guard: Guard<C>, info: RequestInfo) -> Self {
        Self { state: State::Calling { future, guard, info }, request: PhantomData }
    }
}

impl<F, C, Req, Res, E> Future for ResponseFuture<F, C, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: FromRejection,
    C: Classify<Req, Res, E>,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Refused(rejection) => {
                let rejection = rejection.take().expect("a future is not polled after it was ready");
                Poll::Ready(Err(E::from_rejection(rejection)))
            }
            StateProjection::Calling { future, guard, info } => {
                let result = ready!(guard.inside(|| future.poll(cx)));
                let shared = guard.shared();
                let verdict = shared.classifier.classify(info, result.as_ref());
                let outcome = shared.breaker.outcome(&verdict);
                guard.record(outcome, verdict.class.retry_after());
                Poll::Ready(result)
            }
        }
    }
}

impl<F, C, Req> fmt::Debug for ResponseFuture<F, C, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("breaker::ResponseFuture").finish_non_exhaustive()
    }
}
