//! The layer for reqwest's client, and how a builder makes it.

use std::fmt;

use tower_layer::Layer;
use tower_rampart::{
    BuildError, OperationHandle, PresetBuilder, ResilienceConfig, ResilienceLayer,
    fallback::NoFallback,
    http::Live,
    pipeline::{Custom, NoReport, Preflight},
    retry::Cloned,
};
use tower_rampart_config::{Capabilities, Capability};

use crate::{InResponse, ReqwestClassifier, ReqwestCloner, ReqwestService, classifier::IntoReqwestClassifier};

/// Applies the whole pipeline to a [`reqwest::Client`], or to any other service of reqwest's requests and answers. Clones share one operation.
///
/// | of the configuration | what it does here |
/// |---|---|
/// | `classify.transient_status`, `.permanent_status` | which answers are failures; see [`ReqwestClassifier`] |
/// | `classify.outcome_at` | whether a call ends with the head of its answer or with its body, as [`ResponseBody`](tower_rampart::http::ResponseBody) says; a body that decides is boxed twice more |
/// | `classify.profile` | `model_api`: errors are known by their bodies, streams are protected up to their first item, as for every HTTP host |
/// | `rate_limit.tokens_per_minute`, `.learn_from_headers` | what a model API's answers say of tokens and limits |
/// | `http.replay_max_bytes` | up to which size a body in memory is kept for another attempt; longer ones, and streams of any size, are sent once and never refused |
/// | `http.deadline_headers` | where the time left for a call is read, and written anew for each attempt |
/// | `http.attempt_header` | where each attempt is told its number |
///
/// All of it follows a [`Resilience`](tower_rampart::Resilience) through its reloads; a call that has begun is judged as it began. Answers carry the
/// [`Explain`](tower_rampart::Explain) of remarkable calls in their extensions. Errors are [`Error<reqwest::Error>`](tower_rampart::Error).
///
/// Redirects are followed by reqwest, inside of an attempt. So are the timeouts of the client and of a single request: each attempt has them anew. reqwest
/// itself sends a request again that HTTP/2 has refused, at most twice for every attempt that is counted here; [`reqwest::retry::never`] stops that.
///
/// # Examples
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_rampart::Error;
/// use tower_rampart_reqwest::ReqwestLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = ReqwestLayer::from_json(r#"{"retry": {"max_attempts": 2, "backoff": {"base": "1ms", "min": "1ms"}}}"#)?;
/// let client = ServiceBuilder::new().layer(layer.clone()).service(reqwest::Client::new());
///
/// let request = reqwest::Client::new().get("http://127.0.0.1:9/").build()?;
/// let error = client.oneshot(request).await.expect_err("nobody is there");
/// assert!(matches!(error, Error::Inner(error) if error.is_connect()));
/// assert_eq!(layer.handle().snapshot().retries, 1);
/// # Ok(())
/// # }
/// ```
pub struct ReqwestLayer<A = NoFallback, C = ReqwestClassifier, R = NoReport> {
    pub(crate) pipeline: ResilienceLayer<Custom<C>, ReqwestCloner, A, InResponse<R>>,
    pub(crate) live: Live,
}

impl ReqwestLayer {
    /// The pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_config(ResilienceConfig::named(preset)?).reqwest()
    }

    /// The pipeline of a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_json(document)?.reqwest()
    }

    /// The pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        PresetBuilder::from_env()?.reqwest()
    }
}

impl<A, C, R> ReqwestLayer<A, C, R> {
    /// A handle to the operation.
    pub fn handle(&self) -> OperationHandle {
        self.pipeline.handle()
    }

    /// Whether a call would be admitted now.
    pub fn preflight(&self) -> Preflight<Custom<C>, ReqwestCloner, A, InResponse<R>> {
        self.pipeline.preflight()
    }
}

/// Builds the layer for reqwest out of a [`PresetBuilder`].
///
/// # Examples
/// ```
/// use tower_rampart::{PresetBuilder, Registry};
/// use tower_rampart_reqwest::BuildReqwest;
///
/// # fn main() -> Result<(), tower_rampart::BuildError> {
/// let registry = Registry::new();
/// let layer = PresetBuilder::from_json(r#"{"preset": "production", "http": {"attempt_header": "x-attempt"}}"#)?
///     .operation("catalogue")
///     .registry(&registry)
///     .reqwest()?;
/// assert_eq!(layer.handle().name(), "catalogue");
/// # Ok(())
/// # }
/// ```
pub trait BuildReqwest {
    /// The layer.
    type Layer;

    /// Builds the layer for reqwest. Answers are judged by the [`ReqwestClassifier`] that follows the configuration, or by the classifier that was given;
    /// requests are kept for further attempts by a [`ReqwestCloner`]. Fallbacks answer with [`reqwest::Response`], which `From<http::Response<_>>` makes.
    ///
    /// # Errors
    /// If the configuration asks for what is not served here (naming the stage and what is missing, see [`capabilities`]), or the registry has the
    /// operation with another configuration.
    fn reqwest(self) -> Result<Self::Layer, BuildError>;
}

impl<J, A, R> BuildReqwest for PresetBuilder<J, Cloned, A, R>
where
    J: IntoReqwestClassifier,
{
    type Layer = ReqwestLayer<A, J::Classifier, R>;

    fn reqwest(self) -> Result<Self::Layer, BuildError> {
        let pipeline = self.serving(SERVED).map_reporter(InResponse).build_with(|judge, _, operation| {
            let live = operation.http();
            (judge.into_classifier(live.clone()), ReqwestCloner::live(live))
        })?;
        let live = pipeline.handle().http();
        Ok(ReqwestLayer { pipeline, live })
    }
}

/// What is served here beside the stages.
const SERVED: [Capability; 9] = [
    Capability::Http,
    Capability::Replay,
    Capability::DeadlineHeaders,
    Capability::AttemptHeader,
    Capability::EndOfBody,
    Capability::ModelApiProfile,
    Capability::TokensPerMinute,
    Capability::LearnFromHeaders,
    Capability::NestedRetry,
];

/// What documents may ask of reqwest: for [`Resilience::for_host`](tower_rampart::Resilience::for_host), where layers are built from a live configuration.
///
/// Not among it are the gRPC profile, because reqwest shows no trailers, and a fallback, which only code can give.
pub fn capabilities() -> Capabilities {
    let all = Capabilities::function().without(Capability::Fallback);
    SERVED.into_iter().fold(all, Capabilities::with)
}

impl<A, C, R> Clone for ReqwestLayer<A, C, R> {
    fn clone(&self) -> Self {
        Self { pipeline: self.pipeline.clone(), live: self.live.clone() }
    }
}

impl<A, C, R> fmt::Debug for ReqwestLayer<A, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestLayer").field("operation", &self.handle().name()).finish_non_exhaustive()
    }
}

impl<S, A, C, R> Layer<S> for ReqwestLayer<A, C, R> {
    type Service = ReqwestService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ReqwestService::new(inner, self.clone())
    }
}
