//! What an answer means: the class that breaker, retry and fallback agree on. How an answer was counted is an [`Outcome`](crate::Outcome).

use std::time::Duration;

use crate::priority::Priority;

/// What an answer or an error says about the service behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The service answered as it should.
    Success,
    /// The service or the way to it failed; another try may succeed.
    Transient,
    /// The service asks for fewer requests (429, `RESOURCE_EXHAUSTED` with pushback).
    RateLimited {
        /// The server's hint when to come back.
        retry_after: Option<Duration>,
    },
    /// The service says it cannot serve now (503, `UNAVAILABLE`).
    Unavailable {
        /// The server's hint when to come back.
        retry_after: Option<Duration>,
    },
    /// The service answered that the request is at fault; another try would answer the same.
    Permanent,
    /// The answer says nothing about the service: a refusal of this suite, the caller's own cancellation, what `exclude` names.
    Ignored,
}

/// A [`Class`] without its data: what `monitor` and `exclude` name, and a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ClassKind {
    /// [`Class::Success`].
    Success,
    /// [`Class::Transient`].
    Transient,
    /// [`Class::RateLimited`].
    RateLimited,
    /// [`Class::Unavailable`].
    Unavailable,
    /// [`Class::Permanent`].
    Permanent,
    /// [`Class::Ignored`].
    Ignored,
}

impl Class {
    /// The class without its data.
    pub const fn kind(self) -> ClassKind {
        match self {
            Self::Success => ClassKind::Success,
            Self::Transient => ClassKind::Transient,
            Self::RateLimited { .. } => ClassKind::RateLimited,
            Self::Unavailable { .. } => ClassKind::Unavailable,
            Self::Permanent => ClassKind::Permanent,
            Self::Ignored => ClassKind::Ignored,
        }
    }

    /// The server's hint when to come back.
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after } => retry_after,
            Self::Success | Self::Transient | Self::Permanent | Self::Ignored => None,
        }
    }
}

impl ClassKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Transient, Self::RateLimited, Self::Unavailable, Self::Permanent, Self::Ignored];

    /// The word used in documents, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Permanent => "permanent",
            Self::Ignored => "ignored",
        }
    }

    /// Whether another try may succeed.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::RateLimited | Self::Unavailable)
    }
}

/// The code that an answer carried on the wire, so that `monitor` and `exclude` can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// An HTTP status, 100 to 999.
    Http(u16),
    /// A gRPC status code, 0 to 16.
    Grpc(u8),
}

/// The thirteen classes of errors that providers of model APIs report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderClass {
    /// The request is malformed.
    InvalidRequest,
    /// The key is missing or wrong.
    Authentication,
    /// The key may not do this.
    PermissionDenied,
    /// No such model or resource.
    NotFound,
    /// The request or its context is too large.
    RequestTooLarge,
    /// Too many requests or tokens for now.
    RateLimited,
    /// The account's quota is used up.
    QuotaExhausted,
    /// The provider failed.
    ServerError,
    /// The provider has too much to do.
    Overloaded,
    /// The provider took too long.
    Timeout,
    /// The request conflicts with another.
    Conflict,
    /// The caller cancelled.
    Cancelled,
    /// Anything else.
    Other,
}

impl ProviderClass {
    /// All thirteen.
    pub const ALL: [Self; 13] = [
        Self::InvalidRequest,
        Self::Authentication,
        Self::PermissionDenied,
        Self::NotFound,
        Self::RequestTooLarge,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::ServerError,
        Self::Overloaded,
        Self::Timeout,
        Self::Conflict,
        Self::Cancelled,
        Self::Other,
    ];

    /// The word used in metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Authentication => "authentication",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::RequestTooLarge => "request_too_large",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::ServerError => "server_error",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }

    /// What breaker, retry and fallback make of it.
    ///
    /// | class | counts as | retried | falls back |
    /// |---|---|---|---|
    /// | `invalid_request`, `permission_denied`, `not_found`, `request_too_large`, `other` | permanent | no | no |
    /// | `authentication` | permanent | no | yes |
    /// | `rate_limited` | rate_limited | yes | yes |
    /// | `quota_exhausted` | rate_limited | no | yes |
    /// | `server_error`, `timeout` | transient | yes | yes |
    /// | `overloaded` | unavailable | yes | yes |
    /// | `conflict` | permanent | yes | no |
    /// | `cancelled` | ignored | no | no |
    pub const fn verdict(self, retry_after: Option<Duration>) -> Verdict {
        let verdict = match self {
            Self::InvalidRequest | Self::PermissionDenied | Self::NotFound | Self::RequestTooLarge | Self::Other => {
                Verdict::new(Class::Permanent)
            }
            Self::Authentication => Verdict::new(Class::Permanent).with_fallback(true),
            Self::RateLimited => Verdict::new(Class::RateLimited { retry_after }),
            Self::QuotaExhausted => Verdict::new(Class::RateLimited { retry_after }).with_retry(false),
            Self::ServerError | Self::Timeout => Verdict::new(Class::Transient),
            Self::Overloaded => Verdict::new(Class::Unavailable { retry_after }),
            Self::Conflict => Verdict::new(Class::Permanent).with_retry(true).with_fallback(false),
            Self::Cancelled => Verdict::new(Class::Ignored),
        };
        Verdict { provider_class: Some(self), ..verdict }
    }
}

