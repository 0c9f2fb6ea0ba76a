//! The merged configuration judged as a whole: what the document alone could not break, the merge must not break either.

mod nested_retry;

use tower_rampart_core::{InvalidConfig, rate};

use crate::{
    Capabilities, Capability, KeySource, OperationConfig, Source, Violation, ViolationCode,
    document::MOST_OPERATIONS,
    field,
    resolve::{MAX_INFLIGHT, Merged, Stack},
    value::Value,
    violation::join,
};

/// Pairs of which the first must not exceed the second.
const ORDERED: [(&str, &str); 10] = [
    ("priority.shares.critical", "priority.shares.critical_plus"),
    ("priority.shares.sheddable_plus", "priority.shares.critical"),
    ("priority.shares.sheddable", "priority.shares.sheddable_plus"),
    ("retry.backoff.min", "retry.backoff.max"),
    ("circuit_breaker.recovery_timeout", "circuit_breaker.recovery_timeout_max"),
    ("circuit_breaker.minimum_calls", "circuit_breaker.window.size"),
    ("concurrency.adaptive.min", "concurrency.adaptive.max"),
    ("concurrency.adaptive.min", MAX_INFLIGHT),
    (MAX_INFLIGHT, "concurrency.adaptive.max"),
    ("cache.max_body_bytes", "cache.max_bytes"),
];

/// Judges the base and every operation.
pub(crate) fn check(stack: &Stack, capabilities: Option<Capabilities>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let operations = stack.operations();
    if operations.len() > MOST_OPERATIONS {
        let message = format!(
            "at most {MOST_OPERATIONS} operations can have a configuration of their own, those of the preset included (got {})",
            operations.len()
        );
        violations.push(Violation::new("operation_overrides", ViolationCode::TooManyProperties, message));
    }
    let names = std::iter::once(None).chain(operations.into_iter().map(Some));
    for operation in names {
        check_operation(stack, operation, capabilities, &mut violations);
    }
    if let Some(capabilities) = capabilities
        && !stack.gateway.routes.is_empty()
        && !capabilities.has(Capability::Routes)
    {
        violations.push(unsupported("gateway.routes".to_owned(), "gateway.routes", Capability::Routes));
    }
    violations
}

/// Judges one operation and adds what is not already known of the base.
pub(crate) fn check_operation(
    stack: &Stack,
    operation: Option<&str>,
    capabilities: Option<Capabilities>,
    violations: &mut Vec<Violation>,
) {
    let merged = stack.merge(operation);
    let judge = Judge { operation, config: merged.resolve(), merged };
    let mut found = judge.ordered();
    match judge.quota() {
        Some(missing) => found.push(missing),
        None => found.extend(judge.without_limit()),
    }
    found.extend(judge.keys());
    found.extend(judge.key_limits());
    found.extend(judge.slow_calls());
    found.extend(judge.hedge());
    found.extend(judge.priority());
    found.extend(judge.nested_retry(&stack.gateway.routes));
    if found.is_empty() {
        found.extend(judge.machines());
    }
    if let Some(capabilities) = capabilities {
        found.extend(judge.capabilities(capabilities));
    }
    for violation in found {
        if !violations.iter().any(|it| it.path == violation.path && it.code == violation.code) {
            violations.push(violation);
        }
    }
}

struct Judge<'a> {
    operation: Option<&'a str>,
    merged: Merged,
    config: OperationConfig,
}

