//! An attempt that may be held up, or fail, on purpose: how the layer and the pipeline send it. What is drawn is the core's business.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Timestamp,
    chaos::Chaos,
    rejection::{Injected, Name},
};
use tower_service::Service;

use crate::{clock, timer::Timer};

/// Why an attempt has no answer.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// The service failed.
    Service(E),
    /// It was not asked.
    Injected(Injected),
}

/// An attempt. What a struck one waits with is boxed, so that the others have no room to pay for.
#[pin_project(project = AttemptProjection)]
pub(crate) enum Attempt<S, Req>
where
    S: Service<Req>,
{
    // Struck => Sent: the latency is over, and there is no fault
    Struck(Pin<Box<Struck<S, Req>>>),
    Sent(#[pin] S::Future),
}

/// What befalls an attempt before it is sent.
#[pin_project]
pub(crate) struct Struck<S, Req> {
    #[pin]
    timer: Timer,
    /// Until when it is held up; zero: it is not.
    until: Timestamp,
    /// The service that was readied, and the request; `None`: it fails.
    kept: Option<(S, Req)>,
    name: Name,
}

/// What was drawn for an attempt that does not just go.
pub(crate) struct Blow {
    until: Timestamp,
    is_fault: bool,
    name: Name,
}

impl Blow {
    /// Draws for an attempt of the operation `name`; `None`: nothing befalls it.
    pub(crate) fn drawn(chaos: &Chaos, name: &Name) -> Option<Self> {
        let injection = chaos.draw();
        (injection.latency.is_some() || injection.fault).then(|| Self {
            until: injection.latency.map_or(Timestamp::ZERO, |latency| clock::now().after(latency)),
            is_fault: injection.fault,
            name: Name::clone(name),
        })
    }

    /// The attempt of a service that is ready; `keep` gives it away, for as long as the attempt is held up. Where it is to fail the service is dropped
    /// at once: what it had reserved for this request is nobody's to wait for.
    pub(crate) fn strike<S, Req>(self, keep: impl FnOnce() -> S, request: Req) -> Attempt<S, Req>
    where
        S: Service<Req>,
    {
        let Self { until, is_fault, name } = self;
        let service = keep();
        let kept = (!is_fault).then_some((service, request));
        Attempt::Struck(Box::pin(Struck { timer: Timer::new(), until, kept, name }))
    }
}

/// Sends a request by a service that is ready, if chaos lets it.
pub(crate) fn send<S, Req>(service: &mut S, request: Req, chaos: &Chaos, name: &Name) -> Attempt<S, Req>
where
    S: Service<Req> + Clone,
{
    match Blow::drawn(chaos, name) {
        None => Attempt::Sent(service.call(request)),
        Some(blow) => {
            let keep = || {
                let fresh = service.clone();
                mem::replace(service, fresh)
            };
            blow.strike(keep, request)
        }
    }
}

impl<S, Req> Future for Attempt<S, Req>
where
    S: Service<Req>,
{
    type Output = Result<S::Response, Failure<S::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                AttemptProjection::Sent(future) => return future.poll(cx).map_err(Failure::Service),
                AttemptProjection::Struck(struck) => {
                    let struck = struck.as_mut().project();
                    ready!(struck.timer.poll_until(cx, *struck.until));
                    let Some((mut service, request)) = struck.kept.take() else {
                        return Poll::Ready(Err(Failure::Injected(Injected::new(Name::clone(struck.name)))));
                    };
                    service.call(request)
                }
            };
            self.set(Self::Sent(future));
        }
    }
}
