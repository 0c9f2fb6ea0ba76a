//! Asks before calling: whether a call would be admitted now, and a guard that holds what was found free.

use std::{fmt, future::Future, sync::Arc};

use tower_rampart_core::{Rejection, RequestInfo, signals};

use super::{Judge, Report, Shared, call::Call, future::ResponseFuture, steps};
use crate::{clock, error::Error, execute::Function, fallback::Fallback, retry::CloneRequest};

/// Looks at one operation before a call.
pub struct Preflight<J, K, A, R> {
    shared: Arc<Shared<J, K, A, R>>,
}

impl<J, K, A, R> Preflight<J, K, A, R> {
    pub(crate) fn new(shared: Arc<Shared<J, K, A, R>>) -> Self {
        Self { shared }
    }

    /// Whether a call would be admitted now, who would refuse it, and when to come back. Takes nothing: by the time of the
    /// call the answer may be another.
    ///
    /// Where stages keep their state by key, the answer is that of the state which all keys without a place share: nobody says here which key is meant.
    pub fn check(&self) -> signals::Preflight {
        let now = clock::now();
        let info = RequestInfo::default();
        self.shared.machines.operation.preflight(now, info.cost, None)
    }

    /// Takes the token, the permit and the circuit's permit that a call needs, for the call to use. Does not wait.
    ///
    /// # Errors
    /// The refusal of the first stage that refuses; then nothing was taken.
    pub fn acquire(&self) -> Result<Admission<J, K, A, R>, Rejection> {
        let mut call = Call::unpolled(Arc::clone(&self.shared));
        call.begin(RequestInfo::default(), clock::now());
        match steps::enter_at_once(&mut call) {
            Ok(()) => Ok(Admission { call }),
            Err(rejection) => {
                call.refused(&rejection);
                Err(rejection)
            }
        }
    }
}

impl<J, K, A, R> fmt::Debug for Preflight<J, K, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight").finish_non_exhaustive()
    }
}

/// An admitted call that was not made yet. Dropped, it gives everything back.
#[must_use = "it holds a permit until it is used or dropped"]
pub struct Admission<J, K, A, R> {
    call: Call<J, K, A, R>,
}

impl<J, K, A, R> Admission<J, K, A, R> {
    /// Makes the call with what was taken.
    ///
    /// # Errors
    /// As a call through the pipeline; see [`Error`].
    pub async fn run<F, Fut, T, E>(self, function: F) -> Result<T, Error<J::Error>>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        J: Judge<(), T, E>,
        K: CloneRequest<()>,
        A: Fallback<(), T, Error<J::Error>>,
        R: Report<T, Error<J::Error>>,
    {
        ResponseFuture::admitted(Function(&function), (), self.call).await
    }
}

impl<J, K, A, R> fmt::Debug for Admission<J, K, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}
