//! Refusals and errors as responses, for layers stacked by hand. The layer for whole servers does the same by itself, and in the form that was asked for.

use ::axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use tower_rampart_core::Rejection;

use crate::{
    classify::find_rejection,
    error::{BoxedError, Error, FallbackFailed},
    http::Refusal,
};

/// The answer to a request that was refused: that of [`Refusal`] as JSON, with the rejection in its extensions.
///
/// # Examples
/// ```
/// use tower_rampart::{Rejection, axum::response_of, breaker::State, rejection::CircuitOpen};
///
/// let wait = std::time::Duration::from_millis(1500);
/// let response = response_of(Rejection::from(CircuitOpen::new("orders".into(), State::Open, Some(wait))));
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.headers()["retry-after"], "2");
/// ```
pub fn response_of(rejection: Rejection) -> Response {
    let mut response = Refusal::new(&rejection).response(&HeaderMap::new()).map(Body::from);
    response.extensions_mut().insert(rejection);
    response
}

/// A refusal answers as [`response_of`] has it, the inner service's own error as it does itself (`Infallible` never), a fallback that failed as its own error.
impl<E: IntoResponse> IntoResponse for Error<E> {
    fn into_response(self) -> Response {
        match self {
            Self::Inner(error) => error.into_response(),
            Self::FallbackFailed(FallbackFailed { error, .. }) => error.into_response(),
            Self::CircuitOpen(it) => response_of(it.into()),
            Self::RateLimited(it) => response_of(it.into()),
            Self::Overloaded(it) => response_of(it.into()),
            Self::Timeout(it) => response_of(it.into()),
            Self::NoEnabledTargets(it) => response_of(it.into()),
            Self::Throttled(it) => response_of(it.into()),
            Self::Shed(it) => response_of(it.into()),
            Self::Injected(it) => response_of(it.into()),
        }
    }
}

/// A refusal among its sources answers as [`response_of`] has it; everything else is 500 without a word of what it was, which is no client's business.
impl IntoResponse for BoxedError {
    fn into_response(self) -> Response {
        match find_rejection(self.get_ref()) {
            Some(rejection) => response_of(rejection),
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io, time::Duration};

    use tower_rampart_core::rejection::{OverloadReason, Overloaded, TimedOut, TimeoutKind};

    use super::*;
    use crate::BoxError;

    #[test]
    fn errors_answer_with_what_they_are_made_of() {
        let timeout = Rejection::from(TimedOut::new("op".into(), TimeoutKind::Total, Duration::from_secs(1)));
        let full = Rejection::from(Overloaded::new("op".into(), OverloadReason::QueueFull, 1, None));
        let boxed = |error: BoxError| Error::Inner(BoxedError::from(error));
        for (response, status, is_refusal) in [
            (Error::<Infallible>::from(timeout.clone()).into_response(), 504, true),
            (Error::<Infallible>::from(full).into_response(), 503, true),
            (boxed(Box::new(timeout)).into_response(), 504, true),
            (boxed(Box::new(io::Error::other("secret"))).into_response(), 500, false),
            (Error::Inner(StatusCode::IM_A_TEAPOT).into_response(), 418, false),
        ] {
            assert_eq!(response.status(), status);
            assert_eq!(response.extensions().get::<Rejection>().is_some(), is_refusal, "{status}");
        }
    }
}
