//! The future of a call with a fallback.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{Class, Classify, RequestInfo};

use super::{Fallback, Fault, Shared, Walk};
use crate::clone_request::CloneRequest;

/// The response of a [`FallbackService`](super::FallbackService).
///
/// # Cancel safety
/// Dropping it drops whatever call is in flight.
#[pin_project]
pub struct ResponseFuture<F, G, Req, A, C, K> {
    #[pin]
    state: State<F, G>,
    walk: Walk<Req>,
    info: RequestInfo,
    shared: Arc<Shared<A, C, K>>,
}

#[pin_project(project = StateProjection)]
enum State<F, G> {
    // Calling => Falling: the answer is a fault and the fallback answers for it
    Calling(#[pin] F),
    // Falling => Falling: that answer is a fault too and there is another
    Falling(#[pin] G),
}

impl<F, G, Req, A, C, K> ResponseFuture<F, G, Req, A, C, K> {
    pub(crate) fn new(future: F, shared: Arc<Shared<A, C, K>>, walk: Walk<Req>, info: RequestInfo) -> Self {
        Self { state: State::Calling(future), walk, info, shared }
    }
}

impl<F, G, Req, A, C, K, Res, E> Future for ResponseFuture<F, G, Req, A, C, K>
where
    F: Future<Output = Result<Res, E>>,
    G: Future<Output = Result<Res, E>>,
    A: Fallback<Req, Res, E, Future = G>,
    C: Classify<Req, Res, E>,
    K: CloneRequest<Req>,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.state.as_mut().project() {
                StateProjection::Calling(future) => ready!(future.poll(cx)),
                StateProjection::Falling(future) => ready!(future.poll(cx)),
            };
            let shared = &**this.shared;
            let verdict = shared.classifier.classify(this.info, result.as_ref());
            if verdict.class == Class::Success && verdict.fallback.is_none() {
                // Whatever the configuration says: it is not even loaded.
                return Poll::Ready(result);
            }
            let config = shared.config.with(|config| *config);
            if !this.walk.may_step(config, &verdict, &shared.answer) {
                return Poll::Ready(result);
            }
            match this.walk.step(&verdict, &shared.answer, &shared.cloner, |_| {}, Fault::new(result)) {
                Ok(future) => this.state.set(State::Falling(future)),
                Err(fault) => {
                    let result = fault.into_result().expect("a fault that was not handed out is held once");
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl<F, G, Req, A, C, K> fmt::Debug for ResponseFuture<F, G, Req, A, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("fallback::ResponseFuture").finish_non_exhaustive()
    }
}
