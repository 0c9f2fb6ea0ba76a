//! The layer and its builder: they own the budget.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::{
    InvalidConfig,
    control::ConfigCell,
    retry::{Budget, Seeds},
};

use super::{Cloned, Config, Handle, Plan, Retry, Shared};
use crate::{
    Marked,
    classify::{Auto, DefaultClassifier, Given, IntoClassifier},
};

/// Applies retries to services; see the [module](super).
pub struct RetryLayer<C = DefaultClassifier, K = Cloned> {
    shared: Arc<Shared<C, K>>,
}

impl<M> RetryLayer<DefaultClassifier<M>> {
    /// Retries with the default classifier, for requests that are `Clone`.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Builder::new().config(config).build()
    }
}

impl RetryLayer {
    /// A builder, for a classifier, a cloner or a seed.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<C, K> RetryLayer<C, K> {
    /// A handle to the stage.
    pub fn handle(&self) -> Handle<C, K> {
        Handle::new(Arc::clone(&self.shared))
    }
}

impl<C, K> Clone for RetryLayer<C, K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C, K> fmt::Debug for RetryLayer<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer").field("config", &self.handle().config()).finish_non_exhaustive()
    }
}

impl<S, C, K> Layer<S> for RetryLayer<C, K> {
    type Service = Retry<S, C, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`RetryLayer`].
#[derive(Debug, Clone)]
pub struct Builder<C = Auto, K = Cloned> {
    config: Config,
    seed: Option<u64>,
    classifier: C,
    cloner: K,
}

impl Builder {
    fn new() -> Self {
        Self { config: Config::default(), seed: None, classifier: Auto, cloner: Cloned }
    }
}

impl<C, K> Builder<C, K> {
    /// The configuration. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Makes every schedule reproducible. Default: from the system's randomness.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify).
    pub fn classifier<C2>(self, classifier: C2) -> Builder<Given<C2>, K> {
        Builder { config: self.config, seed: self.seed, classifier: Given(classifier), cloner: self.cloner }
    }

    /// Keeps requests by `cloner`: a closure from `&Req` to `Option<Req>`, or any [`CloneRequest`](super::CloneRequest).
    pub fn cloner<K2>(self, cloner: K2) -> Builder<C, K2> {
        Builder { config: self.config, seed: self.seed, classifier: self.classifier, cloner }
    }

    /// Leaves the retries to whoever sends a request and retries it, as `read` says of it, and makes what is sent say by `write` whether it is retried: hops in a
    /// row that do so make the retries of one. Default: requests say nothing, and all hops retry. Say so after [`cloner`](Self::cloner), if that is said.
    /// HTTP requests say it by a header, which `http::ReplayCloner` reads if it is told its name.
    ///
    /// # Examples
    /// ```
    /// use tower::{Service, ServiceBuilder, ServiceExt};
    /// use tower_rampart::{RetryLayer, UnderRetry};
    ///
    /// type Question = (&'static str, UnderRetry);
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = || RetryLayer::builder().retry_mark(|it: &Question| it.1, |it: &mut Question, under| it.1 = under).build();
    /// let (calls, counter) = tokio::sync::mpsc::unbounded_channel();
    /// let service = ServiceBuilder::new().layer(layer()?).layer(layer()?).service_fn(move |it: Question| {
    ///     calls.send(it).expect("it is counted");
    ///     async { Err::<(), _>(std::io::Error::other("down")) }
    /// });
    /// assert!(service.oneshot(("what?", UnderRetry(false))).await.is_err());
    /// assert_eq!(counter.len(), 3, "and not nine");
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_mark<F, G>(self, read: F, write: G) -> Builder<C, Marked<K, F, G>> {
        let cloner = Marked::new(self.cloner, read, write);
        Builder { config: self.config, seed: self.seed, classifier: self.classifier, cloner }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build<C2>(self) -> Result<RetryLayer<C2, K>, InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        self.config.check()?;
        let shared = Shared {
            plan: ConfigCell::new(Plan::new(self.config)),
            budget: Arc::new(Budget::new(self.config.budget)?),
            seeds: self.seed.map_or_else(Seeds::from_entropy, Seeds::new),
            classifier: self.classifier.into_classifier(),
            cloner: self.cloner,
        };
        Ok(RetryLayer { shared: Arc::new(shared) })
    }
}
