//! One layer under test: how it wraps a service, what it does with a failure, and how its books are read. The layers themselves are in `subjects` and `pipelines`.

use std::{sync::Arc, time::Duration};

use tower::{Service, ServiceExt, util::BoxCloneService};
use tower_rampart::Error;

use super::inner::{Failure, Inner, Script};

/// The wrapped service: the same type for every layer, so that one check serves all.
pub(crate) type Wrapped = BoxCloneService<u32, u32, Error<Failure>>;

/// Where the inner service's readiness is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// In `poll_ready`: the instance that was readied is called.
    Outside,
    /// Within the call, for each attempt.
    Inside,
}

/// What one failure of the inner service comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The caller sees it.
    Surfaces,
    /// It is sent again.
    IsRetried,
    /// Another answer takes its place.
    FallsBack,
}

/// What the test knows of the calls that it made.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Account {
    /// Futures that `call` gave.
    pub(crate) made: u64,
    /// Those of them that were polled at least once.
    pub(crate) polled: u64,
    /// Calls that arrived at the inner service.
    pub(crate) arrived: u64,
}

/// A layer under test.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that checks go by")]
pub(crate) struct Subject {
    wrap: Box<dyn Fn(Inner) -> Wrapped>,
    audit: Box<dyn Fn(Account)>,
    pub(crate) readiness: Readiness,
    pub(crate) failing: Failing,
    /// Calls that fit in at once.
    pub(crate) width: usize,
    /// Whether a call that does not fit in waits.
    pub(crate) queues: bool,
    /// Whether it stays usable after a failure: a half-open circuit does not.
    pub(crate) survives_failure: bool,
    /// Whether a call that never ends is ended by the layer.
    pub(crate) bounds_time: bool,
    /// Whether it holds every attempt up.
    pub(crate) is_late: bool,
    /// How long after its making it is as the checks want it.
    pub(crate) settle: Duration,
    /// The failures that the layer counted, where it counts them.
    pub(crate) failures: Option<Box<dyn Fn() -> u64>>,
    /// The ended calls that all services of the layer together have made, where it counts them.
    pub(crate) ended: Option<Box<dyn Fn() -> u64>>,
    /// The calls in flight of all services of the layer together, where it counts them.
    pub(crate) inflight: Option<Box<dyn Fn() -> u64>>,
    /// The services that stand in for the inner one, if there are any.
    pub(crate) spare: Option<Arc<Script>>,
}

impl Subject {
    /// A subject whose layer is put in front of the inner service by `wrap`, and whose books are checked by `audit`.
    pub(crate) fn new<S>(wrap: impl Fn(Inner) -> S + 'static, audit: impl Fn(Account) + 'static) -> Self
    where
        S: Service<u32, Response = u32, Error = Error<Failure>, Future: Send> + Clone + Send + 'static,
    {
        Self {
            wrap: Box::new(move |inner| BoxCloneService::new(wrap(inner))),
            audit: Box::new(audit),
            readiness: Readiness::Outside,
            failing: Failing::Surfaces,
            width: 4,
            queues: false,
            survives_failure: true,
            bounds_time: false,
            is_late: false,
            settle: Duration::ZERO,
            failures: None,
            ended: None,
            inflight: None,
            spare: None,
        }
    }

    /// Another service of the same layer.
    pub(crate) fn service(&self, script: &Arc<Script>) -> Wrapped {
        (self.wrap)(script.inner())
    }

    /// Nothing is held and nothing was lost.
    pub(crate) fn assert_balanced(&self, account: Account) {
        (self.audit)(account);
    }

    /// The same with other books.
    pub(crate) fn audited(mut self, audit: impl Fn(Account) + 'static) -> Self {
        self.audit = Box::new(audit);
        self
    }

    pub(crate) fn failures(mut self, failures: impl Fn() -> u64 + 'static) -> Self {
        self.failures = Some(Box::new(failures));
        self
    }

    pub(crate) fn ended(mut self, ended: impl Fn() -> u64 + 'static) -> Self {
        self.ended = Some(Box::new(ended));
        self
    }

    pub(crate) fn inflight(mut self, inflight: impl Fn() -> u64 + 'static) -> Self {
        self.inflight = Some(Box::new(inflight));
        self
    }
}

/// The inner service under a layer that stands alone: its errors are lifted, as the documentation says.
pub(crate) fn lifted(
    inner: Inner,
) -> impl Service<u32, Response = u32, Error = Error<Failure>, Future: Send> + Clone + Send + 'static {
    inner.map_err(Error::Inner)
}
