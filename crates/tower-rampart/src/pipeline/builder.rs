//! Reads a preset or a document and stacks the stages.

mod starts;

use std::{
    fmt,
    sync::{Arc, Weak},
};

use tower_rampart_config::{Capabilities, Capability, ConfigError, ResilienceConfig};
use tower_rampart_core::InvalidConfig;

use super::{
    BuildError, Custom, IntoJudge, Keyed, Machines, NoReport, OnReport, OperationHandle, ResilienceLayer, Role, Shared,
    chaos,
};
use crate::{
    Marked, Resilience,
    classify::{Auto, Given},
    fallback::{NoFallback, Targets, Value, With, WithRequest},
    registry::Registry,
    reload::Laying,
    retry::{Cloned, NotCloned},
};

/// Builds a [`ResilienceLayer`] from a preset, a document or the environment.
///
/// # Examples
/// ```
/// use tower_rampart::{Class, Preset, PresetBuilder, Registry};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Registry::new();
/// let layer = PresetBuilder::new(Preset::Production)
///     .operation("summarize")
///     .overrides_json(r#"{"retry_attempts": 4}"#)?
///     .registry(&registry)
///     .classifier(|result: Result<&u32, &String>| if result.is_ok() { Class::Success } else { Class::Transient })
///     .build()?;
/// assert_eq!(layer.handle().config().retry.max_attempts, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PresetBuilder<J = Auto, K = Cloned, A = NoFallback, R = NoReport> {
    config: ResilienceConfig,
    /// Laid over the configuration of the operation, whatever it will be called.
    overrides: Vec<String>,
    operation: String,
    /// The owner of the configuration, where the pipeline follows one.
    live: Option<Resilience>,
    /// What it will have, while its host makes ready for that.
    pub(crate) next: Weak<ResilienceConfig>,
    registry: Option<Registry>,
    seed: Option<u64>,
    capabilities: Capabilities,
    can_clone: bool,
    judge: J,
    cloner: K,
    answer: A,
    report: R,
    report_all: bool,
}

