//! The one error of the suite, and how a refusal becomes the error of any service. What a refusal holds is in `tower_rampart_core::rejection`.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use tower_rampart_core::{
    Rejection, Stage,
    rejection::{CircuitOpen, Injected, Name, NoEnabledTargets, Overloaded, RateLimited, Shed, Throttled, TimedOut},
};

/// A boxed error, as Tower's own middleware uses it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call through the pipeline has no answer.
///
/// The inner service's error comes through as it is, in [`Error::Inner`], and is this error's [`source`](StdError::source).
/// All other variants are refusals by this suite: data that says who refused, why, and when to come back.
///
/// # Troubleshooting
/// ``the trait bound `Infallible: From<Error<Infallible>>` is not satisfied`` means that a layer whose service fails with this error was given to an axum
/// `Router`, which may not fail. `http::ServerLayer` (feature `http`) makes answers of refusals and takes the same configuration; what to do about layers
/// stacked by hand is in the module `axum` (feature `axum`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The circuit is open.
    CircuitOpen(CircuitOpen),
    /// The rate limit is used up.
    RateLimited(RateLimited),
    /// Too many calls are in flight.
    Overloaded(Overloaded),
    /// An attempt or the whole call took too long.
    Timeout(TimedOut),
    /// No fallback service is enabled.
    NoEnabledTargets(NoEnabledTargets),
    /// The service behind refuses too much, so that some calls are not made.
    Throttled(Throttled),
    /// More important calls need the room that is left.
    Shed(Shed),
    /// A fault was injected on purpose.
    Injected(Injected),
    /// The fallback failed as well.
    FallbackFailed(FallbackFailed<E>),
    /// The inner service failed.
    Inner(E),
}

/// The error of a fallback, and the error that it was to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackFailed<E> {
    /// The operation whose fallback failed.
    pub operation: Name,
    /// The fallback's own error.
    pub error: Box<Error<E>>,
    /// What the fallback was called for; `None` if that was an answer and not an error.
    pub original: Option<Arc<Error<E>>>,
}

#[cfg(feature = "pipeline")]
impl<E> FallbackFailed<E> {
    pub(crate) fn new(operation: Name, error: Error<E>, original: Option<Arc<Error<E>>>) -> Self {
        Self { operation, error: Box::new(error), original }
    }
}

impl<E> Error<E> {
    /// When to come back, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen(it) => it.retry_after,
            Self::RateLimited(it) => it.retry_after,
            Self::Overloaded(it) => it.retry_after,
            Self::FallbackFailed(it) => it.error.retry_after(),
            Self::Timeout(_)
            | Self::NoEnabledTargets(_)
            | Self::Throttled(_)
            | Self::Shed(_)
            | Self::Injected(_)
            | Self::Inner(_) => None,
        }
    }

    /// The operation that refused; `None` for the inner service's own error.
    pub fn operation(&self) -> Option<&str> {
        match self {
            Self::CircuitOpen(it) => Some(&it.operation),
            Self::RateLimited(it) => Some(&it.operation),
            Self::Overloaded(it) => Some(&it.operation),
            Self::Timeout(it) => Some(&it.operation),
            Self::NoEnabledTargets(it) => Some(&it.operation),
            Self::Throttled(it) => Some(&it.operation),
            Self::Shed(it) => Some(&it.operation),
            Self::Injected(it) => Some(&it.operation),
            Self::FallbackFailed(it) => Some(&it.operation),
            Self::Inner(_) => None,
        }
    }

    /// The stage that refused; `None` for the inner service's own error.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Self::CircuitOpen(_) => Some(Stage::CircuitBreaker),
            Self::RateLimited(_) => Some(Stage::RateLimit),
            Self::Overloaded(_) => Some(Stage::Concurrency),
            Self::Timeout(_) => Some(Stage::Timeout),
            Self::NoEnabledTargets(_) | Self::FallbackFailed(_) => Some(Stage::Fallback),
            Self::Throttled(_) => Some(Stage::Throttle),
            Self::Shed(_) => Some(Stage::Priority),
            Self::Injected(_) => Some(Stage::Chaos),
            Self::Inner(_) => None,
        }
    }

    /// The refusal as data; `None` for the inner service's own error and for a failed fallback.
    pub fn rejection(&self) -> Option<Rejection> {
        Some(match self {
            Self::CircuitOpen(it) => it.clone().into(),
            Self::RateLimited(it) => it.clone().into(),
            Self::Overloaded(it) => it.clone().into(),
            Self::Timeout(it) => it.clone().into(),
            Self::NoEnabledTargets(it) => it.clone().into(),
            Self::Throttled(it) => it.clone().into(),
            Self::Shed(it) => it.clone().into(),
            Self::Injected(it) => it.clone().into(),
            Self::FallbackFailed(_) | Self::Inner(_) => return None,
        })
    }

    /// Whether the circuit breaker refused.
    pub fn is_circuit_open(&self) -> bool {
        matches!(self, Self::CircuitOpen(_))
    }

    /// Whether the rate limiter refused.
    pub fn is_rate_limited(&self) -> bool {
        matches!(self, Self::RateLimited(_))
    }

    /// Whether the concurrency limiter refused.
    pub fn is_overloaded(&self) -> bool {
        matches!(self, Self::Overloaded(_))
    }

    /// Whether the throttle did not make the call.
    pub fn is_throttled(&self) -> bool {
        matches!(self, Self::Throttled(_))
    }

    /// Whether the call was shed for more important ones.
    pub fn is_shed(&self) -> bool {
        matches!(self, Self::Shed(_))
    }

    /// Whether an attempt or the whole call took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether a fault was injected on purpose.
    pub fn is_injected(&self) -> bool {
        matches!(self, Self::Injected(_))
    }

    /// The inner service's own error.
    pub fn inner(&self) -> Option<&E> {
        match self {
            Self::Inner(error) => Some(error),
            Self::FallbackFailed(it) => it.error.inner(),
            _ => None,
        }
    }

    /// The inner service's own error, or this error back.
    ///
    /// # Errors
    /// Gives `self` back where it is a refusal.
    pub fn into_inner(self) -> Result<E, Self> {
        match self {
            Self::Inner(error) => Ok(error),
            other => Err(other),
        }
    }
}

