//! The forms of a fallback that are code; the form that is services is in `targets`.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    marker::PhantomData,
    sync::Arc,
};

use tower_rampart_core::{Verdict, rejection::Name};

/// What a fallback is called for.
#[derive(Debug)]
pub enum Fault<Res, E> {
    /// An answer that was judged a failure, such as an HTTP 503.
    Answer(Res),
    /// An error. It is shared, so that it is still there as the source if the fallback fails too.
    Error(Arc<E>),
}

impl<Res, E> Fault<Res, E> {
    pub(crate) fn new(result: Result<Res, E>) -> Self {
        match result {
            Ok(answer) => Self::Answer(answer),
            Err(error) => Self::Error(Arc::new(error)),
        }
    }

    /// The error, if it is one.
    pub fn error(&self) -> Option<&E> {
        match self {
            Self::Error(error) => Some(error),
            Self::Answer(_) => None,
        }
    }

    #[cfg(feature = "pipeline")]
    pub(crate) fn shared_error(&self) -> Option<Arc<E>> {
        match self {
            Self::Error(error) => Some(Arc::clone(error)),
            Self::Answer(_) => None,
        }
    }

    /// The answer or the error, as it was. `None` if a fallback still holds the error.
    pub(crate) fn into_result(self) -> Option<Result<Res, E>> {
        match self {
            Self::Answer(answer) => Some(Ok(answer)),
            Self::Error(error) => Arc::into_inner(error).map(Err),
        }
    }
}

/// Other answers for a request, tried one after the other.
pub trait Fallback<Req, Res, E> {
    /// The answer on its way.
    type Future: Future<Output = Result<Res, E>>;

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they need the request, which is then cloned before it is sent.
    fn needs_request(&self) -> bool;

    /// Whether answer `index` needs the request; of answers that differ in that, some may do without. Default: as all of them.
    fn needs_request_for(&self, _index: usize) -> bool {
        self.needs_request()
    }

    /// Whether answer `index` is to be tried for what was judged so.
    fn is_enabled(&self, _index: usize, _verdict: &Verdict) -> bool {
        true
    }

    /// The name of answer `index` in reports, if it has one.
    fn name(&self, _index: usize) -> Option<Name> {
        None
    }

    /// Begins answer `index`.
    ///
    /// # Errors
    /// Gives the fault back where there is no such answer, or none without the request; the next one is tried then.
    fn begin(&self, index: usize, request: Option<Req>, fault: Fault<Res, E>) -> Result<Self::Future, Fault<Res, E>>;
}

/// No fallback.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFallback;

impl<Req, Res, E> Fallback<Req, Res, E> for NoFallback {
    type Future = Never<Res, E>;

    fn len(&self) -> usize {
        0
    }

    fn needs_request(&self) -> bool {
        false
    }

    fn begin(&self, _index: usize, _request: Option<Req>, fault: Fault<Res, E>) -> Result<Self::Future, Fault<Res, E>> {
        Err(fault)
    }
}

/// The future of [`NoFallback`]: there is none.
#[derive(Debug)]
pub struct Never<Res, E> {
    never: Infallible,
    result: PhantomData<fn() -> (Res, E)>,
}

impl<Res, E> Future for Never<Res, E> {
    type Output = Result<Res, E>;

    fn poll(self: std::pin::Pin<&mut Self>, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        match self.never {}
    }
}

/// A fixed answer.
#[derive(Debug, Clone)]
pub struct Value<Res>(pub(crate) Res);

impl<Req, Res: Clone, E> Fallback<Req, Res, E> for Value<Res> {
    type Future = Ready<Result<Res, E>>;

    fn len(&self) -> usize {
        1
    }

    fn needs_request(&self) -> bool {
        false
    }

    fn begin(
        &self,
        _index: usize,
        _request: Option<Req>,
        _fault: Fault<Res, E>,
    ) -> Result<Self::Future, Fault<Res, E>> {
        Ok(ready(Ok(self.0.clone())))
    }
}

/// An answer made of the fault.
#[derive(Debug, Clone)]
pub struct With<F>(pub(crate) F);

impl<F, Fut, Req, Res, E> Fallback<Req, Res, E> for With<F>
where
    F: Fn(Fault<Res, E>) -> Fut,
    Fut: Future<Output = Result<Res, E>>,
{
    type Future = Fut;

    fn len(&self) -> usize {
        1
    }

    fn needs_request(&self) -> bool {
        false
    }

    fn begin(&self, _index: usize, _request: Option<Req>, fault: Fault<Res, E>) -> Result<Self::Future, Fault<Res, E>> {
        Ok((self.0)(fault))
    }
}

/// An answer made of the request and the fault.
#[derive(Debug, Clone)]
pub struct WithRequest<F>(pub(crate) F);

impl<F, Fut, Req, Res, E> Fallback<Req, Res, E> for WithRequest<F>
where
    F: Fn(Req, Fault<Res, E>) -> Fut,
    Fut: Future<Output = Result<Res, E>>,
{
    type Future = Fut;

    fn len(&self) -> usize {
        1
    }

    fn needs_request(&self) -> bool {
        true
    }

    fn begin(&self, _index: usize, request: Option<Req>, fault: Fault<Res, E>) -> Result<Self::Future, Fault<Res, E>> {
        match request {
            Some(request) => Ok((self.0)(request, fault)),
            None => Err(fault),
        }
    }
}