impl<J, K, A, R> PresetBuilder<J, K, A, R> {
    /// Names the operation: its overrides in the configuration, its entry in the registry, its name in refusals. Default: `default`.
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.operation = name.into();
        self
    }

    /// Lays a JSON object of configuration fields over everything else for this operation.
    ///
    /// Over a live configuration it stays through every reload, holds for all pipelines of the operation, and a document that it cannot lie over
    /// is refused.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn overrides_json(mut self, fields: &str) -> Result<Self, BuildError> {
        self.overrides.push(fields.to_owned());
        self.overridden()?;
        Ok(self)
    }

    /// The configuration with the overrides laid over it.
    fn overridden(&self) -> Result<ResilienceConfig, ConfigError> {
        let lay = |config: ResilienceConfig, fields: &String| config.with_operation_overrides(&self.operation, fields);
        self.overrides.iter().try_fold(self.config.clone(), lay)
    }

    /// Puts the operation's numbers into `registry`. Layers of the same operation and registry share their state.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Makes jitter reproducible. Default: from the system's randomness.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Says what the host of this pipeline can serve; a document that asks for more is an error. Default: [`Capabilities::function`].
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Reports every call, also the plain success. Default: from the second attempt on, refusals and fallbacks.
    pub fn report_all(mut self, report_all: bool) -> Self {
        self.report_all = report_all;
        self
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify).
    pub fn classifier<C>(self, classifier: C) -> PresetBuilder<Given<Custom<C>>, K, A, R> {
        self.with(|_, cloner, answer, report| (Given(Custom(classifier)), cloner, answer, report))
    }

    /// Keeps requests for further attempts by `cloner`: a closure from `&Req` to `Option<Req>`, or any
    /// [`CloneRequest`](crate::retry::CloneRequest). Default: [`Clone`].
    pub fn cloner<K2>(mut self, cloner: K2) -> PresetBuilder<J, K2, A, R> {
        self.can_clone = true;
        self.with(|judge, _, answer, report| (judge, cloner, answer, report))
    }

    /// Sends every request once, because it cannot be cloned; a configuration with retries is then an error.
    pub fn without_cloning(self) -> PresetBuilder<J, NotCloned, A, R> {
        PresetBuilder { can_clone: false, ..self.cloner(NotCloned) }
    }

    /// Reads and writes whether a request is retried further out: `read` says so of a request, `write` makes it say so or not. Without it no
    /// request says anything, and a document with `nested_retry` is refused, unless a [`cloner`](Self::cloner) reads and writes the mark and the builder says so by
    /// [`serving`](Self::serving) `Capability::NestedRetry`. HTTP hosts have a header. Say so after [`cloner`](Self::cloner), if that is said.
    ///
    /// # Examples
    /// ```
    /// # use tower::{Service, ServiceBuilder, ServiceExt};
    /// use tower_rampart::{PresetBuilder, UnderRetry};
    ///
    /// #[derive(Clone)]
    /// struct Question { text: &'static str, under: UnderRetry }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = PresetBuilder::from_json(r#"{"preset": "production", "nested_retry": {}}"#)?
    ///     .retry_mark(|it: &Question| it.under, |it: &mut Question, under| it.under = under)
    ///     .build()?;
    /// let handle = layer.handle();
    /// let mut service = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .service_fn(|it: Question| async move { Err::<usize, _>(std::io::Error::other(it.text)) });
    /// let asked = Question { text: "what?", under: UnderRetry(true) };
    /// assert!(service.ready().await?.call(asked).await.is_err());
    /// assert_eq!(handle.snapshot().retries, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_mark<F, G>(mut self, read: F, write: G) -> PresetBuilder<J, Marked<K, F, G>, A, R> {
        self.capabilities = self.capabilities.with(Capability::NestedRetry);
        self.with(|judge, cloner, answer, report| (judge, Marked::new(cloner, read, write), answer, report))
    }

    /// Keeps answers by `key`, a function from `&Req` to `Option<K>`, while `cache` is on in the configuration; requests without a key pass. What can tell
    /// two answers apart belongs into the key. Say so after [`classifier`](Self::classifier), if that is said.
    ///
    /// The layer that is built keeps them, for all services that it is put around. HTTP hosts have keys of their own and take none; a call that a
    /// [preflight](ResilienceLayer::preflight) has admitted asks no cache.
    ///
    /// # Examples
    /// ```
    /// # use tower::{Service, ServiceBuilder, ServiceExt};
    /// use tower_rampart::PresetBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = PresetBuilder::from_json(r#"{"preset": "production", "cache": {"ttl": "1m"}}"#)?;
    /// let layer = builder.cache(|name: &&'static str| Some(*name)).build()?;
    /// let handle = layer.handle();
    /// let mut service = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .service_fn(|name: &'static str| async move { Ok::<_, std::io::Error>(name.len()) });
    /// for _ in 0..2 {
    ///     assert_eq!(service.ready().await?.call("rampart").await?, 7);
    /// }
    /// assert_eq!(handle.snapshot().cache.map(|cache| cache.hits), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cache<F>(mut self, key: F) -> PresetBuilder<Keyed<J, F>, K, A, R> {
        self.capabilities = self.capabilities.with(Capability::Cache);
        self.with(|judge, cloner, answer, report| (Keyed { judge, key }, cloner, answer, report))
    }

    /// Answers by an async function of the request and the [`Fault`](crate::fallback::Fault) where the service has no answer.
    pub fn fallback<F>(self, answer: F) -> PresetBuilder<J, K, WithRequest<F>, R> {
        self.fallback_answer(WithRequest(answer))
    }

    /// Answers by an async function of the [`Fault`](crate::fallback::Fault) alone; the request is not cloned for it.
    pub fn fallback_with<F>(self, answer: F) -> PresetBuilder<J, K, With<F>, R> {
        self.fallback_answer(With(answer))
    }

    /// Answers with a clone of `value`.
    pub fn fallback_value<Res>(self, value: Res) -> PresetBuilder<J, K, Value<Res>, R> {
        self.fallback_answer(Value(value))
    }

    /// Answers by the first of these services that can. Their error type is [`Error<E>`](crate::Error): give each a pipeline
    /// of its own, or `.map_err(Error::Inner)`.
    pub fn fallback_services<S>(self, targets: impl Into<Targets<S>>) -> PresetBuilder<J, K, Targets<S>, R> {
        self.fallback_answer(targets.into())
    }

    /// Answers by any [`Fallback`](crate::fallback::Fallback).
    pub fn fallback_answer<A2>(mut self, answer: A2) -> PresetBuilder<J, K, A2, R> {
        self.capabilities = self.capabilities.with(Capability::Fallback);
        self.with(|judge, cloner, _, report| (judge, cloner, answer, report))
    }

    /// Hands the [`Explain`](super::Explain) of remarkable calls to `report`.
    pub fn on_report<F>(self, report: F) -> PresetBuilder<J, K, A, OnReport<F>> {
        self.reporter(OnReport(report))
    }

    /// Hands the [`Explain`](super::Explain) of remarkable calls to any [`Report`](super::Report).
    pub fn reporter<R2>(self, report: R2) -> PresetBuilder<J, K, A, R2> {
        self.with(|judge, cloner, answer, _| (judge, cloner, answer, report))
    }

    /// Puts another reporter around the one that was given.
    pub fn map_reporter<R2>(self, around: impl FnOnce(R) -> R2) -> PresetBuilder<J, K, A, R2> {
        self.with(|judge, cloner, answer, report| (judge, cloner, answer, around(report)))
    }

    fn with<J2, K2, A2, R2>(
        self,
        change: impl FnOnce(J, K, A, R) -> (J2, K2, A2, R2),
    ) -> PresetBuilder<J2, K2, A2, R2> {
        let (judge, cloner, answer, report) = change(self.judge, self.cloner, self.answer, self.report);
        PresetBuilder {
            config: self.config,
            overrides: self.overrides,
            operation: self.operation,
            live: self.live,
            next: self.next,
            registry: self.registry,
            seed: self.seed,
            capabilities: self.capabilities,
            can_clone: self.can_clone,
            judge,
            cloner,
            answer,
            report,
            report_all: self.report_all,
        }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// If the configuration asks for what this pipeline cannot serve (naming the stage and what is missing), or the
    /// registry has the operation with another configuration.
    pub fn build<J2>(self) -> Result<ResilienceLayer<J2, K, A, R>, BuildError>
    where
        J: IntoJudge<J2>,
    {
        let shared = self.shared(Role::Any, |judge, cloner, machines| (judge.into_judge(&machines.caches), cloner))?;
        Ok(ResilienceLayer { shared: Arc::new(shared) })
    }

    /// Builds the layer of a host in another crate: `fit` makes the classifier and the cloner of what this builder was given and of a handle to the
    /// operation, whose configuration they may read while it changes.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    ///
    /// # Examples
    /// ```
    /// use tower_rampart::{Class, PresetBuilder, Cloned, Preset};
    ///
    /// # fn main() -> Result<(), tower_rampart::BuildError> {
    /// let layer = PresetBuilder::new(Preset::Production).build_with(|_, _, operation| {
    ///     let name = operation.name().to_owned();
    ///     let classifier = move |result: Result<&u32, &std::io::Error>| {
    ///         if result.is_ok() || name == "never" { Class::Success } else { Class::Transient }
    ///     };
    ///     (classifier, Cloned)
    /// })?;
    /// # drop(layer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn build_with<C, K2>(
        self,
        fit: impl FnOnce(J, K, OperationHandle) -> (C, K2),
    ) -> Result<ResilienceLayer<Custom<C>, K2, A, R>, BuildError> {
        let shared = self.shared(Role::Any, |judge, cloner, machines| {
            let (classifier, cloner) = fit(judge, cloner, OperationHandle::new(Arc::clone(machines)));
            (Custom(classifier), cloner)
        })?;
        Ok(ResilienceLayer { shared: Arc::new(shared) })
    }

    /// Makes this builder fit to be cloned for one operation after another: all of them get one registry, which comes back too.
    ///
    /// # Errors
    /// If fields were laid over a live configuration in code: it would note them anew for every operation, and never forget them.
    pub fn for_many(mut self) -> Result<(Self, Registry), BuildError> {
        if self.live.is_some() && !self.overrides.is_empty() {
            let rule = "none where many operations follow a live configuration; put them into its document";
            return Err(InvalidConfig::new("overrides", self.overrides.len(), rule).into());
        }
        let registry = self.registry.get_or_insert_default().clone();
        Ok((self, registry))
    }

    /// What the layer, its services and their futures share; `fit` makes the judge and the cloner, now that there are machines.
    pub(crate) fn shared<J2, K2>(
        self,
        role: Role,
        fit: impl FnOnce(J, K, &Arc<Machines>) -> (J2, K2),
    ) -> Result<Shared<J2, K2, A, R>, BuildError> {
        // Whatever the host can do besides: this pipeline sends every request once.
        let capabilities =
            if self.can_clone { self.capabilities } else { self.capabilities.without(Capability::CloneRequest) };
        let capabilities = chaos::possible(capabilities);
        let machines = if let Some(live) = &self.live {
            let registry = self.registry.as_ref().unwrap_or(live.registry());
            if let Some(next) = self.next.upgrade() {
                if !self.overrides.is_empty() || role == Role::Server {
                    let wanted = "none where a host makes ready for a change; put them into its document";
                    return Err(InvalidConfig::new("overrides", self.overrides.len(), wanted).into());
                }
                live.owner().adopt_next(&self.operation, &next, registry, capabilities, self.seed)?
            } else {
                let laid = Laying { operation: &self.operation, fields: &self.overrides, role };
                live.owner().adopt(laid, registry, capabilities, self.seed)?
            }
        } else {
            let config = role.over(self.overridden()?, &self.operation)?;
            role.check(&config, &self.operation, capabilities)?;
            let registry = self.registry.unwrap_or_default();
            registry.machines(&self.operation, config.operation(&self.operation), self.seed, capabilities)?
        };
        let (judge, cloner) = fit(self.judge, self.cloner, &machines);
        let (answer, report, report_all) = (self.answer, self.report, self.report_all);
        Ok(Shared { machines, judge, cloner, answer, report, report_all })
    }

    /// Adds to what the host of this pipeline can serve.
    pub fn serving(mut self, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        self.capabilities = capabilities.into_iter().fold(self.capabilities, Capabilities::with);
        self
    }
}

impl<J, K, A, R> fmt::Debug for PresetBuilder<J, K, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresetBuilder")
            .field("operation", &self.operation)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
