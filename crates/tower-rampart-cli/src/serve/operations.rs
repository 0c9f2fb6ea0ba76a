//! The pipelines of all operations that the configuration knows, and which of them a request belongs to. The set is fixed by the document, so that no client can make it grow; how another document takes its place is in `live`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, request::Parts};
use tower::Layer as _;
use tower_rampart::{
    BuildError, OperationConfig, PresetBuilder, Registry, Resilience, ResilienceConfig,
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
    #[error("there is no room for {0} more operations and upstreams that stand by")]
    Full(usize),
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

/// The upstreams that ever stood by, by the numbers of their pipelines: a circuit belongs to its upstream through every reload, wherever the document
/// lists it. No more than the registry has room for.
#[derive(Debug, Default)]
pub(crate) struct StandbyNumbers(Vec<Target>);

impl StandbyNumbers {
    /// No name that a document can use, so that no operation can be mistaken for it.
    fn name(&mut self, target: &Target) -> String {
        let known = self.0.iter().position(|it| it == target);
        let index = known.unwrap_or_else(|| {
            self.0.push(target.clone());
            self.0.len() - 1
        });
        format!("fallback#{}", index + 1)
    }
}

impl Operations {
    /// Checks that the registry has room for what is new in a configuration.
    ///
    /// # Errors
    /// If it has not.
    pub(crate) fn check_room(
        config: &ResilienceConfig,
        fallbacks: &[Target],
        numbers: &mut StandbyNumbers,
        registry: &Registry,
    ) -> Result<(), OperationsError> {
        let mut names = BTreeSet::from([DEFAULT.to_owned()]);
        names.extend(known(config).map(str::to_owned));
        let mut targets = fallbacks.to_vec();
        for name in &names {
            for text in &config.operation(name).fallback_answer.targets {
                targets.push(target(text)?);
            }
        }
        let known_before = numbers.0.len();
        names.extend(targets.iter().map(|it| numbers.name(it)));
        let new = names.iter().filter(|it| registry.get(it).is_none()).count();
        if registry.operations().len() + new > tower_rampart_core::registry::Registry::MAX_OPERATIONS {
            numbers.0.truncate(known_before);
            return Err(OperationsError::Full(new));
        }
        Ok(())
    }

    /// Builds the pipelines of the default operation, of those that are configured by name, and of those that routes name, on what runs now.
    ///
    /// `fallbacks` are tried before those that the configuration has. Each has one circuit for all operations.
    ///
    /// # Errors
    /// If the configuration names targets that are none, or asks for what a gateway cannot do.
    pub(crate) fn new(
        resilience: &Resilience,
        upstream: &Upstream,
        fallbacks: &[Target],
        numbers: &mut StandbyNumbers,
    ) -> Result<Self, OperationsError> {
        let config = resilience.config();
        let mut builder = Builder { config: &config, resilience, upstream, fallbacks, numbers, protected: Vec::new() };
        let default = builder.operation(DEFAULT)?;
        let mut named = HashMap::from([(DEFAULT.to_owned(), default.clone())]);
        for name in known(&config) {
            if !named.contains_key(name) {
                named.insert(name.to_owned(), builder.operation(name)?);
            }
        }
        Ok(Self { default, named, routes: config.gateway().routes.clone() })
    }

    /// Checks what only a gateway can: whether the targets of all operations are upstreams.
    ///
    /// # Errors
    /// Names the first that is none.
    pub(crate) fn check(config: &ResilienceConfig) -> Result<(), OperationsError> {
        let all = std::iter::once(DEFAULT).chain(known(config)).map(|name| config.operation(name));
        for operation in all {
            for text in &operation.fallback_answer.targets {
                target(text)?;
            }
        }
        Ok(())
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

/// The operations that the configuration or one of its routes names.
fn known(config: &ResilienceConfig) -> impl Iterator<Item = &str> {
    let routes = &config.gateway().routes;
    config.operation_names().into_iter().chain(routes.iter().map(|route| route.operation.as_str()))
}

fn target(text: &str) -> Result<Target, OperationsError> {
    text.parse().map_err(|source| OperationsError::Target { text: text.to_owned(), source })
}

fn fits(matches: &RouteMatch, headers: &HeaderMap, path: &str) -> bool {
    match matches {
        RouteMatch::Header { name, value } => headers.get_all(name).iter().any(|it| it.as_bytes() == value.as_bytes()),
        path_rule => path_rule.matches_path(path),
    }
}

struct Builder<'a> {
    config: &'a ResilienceConfig,
    resilience: &'a Resilience,
    upstream: &'a Upstream,
    fallbacks: &'a [Target],
    numbers: &'a mut StandbyNumbers,
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
            standbys.push(self.protected(&target(text)?)?);
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
        let name = self.numbers.name(target);
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
        PresetBuilder::from_resilience(self.resilience)
            .operation(name)
            .capabilities(capabilities())
            .classifier(GatewayClassifier::new(http))
            .cloner(cloner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipeline_of_a_standby_keeps_its_name_wherever_it_is_listed() {
        let mut numbers = StandbyNumbers::default();
        let [a, b] = ["http://a", "http://b"].map(|text| target(text).expect("an upstream"));
        assert_eq!([numbers.name(&a), numbers.name(&b)], ["fallback#1", "fallback#2"]);
        assert_eq!([numbers.name(&b), numbers.name(&a)], ["fallback#2", "fallback#1"]);
    }

    #[test]
    fn target_of_any_operation_must_be_an_upstream() {
        let text = r#"{"operation_overrides": {"a": {"fallback": {"targets": ["http://b", "https://c?x"]}}}}"#;
        let config = ResilienceConfig::from_json(text).expect("a document");
        let error = Operations::check(&config).expect_err("a query is no part of a base");
        assert!(error.to_string().starts_with("fallback.targets: 'https://c?x'"), "{error}");
    }
}
