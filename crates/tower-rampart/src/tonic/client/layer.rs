//! The layer, and how it is built.

use std::time::Duration;

use tower_layer::Layer;
use tower_rampart_config::ResilienceConfig;

use super::{ClientService, Sending};
use crate::{
    fallback::NoFallback,
    http::{self as hosts, Configured, HttpJudge},
    pipeline::{BuildError, NoReport, OperationHandle, PresetBuilder},
    retry::Cloned,
    tonic::PROFILE,
};

/// Applies the whole pipeline to a tonic `Channel`: what it makes is given to a generated client in the channel's place.
///
/// It is [`http::ClientLayer`](crate::http::ClientLayer) with `classify.profile` `grpc`, whatever the document says of it:
///
/// | of gRPC | what it does here |
/// |---|---|
/// | the status | decides the class, in the headers, in trailers that follow them at once (an answer is held up for [20 ms](Self::peek_timeout) at most, and no message is read), or at the end of the stream; see [`GrpcClassifier`](crate::http::GrpcClassifier) |
/// | an answer that has begun | is never sent for again; a status at the end of a stream decides the outcome of the call, and is the caller's to deal with |
/// | `grpc-retry-pushback-ms` | is waited for; negative, it forbids the retry |
/// | `grpc-timeout` | bounds the call with all its attempts and, on streams, its answer; every attempt is told what is left, also where only the configuration bounds the call |
/// | the messages sent | are kept for another attempt until the answer begins, up to `http.replay_max_bytes`; a longer stream is sent once |
/// | a refusal, an error of the channel | is a `Status` with code, message, details and metadata: see [`status_of`](crate::tonic::status_of) and [`refused_by`](crate::tonic::refused_by) |
///
/// A channel connects in the background and is shared by its clones. `connect_lazy` suits it best: a server that is down when the program starts is then
/// an error of a call, which is retried.
///
/// # Examples
/// ```
/// use tonic::transport::Channel;
/// use tonic_health::pb::health_client::HealthClient;
/// use tower::Layer;
/// use tower_rampart::tonic::ClientLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let channel = Channel::from_static("http://127.0.0.1:50051").connect_lazy();
/// let client = HealthClient::new(ClientLayer::from_preset("production")?.layer(channel));
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ClientLayer<A = NoFallback, J = Configured, R = NoReport> {
    inner: hosts::ClientLayer<A, J, R>,
}

impl<M> ClientLayer<NoFallback, Configured<M>> {
    /// The pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_config(ResilienceConfig::named(preset)?).grpc_client()
    }

    /// The pipeline of a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_json(document)?.grpc_client()
    }

    /// The pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        PresetBuilder::from_env()?.grpc_client()
    }
}

impl<A, J, R> ClientLayer<A, J, R> {
    /// How long an answer is held up for trailers right behind its headers. Default: 20 ms; zero takes what is there at once.
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
    /// Builds the layer for tonic's channels.
    ///
    /// # Errors
    /// If the configuration asks for what a gRPC client cannot serve (naming the stage and what is missing), or the registry has the operation
    /// with another configuration.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart::{PresetBuilder, tonic::ClientLayer};
    ///
    /// # fn main() -> Result<(), tower_rampart::BuildError> {
    /// let document = r#"{"preset": "production", "circuit_breaker": {"exclude": ["ABORTED"]}}"#;
    /// let layer: ClientLayer = PresetBuilder::from_json(document)?.operation("greeter").grpc_client()?;
    /// assert_eq!(layer.handle().name(), "greeter");
    /// # Ok(())
    /// # }
    /// ```
    pub fn grpc_client<J2>(self) -> Result<ClientLayer<A, J2, R>, BuildError>
    where
        J: HttpJudge<J2>,
    {
        Ok(ClientLayer { inner: self.overrides_json(PROFILE)?.http_client()? })
    }
}

impl<A, J, R> Clone for ClientLayer<A, J, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S, A, J, R> Layer<S> for ClientLayer<A, J, R> {
    type Service = ClientService<S, A, J, R>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientService::new(self.inner.layer(Sending::new(inner)))
    }
}