impl<E> From<Rejection> for Error<E> {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::CircuitOpen(it) => Self::CircuitOpen(it),
            Rejection::RateLimited(it) => Self::RateLimited(it),
            Rejection::Overloaded(it) => Self::Overloaded(it),
            Rejection::Timeout(it) => Self::Timeout(it),
            Rejection::NoEnabledTargets(it) => Self::NoEnabledTargets(it),
            Rejection::Throttled(it) => Self::Throttled(it),
            Rejection::Shed(it) => Self::Shed(it),
            Rejection::Injected(it) => Self::Injected(it),
            // `Rejection` is non-exhaustive only for other crates' sake: this arm is for variants that a newer core would add.
            other => Self::NoEnabledTargets(NoEnabledTargets::new(other.operation().into())),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(error) => return error.fmt(f),
            Self::Timeout(it) => {
                return write!(f, "`{}` timed out after {:?} ({})", it.operation, it.limit, it.kind.as_str());
            }
            Self::NoEnabledTargets(it) => return write!(f, "`{}` has no enabled fallback", it.operation),
            Self::Injected(it) => return it.fmt(f),
            Self::FallbackFailed(it) => return write!(f, "fallback of `{}` failed: {}", it.operation, it.error),
            Self::Throttled(it) => return write!(f, "`{}` refused by throttle ({} %)", it.operation, it.percent),
            Self::Shed(it) => return write!(f, "`{}` refused by priority ({})", it.operation, it.priority),
            Self::CircuitOpen(it) => write!(f, "`{}` refused by circuit_breaker ({})", it.operation, it.state)?,
            Self::RateLimited(it) => write!(f, "`{}` refused by rate_limit", it.operation)?,
            Self::Overloaded(it) => write!(f, "`{}` refused by concurrency", it.operation)?,
        }
        match self.retry_after() {
            Some(wait) => write!(f, ", retry after {wait:?}"),
            None => Ok(()),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    /// The inner service's error, or the refusal, so that whoever walks the chain finds either (tonic its `Status`, an outer breaker the refusal).
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(match self {
            Self::CircuitOpen(it) => it,
            Self::RateLimited(it) => it,
            Self::Overloaded(it) => it,
            Self::Timeout(it) => it,
            Self::NoEnabledTargets(it) => it,
            Self::Throttled(it) => it,
            Self::Shed(it) => it,
            Self::Injected(it) => it,
            Self::FallbackFailed(it) => match &it.original {
                Some(original) => &**original,
                None => &*it.error,
            },
            Self::Inner(error) => error,
        })
    }
}

/// A boxed error that is itself an error, which `Box<dyn Error>` is not.
///
/// The pipeline puts it into [`Error::Inner`] where the inner service fails with a [`BoxError`].
#[derive(Debug)]
pub struct BoxedError(BoxError);

impl BoxedError {
    /// The error inside.
    pub fn into_inner(self) -> BoxError {
        self.0
    }

