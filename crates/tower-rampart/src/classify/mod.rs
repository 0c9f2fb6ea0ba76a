//! The default classifier: `Ok` is a success, an error is judged by what its `source()` chain is made of. HTTP's lives in `http`.
//!
//! Text is never matched. The first thing in the chain that is known decides:
//!
//! | found | verdict |
//! |---|---|
//! | a refusal of this suite | as [`Rejection::verdict`] says: ignored, a timeout transient |
//! | `tokio::time::error::Elapsed`, `tower::timeout` (by its own type only) | transient |
//! | `hyper::Error` of a request that was never sent, `hyper_util`'s error of a connection that was never made, `h2::Error` of a refused stream or of one above a `GOAWAY` (feature `hyper`) | transient, provably not processed |
//! | `tonic::Status` (feature `tonic`) | by its code, as [`GrpcClassifier`](crate::http::GrpcClassifier) says |
//! | `tonic::TimeoutExpired` (feature `tonic`), a channel's own timer | transient, with the code `DEADLINE_EXCEEDED` |
//! | `tonic::ConnectError` (feature `tonic`) | transient, provably not processed |
//! | `io::Error`: refused, host or network unreachable, address not available | transient, provably not processed |
//! | `io::Error`: invalid input, unsupported, permission denied, not found, already exists | permanent |
//! | `io::Error`: any other kind | transient |
//! | nothing known | transient |

mod given;
#[cfg(feature = "hyper")]
mod hyper;
mod marker;
#[cfg(feature = "tonic")]
mod tonic;

use std::{error::Error as StdError, io, marker::PhantomData};

pub use given::{Auto, Given, IntoClassifier};
pub use marker::{Boxed, Typed};
use tower_rampart_core::{
    Class, Classify, Rejection, RequestInfo, Verdict,
    rejection::{CircuitOpen, Injected, NoEnabledTargets, Overloaded, RateLimited, Shed, Throttled, TimedOut},
};

use crate::error::BoxError;

/// Judges any answer without knowing its protocol: see the [module](self) for the table.
///
/// `M` tells errors that implement [`std::error::Error`] from boxed ones, which do not; the compiler infers it.
#[derive(Debug)]
pub struct DefaultClassifier<M = Typed>(PhantomData<fn() -> M>);

impl<M> DefaultClassifier<M> {
    /// The default classifier.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M> Default for DefaultClassifier<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for DefaultClassifier<M> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<Req, Res, E: StdError + 'static> Classify<Req, Res, E> for DefaultClassifier<Typed> {
    fn classify(&self, _request: &RequestInfo, result: Result<&Res, &E>) -> Verdict {
        match result {
            Ok(_) => Verdict::new(Class::Success),
            Err(error) => classify_error(error),
        }
    }
}

impl<Req, Res> Classify<Req, Res, BoxError> for DefaultClassifier<Boxed> {
    fn classify(&self, _request: &RequestInfo, result: Result<&Res, &BoxError>) -> Verdict {
        match result {
            Ok(_) => Verdict::new(Class::Success),
            Err(error) => classify_error(&**error),
        }
    }
}

/// What one error of a chain says.
type Known = fn(&(dyn StdError + 'static)) -> Option<Verdict>;

/// What other crates' errors say, by feature.
const FOREIGN: &[Known] = &[
    #[cfg(feature = "hyper")]
    hyper::known,
    #[cfg(feature = "tonic")]
    tonic::known,
];

/// Judges an error by the first thing in its `source()` chain that is known.
#[cold]
pub fn classify_error(error: &(dyn StdError + 'static)) -> Verdict {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(verdict) = known(error) {
            return verdict;
        }
        next = error.source();
    }
    Verdict::new(Class::Transient)
}

/// Finds a refusal of this suite in an error's `source()` chain.
pub fn find_rejection(error: &(dyn StdError + 'static)) -> Option<Rejection> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rejection) = rejection(error) {
            return Some(rejection);
        }
        next = error.source();
    }
    None
}

