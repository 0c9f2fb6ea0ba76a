//! The pipelines of all operations that the configuration knows, and which of them a request belongs to. The set is fixed at the start, so that no client can make it grow.

use std::{collections::HashMap, sync::Arc};

use http::{HeaderMap, HeaderName, request::Parts};
use tower::Layer as _;
use tower_rampart::{
    BuildError, OperationConfig, PresetBuilder, Registry, ResilienceConfig,
    classify::Given,
    fallback::NoFallback,
    http::{HttpClassifier, ReplayCloner},
    pipeline::{Custom, NoReport, ResilienceService},
};
use tower_rampart_config::{Route, RouteMatch};

use super::{
    classifier::GatewayClassifier,
    document::capabilities,
    standby::{FixedAnswer, Protected, Standbys},
    target::{InvalidTarget, Target},
    upstream::Upstream,
};

/// The operation of requests that belong to no other.
pub(crate) const DEFAULT: &str = "default";

/// The request header that names the operation.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-resilience-operation");

/// The upstream behind the whole pipeline of an operation.
pub(crate) type Pipeline = ResilienceService<Upstream, Custom<GatewayClassifier>, ReplayCloner, Standbys, NoReport>;

/// Why the pipelines cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationsError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("fallback.targets: '{text}' is no upstream: {source}")]
    Target { text: String, source: InvalidTarget },
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) name: Arc<str>,
    pub(crate) pipeline: Pipeline,
    pub(crate) replay_max_bytes: usize,
}

/// All operations.
#[derive(Debug)]
pub(crate) struct Operations {
    default: Operation,
    named: HashMap<String, Operation>,
    routes: Vec<Route>,
}

impl Operations {
    /// Builds the pipelines of the default operation, of those that are configured by name, and of those that routes name.
    ///
    /// `fallbacks` are tried before those that the configuration has. Each has one circuit for all operations.
    ///
    /// # Errors
    /// If the configuration names targets that are none, or asks for what a gateway cannot do.
    pub(crate) fn new(
        config: &ResilienceConfig,
        registry: &Registry,
        upstream: &Upstream,
        fallbacks: &[Target],
    ) -> Result<Self, OperationsError> {
        let mut builder = Builder { config, registry, upstream, fallbacks, protected: Vec::new() };
        let routes = config.gateway().routes.clone();
        let known = config.operation_names().into_iter().chain(routes.iter().map(|route| route.operation.as_str()));
        let default = builder.operation(DEFAULT)?;
        let mut named = HashMap::from([(DEFAULT.to_owned(), default.clone())]);
        for name in known {
            if !named.contains_key(name) {
                named.insert(name.to_owned(), builder.operation(name)?);
            }
        }
        Ok(Self { default, named, routes })
    }

    /// The operation of a request: what its header names, or else the first route that fits, or else the default.
    pub(crate) fn of(&self, request: &Parts) -> &Operation {
        let by_header = request.headers.get(HEADER).and_then(|name| self.named.get(name.to_str().ok()?));
        by_header.or_else(|| self.routed(request)).unwrap_or(&self.default)
    }

    fn routed(&self, request: &Parts) -> Option<&Operation> {
        let route = self.routes.iter().find(|route| fits(&route.matches, &request.headers, request.uri.path()))?;
        self.named.get(&route.operation)
    }
}

fn fits(matches: &RouteMatch, headers: &HeaderMap, path: &str) -> bool {
    match matches {
        RouteMatch::Header { name, value } => headers.get_all(name).iter().any(|it| it.as_bytes() == value.as_bytes()),
        path_rule => path_rule.matches_path(path),
    }
}

struct Builder<'a> {
    config: &'a ResilienceConfig,
    registry: &'a Registry,
    upstream: &'a Upstream,
    fallbacks: &'a [Target],
    /// The upstreams that stand by, each with one pipeline for all operations.
    protected: Vec<(Target, Protected)>,
}

impl Builder<'_> {
    fn operation(&mut self, name: &str) -> Result<Operation, OperationsError> {
        let config = self.config.operation(name);
        let mut standbys = Vec::new();
        for target in self.fallbacks {
            standbys.push(self.protected(target)?);
        }
        let answer = &config.fallback_answer;
        for text in &answer.targets {
            let target: Target =
                text.parse().map_err(|source| OperationsError::Target { text: text.clone(), source })?;
            standbys.push(self.protected(&target)?);
        }
        let is_stated = answer.status.is_some() || answer.body.is_some();
        let last = is_stated.then(|| FixedAnswer::new(answer.status, answer.body.as_deref()));
        let layer = self.stages(name, &config).fallback_answer(Standbys::new(standbys, last)).build()?;
        Ok(Operation {
            name: name.into(),
            pipeline: layer.layer(self.upstream.clone()),
            replay_max_bytes: usize::try_from(config.http.replay_max_bytes).unwrap_or(usize::MAX),
        })
    }

    /// The upstream that stands by, behind its own pipeline, which runs on the base configuration.
    fn protected(&mut self, target: &Target) -> Result<Protected, OperationsError> {
        if let Some((_, service)) = self.protected.iter().find(|(known, _)| known == target) {
            return Ok(service.clone());
        }
        // No name that a document can use, so that no operation can be mistaken for it.
        let name = format!("fallback#{}", self.protected.len() + 1);
        let layer = self.stages(&name, &self.config.base()).build()?;
        let service = layer.layer(self.upstream.to(target.clone()));
        self.protected.push((target.clone(), service.clone()));
        Ok(service)
    }

    fn stages(
        &self,
        name: &str,
        config: &OperationConfig,
    ) -> PresetBuilder<Given<Custom<GatewayClassifier>>, ReplayCloner, NoFallback, NoReport> {
        let header = |name: &String| HeaderName::try_from(name.as_str()).ok();
        let http = HttpClassifier::default()
            .transient_status(config.classify.transient_status.iter().copied())
            .permanent_status(config.classify.permanent_status.iter().copied())
            .deadline_headers(config.http.deadline_headers.iter().filter_map(header));
        let cloner = ReplayCloner::new().attempt_header(config.http.attempt_header.as_ref().and_then(header));
        PresetBuilder::from_config(self.config.clone())
            .operation(name)
            .registry(self.registry)
            .capabilities(capabilities())
            .classifier(GatewayClassifier::new(http))
            .cloner(cloner)
    }
}
