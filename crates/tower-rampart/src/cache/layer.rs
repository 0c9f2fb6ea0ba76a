//! The layer and its builder: they own what is kept.

use std::{fmt, hash::Hash, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::{InvalidConfig, cache::Cache};

use super::{ByKey, CacheService, Config, Handle};
use crate::classify::{Auto, DefaultClassifier, Given, IntoClassifier};

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<F, K, V, C> {
    pub(super) answers: ByKey<F, K, V>,
    pub(super) classifier: C,
}

/// Applies a cache to services; see the [module](super).
///
/// `F` reads the key `K` from a request, `V` is the answer that is kept. The compiler infers both.
pub struct CacheLayer<F, K, V, C = DefaultClassifier> {
    shared: Arc<Shared<F, K, V, C>>,
}

impl<F, K: Eq + Hash + Clone, V, M> CacheLayer<F, K, V, DefaultClassifier<M>> {
    /// A cache by `key`, a function from `&Req` to `Option<K>`; requests without a key pass.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config, key: F) -> Result<Self, InvalidConfig> {
        Builder { config, key, classifier: Auto }.build()
    }
}

impl<F> CacheLayer<F, (), ()> {
    /// A builder, for a classifier; `key` is as in [`CacheLayer::new`].
    pub fn builder(key: F) -> Builder<F> {
        Builder { config: Config::default(), key, classifier: Auto }
    }
}

impl<F, K: Eq + Hash + Clone, V, C> CacheLayer<F, K, V, C> {
    /// A handle to the cache.
    pub fn handle(&self) -> Handle<K, V> {
        Handle::new(Arc::clone(self.shared.answers.cache()))
    }
}

impl<F, K, V, C> Clone for CacheLayer<F, K, V, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<F, K, V, C> fmt::Debug for CacheLayer<F, K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").field("answers", &self.shared.answers).finish_non_exhaustive()
    }
}

impl<S, F, K, V, C> Layer<S> for CacheLayer<F, K, V, C> {
    type Service = CacheService<S, F, K, V, C>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheService::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`CacheLayer`].
#[derive(Clone, Debug)]
pub struct Builder<F, C = Auto> {
    config: Config,
    key: F,
    classifier: C,
}

impl<F, C> Builder<F, C> {
    /// The configuration. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify). Successes are kept.
    pub fn classifier<C2>(self, classifier: C2) -> Builder<F, Given<C2>> {
        Builder { config: self.config, key: self.key, classifier: Given(classifier) }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build<K: Eq + Hash + Clone, V, C2>(self) -> Result<CacheLayer<F, K, V, C2>, InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        let answers = ByKey::new(self.key, Cache::new(self.config)?);
        let shared = Shared { answers, classifier: self.classifier.into_classifier() };
        Ok(CacheLayer { shared: Arc::new(shared) })
    }
}
