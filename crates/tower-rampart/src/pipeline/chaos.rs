//! How attempts, and their copies, are struck on purpose; without the feature `chaos`, `calm` stands here. How one is held up or fails is in `chaos::strike`.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_config::Capabilities;
use tower_rampart_core::Stage;
use tower_service::Service;

use super::{Judge, Machines, call::Call, state::Answer};
pub(super) use crate::chaos::strike::{Attempt as Sent, Failure};
use crate::{
    chaos::strike::{self, Blow},
    error::Error,
};

/// Why a copy's service is there when it is asked for.
const SENT_ONCE: &str = "a copy is sent once";

/// What sends copies of an attempt.
#[derive(Debug)]
pub(super) struct Sender<S> {
    /// Until it is given to a copy that is held up.
    service: Option<S>,
    /// Whose chaos strikes; `None` while it is off.
    machines: Option<Arc<Machines>>,
}

/// What this build can serve of what a host says that it can.
pub(crate) const fn possible(capabilities: Capabilities) -> Capabilities {
    capabilities
}

/// Makes of a failure the error that is handed on.
pub(super) fn lift<J, Req, Res, E>(judge: &J, failure: Failure<E>) -> Error<J::Error>
where
    J: Judge<Req, Res, E>,
{
    match failure {
        Failure::Service(error) => Error::Inner(judge.lift(error)),
        Failure::Injected(injected) => Error::Injected(injected),
    }
}

impl<S> Sender<S> {
    fn service(&mut self) -> &mut S {
        self.service.as_mut().expect(SENT_ONCE)
    }
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Sends the request of an attempt by the service, which is ready, if chaos lets it.
    #[inline]
    pub(super) fn send<S, Req>(&mut self, service: &mut S, request: Req) -> Sent<S, Req>
    where
        S: Service<Req> + Clone,
    {
        if self.settings.chaos {
            let machines = Arc::clone(&self.shared.machines);
            self.inside(|| strike::send(service, request, &machines.chaos, machines.operation.name()))
        } else {
            Sent::Sent(self.inside(|| service.call(request)))
        }
    }

    /// Takes note of whether an attempt failed on purpose.
    #[inline]
    pub(super) fn note_injected<Res, E>(&mut self, answer: &Answer<Res, E>) {
        if self.settings.chaos {
            self.explain.rejected_by = matches!(answer, Err(Error::Injected(_))).then_some(Stage::Chaos);
        }
    }

    /// What sends a copy by a service of its own.
    pub(super) fn sender<S>(&self, service: S) -> Sender<S> {
        let machines = self.settings.chaos.then(|| Arc::clone(&self.shared.machines));
        Sender { service: Some(service), machines }
    }
}

impl<S, Req> Service<Req> for Sender<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = Failure<S::Error>;
    type Future = Sent<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service().poll_ready(cx).map_err(Failure::Service)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let draw = |machines: &Arc<Machines>| Blow::drawn(&machines.chaos, machines.operation.name());
        match self.machines.as_ref().and_then(draw) {
            None => Sent::Sent(self.service().call(request)),
            Some(blow) => blow.strike(|| self.service.take().expect(SENT_ONCE), request),
        }
    }
}
