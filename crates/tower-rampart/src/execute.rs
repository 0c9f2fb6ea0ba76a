//! Plain async functions through the pipeline, without a `Service`: what decorators are elsewhere.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tower_rampart_config::{Capabilities, Capability, Preset, ResilienceConfig};
use tower_rampart_core::control::ConfigCell;
use tower_service::Service;

use crate::{
    classify::{Auto, Boxed, DefaultClassifier, IntoClassifier, Typed},
    error::Error,
    fallback::NoFallback,
    pipeline::{
        BuildError, Custom, Judge, Machines, NoReport, OperationHandle, Preflight, ResilienceLayer, Shared,
        future::ResponseFuture, possible,
    },
    registry::Registry,
    reload::{Origin, Owner},
    retry::{CloneRequest, Cloned, UnderRetry},
};

/// The owner of one live configuration: runs async functions through the pipelines of its operations. Clones are the same.
///
/// How the configuration is replaced while calls flow is in [`reload`](crate::reload).
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
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    owner: Owner,
    /// Read without waiting; replaced as a whole, under `growth`, when a name is met for the first time.
    runners: ConfigCell<HashMap<Arc<str>, OperationRunner>>,
    growth: Mutex<()>,
    /// Where names go once [`Resilience::MAX_OPERATIONS`] are there.
    overflow: OperationRunner,
}

impl Resilience {
    /// How many operations are told apart; the names beyond share the operation `other`.
    pub const MAX_OPERATIONS: usize = 1000;

    /// From what the environment asks for. The file that `RESILIENCE_CONFIG_FILE` names is remembered: [`maintain`](Self::maintain) watches it (feature
    /// `watch`), and [`reload_file`](Self::reload_file) reads it again.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        Self::from_env_for_host(&Registry::new(), Self::functions())
    }

    /// From what the environment asks for, as [`from_env`](Self::from_env) and [`for_host`](Self::for_host) together.
    ///
    /// # Errors
    /// Names the variable that is wrong, or the stage that the host cannot serve.
    pub fn from_env_for_host(registry: &Registry, capabilities: Capabilities) -> Result<Self, BuildError> {
        // The file is read before the configuration is made of it: if it changes in between, it is read again rather than missed.
        let origin = Origin::environment();
        Self::build(ResilienceConfig::from_env()?, registry, capabilities, origin)
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
        Self::for_host(config, registry, Self::functions())
    }

    /// From a configuration for a host that can serve `capabilities`: what documents may ask for, now and later, wherever no pipeline of the operation
    /// can serve less. Meant for pipelines built by [`PresetBuilder::from_resilience`](crate::PresetBuilder::from_resilience).
    ///
    /// What [`operation`](Self::operation) runs is a plain function in any case: fields that mean nothing there (statuses, headers, a fallback) do not
    /// change it.
    ///
    /// # Errors
    /// If the configuration asks for what the host cannot serve, or an operation that it names cannot be built.
    pub fn for_host(
        config: ResilienceConfig,
        registry: &Registry,
        capabilities: Capabilities,
    ) -> Result<Self, BuildError> {
        Self::build(config, registry, capabilities, Origin::default())
    }

    fn build(
        config: ResilienceConfig,
        registry: &Registry,
        host: Capabilities,
        origin: Origin,
    ) -> Result<Self, BuildError> {
        let host = possible(host);
        config.check(&host)?;
        let names = config.operation_names().into_iter().map(Arc::from).collect::<Vec<Arc<str>>>();
        let owner = Owner::new(config, registry.clone(), host, origin);
        let mut runners = HashMap::new();
        for name in names {
            let runner = OperationRunner::new(&owner.follow(&name)?);
            runners.insert(name, runner);
        }
        let overflow = OperationRunner::new(&owner.follow("other")?);
        let inner = Inner { owner, runners: ConfigCell::new(runners), growth: Mutex::default(), overflow };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn functions() -> Capabilities {
        Capabilities::function().without(Capability::Fallback)
    }

    /// The operation `name`; one that the configuration does not name runs on its base. Keep what this returns where calls
    /// are frequent: it looks the name up.
    pub fn operation(&self, name: &str) -> OperationRunner {
        let known = |runners: &HashMap<Arc<str>, OperationRunner>| match runners.get(name) {
            Some(runner) => Some(runner.clone()),
            None => (runners.len() >= Self::MAX_OPERATIONS).then(|| self.inner.overflow.clone()),
        };
        self.inner.runners.with(known).unwrap_or_else(|| {
            let _growing = self.inner.growth.lock().unwrap_or_else(PoisonError::into_inner);
            self.inner.runners.with(known).unwrap_or_else(|| self.first_met(name))
        })
    }

    fn first_met(&self, name: &str) -> OperationRunner {
        // The registry may be full of others' operations, or have this one with another configuration.
        let Ok(machines) = self.inner.owner.follow(name) else { return self.inner.overflow.clone() };
        let runner = OperationRunner::new(&machines);
        let mut runners = HashMap::clone(&self.inner.runners.load());
        runners.insert(name.into(), runner.clone());
        self.inner.runners.store(runners);
        runner
    }

    /// Whether a call of the operation would be admitted now.
    pub fn preflight(&self, name: &str) -> Preflight<DefaultClassifier<Typed>, Cloned, NoFallback, NoReport> {
        self.operation(name).typed.preflight()
    }

    /// A handle to the operation, if it was configured by name or has been asked for; looking makes none.
    pub fn handle(&self, name: &str) -> Option<OperationHandle> {
        self.registry().existing(name).map(OperationHandle::new)
    }

    /// What documents may ask for, wherever no pipeline of an operation can serve less.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.owner.host
    }

    /// The registry of all operations.
    pub fn registry(&self) -> &Registry {
        self.inner.owner.registry()
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.inner.owner
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
        f.debug_struct("Resilience").field("config", &self.owner().present().config).finish_non_exhaustive()
    }
}

