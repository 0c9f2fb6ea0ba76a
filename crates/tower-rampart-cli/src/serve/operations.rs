//! The pipelines of all operations that the configuration knows, and which of them a request belongs to. The set is fixed by the document, so that no client can make it grow; how another document takes its place is in `live`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, request::Parts};
use tower::Layer as _;
use tower_rampart::{
    BuildError, PresetBuilder, Registry, ResilienceConfig,
    http::{ClientLayer, ClientService, Configured},
    reload::Next,
};
use tower_rampart_config::{ConfigError, Route, RouteMatch, Violation, ViolationCode};
use tower_rampart_core::rejection::Name;

use super::{
    explanation::Kept,
    standby::{FixedAnswer, Protected, Standbys},
    target::Target,
    upstream::Upstream,
};

/// The operation of requests that belong to no other.
pub(crate) const DEFAULT: &str = "default";

/// The request header that names the operation.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-resilience-operation");

/// The upstream behind the whole pipeline of an operation.
pub(crate) type Pipeline = ClientService<Upstream, Standbys, Configured, Kept>;

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) name: Arc<str>,
    pub(crate) pipeline: Pipeline,
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
    /// How many of these targets never stood by.
    fn new_among(&self, targets: &BTreeSet<String>) -> usize {
        targets.iter().filter(|text| !self.0.iter().any(|it| it.to_string() == **text)).count()
    }

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
    /// Checks what only a gateway can: whether the targets of all operations are upstreams, and whether the registry has room for all that is new.
    ///
    /// # Errors
    /// Names every target that is none at its path.
    pub(crate) fn check(
        config: &ResilienceConfig,
        fallbacks: &[Target],
        numbers: &StandbyNumbers,
        registry: &Registry,
    ) -> Result<(), ConfigError> {
        let names: BTreeSet<&str> = std::iter::once(DEFAULT).chain(known(config)).collect();
        let mut targets: BTreeSet<String> = fallbacks.iter().map(ToString::to_string).collect();
        let mut wrong: Vec<Violation> = Vec::new();
        for name in &names {
            for (index, text) in config.operation(name).fallback_answer.targets.iter().enumerate() {
                match text.parse::<Target>() {
                    Ok(target) => drop(targets.insert(target.to_string())),
                    Err(error) => {
                        let path = path_of_target(config, name, text, index);
                        if !wrong.iter().any(|it| it.path == path) {
                            let message = format!("'{text}' is no upstream: {error}");
                            wrong.push(Violation::new(path, ViolationCode::Unsupported, message));
                        }
                    }
                }
            }
        }
        let new = names.iter().filter(|it| registry.get(it).is_none()).count() + numbers.new_among(&targets);
        let most = tower_rampart_core::registry::Registry::MAX_OPERATIONS;
        if registry.operations().len() + new > most {
            let message = format!("there is no room for {new} more operations and upstreams that stand by, of {most}");
            wrong.push(Violation::new("operation_overrides", ViolationCode::Unsupported, message));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
    }

    /// Builds the pipelines of the default operation, of those that are configured by name, and of those that routes name.
    ///
    /// `fallbacks` are tried before those that the configuration has. Each has one circuit for all operations.
    ///
    /// # Errors
    /// If the configuration asks for what a gateway cannot do.
    pub(crate) fn new(
        next: &Next,
        upstream: &Upstream,
        fallbacks: &[Target],
        numbers: &mut StandbyNumbers,
    ) -> Result<Self, ConfigError> {
        let config = next.config();
        let mut builder = Builder { next, upstream, fallbacks, numbers, protected: Vec::new() };
        let default = builder.operation(DEFAULT)?;
        let mut named = HashMap::from([(DEFAULT.to_owned(), default.clone())]);
        for name in known(config) {
            if !named.contains_key(name) {
                named.insert(name.to_owned(), builder.operation(name)?);
            }
        }
        Ok(Self { default, named, routes: config.gateway().routes.clone() })
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

/// Where a document says which target: among those of all operations, or of this one.
fn path_of_target(config: &ResilienceConfig, operation: &str, text: &str, index: usize) -> String {
    match config.base().fallback_answer.targets.get(index) {
        Some(common) if common == text => format!("fallback.targets[{index}]"),
        _ => format!("operation_overrides.{operation}.fallback.targets[{index}]"),
    }
}

/// What is wrong where a document was checked before.
fn unbuilt(error: BuildError) -> ConfigError {
    match error {
        BuildError::Config(error) => error,
        error => Violation::new("", ViolationCode::Unsupported, error.to_string()).into(),
    }
}

fn fits(matches: &RouteMatch, headers: &HeaderMap, path: &str) -> bool {
    match matches {
        RouteMatch::Header { name, value } => headers.get_all(name).iter().any(|it| it.as_bytes() == value.as_bytes()),
        path_rule => path_rule.matches_path(path),
    }
}

struct Builder<'a> {
    next: &'a Next,
    upstream: &'a Upstream,
    fallbacks: &'a [Target],
    numbers: &'a mut StandbyNumbers,
    /// The upstreams that stand by, each with one pipeline for all operations.
    protected: Vec<(Target, Name, Protected)>,
}

impl Builder<'_> {
    fn operation(&mut self, name: &str) -> Result<Operation, ConfigError> {
        let config = self.next.config().operation(name);
        let mut standbys = Vec::new();
        for target in self.fallbacks {
            standbys.push(self.protected(target)?);
        }
        let answer = &config.fallback_answer;
        for text in &answer.targets {
            let no_upstream =
                |error| Violation::new("fallback.targets", ViolationCode::Unsupported, format!("{error}"));
            standbys.push(self.protected(&text.parse().map_err(no_upstream)?)?);
        }
        let is_stated = answer.status.is_some() || answer.body.is_some();
        let last = is_stated.then(|| FixedAnswer::new(answer.status, answer.body.as_deref()));
        // What a cache answers is no remarkable call, and a client that asks is to be told of it all the same.
        let stages = self.stages(name).report_all(config.cache.enabled);
        let stages = stages.fallback_answer(Standbys::new(standbys, last)).reporter(Kept);
        let layer: ClientLayer<_, _, _> = stages.http_client().map_err(unbuilt)?;
        Ok(Operation { name: name.into(), pipeline: layer.layer(self.upstream.clone()) })
    }

    /// The upstream that stands by, behind its own pipeline, which runs on the base configuration.
    fn protected(&mut self, target: &Target) -> Result<(Name, Protected), ConfigError> {
        if let Some((_, name, service)) = self.protected.iter().find(|(known, ..)| known == target) {
            return Ok((Name::clone(name), service.clone()));
        }
        let name = self.numbers.name(target);
        let layer: ClientLayer = self.stages(&name).http_client().map_err(unbuilt)?;
        let (name, service) = (Name::from(name), layer.layer(self.upstream.to(target.clone())).standby());
        self.protected.push((target.clone(), Name::clone(&name), service.clone()));
        Ok((name, service))
    }

    fn stages(&self, name: &str) -> PresetBuilder {
        self.next.pipeline().operation(name).capabilities(self.next.capabilities())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipeline_of_a_standby_keeps_its_name_wherever_it_is_listed() {
        let mut numbers = StandbyNumbers::default();
        let [a, b] = ["http://a", "http://b"].map(|text| text.parse::<Target>().expect("an upstream"));
        assert_eq!([numbers.name(&a), numbers.name(&b)], ["fallback#1", "fallback#2"]);
        assert_eq!([numbers.name(&b), numbers.name(&a)], ["fallback#2", "fallback#1"]);
        assert_eq!(numbers.new_among(&["http://a", "http://b/", "http://c"].map(str::to_owned).into()), 2);
    }

    #[test]
    fn target_of_any_operation_must_be_an_upstream() {
        let text = r#"{"fallback": {"targets": ["http://b", "http://d:0"]}, "operation_overrides": {"a": {"fallback": {"targets": ["http://c:0"]}}}}"#;
        let config = ResilienceConfig::from_json(text).expect("a document");
        let checked = Operations::check(&config, &[], &StandbyNumbers::default(), &Registry::new());
        let error = checked.expect_err("nobody listens at port 0");
        let found: Vec<_> = error.violations().iter().map(|it| (it.path.as_str(), it.message.as_str())).collect();
        let [(of_one, why), (of_all, _)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((*of_one, *of_all), ("operation_overrides.a.fallback.targets[0]", "fallback.targets[1]"));
        assert!(why.starts_with("'http://c:0' is no upstream"), "{why}");
    }

    #[test]
    fn registry_must_have_room_for_what_is_new() {
        let (registry, numbers) = (Registry::new(), StandbyNumbers::default());
        let most = tower_rampart_core::registry::Registry::MAX_OPERATIONS;
        for index in 0..most - 2 {
            registry.operation(&format!("o{index}")).expect("room");
        }
        let check = |text: &str| {
            let config = ResilienceConfig::from_json(text).expect("a document");
            Operations::check(&config, &["http://a".parse().expect("an upstream")], &numbers, &registry)
        };
        assert!(check(r#"{"operation_overrides": {"o1": "critical"}}"#).is_ok(), "default and one that stands by");
        let error = check(r#"{"operation_overrides": {"new": "critical"}}"#).expect_err("one too many");
        assert_eq!(error.violations()[0].path, "operation_overrides");
    }
}
