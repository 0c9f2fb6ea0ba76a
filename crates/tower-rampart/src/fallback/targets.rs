//! The form of a fallback that is services: failover across endpoints or models, tried in order.

use std::{
    fmt,
    future::{Future, Ready},
    marker::PhantomData,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Verdict,
    rejection::{Name, NoEnabledTargets},
};
use tower_service::Service;

use super::{Fallback, Fault};
use crate::error::FromRejection;

/// One service of a chain.
pub struct Target<S> {
    name: Name,
    service: S,
    enabled: bool,
    condition: Option<Condition>,
    health: Option<Health>,
}

type Condition = Box<dyn Fn(&Verdict) -> bool + Send + Sync>;

type Health = Box<dyn Fn() -> bool + Send + Sync>;

impl<S> Target<S> {
    /// An enabled target; `name` is what reports call it.
    pub fn new(name: impl Into<Name>, service: S) -> Self {
        Self { name: name.into(), service, enabled: true, condition: None, health: None }
    }

    /// Whether it is tried at all. Default: true.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Tries it only for what was judged so. Default: for everything that falls back.
    pub fn when(mut self, condition: impl Fn(&Verdict) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Box::new(condition));
        self
    }

    /// Passes it over while this says that it is not well: as a rule its circuit, by [`Handle::health`](crate::breaker::Handle::health). Default: it is always well.
    pub fn healthy_while(mut self, health: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.health = Some(Box::new(health));
        self
    }

    fn map<S2>(self, wrap: impl FnOnce(S) -> S2) -> Target<S2> {
        let Self { name, service, enabled, condition, health } = self;
        Target { name, service: wrap(service), enabled, condition, health }
    }
}

impl<S: fmt::Debug> fmt::Debug for Target<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("service", &self.service)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A chain of services, tried in order until one answers.
///
/// Its members answer with the same types as the service that they stand in for; give each its own circuit by layering it
/// with a [`ResilienceLayer`](crate::ResilienceLayer) of its own. Made from an array or a `Vec` of services of one type,
/// from a tuple of two or three [`Target`]s of different types, or by [`Targets::new`] where the members have names and conditions.
pub struct Targets<S> {
    members: Vec<Member<S>>,
}

pub(super) struct Member<S> {
    name: Name,
    /// A mutex because services need not be `Sync`; held for a clone.
    service: Mutex<S>,
    enabled: bool,
    condition: Option<Condition>,
    health: Option<Health>,
}

impl<S> Member<S> {
    pub(super) fn new(target: Target<S>) -> Self {
        let Target { name, service, enabled, condition, health } = target;
        Self { name, service: Mutex::new(service), enabled, condition, health }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn is_well(&self) -> bool {
        self.enabled && self.health.as_ref().is_none_or(|health| health())
    }
}

impl<S: Clone> Member<S> {
    pub(super) fn service(&self) -> S {
        self.service.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S> Targets<S> {
    /// A chain of these targets.
    pub fn new(targets: impl IntoIterator<Item = Target<S>>) -> Self {
        Self { members: targets.into_iter().map(Member::new).collect() }
    }

    /// A chain of these services, named `fallback 1`, `fallback 2` and so on in reports.
    pub fn of_services(services: impl IntoIterator<Item = S>) -> Self {
        let name = |(index, service)| Target::new(format!("fallback {}", index + 1), service);
        Self::new(services.into_iter().enumerate().map(name))
    }
}

impl<S> fmt::Debug for Targets<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.name)).finish()
    }
}

impl<S, const N: usize> From<[S; N]> for Targets<S> {
    fn from(services: [S; N]) -> Self {
        Self::of_services(services)
    }
}

impl<S> From<Vec<S>> for Targets<S> {
    fn from(services: Vec<S>) -> Self {
        Self::of_services(services)
    }
}

impl<A, B> From<(Target<A>, Target<B>)> for Targets<OneOf2<A, B>> {
    fn from((a, b): (Target<A>, Target<B>)) -> Self {
        Self::new([a.map(OneOf2::First), b.map(OneOf2::Second)])
    }
}

impl<A, B, C> From<(Target<A>, Target<B>, Target<C>)> for Targets<OneOf3<A, B, C>> {
    fn from((a, b, c): (Target<A>, Target<B>, Target<C>)) -> Self {
        let (a, b) = (a.map(OneOf2::First).map(OneOf2::First), b.map(OneOf2::Second).map(OneOf2::First));
        Self::new([a, b, c.map(OneOf2::Second)])
    }
}

