//! Errors of the suite as tonic's `Status`, and back. What a status means for retry and breaker is in `classify`.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use percent_encoding::percent_decode_str;
use tonic::{Code, Status, metadata::MetadataMap};
use tower_rampart_core::{Rejection, Stage};

use crate::{
    BoxError, Error,
    classify::find_rejection,
    http::{GRPC_OPERATION, GRPC_STAGE, GrpcClassifier, Refusal, grpc_details, grpc_pushback},
};

/// The status of a refusal: the code of [`Refusal::grpc_code`], a message, `google.rpc.ErrorInfo` and, where the time is known, `RetryInfo` as
/// details, and the metadata of [`Refusal::grpc_metadata`]. The refusal itself is its [`source`](std::error::Error::source).
///
/// # Examples
/// ```
/// use tonic_types::StatusExt as _;
/// use tower_rampart::{Rejection, breaker::State, rejection::CircuitOpen, tonic::status_of};
///
/// let wait = std::time::Duration::from_secs(2);
/// let status = status_of(CircuitOpen::new("greet".into(), State::Open, Some(wait)).into());
/// assert_eq!(status.get_details_retry_info().and_then(|it| it.retry_delay), Some(wait));
/// assert_eq!(status.metadata().get("x-resilience-stage").expect("the stage"), "circuit_breaker");
/// ```
pub fn status_of(rejection: Rejection) -> Status {
    let refusal = Refusal::new(&rejection);
    let mut status = Status::with_details_and_metadata(
        Code::from_i32(refusal.grpc_code().into()),
        rejection.to_string(),
        grpc_details(&rejection),
        MetadataMap::from_headers(refusal.grpc_metadata()),
    );
    status.set_source(Arc::new(rejection));
    status
}

/// What became of a call, for its caller.
///
/// | error | status |
/// |---|---|
/// | a refusal | as [`status_of`] has it |
/// | the inner service's, with a `Status` among its sources | that one, as it was |
/// | a connection that was not made or was closed before the request was sent | `UNAVAILABLE` |
/// | a channel's own timer, which the pipeline sets by `grpc-timeout` | `DEADLINE_EXCEEDED`; tonic says `CANCELLED` |
/// | any other one that tonic knows, such as a reset stream | as tonic has it |
/// | the rest | `UNAVAILABLE` if trying again may help, else `UNKNOWN` |
/// | a fallback that failed | the status of its own error |
impl<E: Into<BoxError>> From<Error<E>> for Status {
    fn from(error: Error<E>) -> Self {
        match error {
            Error::Inner(error) => inner(error.into()),
            Error::FallbackFailed(failed) => Self::from(*failed.error),
            Error::CircuitOpen(it) => status_of(it.into()),
            Error::RateLimited(it) => status_of(it.into()),
            Error::Overloaded(it) => status_of(it.into()),
            Error::Timeout(it) => status_of(it.into()),
            Error::NoEnabledTargets(it) => status_of(it.into()),
            Error::Throttled(it) => status_of(it.into()),
            Error::Shed(it) => status_of(it.into()),
            Error::Injected(it) => status_of(it.into()),
        }
    }
}

fn inner(error: BoxError) -> Status {
    if sources(&*error).any(<dyn StdError>::is::<Status>) {
        return Status::from_error(error);
    }
    let verdict = GrpcClassifier::default().error(&*error);
    let code = match verdict.code {
        Some(tower_rampart_core::Code::Grpc(code)) => Code::from_i32(code.into()),
        _ => Code::Unknown,
    };
    // tonic takes both for a call that somebody cancelled.
    if verdict.unprocessed || code == Code::DeadlineExceeded {
        return of_error(code, error);
    }
    Status::try_from_error(error).unwrap_or_else(|error| of_error(code, error))
}

fn of_error(code: Code, error: BoxError) -> Status {
    let mut message = error.to_string();
    for source in sources(&*error).skip(1).map(ToString::to_string) {
        // Many errors end with what they were made of.
        if !message.ends_with(&source) {
            message = format!("{message}: {source}");
        }
    }
    let mut status = Status::new(code, message);
    status.set_source(error.into());
    status
}

fn sources<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Who refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedBy {
    /// The stage.
    pub stage: Stage,
    /// The operation.
    pub operation: String,
    /// When to come back, in whole milliseconds if a server says so; `None` where that is not known.
    pub retry_after: Option<Duration>,
    /// Whether it was this process. Otherwise it is what the server's metadata says, as far as the server is believed.
    pub here: bool,
}

