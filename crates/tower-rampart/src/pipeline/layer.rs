//! The layer: the one-liner in front of any service.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_config::ResilienceConfig;

use super::{BuildError, NoReport, OperationHandle, Preflight, PresetBuilder, ResilienceService, Shared};
use crate::{classify::DefaultClassifier, fallback::NoFallback, retry::Cloned};

/// Applies the whole pipeline to services; see the [module](super).
///
/// # Examples
/// ```
/// use tower::{Service, ServiceBuilder, ServiceExt};
/// use tower_rampart::ResilienceLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut service = ServiceBuilder::new()
///     .layer(ResilienceLayer::from_preset("production")?)
///     .service_fn(|name: &'static str| async move { Ok::<_, std::io::Error>(name.len()) });
/// assert_eq!(service.ready().await?.call("rampart").await?, 7);
/// # Ok(())
/// # }
/// ```
pub struct ResilienceLayer<J = DefaultClassifier, K = Cloned, A = NoFallback, R = NoReport> {
    pub(crate) shared: Arc<Shared<J, K, A, R>>,
}

impl<M> ResilienceLayer<DefaultClassifier<M>> {
    /// The pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_config(ResilienceConfig::named(preset)?).build()
    }

    /// The pipeline of a JSON document.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        PresetBuilder::from_json(document)?.build()
    }

    /// The pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        PresetBuilder::from_env()?.build()
    }
}

impl<J, K, A, R> ResilienceLayer<J, K, A, R> {
    /// A handle to the operation.
    pub fn handle(&self) -> OperationHandle {
        OperationHandle::new(Arc::clone(&self.shared.machines))
    }

    /// The same operation judged by another classifier, with requests kept by another cloner.
    pub(crate) fn refitted<J2, K2>(&self, judge: J2, cloner: K2) -> ResilienceLayer<J2, K2, A, R>
    where
        A: Clone,
        R: Clone,
    {
        let shared = Shared {
            machines: Arc::clone(&self.shared.machines),
            judge,
            cloner,
            answer: self.shared.answer.clone(),
            report: self.shared.report.clone(),
            report_all: self.shared.report_all,
        };
        ResilienceLayer { shared: Arc::new(shared) }
    }

    /// Whether a call would be admitted now.
    pub fn preflight(&self) -> Preflight<J, K, A, R> {
        Preflight::new(Arc::clone(&self.shared))
    }
}

impl<J, K, A, R> Clone for ResilienceLayer<J, K, A, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<J, K, A, R> fmt::Debug for ResilienceLayer<J, K, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilienceLayer")
            .field("operation", self.shared.machines.operation.name())
            .finish_non_exhaustive()
    }
}

impl<S, J, K, A, R> Layer<S> for ResilienceLayer<J, K, A, R> {
    type Service = ResilienceService<S, J, K, A, R>;

    fn layer(&self, inner: S) -> Self::Service {
        ResilienceService::new(inner, Arc::clone(&self.shared))
    }
}
