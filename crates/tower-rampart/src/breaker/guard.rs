//! Sees to it that every permit of a circuit ends in exactly one outcome, however its call ends.

use std::{sync::Arc, time::Duration};

use tower_rampart_core::{Outcome, breaker::Permit};

use super::Shared;
use crate::clock;

/// A permit that records itself: as told, as failed if the inner service panicked, else as abandoned.
#[derive(Debug)]
pub(crate) struct Guard<C> {
    shared: Arc<Shared<C>>,
    permit: Option<Permit>,
    inside: bool,
}

impl<C> Guard<C> {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared<C>>, permit: Option<Permit>) -> Self {
        Self { shared, permit, inside: false }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared<C> {
        &self.shared
    }

    /// Runs code of the inner service: a panic in it is a failure.
    #[inline]
    pub(crate) fn inside<R>(&mut self, run: impl FnOnce() -> R) -> R {
        self.inside = true;
        let result = run();
        self.inside = false;
        result
    }

    /// Ends the call.
    #[inline]
    pub(crate) fn record(&mut self, outcome: Outcome, retry_after: Option<Duration>) {
        if let Some(permit) = self.permit.take() {
            self.shared.breaker.record(permit, outcome, retry_after, clock::now);
        }
    }
}

impl<C> Drop for Guard<C> {
    fn drop(&mut self) {
        self.record(if self.inside { Outcome::Failure } else { Outcome::Abandoned }, None);
    }
}

/// Ends the call when it is dropped: by a panic, before there is a future to hold the permit.
#[derive(Debug)]
pub(crate) struct Unwinding<'a, C> {
    pub(crate) shared: &'a Shared<C>,
    pub(crate) permit: &'a mut Option<Permit>,
    /// What the panic says of the service: nothing while the classifier looks at the request, a failure in the inner service.
    pub(crate) outcome: Outcome,
}

impl<C> Drop for Unwinding<'_, C> {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.shared.breaker.record(permit, self.outcome, None, clock::now);
        }
    }
}