/// Who refused the call that ended with this status; `None` if none of this suite's layers did, on neither side.
///
/// # Examples
/// ```
/// use tower_rampart::tonic::refused_by;
///
/// assert_eq!(refused_by(&tonic::Status::unavailable("of the service itself")), None);
/// ```
pub fn refused_by(status: &Status) -> Option<RefusedBy> {
    if let Some(rejection) = find_rejection(status) {
        return Some(RefusedBy {
            stage: rejection.stage(),
            operation: rejection.operation().to_owned(),
            retry_after: rejection.retry_after(),
            here: true,
        });
    }
    let metadata = status.metadata().as_ref();
    let stage = metadata.get(GRPC_STAGE)?.to_str().ok()?;
    let operation = metadata.get(GRPC_OPERATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    Some(RefusedBy {
        stage: Stage::ALL.into_iter().find(|it| it.as_str() == stage)?,
        operation: percent_decode_str(operation).decode_utf8_lossy().into_owned(),
        retry_after: grpc_pushback(metadata),
        here: false,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use tonic::{ConnectError, TimeoutExpired};

    use tonic_types::StatusExt as _;
    use tower_rampart_core::{
        breaker::State,
        rejection::{
            CircuitOpen, NoEnabledTargets, OverloadReason, Overloaded, RateLimitReason, RateLimited, Throttled,
            TimedOut, TimeoutKind,
        },
    };

    use super::*;
    use crate::http::NotDispatched;

    const WAIT: Option<Duration> = Some(Duration::from_millis(1500));

    fn refusals() -> [(Rejection, Code); 6] {
        [
            (CircuitOpen::new("größe".into(), State::Open, WAIT).into(), Code::Unavailable),
            (RateLimited::new("größe".into(), RateLimitReason::Exceeded, WAIT, 20).into(), Code::ResourceExhausted),
            (Overloaded::new("größe".into(), OverloadReason::QueueFull, 4, None).into(), Code::Unavailable),
            (TimedOut::new("größe".into(), TimeoutKind::Total, Duration::from_secs(1)).into(), Code::DeadlineExceeded),
            (NoEnabledTargets::new("größe".into()).into(), Code::Unavailable),
            (Throttled::new("größe".into(), 40).into(), Code::Unavailable),
        ]
    }

    #[test]
    fn every_refusal_has_code_message_details_and_metadata() {
        for (rejection, code) in refusals() {
            let status = Status::from(Error::<io::Error>::from(rejection.clone()));
            assert_eq!((status.code(), status.message()), (code, &*rejection.to_string()));
            assert_eq!(status.get_details_retry_info().and_then(|it| it.retry_delay), rejection.retry_after());
            let info = status.get_details_error_info().expect("an ErrorInfo");
            assert_eq!(info.metadata["stage"], rejection.stage().as_str());
            let expected = RefusedBy {
                stage: rejection.stage(),
                operation: "größe".to_owned(),
                retry_after: rejection.retry_after(),
                here: true,
            };
            assert_eq!(refused_by(&status), Some(expected));
        }
    }

    #[test]
    fn refusal_is_recognised_on_the_other_side_of_the_wire() {
        for (rejection, code) in refusals() {
            let answer = Refusal::new(&rejection).grpc();
            let status = Status::from_header_map(answer.headers()).expect("a status");
            assert_eq!(status.code(), code);
            let by = refused_by(&status).expect("a refusal");
            assert_eq!((by.stage, &*by.operation, by.here), (rejection.stage(), "größe", false));
            assert_eq!(by.retry_after, rejection.retry_after());
        }
    }

    #[test]
    fn status_that_travels_on_from_a_server_still_says_who_refused() {
        let status = status_of(refusals()[0].0.clone());
        let answer: http::Response<()> = status.into_http();
        let read = Status::from_header_map(answer.headers()).expect("a status");
        let by = refused_by(&read).expect("a refusal");
        assert_eq!((by.stage, by.retry_after), (Stage::CircuitBreaker, WAIT));
        assert!(read.get_details_retry_info().is_some());
    }

    #[test]
    fn status_of_the_service_comes_back_as_it_was() {
        let mut original = Status::with_details(Code::Aborted, "mine", vec![1, 2, 3].into());
        original.metadata_mut().insert("x-mine", "1".parse().expect("a value"));
        let status = Status::from(Error::Inner(original));
        assert_eq!((status.code(), status.message(), status.details()), (Code::Aborted, "mine", &[1, 2, 3][..]));
        assert_eq!(status.metadata().get("x-mine").expect("the metadata"), "1");
        assert!(status.source().is_none());
        assert_eq!(refused_by(&status), None);
    }

    #[test]
    fn error_on_the_way_is_unavailable_and_a_channels_timer_a_deadline() {
        let status = |error: BoxError| Status::from(Error::<BoxError>::Inner(error));
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(status(Box::new(reset())).code(), Code::Unavailable);
        let connect = status(Box::new(ConnectError(Box::new(reset()))));
        assert_eq!((connect.code(), connect.message()), (Code::Unavailable, "connection reset"));
        assert!(connect.source().is_some_and(<dyn StdError>::is::<ConnectError>));
        assert_eq!(status(Box::new(TimeoutExpired(()))).code(), Code::DeadlineExceeded);
        assert_eq!(status(Box::new(io::Error::from(io::ErrorKind::InvalidInput))).code(), Code::Unknown);
        let stream = status(Box::new(NotDispatched::new(reset())));
        assert_eq!(stream.code(), Code::Unavailable);
        assert_eq!(refused_by(&stream), None);
    }

    #[test]
    fn hostile_metadata_is_no_refusal_and_no_panic() {
        let mut status = Status::unavailable("x");
        status.metadata_mut().insert("x-resilience-stage", "nonsense".parse().expect("a value"));
        assert_eq!(refused_by(&status), None);
        status.metadata_mut().insert("x-resilience-stage", "rate_limit".parse().expect("a value"));
        status.metadata_mut().insert("x-resilience-operation", "%ff%".parse().expect("a value"));
        status.metadata_mut().insert("grpc-retry-pushback-ms", "-1".parse().expect("a value"));
        let by = refused_by(&status).expect("a refusal");
        assert_eq!((by.stage, by.retry_after), (Stage::RateLimit, None));
    }

    #[test]
    fn failed_fallback_has_the_status_of_its_own_error() {
        let inner = Error::Inner(Status::not_found("fallback"));
        let failed = crate::FallbackFailed::new("op".into(), inner, None);
        assert_eq!(Status::from(Error::FallbackFailed(failed)).code(), Code::NotFound);
    }
}
