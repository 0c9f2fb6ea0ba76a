//! Plain async functions through the pipeline, without a `Service`: what decorators are elsewhere.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use tower_rampart_config::{Preset, ResilienceConfig};
use tower_service::Service;

use crate::{
    classify::{Boxed, DefaultClassifier, Typed},
    error::Error,
    fallback::NoFallback,
    pipeline::{
        BuildError, Custom, Judge, NoReport, OperationHandle, Preflight, PresetBuilder, ResilienceLayer,
        future::ResponseFuture,
    },
    registry::Registry,
    retry::Cloned,
};

/// All operations of one configuration: runs async functions through their pipelines. Clones are the same.
///
/// # Examples
/// ```
/// use tower_rampart::Resilience;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let resilience = Resilience::from_preset("production")?;
/// let text = resilience.operation("summarize").run(|| async { Ok::<_, std::io::Error>("short") }).await?;
/// assert_eq!(text, "short");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resilience {
    inner: Arc<Inner>,
}

struct Inner {
    config: ResilienceConfig,
    registry: Registry,
    operations: RwLock<HashMap<String, OperationRunner>>,
    /// Where names go once [`Resilience::MAX_OPERATIONS`] are there.
    overflow: OperationRunner,
}

impl Resilience {
    /// How many operations are told apart; the names beyond share the operation `other`.
    pub const MAX_OPERATIONS: usize = 1000;

    /// From what the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        Self::new(ResilienceConfig::from_env()?, &Registry::new())
    }

    /// From a preset's name.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        Self::new(ResilienceConfig::named(preset)?, &Registry::new())
    }

    /// From a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        Self::new(ResilienceConfig::from_json(document)?, &Registry::new())
    }

    /// From a configuration, with the numbers in `registry`.
    ///
    /// # Errors
    /// If the configuration asks for what plain functions cannot serve, or an operation that it names cannot be built.
    pub fn new(config: ResilienceConfig, registry: &Registry) -> Result<Self, BuildError> {
        let mut operations = HashMap::new();
        for name in config.operation_names() {
            operations.insert(name.to_owned(), OperationRunner::build(&config, registry, name)?);
        }
        let overflow = OperationRunner::build(&config, registry, "other")?;
        let inner = Inner { config, registry: registry.clone(), operations: RwLock::new(operations), overflow };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The operation `name`; one that the configuration does not name runs on its base. Keep what this returns where calls
    /// are frequent: it looks the name up.
    pub fn operation(&self, name: &str) -> OperationRunner {
        let operations = self.inner.operations.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(runner) = operations.get(name) {
            return runner.clone();
        }
        drop(operations);
        let mut operations = self.inner.operations.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(runner) = operations.get(name) {
            return runner.clone();
        }
        if operations.len() >= Self::MAX_OPERATIONS {
            return self.inner.overflow.clone();
        }
        match OperationRunner::build(&self.inner.config, &self.inner.registry, name) {
            Ok(runner) => {
                operations.insert(name.to_owned(), runner.clone());
                runner
            }
            // The registry is full of others' operations, or has this one with another configuration.
            Err(_) => self.inner.overflow.clone(),
        }
    }

    /// Whether a call of the operation would be admitted now.
    pub fn preflight(&self, name: &str) -> Preflight<DefaultClassifier<Typed>, Cloned, NoFallback, NoReport> {
        self.operation(name).typed.preflight()
    }

    /// The registry of all operations.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The configuration.
    pub fn config(&self) -> &ResilienceConfig {
        &self.inner.config
    }
}

impl From<Preset> for Resilience {
    /// From a preset; unlike a document it asks for nothing that plain functions cannot serve.
    fn from(preset: Preset) -> Self {
        Self::new(ResilienceConfig::from_preset(preset), &Registry::new())
            .expect("a built-in preset is valid and a new registry has room for its operations")
    }
}

impl fmt::Debug for Resilience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resilience").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// One operation that async functions run through. Clones share its state.
#[derive(Debug, Clone)]
pub struct OperationRunner {
    typed: ResilienceLayer<DefaultClassifier<Typed>>,
    boxed: ResilienceLayer<DefaultClassifier<Boxed>>,
}

impl OperationRunner {
    fn build(config: &ResilienceConfig, registry: &Registry, name: &str) -> Result<Self, BuildError> {
        Ok(Self {
            typed: PresetBuilder::from_config(config.clone()).operation(name).registry(registry).build()?,
            boxed: PresetBuilder::from_config(config.clone()).operation(name).registry(registry).build()?,
        })
    }

    /// Runs `function` through the pipeline: once for every attempt.
    ///
    /// # Errors
    /// The function's last error in [`Error::Inner`], or a refusal.
    ///
    /// # Cancel safety
    /// As the pipeline's future: dropping it gives everything back and counts the call as abandoned.
    pub async fn run<F, Fut, T, E, M>(
        &self,
        function: F,
    ) -> Result<T, Error<<DefaultClassifier<M> as Judge<(), T, E>>::Error>>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        M: ErrorKind,
        DefaultClassifier<M>: Judge<(), T, E>,
    {
        let layer = M::layer(self);
        ResponseFuture::new(Function(&function), (), Arc::clone(&layer.shared)).await
    }

    /// Runs `function` as [`run`](Self::run) does, judged by `classifier`.
    ///
    /// # Errors
    /// The function's last error in [`Error::Inner`], or a refusal.
    pub async fn run_classified<F, Fut, T, E, C>(&self, classifier: C, function: F) -> Result<T, Error<E>>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Fn(Result<&T, &E>) -> tower_rampart_core::Verdict,
    {
        let layer = self.typed.reclassified(Custom(classifier));
        ResponseFuture::new(Function(&function), (), layer.shared).await
    }

    /// A handle to the operation.
    pub fn handle(&self) -> OperationHandle {
        self.typed.handle()
    }
}

/// Tells errors that implement [`std::error::Error`] from boxed ones; inferred.
pub trait ErrorKind: Sized {
    #[doc(hidden)]
    fn layer(runner: &OperationRunner) -> &ResilienceLayer<DefaultClassifier<Self>>;
}

impl ErrorKind for Typed {
    fn layer(runner: &OperationRunner) -> &ResilienceLayer<DefaultClassifier<Self>> {
        &runner.typed
    }
}

impl ErrorKind for Boxed {
    fn layer(runner: &OperationRunner) -> &ResilienceLayer<DefaultClassifier<Self>> {
        &runner.boxed
    }
}

/// An async function as a service.
#[derive(Debug)]
pub(crate) struct Function<'a, F>(pub(crate) &'a F);

impl<F> Clone for Function<'_, F> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<F, Fut, T, E> Service<()> for Function<'_, F>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Response = T;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Fut {
        (self.0)()
    }
}
