//! The layer and its builder.

use std::{fmt, sync::Arc};

use tower_layer::Layer;
use tower_rampart_core::control::ConfigCell;

use super::{Config, FallbackService, Handle, NoFallback, Shared, Targets, Value, With, WithRequest};
use crate::{
    classify::{Auto, DefaultClassifier, Given, IntoClassifier},
    clone_request::Cloned,
};

/// Applies a fallback to services; see the [module](super).
pub struct FallbackLayer<A, C = DefaultClassifier, K = Cloned> {
    shared: Arc<Shared<A, C, K>>,
}

impl<A, M> FallbackLayer<A, DefaultClassifier<M>> {
    /// A fallback that answers by `answer`: one of the forms of the [module](super), or any [`Fallback`](super::Fallback).
    pub fn new(config: Config, answer: A) -> Self {
        Builder::new().config(config).answer(answer).build()
    }
}

impl FallbackLayer<NoFallback> {
    /// A builder, for the form of the answer, a classifier or a cloner.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<A, C, K> FallbackLayer<A, C, K> {
    /// A handle to the fallback.
    pub fn handle(&self) -> Handle<A, C, K> {
        Handle::new(Arc::clone(&self.shared))
    }
}

impl<A, C, K> Clone for FallbackLayer<A, C, K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<A, C, K> fmt::Debug for FallbackLayer<A, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer").field("config", &self.handle().config()).finish_non_exhaustive()
    }
}

impl<S, A, C, K> Layer<S> for FallbackLayer<A, C, K> {
    type Service = FallbackService<S, A, C, K>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`FallbackLayer`].
#[derive(Debug, Clone)]
pub struct Builder<A = NoFallback, C = Auto, K = Cloned> {
    config: Config,
    answer: A,
    classifier: C,
    cloner: K,
}

impl Builder {
    fn new() -> Self {
        Self { config: Config::default(), answer: NoFallback, classifier: Auto, cloner: Cloned }
    }
}

impl<A, C, K> Builder<A, C, K> {
    /// The configuration. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Answers by any [`Fallback`](super::Fallback).
    pub fn answer<A2>(self, answer: A2) -> Builder<A2, C, K> {
        Builder { config: self.config, answer, classifier: self.classifier, cloner: self.cloner }
    }

    /// Answers with a clone of `value`.
    pub fn value<Res>(self, value: Res) -> Builder<Value<Res>, C, K> {
        self.answer(Value(value))
    }

    /// Answers by an async function of the [`Fault`](super::Fault).
    pub fn with<F>(self, answer: F) -> Builder<With<F>, C, K> {
        self.answer(With(answer))
    }

    /// Answers by an async function of the request and the [`Fault`](super::Fault).
    pub fn with_request<F>(self, answer: F) -> Builder<WithRequest<F>, C, K> {
        self.answer(WithRequest(answer))
    }

    /// Answers by the first of these services that can.
    pub fn services<S>(self, targets: impl Into<Targets<S>>) -> Builder<Targets<S>, C, K> {
        self.answer(targets.into())
    }

    /// Judges answers by `classifier`: a closure over `Result<&Res, &E>`, or any [`Classify`](crate::Classify).
    pub fn classifier<C2>(self, classifier: C2) -> Builder<A, Given<C2>, K> {
        Builder { config: self.config, answer: self.answer, classifier: Given(classifier), cloner: self.cloner }
    }

    /// Keeps requests by `cloner`: a closure from `&Req` to `Option<Req>`, or any [`CloneRequest`](crate::CloneRequest).
    pub fn cloner<K2>(self, cloner: K2) -> Builder<A, C, K2> {
        Builder { config: self.config, answer: self.answer, classifier: self.classifier, cloner }
    }

    /// Builds the layer.
    pub fn build<C2>(self) -> FallbackLayer<A, C2, K>
    where
        C: IntoClassifier<C2>,
    {
        let shared = Shared {
            config: ConfigCell::new(self.config),
            answer: self.answer,
            classifier: self.classifier.into_classifier(),
            cloner: self.cloner,
        };
        FallbackLayer { shared: Arc::new(shared) }
    }
}
