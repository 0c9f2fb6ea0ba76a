//! The rest of the middlewares as a service, and the extensions that its calls share with the caller.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Next};
use tower_rampart::{UnderRetry, http::Attempt};
use tower_service::Service;

/// The extensions between the attempts of one call.
#[derive(Default)]
struct Shared {
    extensions: Extensions,
    attempts: u32,
}

type Home = Arc<Mutex<Shared>>;

fn lock(home: &Home) -> MutexGuard<'_, Shared> {
    // A panic in between leaves them as they were.
    home.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The caller's extensions, lent to the attempts of one call. The caller has them back when this is dropped.
pub(super) struct Lent<'a> {
    caller: &'a mut Extensions,
    home: Home,
    /// What the caller says and attempts are not to find. Whoever calls again with these extensions says it still.
    withheld: Option<UnderRetry>,
}

impl<'a> Lent<'a> {
    pub(super) fn new(caller: &'a mut Extensions) -> Self {
        let home = Home::default();
        lock(&home).extensions = mem::take(caller);
        Self { caller, home, withheld: None }
    }

    pub(super) fn under_retry(&self) -> Option<UnderRetry> {
        lock(&self.home).extensions.get().copied()
    }

    /// Takes out what the caller says, `under`, until it has its extensions back.
    pub(super) fn withhold(&mut self, under: UnderRetry) {
        lock(&self.home).extensions.remove::<UnderRetry>();
        self.withheld = Some(under);
    }

    pub(super) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        lock(&self.home).extensions.insert(value);
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.caller = mem::take(&mut lock(&self.home).extensions);
        if let Some(under) = self.withheld {
            self.caller.insert(under);
        }
    }
}

/// The rest of the middlewares, and the client at their end.
#[derive(Clone)]
pub(super) struct NextService<'a> {
    next: Next<'a>,
    home: Home,
}

impl<'a> NextService<'a> {
    pub(super) fn new(next: Next<'a>, lent: &Lent<'_>) -> Self {
        Self { next, home: Arc::clone(&lent.home) }
    }
}

impl<'a> Service<Request> for NextService<'a> {
    type Response = Response;
    type Error = Error;
    /// The box is the host's: what `Next` returns borrows the extensions that this owns.
    type Future = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send + 'a>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let next = self.next.clone();
        let mut attempt = Attempted::begin(&self.home);
        Box::pin(async move { next.run(request, &mut attempt.extensions).await })
    }
}

/// The extensions of one attempt, which go home with it, whether it ends or is dropped.
struct Attempted {
    extensions: Extensions,
    home: Home,
}

impl Attempted {
    fn begin(home: &Home) -> Self {
        let mut shared = lock(home);
        shared.attempts += 1;
        // A copy, so that an attempt which panics or runs beside another takes nothing away from it.
        let mut extensions = shared.extensions.clone();
        if shared.attempts > 1 {
            extensions.insert(Attempt(shared.attempts));
        }
        Self { extensions, home: Arc::clone(home) }
    }
}

impl Drop for Attempted {
    fn drop(&mut self) {
        lock(&self.home).extensions = mem::take(&mut self.extensions);
    }
}
