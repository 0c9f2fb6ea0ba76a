//! One of several services for each call, by turns or the first that is well. The chain that tries one after the other for the same call is in `targets`.

use std::{
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use pin_project::pin_project;
use tower_rampart_core::rejection::{Name, NoEnabledTargets};
use tower_service::Service;

use super::{
    Target,
    targets::{Member, Oneshot},
};
use crate::error::FromRejection;

/// Which of the services that are well has the next call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Selection {
    /// They take turns; one that is not well is passed over.
    #[default]
    RoundRobin,
    /// The first in their order.
    HealthBased,
}

/// A service made of several with the same answers, of which each call goes to one that is enabled and, as its [`healthy_while`](Target::healthy_while) says, well.
///
/// | a service | gets calls |
/// |---|---|
/// | is not [enabled](Target::enabled), or not well | no; one that says nothing of its health is well |
/// | fails | as before: only what is asked of its health decides, as a rule its circuit |
///
/// With none left the error is [`NoEnabledTargets`], as that of an empty chain. A call is made once; put retries around it, and the next attempt goes to the next service, or
/// give it to [`Builder::services`](super::Builder::services) as one of a chain. Conditions ([`Target::when`]) are of a chain: there is no verdict here yet.
///
/// Clones share whose turn it is.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_rampart::{CircuitBreakerLayer, Error, breaker, fallback::{Balance, Selection, Target}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (one, two) = (CircuitBreakerLayer::new(breaker::Config::default())?, CircuitBreakerLayer::new(breaker::Config::default())?);
/// let target = |name: &'static str, circuit: &CircuitBreakerLayer| {
///     let inner = service_fn(move |(): ()| async move { Ok::<_, Error<Infallible>>(name) });
///     Target::new(name, circuit.layer(inner)).healthy_while(circuit.handle().health())
/// };
/// let service = Balance::new("pair", Selection::RoundRobin, [target("one", &one), target("two", &two)]);
/// assert_eq!((service.clone().oneshot(()).await?, service.clone().oneshot(()).await?), ("one", "two"));
/// one.handle().trip();
/// assert_eq!((service.clone().oneshot(()).await?, service.oneshot(()).await?), ("two", "two"));
/// # Ok(())
/// # }
/// ```
pub struct Balance<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    name: Name,
    selection: Selection,
    members: Vec<Member<S>>,
    /// Where the next turn begins.
    next: AtomicUsize,
}

impl<S> Balance<S> {
    /// Chooses among these; `name` is what a refusal calls them together.
    pub fn new(name: &str, selection: Selection, targets: impl IntoIterator<Item = Target<S>>) -> Self {
        let members = targets.into_iter().map(Member::new).collect();
        Self { shared: Arc::new(Shared { name: name.into(), selection, members, next: AtomicUsize::new(0) }) }
    }
}

impl<S> Shared<S> {
    fn choose(&self) -> Option<&Member<S>> {
        let all = self.members.len();
        let from = match self.selection {
            Selection::RoundRobin => self.next.load(Ordering::Relaxed),
            Selection::HealthBased => 0,
        };
        let found = (0..all).map(|step| from.wrapping_add(step) % all).find(|index| self.members[*index].is_well())?;
        // Two calls at once may meet at the same service: whose turn it is promises an even share, not an order.
        self.next.store((found + 1) % all, Ordering::Relaxed);
        self.members.get(found)
    }
}

impl<S> Clone for Balance<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for Balance<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<&Name> = self.shared.members.iter().map(Member::name).collect();
        f.debug_struct("Balance").field("selection", &self.shared.selection).field("members", &members).finish()
    }
}

impl<S, Req> Service<Req> for Balance<S>
where
    S: Service<Req, Error: FromRejection> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BalanceFuture<S, Req>;

    /// Always ready: which service is called is not known before, and its readiness is awaited in the call.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        if let Some(member) = self.shared.choose() {
            return BalanceFuture::Called(Oneshot::new(member.service(), request));
        }
        let rejection = NoEnabledTargets::new(Name::clone(&self.shared.name)).into();
        BalanceFuture::Refused(ready(Err(S::Error::from_rejection(rejection))))
    }
}

/// The response of a [`Balance`].
///
/// # Cancel safety
/// Dropping it drops the call that is in flight.
#[pin_project(project = BalanceProjection)]
pub enum BalanceFuture<S: Service<Req>, Req> {
    /// One was chosen.
    Called(#[pin] Oneshot<S, Req>),
    /// There was none.
    Refused(Ready<Result<S::Response, S::Error>>),
}

impl<S: Service<Req>, Req> Future for BalanceFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            BalanceProjection::Called(future) => future.poll(cx),
            BalanceProjection::Refused(refused) => Pin::new(refused).poll(cx),
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for BalanceFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalanceFuture").finish_non_exhaustive()
    }
}
