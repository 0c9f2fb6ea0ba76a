//! The layer, and how it is built.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;
use tower_rampart_config::ResilienceConfig;

use super::ServerService;
use crate::{
    fallback::NoFallback,
    http::{
        client::served,
        live::{Configured, HttpJudge, InBody, Of, Once},
    },
    pipeline::{BuildError, NoReport, OperationHandle, PresetBuilder, Role, Shared},
    retry::Cloned,
};

/// Applies the pipeline to HTTP handlers.
///
/// It is the same configuration as everywhere, with the part of a server:
///
/// | stage | on a server |
/// |---|---|
/// | `retry` | off, whatever the document says: no handler runs twice |
/// | `circuit_breaker` | off, unless the document, the environment, or code itself says anything of it; what a preset or a strategy says is meant for clients |
/// | `rate_limit`, `concurrency` | as configured: the load is shed before a handler sees it |
/// | `timeout` | as configured; the time that `http.deadline_headers` state (gRPC's own under the profile `grpc`) shortens it, and what is left is the [`Deadline`](crate::http::Deadline) in the request's extensions |
/// | `fallback` | answers that need no request: [`fallback_value`](PresetBuilder::fallback_value), [`fallback_with`](PresetBuilder::fallback_with) |
/// | `classify` | which answers of the handlers count as failures, and when; answers are not [held up](Self::peek_timeout) for a look at their beginning, because none is retried |
/// | `per_key` | by which part of a request each stage keeps its state, see [`key`](crate::http::key); `client_ip` needs the peer in the request's extensions, where [`ClientIp`](crate::http::key::ClientIp) looks for it: axum only puts it there if it is served with `into_make_service_with_connect_info` |
/// | `nested_retry` | what the header says is the [`UnderRetry`](crate::UnderRetry) in the request's extensions if it says that the caller retries the request; clients behind the handler leave the retries to that caller if they are told |
/// | `http.attempt_header`, `http.replay_max_bytes` | nothing: there is one attempt, and the caller's header stays as it is |
///
/// This lies over the document like overrides given in code, at every reload too, and `config()` shows it. One operation of one registry is either a client
/// or a server.
///
/// Refusals are answers: [`Refusal`](crate::http::Refusal) as JSON or problem+json by `Accept`, or a gRPC status where the request's `content-type` is
/// `application/grpc`, with the [`Rejection`](crate::Rejection) in the extensions. The inner service's error type stays what it is: `Infallible`
/// for axum. A CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes untouched: it is neither refused nor counted.
///
/// A refusal leaves the request's body unread. hyper closes an HTTP/1.1 connection after an answer that came so early, whoever gave it, and a client that is
/// in the middle of a long upload (beyond some MiB, which the system holds) may fail before it looks for the answer. Over HTTP/2 it always hears it. A
/// host that minds wraps bodies outside of this layer in one that is read on, within bounds, when it is dropped.
///
/// All services of one layer share their state, however often `layer()` is called.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_rampart::http::ServerLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = ServerLayer::from_json(r#"{"rate_limit": {"limit": 1, "period": "1s", "burst_size": 1}}"#)?;
/// let service = ServiceBuilder::new()
///     .layer(layer)
///     .service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello"))) });
/// let first = service.clone().oneshot(Request::default()).await?;
/// let second = service.oneshot(Request::default()).await?;
/// assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 429));
/// # Ok(())
/// # }
/// ```
pub struct ServerLayer<A = NoFallback, J = Configured, R = NoReport> {
    shared: Arc<Shared<J, Once, A, InBody<R>>>,
    manner: Manner,
}

/// What services of one layer do beside the pipeline.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// `None`: no answer is looked at.
    pub(super) peek_timeout: Option<Duration>,
    /// Whether requests carry the operation's handle.
    pub(super) exposes_handle: bool,
}

impl<M> ServerLayer<NoFallback, Configured<M>> {
    /// The pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_config(ResilienceConfig::named(preset)?).http_server()
    }

    /// The pipeline of a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_json(document)?.http_server()
    }

    /// The pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        PresetBuilder::from_env()?.http_server()
    }
}

impl<A, J, R> ServerLayer<A, J, R> {
    /// How long an answer of a handler is held up for its first frame, so that a fallback can stand in for a status that comes in trailers
    /// (`classify.profile` `grpc`). Default: no answer is held up.
    #[must_use]
    pub const fn peek_timeout(mut self, patience: Duration) -> Self {
        self.manner.peek_timeout = Some(patience);
        self
    }

    /// Puts the operation's [handle](OperationHandle) into the extensions of each request, for handlers that look at its state; axum's extract it.
    /// Default: off, because extensions allocate.
    ///
    /// # Examples
    /// ```
    /// # use std::convert::Infallible;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// # use tower::{ServiceBuilder, ServiceExt};
    /// use tower_rampart::{OperationHandle, http::ServerLayer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer: ServerLayer = ServerLayer::from_preset("production")?;
    /// let service = ServiceBuilder::new().layer(layer.expose_handle()).service_fn(|request: Request<String>| async move {
    ///     let inflight = request.extensions().get::<OperationHandle>().map(|it| it.signals().current_inflight);
    ///     Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(format!("{inflight:?}"))))
    /// });
    /// # use http_body_util::BodyExt;
    /// assert_eq!(service.oneshot(Request::default()).await?.into_body().collect().await?.to_bytes(), "Some(1)");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn expose_handle(mut self) -> Self {
        self.manner.exposes_handle = true;
        self
    }

    /// A handle to the operation.
    pub fn handle(&self) -> OperationHandle {
        OperationHandle::new(Arc::clone(&self.shared.machines))
    }
}

impl<J, A, R> PresetBuilder<J, Cloned, A, R> {
    /// Builds the layer for HTTP handlers; what that changes of the configuration is in the table of [`ServerLayer`].
    ///
    /// # Errors
    /// If the configuration asks for what an HTTP server cannot serve (naming the stage and what is missing), the name of the operation is none
    /// that a document could have, or the registry has the operation with another configuration.
    pub fn http_server<J2>(self) -> Result<ServerLayer<A, J2, R>, BuildError>
    where
        J: HttpJudge<J2>,
    {
        let shared = self.without_cloning().serving(served()).shared(Role::Server, |judge, _, machines| {
            (judge.into_judge(&Of { machines: Arc::clone(machines), is_rebuilt: false }), Once)
        })?;
        Ok(ServerLayer { shared: Arc::new(shared.reporting(InBody)), manner: Manner::default() })
    }
}

impl<A, J, R> Clone for ServerLayer<A, J, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), manner: self.manner }
    }
}

impl<A, J, R> fmt::Debug for ServerLayer<A, J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLayer").field("operation", self.shared.machines.operation.name()).finish_non_exhaustive()
    }
}

impl<S, A, J, R> Layer<S> for ServerLayer<A, J, R> {
    type Service = ServerService<S, A, J, R>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService::new(inner, Arc::clone(&self.shared), self.manner)
    }
}
