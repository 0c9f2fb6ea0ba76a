//! The pipeline in front of tonic's handlers. What stands in front of channels is `client`.

use std::time::Duration;

use tower_layer::Layer;
use tower_rampart_config::ResilienceConfig;

use crate::{
    fallback::NoFallback,
    http::{self as hosts, Configured, HttpJudge, ServerService},
    pipeline::{BuildError, NoReport, OperationHandle, PresetBuilder},
    retry::Cloned,
    tonic::PROFILE,
};

/// Applies the pipeline to a tonic `Server`.
///
/// It is [`http::ServerLayer`](crate::http::ServerLayer) with `classify.profile` `grpc`, whatever the document says of it: retry off, the circuit off
/// unless somebody asks for it, the load shed before a handler sees it.
///
/// Refusals are answers without a body: the code, the message, `ErrorInfo` and `RetryInfo` as details, `grpc-retry-pushback-ms` where the time is known.
/// The error type of the services stays what it is, so that no refusal ever breaks a stream.
/// The time that `grpc-timeout` states bounds the call and its answer; a stream that is cut short by it ends with `DEADLINE_EXCEEDED`. Handlers find
/// what is left as [`Deadline`](crate::http::Deadline) in their request's extensions. tonic bounds calls by the same header, and where its timer is
/// first the client reads `CANCELLED`.
///
/// A place under the concurrency limit is kept until the stream has ended. One operation stands for all services of the server; for one each, wrap each
/// service in a layer of its own before it is added.
///
/// # Examples
/// ```
/// use tonic::transport::Server;
/// use tonic_health::server::health_reporter;
/// use tower_rampart::tonic::ServerLayer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (_reporter, health) = health_reporter();
/// let layer: ServerLayer = ServerLayer::from_json(r#"{"concurrency": {"max_inflight": 100}}"#)?;
/// let server = Server::builder().layer(layer).add_service(health);
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerLayer<A = NoFallback, J = Configured, R = NoReport> {
    inner: hosts::ServerLayer<A, J, R>,
}

impl<M> ServerLayer<NoFallback, Configured<M>> {
    /// The pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_config(ResilienceConfig::named(preset)?).grpc_server()
    }

    /// The pipeline of a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_json(document)?.grpc_server()
    }

    /// The pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        PresetBuilder::from_env()?.grpc_server()
    }
}

impl<A, J, R> ServerLayer<A, J, R> {
    /// How long a handler's answer is held up for trailers right behind its headers, so that a fallback can stand in for it. Default: no answer is held up.
    #[must_use]
    pub fn peek_timeout(self, patience: Duration) -> Self {
        Self { inner: self.inner.peek_timeout(patience) }
    }

    /// A handle to the operation.
    pub fn handle(&self) -> OperationHandle {
        self.inner.handle()
    }
}

impl<J, A, R> PresetBuilder<J, Cloned, A, R> {
    /// Builds the layer for tonic's servers; what that changes of the configuration is in the table of [`http::ServerLayer`](crate::http::ServerLayer).
    ///
    /// # Errors
    /// If the configuration asks for what a gRPC server cannot serve (naming the stage and what is missing), or the registry has the operation
    /// with another configuration.
    pub fn grpc_server<J2>(self) -> Result<ServerLayer<A, J2, R>, BuildError>
    where
        J: HttpJudge<J2>,
    {
        Ok(ServerLayer { inner: self.overrides_json(PROFILE)?.http_server()? })
    }
}

impl<A, J, R> Clone for ServerLayer<A, J, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S, A, J, R> Layer<S> for ServerLayer<A, J, R> {
    type Service = ServerService<S, A, J, R>;

    fn layer(&self, inner: S) -> Self::Service {
        self.inner.layer(inner)
    }
}