/// The whole judgement of one answer: its class, and where retry or fallback must do other than the class implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// What the answer says about the service behind.
    pub class: Class,
    /// Overrides whether it is retried; `None`: as the class implies.
    pub retry: Option<bool>,
    /// Overrides whether it falls back; `None`: as the class implies.
    pub fallback: Option<bool>,
    /// The finer class of a model API.
    pub provider_class: Option<ProviderClass>,
    /// The code on the wire.
    pub code: Option<Code>,
    /// The request provably was not processed (connect error, refused stream, 429, own refusal), so that even a request that is not idempotent may be sent again.
    pub unprocessed: bool,
}

impl Verdict {
    /// The plain verdict of a class.
    pub const fn new(class: Class) -> Self {
        Self { class, retry: None, fallback: None, provider_class: None, code: None, unprocessed: false }
    }

    /// Overrides whether this is retried.
    #[must_use]
    pub const fn with_retry(mut self, retry: bool) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Overrides whether this falls back.
    #[must_use]
    pub const fn with_fallback(mut self, fallback: bool) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Adds the code on the wire.
    #[must_use]
    pub const fn with_code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    /// Says that the request provably was not processed.
    #[must_use]
    pub const fn not_processed(mut self) -> Self {
        self.unprocessed = true;
        self
    }

    /// Whether another try may succeed.
    pub const fn is_retryable(&self) -> bool {
        match self.retry {
            Some(retry) => retry,
            None => self.class.kind().is_retryable(),
        }
    }

    /// Whether a fallback should answer instead.
    pub const fn is_fallbackable(&self) -> bool {
        match self.fallback {
            Some(fallback) => fallback,
            None => self.class.kind().is_retryable(),
        }
    }
}

impl From<Class> for Verdict {
    fn from(class: Class) -> Self {
        Self::new(class)
    }
}

impl From<ProviderClass> for Verdict {
    fn from(class: ProviderClass) -> Self {
        class.verdict(None)
    }
}

/// The HTTP method of a request, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `OPTIONS`.
    Options,
    /// `TRACE`.
    Trace,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `POST`.
    Post,
    /// `PATCH`.
    Patch,
    /// Any other.
    Other,
}

/// What must be known of a request after it was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo {
    /// Whether sending it twice does the same as sending it once. Calls without a method count as idempotent.
    pub idempotent: bool,
    /// The HTTP method, where it has one; `retry.methods` may widen what is retried by it.
    pub method: Option<Method>,
    /// What the call costs a rate limiter, at least 1.
    pub cost: u32,
    /// The time left for the whole call, as the request itself says (`grpc-timeout`, a header, an extension).
    pub time_left: Option<Duration>,
    /// Whether the protocol tells the outcome at the end of the answer, as gRPC does in its trailers: a host whose answers have bodies then holds the
    /// call's places until there.
    pub ends_with_body: bool,
    /// The tokens of a model API that the call may use; without a word on it, a limit on tokens takes one.
    pub tokens: Option<TokenEstimate>,
    /// How important the call is, where the request says so.
    pub priority: Option<Priority>,
}

/// How many tokens of a model API a call may use, its answer included: what a limit on tokens reserves until the real number is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenEstimate {
    /// The caller says so. More than the limit ever holds is refused for ever.
    Stated(u32),
    /// Guessed from the size of the request. More than the limit ever holds reserves all of it.
    Guessed(u32),
}

impl Default for RequestInfo {
    fn default() -> Self {
        Self {
            idempotent: true,
            method: None,
            cost: 1,
            time_left: None,
            ends_with_body: false,
            tokens: None,
            priority: None,
        }
    }
}

/// Judges answers. Implemented by closures over `Result<&Res, &E>` that return a [`Class`] or a [`Verdict`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot classify a response `{Res}` with the error `{E}`",
    note = "the default classifier needs `E: std::error::Error + 'static` or a boxed error; for any other error give `.classifier(|result: Result<&Res, &E>| Class::…)`"
)]
pub trait Classify<Req, Res, E> {
    /// Reads from the request what must be known later.
    fn request(&self, _request: &Req) -> RequestInfo {
        RequestInfo::default()
    }

    /// Hands the key of the request to `read`, by which the pipeline keeps the state of its stages where its host has the capability `keyed` and its document
    /// says `per_key`. Default: there is none.
    fn key(&self, _request: &Req, read: &mut dyn FnMut(Option<&str>)) {
        read(None);
    }

    /// Judges an answer.
    fn classify(&self, request: &RequestInfo, result: Result<&Res, &E>) -> Verdict;
}

impl<F, V, Req, Res, E> Classify<Req, Res, E> for F
where
    F: Fn(Result<&Res, &E>) -> V,
    V: Into<Verdict>,
{
    fn classify(&self, _request: &RequestInfo, result: Result<&Res, &E>) -> Verdict {
        self(result).into()
    }
}