impl Judge<'_> {
    /// Where a value stands in the document, or the path that it would have.
    fn place(&self, path: &str) -> String {
        let (given, source) = match self.merged.get(path) {
            Some(held) => (held.given, &held.source),
            None => (path, &Source::Default),
        };
        match (source, self.operation) {
            (Source::OperationOverride, Some(operation)) => join(&join("operation_overrides", operation), given),
            (Source::Environment(variable), _) => variable.clone(),
            _ => given.to_owned(),
        }
    }

    fn whose(&self) -> String {
        self.operation.map(|it| format!(", for the operation '{it}'")).unwrap_or_default()
    }

    fn value(&self, path: &str) -> Option<Value> {
        field::find(path)?.value(&self.config)
    }

    fn ordered(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (low, high) in ORDERED {
            let set = |path| self.merged.get(path).is_some();
            // A minimum or a window that nobody set follows the other.
            if low == "circuit_breaker.minimum_calls" && !(set(low) && set(high)) {
                continue;
            }
            // Where nobody says where a limit begins that moves, it begins at the nearest of its bounds.
            if [low, high].contains(&MAX_INFLIGHT) && !set(MAX_INFLIGHT) {
                continue;
            }
            let value = |path| self.merged.get(path).map(|it| it.value.clone()).or_else(|| self.value(path));
            let (Some(least), Some(most)) = (value(low), value(high)) else { continue };
            let exceeds = match (&least, &most) {
                (Value::Integer(least), Value::Integer(most)) => least > most,
                (Value::Duration(least), Value::Duration(most)) => least > most,
                (Value::Number(least), Value::Number(most)) => least > most,
                _ => false,
            };
            if !exceeds {
                continue;
            }
            let rank = |path| self.merged.get(path).map(|it| it.source.closeness());
            let culprit = if rank(high) > rank(low) { high } else { low };
            let given = |path: &'static str| self.merged.get(path).map_or(path, |it| it.given);
            let message = format!(
                "{} must be at most {} (got {} and {}){}",
                given(low),
                given(high),
                plain(&least),
                plain(&most),
                self.whose()
            );
            found.push(Violation::new(self.place(culprit), ViolationCode::CrossField, message).suggest(format!(
                "Lower {} or raise {}",
                given(low),
                given(high)
            )));
        }
        found
    }

    fn quota(&self) -> Option<Violation> {
        let model = self.config.model_limits;
        let has_quota = self.merged.get("rate_limit.limit").is_some() || model.tokens_per_minute.is_some();
        if !self.config.rate_limit.enabled || has_quota || model.learn_from_headers {
            return None;
        }
        let place = self.place("rate_limit.enabled");
        let place = place.strip_suffix(".enabled").unwrap_or(&place);
        let message = format!("rate_limit is on without a quota{}", self.whose());
        Some(
            Violation::new(place, ViolationCode::Missing, message)
                .suggest("Add requests_per_second, requests_per_minute, or limit with period; for a model API tokens_per_minute or learn_from_headers"),
        )
    }

    /// What shapes a limit on calls says nothing where there is none.
    fn without_limit(&self) -> Vec<Violation> {
        if !self.config.rate_limit.enabled || self.merged.get("rate_limit.limit").is_some() {
            return Vec::new();
        }
        let shapes = ["rate_limit.algorithm", "rate_limit.burst_size", "rate_limit.per_key"];
        let said = shapes.into_iter().filter(|it| self.merged.get(it).is_some());
        said.map(|path| {
            let message = format!("{path} says nothing without a limit on calls{}", self.whose());
            Violation::new(self.place(path), ViolationCode::CrossField, message).suggest(format!(
                "Add requests_per_second, requests_per_minute, or limit with period; or remove {path}"
            ))
        })
        .collect()
    }

    /// What says nothing without keys.
    fn keys(&self) -> Vec<Violation> {
        let keys = &self.config.keys;
        let stages = [
            (&keys.circuit_breaker, &["circuit_breaker.max_keys"][..], self.config.circuit_breaker.enabled),
            (&keys.rate_limit, &["rate_limit.max_keys", "rate_limit.key_limits"], self.config.rate_limit.enabled),
            (&keys.concurrency, &["concurrency.max_keys"], self.config.concurrency.enabled),
        ];
        let mut found = Vec::new();
        for (stage, shapes, is_on) in stages {
            let said = shapes.iter().filter(|it| is_on && stage.per_key.is_none() && self.merged.get(it).is_some());
            found.extend(said.map(|path| {
                let needed = join(path.split('.').next().unwrap_or_default(), "per_key");
                let message = format!("{path} says nothing without {needed}{}", self.whose());
                Violation::new(self.place(path), ViolationCode::CrossField, message)
                    .suggest(format!("Add {needed}, or remove {path}"))
            }));
            let flaw = stage.source().filter(|_| is_on).and_then(|source| Some((source, source.flaw()?)));
            found.extend(flaw.map(|(source, (why, instead))| {
                let path = join(shapes[0].split('.').next().unwrap_or_default(), "per_key");
                let message = format!("{path} cannot be {source}: {why}{}", self.whose());
                Violation::new(self.place(&path), ViolationCode::UnknownValue, message).suggest(instead)
            }));
        }
        found
    }

    /// Keys that no request can have.
    fn key_limits(&self) -> Vec<Violation> {
        let keys = &self.config.keys;
        let Some(source) = keys.rate_limit.source().filter(|_| self.config.rate_limit.enabled) else {
            return Vec::new();
        };
        let never = keys.limits.keys().filter_map(|key| match source.spelling(key) {
            Some(spelt) if spelt == *key => None,
            spelt => Some((key, spelt)),
        });
        never
            .map(|(key, spelt)| {
                let path = "rate_limit.key_limits";
                let message = format!("{path}: no request has the {source} '{key}'{}", self.whose());
                let place = join(&self.place(path), key);
                let violation = Violation::new(place, ViolationCode::CrossField, message);
                violation.suggest(match (source, spelt) {
                    (_, Some(spelt)) => format!("Write '{spelt}'"),
                    (KeySource::ClientIp, None) => {
                        "Write an IPv4 address, or the /64 network of an IPv6 address".to_owned()
                    }
                    (_, None) => format!("Remove '{key}'"),
                })
            })
            .collect()
    }

    /// A share of slow calls says nothing where no call is slow.
    fn slow_calls(&self) -> Option<Violation> {
        let breaker = &self.config.circuit_breaker;
        let threshold = breaker.slow_call_rate_threshold?;
        if breaker.slow_call_duration.is_some() {
            return None;
        }
        let [given, needed] = ["slow_call_rate_threshold", "slow_call_duration"].map(|it| join("circuit_breaker", it));
        let message = format!("{given} ({threshold}) needs {needed} beside it{}", self.whose());
        Some(
            Violation::new(self.place(&given), ViolationCode::CrossField, message)
                .suggest(format!("Add {needed}, or remove {given}")),
        )
    }

    /// A copy takes no place among attempts that are limited, and the answer that would settle its tokens of a model API is dropped.
    fn hedge(&self) -> Option<Violation> {
        let limit = &self.config.rate_limit;
        if !self.config.hedge.enabled || !limit.enabled {
            return None;
        }
        let (beside, why) = if self.config.model_limits.tokens_per_minute.is_some() {
            ("rate_limit.tokens_per_minute", "copies would use tokens that nobody counts")
        } else if limit.scope == rate::Scope::Attempt {
            ("rate_limit.scope 'attempt'", "copies would be sent beyond the limit")
        } else {
            return None;
        };
        let place = self.place("hedge.enabled");
        let place = place.strip_suffix(".enabled").unwrap_or(&place);
        let message = format!("hedge cannot stand beside {beside}: {why}{}", self.whose());
        Some(
            Violation::new(place, ViolationCode::CrossField, message)
                .suggest(format!("Turn hedge off, or change {beside}")),
        )
    }

    /// Shares of a room that there is not.
    fn priority(&self) -> Option<Violation> {
        if !self.config.priority.enabled || self.config.concurrency.enabled {
            return None;
        }
        let place = self.place("priority.enabled");
        let place = place.strip_suffix(".enabled").unwrap_or(&place);
        let message = format!("priority needs a concurrency limit, of which it hands out shares{}", self.whose());
        Some(
            Violation::new(place, ViolationCode::CrossField, message)
                .suggest("Add concurrency with max_inflight, or remove priority"),
        )
    }

    /// The last word is the machines' own.
    fn machines(&self) -> Option<Violation> {
        let config = &self.config;
        let checked = config
            .circuit_breaker
            .check()
            .and_then(|()| config.retry.check())
            .and_then(|()| config.rate_limit.check())
            .and_then(|()| config.model_limits.check())
            .and_then(|()| config.concurrency.check())
            .and_then(|()| config.throttle.check())
            .and_then(|()| config.priority.check())
            .and_then(|()| config.timeout.check())
            .and_then(|()| config.cache.check())
            .and_then(|()| config.hedge.check())
            .and_then(|()| config.chaos.check())
            .and_then(|()| config.keys.check());
        let error: InvalidConfig = checked.err()?;
        let message = format!("{error}{}", self.whose());
        Some(Violation::new(self.place(error.field), ViolationCode::Range, message))
    }

    fn capabilities(&self, capabilities: Capabilities) -> Vec<Violation> {
        let mut found = Vec::new();
        for (path, held) in &self.merged.0 {
            let needs = field::find(path).and_then(|it| (it.needs)(&held.value));
            let Some(missing) = needs.filter(|it| !capabilities.has(*it)) else { continue };
            let section = path.split('.').next().unwrap_or_default();
            if self.value(&join(section, "enabled")) == Some(Value::Bool(false)) {
                continue;
            }
            let place = self.place(path);
            let place = place.strip_suffix(".enabled").unwrap_or(&place);
            let stage = path.strip_suffix(".enabled").unwrap_or(path);
            found.push(unsupported(place.to_owned(), stage, missing));
        }
        let retry = &self.config.retry;
        if retry.enabled && retry.max_attempts > 1 && !capabilities.has(Capability::CloneRequest) {
            found.push(unsupported("retry".to_owned(), "retry", Capability::CloneRequest));
        }
        if self.config.hedge.enabled && !capabilities.has(Capability::CloneRequest) {
            found.push(unsupported("hedge".to_owned(), "hedge", Capability::CloneRequest));
        }
        found
    }
}

fn unsupported(place: String, stage: &str, missing: Capability) -> Violation {
    let message = format!("{stage} needs {} (capability `{missing}`), which is missing here", missing.missing());
    Violation::new(place, ViolationCode::Unsupported, message).suggest(format!("Remove {stage} or turn it off"))
}

fn plain(value: &Value) -> String {
    match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}
