//! The layer, and how it is built.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;
use tower_rampart_config::{Capabilities, Capability, ResilienceConfig};

use super::ClientService;
use crate::{
    fallback::NoFallback,
    http::{
        DEFAULT_PEEK_TIMEOUT,
        live::{Configured, HttpJudge, InBody, Of, Replaying},
    },
    pipeline::{BuildError, NoReport, OperationHandle, PresetBuilder, Role, Shared},
    retry::Cloned,
};

/// Applies the whole pipeline to HTTP clients: hyper-util's, reqwest's, or any other `Service<Request<_>>`.
///
/// | of the configuration | what it does here |
/// |---|---|
/// | `classify.profile`, `.transient_status`, `.permanent_status` | which answers are failures, as [`HttpClassifier`](crate::http::HttpClassifier) and its siblings say |
/// | `classify.outcome_at` | whether the call ends with the head of its answer or with its body, see [`ResponseBody`](crate::http::ResponseBody) |
/// | `http.replay_max_bytes` | how much of a request's body is kept for another attempt; longer ones are streamed once and never refused |
/// | `http.deadline_headers` | where the time left for a call is read, and written anew for each attempt |
/// | `http.attempt_header` | where each attempt is told its number |
/// | `rate_limit.tokens_per_minute` | how many tokens of a model API are used; see [`ModelApiClassifier`](crate::http::ModelApiClassifier) for the estimate, [`Usage`](crate::http::Usage) for what is settled |
/// | `per_key` | by which part of a request each stage keeps its state, see [`key`](crate::http::key). `client_ip` is refused: a client's requests do not say whom they are made for. Where they do, as in a gateway that passes their extensions on, the builder is told so by [`serving`](PresetBuilder::serving)`([Capability::ClientIp])` |
/// | `rate_limit.learn_from_headers` | whether the limits follow the [`RateLimitHeaders`](crate::http::RateLimitHeaders) of answers |
///
/// Calls that are gRPC by their content type ([`is_grpc`](crate::http::is_grpc)) are read as gRPC under the profile `http` too: an HTTP status 200 says
/// nothing of them.
///
/// All of it follows a [`Resilience`](crate::Resilience) through its reloads. An answer is judged by the configuration under which its call began; an error, and the
/// headers of a further attempt, go by the configuration of the moment.
///
/// A request whose connection could not be made, or that was refused unprocessed, is sent again whatever its method. Feature `hyper` sees that in the errors of
/// hyper and its pooled client; any other client wraps such an error in [`NotDispatched`](crate::http::NotDispatched).
///
/// Answers carry the [`Explain`](crate::Explain) of remarkable calls in their extensions. Errors are [`Error<E>`](crate::Error).
///
/// A GET whose outcome its head decides costs no allocation. Under the profile `grpc`, an answer whose status is not in its head costs one, and a
/// body that decides the outcome costs one.
///
/// # Examples
/// Around the client of hyper-util:
/// ```no_run
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::{BodyExt, Full};
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_rampart::http::ClientLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = ServiceBuilder::new()
///     .layer(ClientLayer::from_preset("production")?)
///     .service(Client::builder(TokioExecutor::new()).build_http());
/// let request = Request::get("http://example.test/").body(Full::<Bytes>::default())?;
/// let body = client.oneshot(request).await?.into_body().collect().await?;
/// # Ok(())
/// # }
/// ```
///
/// Around any other, for which a function stands here:
/// ```
/// # use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_rampart::http::{ClientLayer, ReplayBody};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = tower::service_fn(|_: Request<ReplayBody<Full<Bytes>>>| async {
/// #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
/// # });
/// let client = ServiceBuilder::new().layer(ClientLayer::from_preset("production")?).service(client);
/// let request = Request::get("http://example.test/").body(Full::<Bytes>::default())?;
/// let response = client.oneshot(request).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
/// # Ok(())
/// # }
/// ```
pub struct ClientLayer<A = NoFallback, J = Configured, R = NoReport> {
    shared: Arc<Shared<J, Replaying, A, InBody<R>>>,
    peek_timeout: Duration,
}

