//! What handlers extract: the operation's handle, the time left, the caller's attempt and whether they retry. What a route is as a key is in `http::key`.

use std::convert::Infallible;

use ::axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{
    OperationHandle, UnderRetry,
    http::{Attempt, Deadline},
};

/// No layer around this route exposes its handle: 500, because no client can do anything about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no layer around this route exposes its handle: `ServerLayer::expose_handle` is missing")]
#[non_exhaustive]
pub struct NoHandle;

/// Nothing bounds the time of this request, neither its headers nor the configuration: 500. A handler that can do without extracts `Option<Deadline>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing bounds the time of this request: extract `Option<Deadline>`")]
#[non_exhaustive]
pub struct NoDeadline;

/// The number of the attempt cannot be known: no handle is exposed, or the configuration names no `http.attempt_header`: 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no attempt header is known: `ServerLayer::expose_handle` or `http.attempt_header` is missing")]
#[non_exhaustive]
pub struct NoAttempt;

macro_rules! internal_error {
    ($($rejection:ty),*) => {$(
        impl IntoResponse for $rejection {
            fn into_response(self) -> Response {
                (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
            }
        }
    )*};
}

internal_error!(NoHandle, NoDeadline, NoAttempt);

/// The operation that this request is a call of: its configuration, state and signals. Of layers around layers it is the innermost one's.
///
/// Needs [`ServerLayer::expose_handle`](crate::http::ServerLayer::expose_handle).
impl<S: Sync> FromRequestParts<S> for OperationHandle {
    type Rejection = NoHandle;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoHandle> {
        parts.extensions.get().cloned().ok_or(NoHandle)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for OperationHandle {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

/// How much time the handler has: what the request's headers state or the configuration's total timeout, whichever is sooner.
impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = NoDeadline;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoDeadline> {
        parts.extensions.get().copied().ok_or(NoDeadline)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().copied())
    }
}

/// Whether the caller retries this request: what the header says while `nested_retry` is on, else that nobody does. To be handed to the clients that the handler
/// calls, in the extensions of their requests.
impl<S: Sync> FromRequestParts<S> for UnderRetry {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Which attempt of its caller this request is: what the header that `http.attempt_header` names says, 1 where it says nothing that is a number from 1 on.
///
/// Needs [`ServerLayer::expose_handle`](crate::http::ServerLayer::expose_handle), which tells the header's name. Whoever calls can write what they like
/// into it.
impl<S: Sync> FromRequestParts<S> for Attempt {
    type Rejection = NoAttempt;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoAttempt> {
        if let Some(attempt) = parts.extensions.get() {
            return Ok(*attempt);
        }
        let config = parts.extensions.get::<OperationHandle>().ok_or(NoAttempt)?.config();
        let name = config.http.attempt_header.as_deref().ok_or(NoAttempt)?;
        let number = parts.headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self(number.filter(|it| *it > 0).unwrap_or(1)))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Attempt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Infallible> {
        Ok(<Self as FromRequestParts<S>>::from_request_parts(parts, state).await.ok())
    }
}