fn known(error: &(dyn StdError + 'static)) -> Option<Verdict> {
    if let Some(rejection) = rejection(error) {
        return Some(rejection.verdict());
    }
    if error.is::<tokio::time::error::Elapsed>() {
        return Some(Verdict::new(Class::Transient));
    }
    if let Some(verdict) = FOREIGN.iter().find_map(|known| known(error)) {
        return Some(verdict);
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An `io::Error` made of a refusal is that refusal; its own `source()` would skip it.
    match error.get_ref().and_then(|inner| find_rejection(inner)) {
        Some(rejection) => Some(rejection.verdict()),
        None => Some(classify_io(error.kind())),
    }
}

fn rejection(error: &(dyn StdError + 'static)) -> Option<Rejection> {
    if let Some(rejection) = error.downcast_ref::<Rejection>() {
        return Some(rejection.clone());
    }
    if let Some(it) = error.downcast_ref::<CircuitOpen>() {
        return Some(it.clone().into());
    }
    if let Some(it) = error.downcast_ref::<RateLimited>() {
        return Some(it.clone().into());
    }
    if let Some(it) = error.downcast_ref::<Overloaded>() {
        return Some(it.clone().into());
    }
    if let Some(it) = error.downcast_ref::<TimedOut>() {
        return Some(it.clone().into());
    }
    if let Some(it) = error.downcast_ref::<Throttled>() {
        return Some(it.clone().into());
    }
    if let Some(it) = error.downcast_ref::<Shed>() {
        return Some(it.clone().into());
    }
    if let Some(it) = error.downcast_ref::<Injected>() {
        return Some(it.clone().into());
    }
    error.downcast_ref::<NoEnabledTargets>().map(|it| it.clone().into())
}

fn classify_io(kind: io::ErrorKind) -> Verdict {
    use io::ErrorKind as Kind;
    match kind {
        Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable => {
            Verdict::new(Class::Transient).not_processed()
        }
        Kind::InvalidInput | Kind::Unsupported | Kind::PermissionDenied | Kind::NotFound | Kind::AlreadyExists => {
            Verdict::new(Class::Permanent)
        }
        _ => Verdict::new(Class::Transient),
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, time::Duration};

    use super::*;
    use crate::error::Error;
    use tower_rampart_core::{ClassKind, breaker::State};

    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    fn open() -> Rejection {
        CircuitOpen::new("a".into(), State::Open, Some(Duration::from_secs(1))).into()
    }

    #[test]
    fn refusals_are_found_wherever_they_stand_in_the_chain() {
        let lifted: Error<io::Error> = open().into();
        assert_eq!(classify_error(&lifted).class, Class::Ignored);
        assert_eq!(classify_error(&Error::Inner(lifted)).class, Class::Ignored);
        let through_io = io::Error::other(open());
        assert_eq!(classify_error(&Wrapped(through_io)).class, Class::Ignored);
    }

    #[test]
    fn a_timeout_of_the_suite_is_a_failure_of_what_is_behind() {
        let timeout =
            TimedOut::new("a".into(), tower_rampart_core::rejection::TimeoutKind::Attempt, Duration::from_secs(1));
        assert_eq!(classify_error(&timeout).class, Class::Transient);
    }

    #[test]
    fn a_refused_connection_was_not_processed_and_a_reset_one_may_have_been() {
        let refused = classify_error(&Wrapped(io::ErrorKind::ConnectionRefused.into()));
        assert!(refused.unprocessed && refused.is_retryable());
        let reset = classify_error(&Wrapped(io::ErrorKind::ConnectionReset.into()));
        assert!(!reset.unprocessed && reset.is_retryable());
    }

    #[test]
    fn the_callers_own_mistakes_are_permanent() {
        for kind in [io::ErrorKind::InvalidInput, io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound] {
            assert_eq!(classify_error(&io::Error::from(kind)).class.kind(), ClassKind::Permanent, "{kind}");
        }
    }

    #[test]
    fn an_unknown_error_is_transient() {
        assert_eq!(classify_error(&fmt::Error).class, Class::Transient);
    }
}