impl<M> ClientLayer<NoFallback, Configured<M>> {
    /// The pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_config(ResilienceConfig::named(preset)?).http_client()
    }

    /// The pipeline of a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_json(document)?.http_client()
    }

    /// The pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        PresetBuilder::from_env()?.http_client()
    }
}

impl<A, J, R> ClientLayer<A, J, R> {
    /// How long an answer is held up for its first frame, where the protocol makes it worth a look (`classify.profile` `grpc`). Default: 20 ms; zero
    /// takes what is there at once.
    #[must_use]
    pub const fn peek_timeout(mut self, patience: Duration) -> Self {
        self.peek_timeout = patience;
        self
    }

    /// A handle to the operation.
    pub fn handle(&self) -> OperationHandle {
        OperationHandle::new(Arc::clone(&self.shared.machines))
    }
}

impl<J, A, R> PresetBuilder<J, Cloned, A, R> {
    /// Builds the layer for HTTP clients. Answers are judged as the configuration says, or by the classifier that was given; requests are kept for
    /// further attempts by their [`ReplayBody`](crate::http::ReplayBody).
    ///
    /// # Errors
    /// If the configuration asks for what an HTTP client cannot serve (naming the stage and what is missing), or the registry has the operation
    /// with another configuration.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart::{PresetBuilder, http::ClientLayer};
    ///
    /// # fn main() -> Result<(), tower_rampart::BuildError> {
    /// let document = r#"{"preset": "production", "classify": {"outcome_at": "end_of_body"}, "http": {"attempt_header": "x-attempt"}}"#;
    /// let layer: ClientLayer = PresetBuilder::from_json(document)?.operation("catalogue").http_client()?;
    /// assert_eq!(layer.handle().name(), "catalogue");
    /// # Ok(())
    /// # }
    /// ```
    pub fn http_client<J2>(self) -> Result<ClientLayer<A, J2, R>, BuildError>
    where
        J: HttpJudge<J2>,
    {
        let served = served().filter(|it| *it != Capability::ClientIp);
        let is_rebuilt = self.next.strong_count() > 0;
        let shared = self.serving(served).shared(Role::Any, |judge, _, machines| {
            (judge.into_judge(&Of { machines: Arc::clone(machines), is_rebuilt }), Replaying::new(machines))
        })?;
        Ok(ClientLayer { shared: Arc::new(shared.reporting(InBody)), peek_timeout: DEFAULT_PEEK_TIMEOUT })
    }
}

/// What clients and servers of HTTP can serve, for [`Resilience::for_host`](crate::Resilience::for_host) where their layers follow one.
///
/// # Examples
/// ```
/// use tower_rampart::{PresetBuilder, Registry, Resilience, ResilienceConfig, http::{self, ClientLayer, ServerLayer}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ResilienceConfig::from_json(r#"{"preset": "production", "http": {"deadline_headers": ["x-timeout-ms"]}}"#)?;
/// let resilience = Resilience::for_host(config, &Registry::new(), http::capabilities())?;
/// let client: ClientLayer = PresetBuilder::from_resilience(&resilience).operation("catalogue").http_client()?;
/// let server: ServerLayer = PresetBuilder::from_resilience(&resilience).operation("shop").http_server()?;
/// # Ok(())
/// # }
/// ```
pub const fn capabilities() -> Capabilities {
    Capabilities::http()
}

/// What HTTP hosts serve beside the stages; whether requests are kept and a fallback is given is up to the builder.
pub(crate) fn served() -> impl Iterator<Item = Capability> {
    capabilities().without(Capability::CloneRequest).without(Capability::Fallback).iter()
}

impl<A, J, R> Clone for ClientLayer<A, J, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), peek_timeout: self.peek_timeout }
    }
}

impl<A, J, R> fmt::Debug for ClientLayer<A, J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer").field("operation", self.shared.machines.operation.name()).finish_non_exhaustive()
    }
}

impl<S, A, J, R> Layer<S> for ClientLayer<A, J, R> {
    type Service = ClientService<S, A, J, R>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientService::new(inner, Arc::clone(&self.shared), self.peek_timeout)
    }
}
