//! HTTP: classification by status and headers, hints when to come back, bodies that replay, refusals as responses. No client, no server.
//!
//! | item | for |
//! |---|---|
//! | [`ClientLayer`] | the whole pipeline in front of an HTTP client |
//! | [`ServerLayer`] | the pipeline in front of HTTP handlers, refusals as answers |
//! | [`ResponseBody`] | the body of their answers, which may decide the outcome |
//! | [`Deadline`] | how much time a handler has |
//! | [`HttpClassifier`] | what a status or an error says about the service behind |
//! | [`retry_after`] | the server's hint when to come back, out of headers |
//! | [`ReplayBody`], [`ReplayCloner`] | sending a streamed request body again, within a bound |
//! | [`RefusalForm`] | in which form a request is refused |
//! | [`Refusal`] | a [`Rejection`](tower_rampart_core::Rejection) as status, headers and body |
//! | [`GrpcClassifier`], [`is_grpc`], [`grpc_timeout`] | the same for gRPC: [`Refusal::grpc`] is its refusal |
//! | [`ModelApiClassifier`], [`ProviderError`], [`RateLimitHeaders`], [`EventReader`], [`Usage`] | the same for model APIs |
//! | [`cache`] | which answers are kept, for whom and for how long |
//! | [`key`] | what calls are told apart by: authority, route, header, client address |
//! | [`NotDispatched`] | an error that came before the request left, so that any request may be sent again |
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use http::{Response, StatusCode, header};
//! use tower_rampart::http::HttpClassifier;
//! use tower_rampart_core::{Class, Classify, RequestInfo};
//!
//! let response = Response::builder().status(503).header(header::RETRY_AFTER, "2").body(()).expect("a valid response");
//! let classifier = HttpClassifier::default();
//! let request = RequestInfo::default();
//! let verdict = Classify::<http::Request<()>, _, std::io::Error>::classify(&classifier, &request, Ok(&response));
//! assert_eq!(verdict.class, Class::Unavailable { retry_after: Some(Duration::from_secs(2)) });
//! assert!(verdict.unprocessed);
//! ```

#[cfg(feature = "pipeline")]
mod body;
#[cfg(feature = "pipeline")]
pub mod cache;
mod classifier;
#[cfg(feature = "pipeline")]
mod client;
mod cloner;
mod deadline;
mod dispatch;
#[cfg(feature = "pipeline")]
mod forward;
mod grpc;
#[cfg(feature = "pipeline")]
mod inspect;
mod json;
pub mod key;
#[cfg(feature = "pipeline")]
mod keys;
#[cfg(feature = "pipeline")]
mod live;
mod model;
mod nested;
mod peeked;
mod refusal;
mod replay;
mod reset;
mod retry_after;
#[cfg(feature = "pipeline")]
mod server;
#[cfg(feature = "pipeline")]
mod settings;
mod shared_body;
#[cfg(feature = "pipeline")]
mod time_left;

#[cfg(feature = "tonic")]
pub(crate) use self::grpc::{GRPC_OPERATION, GRPC_STAGE, grpc_details, grpc_pushback};
#[cfg(feature = "pipeline")]
pub(crate) use self::settings::HttpSettings;
#[cfg(feature = "pipeline")]
pub use self::{
    body::{BodyError, ResponseBody},
    client::{ClientLayer, ClientService, StandbyService, capabilities},
    inspect::{DEFAULT_PEEK_TIMEOUT, Inspect, InspectFuture},
    keys::ForwardedPeer,
    live::{Configured, HttpJudge, InBody, Judged, Live, Once, Replaying, Sent},
    server::{RefusalForm, ServerFuture, ServerLayer, ServerService},
    time_left::Deadline,
};
pub use self::{
    classifier::HttpClassifier,
    cloner::{Attempt, ReplayCloner},
    dispatch::{Idempotent, NotDispatched, NotReplayable},
    grpc::{GrpcClassifier, grpc_timeout, is_grpc},
    model::{Event, EventReader, ModelApiClassifier, ProviderError, RateLimitHeaders, TOKENS_HEADER, Usage, Window},
    peeked::{PeekedError, PeekedTrailers},
    refusal::{MediaType, Refusal},
    replay::{DEFAULT_REPLAY_MAX_BYTES, ReplayBody, ReplayError, ReplayTracker},
    reset::reset,
    retry_after::retry_after,
};