    /// The error inside, by reference.
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl From<BoxError> for BoxedError {
    fn from(error: BoxError) -> Self {
        Self(error)
    }
}

impl fmt::Display for BoxedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for BoxedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// An error type that a refusal can become.
///
/// Implemented for whatever is `From<Rejection>`: [`BoxError`], [`Error<E>`], and your own enum with a variant
/// `#[from] Rejection`. A layer keeps its inner service's error type and needs only this of it.
///
/// # Troubleshooting
/// This service fails with an `io::Error`, which no refusal can become:
///
/// ```compile_fail,E0277
/// # use std::io;
/// # use tower::{Service, ServiceBuilder};
/// # use tower_rampart::{CircuitBreakerLayer, breaker};
/// # fn main() -> Result<(), tower_rampart::InvalidConfig> {
/// let mut service = ServiceBuilder::new()
///     .layer(CircuitBreakerLayer::new(breaker::Config::default())?)
///     .service_fn(|(): ()| async { Err::<(), _>(io::Error::other("down")) });
/// let answer = Service::call(&mut service, ());
/// # Ok(())
/// # }
/// ```
///
/// ```text
/// error[E0277]: a refusal of this layer cannot become the service's error `std::io::Error`
///   = note: give your error a variant `Refused(#[from] tower_rampart::Rejection)`, or put `.map_err(tower_rampart::Error::Inner)` beneath this layer
/// ```
///
/// With that line it compiles:
///
/// ```
/// # use std::io;
/// # use tower::{Service, ServiceBuilder};
/// # use tower_rampart::{CircuitBreakerLayer, breaker};
/// # fn main() -> Result<(), tower_rampart::InvalidConfig> {
/// let mut service = ServiceBuilder::new()
///     .layer(CircuitBreakerLayer::new(breaker::Config::default())?)
///     .map_err(tower_rampart::Error::Inner)
///     .service_fn(|(): ()| async { Err::<(), _>(io::Error::other("down")) });
/// let answer = Service::call(&mut service, ());
/// # Ok(())
/// # }
/// ```
///
/// And so it does with an error of your own:
///
/// ```
/// # use std::io;
/// # use tower::{Service, ServiceBuilder};
/// # use tower_rampart::{CircuitBreakerLayer, breaker};
/// #[derive(Debug, thiserror::Error)]
/// enum MyError {
///     #[error(transparent)]
///     Refused(#[from] tower_rampart::Rejection),
///     #[error("not reachable")]
///     Io(#[from] io::Error),
/// }
///
/// # fn main() -> Result<(), tower_rampart::InvalidConfig> {
/// let mut service = ServiceBuilder::new()
///     .layer(CircuitBreakerLayer::new(breaker::Config::default())?)
///     .service_fn(|(): ()| async { Err::<(), MyError>(io::Error::other("down").into()) });
/// let answer = Service::call(&mut service, ());
/// # Ok(())
/// # }
/// ```
///
/// Where a method is called instead, the compiler says only what is not there (``the method `ready` exists for struct
/// `CircuitBreaker<…>`, but its trait bounds were not satisfied``, or ``no method named `call` found``). Write
/// `Service::call(&mut service, request)` for a moment, and it says why.
#[diagnostic::on_unimplemented(
    message = "a refusal of this layer cannot become the service's error `{Self}`",
    note = "give your error a variant `Refused(#[from] tower_rampart::Rejection)`, or put `.map_err(tower_rampart::Error::Inner)` beneath this layer",
    note = "an axum `Router` fails with nothing at all: take `tower_rampart::http::ServerLayer`, or put `HandleErrorLayer` above this layer as well"
)]
pub trait FromRejection: Sized {
    /// The error for this refusal.
    fn from_rejection(rejection: Rejection) -> Self;
}

// Without this the compiler would speak of the bound below, which cannot say how to cure it.
#[diagnostic::do_not_recommend]
impl<E: From<Rejection>> FromRejection for E {
    fn from_rejection(rejection: Rejection) -> Self {
        rejection.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use tower_rampart_core::breaker::State;

    fn open() -> Error<io::Error> {
        Rejection::from(CircuitOpen::new("summarize".into(), State::Open, Some(Duration::from_secs(2)))).into()
    }

    #[test]
    fn a_refusal_says_who_why_and_when() {
        assert_eq!(open().to_string(), "`summarize` refused by circuit_breaker (open), retry after 2s");
        assert_eq!(open().operation(), Some("summarize"));
        assert_eq!(open().stage(), Some(Stage::CircuitBreaker));
        assert_eq!(open().retry_after(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_inner_error_is_the_source() {
        let error = Error::Inner(io::Error::new(io::ErrorKind::ConnectionRefused, "refused"));
        let source = error.source().and_then(|it| it.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn a_refusal_becomes_a_boxed_error_and_is_found_again() {
        let boxed = BoxError::from_rejection(open().rejection().unwrap());
        assert!(boxed.downcast_ref::<Rejection>().is_some());
    }

    #[cfg(feature = "pipeline")]
    #[test]
    fn a_failed_fallback_keeps_the_original_as_its_source() {
        let failed = FallbackFailed::new("s".into(), Error::Inner(io::Error::other("two")), Some(Arc::new(open())));
        let error = Error::FallbackFailed(failed);
        assert_eq!(error.to_string(), "fallback of `s` failed: two");
        assert!(error.source().unwrap().to_string().contains("circuit_breaker"));
    }
}