impl<S, Req, Res, E> Fallback<Req, Res, E> for Targets<S>
where
    S: Service<Req, Response = Res, Error = E> + Clone,
{
    type Future = Oneshot<S, Req>;

    fn len(&self) -> usize {
        self.members.len()
    }

    fn needs_request(&self) -> bool {
        true
    }

    fn is_enabled(&self, index: usize, verdict: &Verdict) -> bool {
        self.members.get(index).is_some_and(|member| {
            member.is_well() && member.condition.as_ref().is_none_or(|condition| condition(verdict))
        })
    }

    fn name(&self, index: usize) -> Option<Name> {
        self.members.get(index).map(|member| Name::clone(&member.name))
    }

    fn begin(&self, index: usize, request: Option<Req>, fault: Fault<Res, E>) -> Result<Self::Future, Fault<Res, E>> {
        match (self.members.get(index), request) {
            (Some(member), Some(request)) => Ok(Oneshot::new(member.service(), request)),
            _ => Err(fault),
        }
    }
}

/// One call of a service that is first waited for.
#[pin_project]
pub struct Oneshot<S: Service<Req>, Req> {
    service: S,
    request: Option<Req>,
    #[pin]
    future: Option<S::Future>,
}

impl<S: Service<Req>, Req> Oneshot<S, Req> {
    pub(super) const fn new(service: S, request: Req) -> Self {
        Self { service, request: Some(request), future: None }
    }
}

impl<S: Service<Req>, Req> Future for Oneshot<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(future) = this.future.as_mut().as_pin_mut() {
                return future.poll(cx);
            }
            ready!(this.service.poll_ready(cx))?;
            let request = this.request.take().expect("a future is not polled after it was ready");
            this.future.set(Some(this.service.call(request)));
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Oneshot<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oneshot").finish_non_exhaustive()
    }
}

/// One of two services with the same answers.
#[derive(Debug, Clone)]
pub enum OneOf2<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

/// One of three services with the same answers.
pub type OneOf3<A, B, C> = OneOf2<OneOf2<A, B>, C>;

impl<A, B, Req> Service<Req> for OneOf2<A, B>
where
    A: Service<Req>,
    B: Service<Req, Response = A::Response, Error = A::Error>,
{
    type Response = A::Response;
    type Error = A::Error;
    type Future = OneOf2Future<A::Future, B::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::First(service) => service.poll_ready(cx),
            Self::Second(service) => service.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self {
            Self::First(service) => OneOf2Future::First(service.call(request)),
            Self::Second(service) => OneOf2Future::Second(service.call(request)),
        }
    }
}

/// The future of one of two services.
#[pin_project(project = OneOf2Projection)]
#[derive(Debug)]
pub enum OneOf2Future<A, B> {
    /// Of the first.
    First(#[pin] A),
    /// Of the second.
    Second(#[pin] B),
}

impl<A: Future, B: Future<Output = A::Output>> Future for OneOf2Future<A, B> {
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            OneOf2Projection::First(future) => future.poll(cx),
            OneOf2Projection::Second(future) => future.poll(cx),
        }
    }
}

/// The service in front of a chain that has no other first: it never has an answer of its own, so that the first target is asked at once.
///
/// Put a [`FallbackLayer`](super::FallbackLayer) with the targets around it; with no target enabled the error is
/// [`NoEnabledTargets`].
pub struct Chain<Res, E> {
    name: Name,
    answer: PhantomData<fn() -> (Res, E)>,
}

impl<Res, E> Chain<Res, E> {
    /// The head of the chain `name`.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), answer: PhantomData }
    }
}

impl<Res, E> Clone for Chain<Res, E> {
    fn clone(&self) -> Self {
        Self { name: Name::clone(&self.name), answer: PhantomData }
    }
}

impl<Res, E> fmt::Debug for Chain<Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("name", &self.name).finish()
    }
}

impl<Req, Res, E: FromRejection> Service<Req> for Chain<Res, E> {
    type Response = Res;
    type Error = E;
    type Future = Ready<Result<Res, E>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Req) -> Self::Future {
        let rejection = NoEnabledTargets::new(Name::clone(&self.name)).into();
        std::future::ready(Err(E::from_rejection(rejection)))
    }
}