/// One operation that async functions run through. Clones share its state.
#[derive(Debug, Clone)]
pub struct OperationRunner {
    typed: ResilienceLayer<DefaultClassifier<Typed>>,
    boxed: ResilienceLayer<DefaultClassifier<Boxed>>,
}

impl OperationRunner {
    fn new(machines: &Arc<Machines>) -> Self {
        Self { typed: plain(machines), boxed: plain(machines) }
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
        let layer = self.typed.refitted(Custom(classifier), Cloned);
        ResponseFuture::new(Function(&function), (), layer.shared).await
    }

    /// Runs `function` as [`run_classified`](Self::run_classified) does, for a caller that says whether they run it again if it fails. While `nested_retry` is on,
    /// it is then run once, and each run is told what to hand on to the services that it calls.
    ///
    /// # Errors
    /// The function's last error in [`Error::Inner`], or a refusal.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart::{Class, Resilience, UnderRetry};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let resilience = Resilience::from_json(r#"{"preset": "production", "nested_retry": {}}"#)?;
    /// let (outer, inner) = (resilience.operation("outer"), resilience.operation("inner"));
    /// let judge = |it: Result<&(), &_>| if it.is_ok() { Class::Success.into() } else { Class::Transient.into() };
    /// let answer = outer.run_under(UnderRetry(false), judge, |under| {
    ///     let inner = inner.clone();
    ///     async move { inner.run_under(under, judge, |_| async { Err::<(), _>("down") }).await.map_err(|_| "down") }
    /// });
    /// assert!(answer.await.is_err());
    /// let attempts = |name: &str| resilience.handle(name).map(|it| it.snapshot().attempts);
    /// assert_eq!((attempts("outer"), attempts("inner")), (Some(5), Some(5)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_under<F, Fut, T, E, C>(&self, under: UnderRetry, classifier: C, function: F) -> Result<T, Error<E>>
    where
        F: Fn(UnderRetry) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Fn(Result<&T, &E>) -> tower_rampart_core::Verdict,
    {
        let layer = self.typed.refitted(Custom(classifier), Telling);
        ResponseFuture::new(Told(&function), under, layer.shared).await
    }

    /// A handle to the operation.
    pub fn handle(&self) -> OperationHandle {
        self.typed.handle()
    }
}

/// Reads and writes a request that is nothing but whether it is retried.
#[derive(Debug, Clone, Copy)]
struct Telling;

impl CloneRequest<UnderRetry> for Telling {
    fn clone_request(&self, request: &UnderRetry) -> Option<UnderRetry> {
        Some(*request)
    }

    fn under_retry(&self, request: &UnderRetry) -> UnderRetry {
        *request
    }

    fn mark(&self, request: &mut UnderRetry, under: UnderRetry) {
        *request = under;
    }
}

/// A pipeline of plain functions.
fn plain<M>(machines: &Arc<Machines>) -> ResilienceLayer<DefaultClassifier<M>> {
    let shared = Shared {
        machines: Arc::clone(machines),
        judge: Auto.into_classifier(),
        cloner: Cloned,
        answer: NoFallback,
        report: NoReport,
        report_all: false,
    };
    ResilienceLayer { shared: Arc::new(shared) }
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

/// An async function that is told whether it is run again.
struct Told<'a, F>(&'a F);

impl<F> Clone for Told<'_, F> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<F, Fut, T, E> Service<UnderRetry> for Told<'_, F>
where
    F: Fn(UnderRetry) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Response = T;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, under: UnderRetry) -> Fut {
        (self.0)(under)
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
