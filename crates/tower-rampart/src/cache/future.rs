//! The future of a call with a cache in front of it.

use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{Classify, RequestInfo, cache};
use tower_service::Service;

use super::layer::Shared;
use crate::timer::Timer;

/// The response of a [`CacheService`](super::CacheService).
///
/// # Cancel safety
/// Dropping it drops whatever call is in flight, and hands the lead over to whoever waits longest for its answer.
#[pin_project]
pub struct ResponseFuture<S, Req, F, K, V, C>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
{
    /// First, so that the call is dropped before somebody else makes it.
    #[pin]
    state: State<S, Req, S::Future, V>,
    #[pin]
    timer: Timer,
    visit: Option<Box<cache::Visit<K, V>>>,
    info: RequestInfo,
    shared: Arc<Shared<F, K, V, C>>,
}

#[pin_project(project = StateProjection)]
enum State<S, Req, G, V> {
    Hit(Option<V>),
    /// Somebody else fetches the answer.
    Following {
        service: S,
        request: Option<Req>,
    },
    // Following => Calling: there was nothing to wait for
    Calling(#[pin] G),
}

impl<S, Req, F, K, V, C> ResponseFuture<S, Req, F, K, V, C>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
{
    pub(super) fn hit(answer: V, shared: Arc<Shared<F, K, V, C>>, info: RequestInfo) -> Self {
        Self { state: State::Hit(Some(answer)), timer: Timer::new(), visit: None, info, shared }
    }

    pub(super) fn following(
        service: S,
        request: Req,
        visit: Box<cache::Visit<K, V>>,
        shared: Arc<Shared<F, K, V, C>>,
        info: RequestInfo,
    ) -> Self {
        let state = State::Following { service, request: Some(request) };
        Self { state, timer: Timer::new(), visit: Some(visit), info, shared }
    }

    pub(super) fn calling(
        future: S::Future,
        visit: Option<Box<cache::Visit<K, V>>>,
        shared: Arc<Shared<F, K, V, C>>,
        info: RequestInfo,
    ) -> Self {
        Self { state: State::Calling(future), timer: Timer::new(), visit, info, shared }
    }
}

impl<S, Req, F, K, V, C> Future for ResponseFuture<S, Req, F, K, V, C>
where
    S: Service<Req, Response = V>,
    K: Eq + Hash + Clone,
    V: Clone,
    C: Classify<Req, V, S::Error>,
{
    type Output = Result<V, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Hit(answer) => return Poll::Ready(Ok(answer.take().expect(NOT_AGAIN))),
                StateProjection::Following { service, request } => {
                    let visit = this.visit.as_mut().expect("who follows has a visit");
                    let given = match super::Visit::poll(visit, cx) {
                        Poll::Ready(given) => given,
                        Poll::Pending => {
                            ready!(this.timer.as_mut().poll_until(cx, visit.as_ref().until()));
                            super::Visit::give_up(visit)
                        }
                    };
                    if let Some(answer) = given {
                        *this.visit = None;
                        return Poll::Ready(Ok(answer));
                    }
                    let request = request.take().expect("the request is there until the call is made");
                    let future = service.call(request);
                    this.state.set(State::Calling(future));
                }
                StateProjection::Calling(future) => {
                    let mut result = ready!(future.poll(cx));
                    let Some(mut visit) = this.visit.take() else { return Poll::Ready(result) };
                    let verdict = this.shared.classifier.classify(this.info, result.as_ref());
                    let stale = super::stand_in(Some(&mut visit), &verdict);
                    super::end(visit, &mut result, &verdict);
                    return Poll::Ready(stale.map_or(result, Ok));
                }
            }
        }
    }
}

const NOT_AGAIN: &str = "a future is not polled after it was ready";

impl<S, Req, F, K, V, C> fmt::Debug for ResponseFuture<S, Req, F, K, V, C>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("cache::ResponseFuture").finish_non_exhaustive()
    }
}
