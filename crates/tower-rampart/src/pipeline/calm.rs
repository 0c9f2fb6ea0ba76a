//! What stands for `chaos` where the feature is off: nothing strikes any attempt, no host can serve the stage, and nothing is paid for it.

use tower_rampart_config::{Capabilities, Capability};
use tower_service::Service;

use super::{Judge, call::Call, state::Answer};
use crate::error::Error;

/// An attempt in flight.
pub(super) type Sent<S, Req> = <S as Service<Req>>::Future;

/// Why an attempt has no answer.
pub(super) type Failure<E> = E;

/// What sends copies of an attempt.
pub(super) type Sender<S> = S;

/// What this build can serve of what a host says that it can.
pub(crate) const fn possible(capabilities: Capabilities) -> Capabilities {
    capabilities.without(Capability::Chaos)
}

/// Makes of a failure the error that is handed on.
pub(super) fn lift<J, Req, Res, E>(judge: &J, failure: Failure<E>) -> Error<J::Error>
where
    J: Judge<Req, Res, E>,
{
    Error::Inner(judge.lift(failure))
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Sends the request of an attempt by the service, which is ready.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it stands for the stage, and costs nothing")]
    pub(super) fn send<S, Req>(&mut self, service: &mut S, request: Req) -> Sent<S, Req>
    where
        S: Service<Req>,
    {
        self.inside(|| service.call(request))
    }

    /// No attempt failed on purpose.
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "it stands for the stage")]
    pub(super) const fn note_injected<Res, E>(&mut self, _answer: &Answer<Res, E>) {}

    /// What sends a copy by a service of its own.
    #[expect(clippy::unused_self, reason = "it stands for the stage")]
    pub(super) fn sender<S>(&self, service: S) -> Sender<S> {
        service
    }
}
