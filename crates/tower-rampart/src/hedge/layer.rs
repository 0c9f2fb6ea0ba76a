//! The layer and its builder: they own the latencies and the budget.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::{
    InvalidConfig,
    hedge::Hedging,
    retry::{Budget, BudgetConfig},
};

use super::{Config, Handle, Hedge, Shared};
use crate::{
    classify::{Auto, DefaultClassifier, Given, IntoClassifier},
    clone_request::Cloned,
};

/// Applies hedging to services; see the [module](super).
pub struct HedgeLayer<C = DefaultClassifier, K = Cloned> {
    shared: Arc<Shared<C, K>>,
}

impl<M> HedgeLayer<DefaultClassifier<M>> {
    /// Hedges with the default classifier, for requests that are `Clone`.
    ///
    /// # Errors
    /// Names the field of `config` that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Builder::new().config(config).build()
    }
}

impl HedgeLayer {
    /// A builder, for a classifier, a cloner or a budget.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<C, K> HedgeLayer<C, K> {
    /// A handle to the stage.
    pub fn handle(&self) -> Handle<C, K> {
        Handle::new(Arc::clone(&self.shared))
    }
}

impl<C, K> Clone for HedgeLayer<C, K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C, K> fmt::Debug for HedgeLayer<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeLayer").field("config", &self.handle().config()).finish_non_exhaustive()
    }
}

impl<S, C, K> Layer<S> for HedgeLayer<C, K> {
    type Service = Hedge<S, C, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedge::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`HedgeLayer`].
#[derive(Debug, Clone)]
pub struct Builder<C = Auto, K = Cloned> {
    config: Config,
    budget: BudgetConfig,
    classifier: C,
    cloner: K,
}

impl Builder {
    fn new() -> Self {
        Self { config: Config::default(), budget: BudgetConfig::default(), classifier: Auto, cloner: Cloned }
    }
}

impl<C, K> Builder<C, K> {
    /// The configuration. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The budget that pays for copies: each call deposits, each copy costs 1. Default: [`BudgetConfig::default`].
    pub fn budget(mut self, budget: BudgetConfig) -> Self {
        self.budget = budget;
        self
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify).
    pub fn classifier<C2>(self, classifier: C2) -> Builder<Given<C2>, K> {
        Builder { config: self.config, budget: self.budget, classifier: Given(classifier), cloner: self.cloner }
    }

    /// Copies requests by `cloner`: a closure from `&Req` to `Option<Req>`, or any [`CloneRequest`](crate::CloneRequest).
    pub fn cloner<K2>(self, cloner: K2) -> Builder<C, K2> {
        Builder { config: self.config, budget: self.budget, classifier: self.classifier, cloner }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build<C2>(self) -> Result<HedgeLayer<C2, K>, InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        let shared = Shared {
            hedging: Arc::new(Hedging::new(self.config)?),
            budget: Arc::new(Budget::new(self.budget)?),
            classifier: self.classifier.into_classifier(),
            cloner: self.cloner,
        };
        Ok(HedgeLayer { shared: Arc::new(shared) })
    }
}
