//! What a valid configuration cannot do, shown by arithmetic. Never an error: what is invalid is found in `check.rs`. The rules of time are in
//! `lint/time.rs`, those of load in `lint/load.rs`.

mod load;
mod time;

use std::time::Duration;

use serde::Serialize;

use crate::{OperationConfig, ResilienceConfig, duration};

/// What is known of the traffic; without it, the rules that need it say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LintInput {
    /// Logical calls a second that all replicas get together, above 0.
    pub calls_per_second: Option<f64>,
    /// Processes that run the configuration side by side, each with a state of its own; at least 1, and 1 where it is not said.
    pub replicas: Option<u32>,
}

impl LintInput {
    fn replicas(&self) -> u32 {
        self.replicas.unwrap_or(1).max(1)
    }

    /// Calls a second, if that is a number to reckon with.
    fn rate(&self) -> Option<f64> {
        self.calls_per_second.filter(|it| it.is_finite() && *it > 0.0)
    }
}

/// One thing that a configuration says and cannot do, or does at a price.
///
/// As JSON: `{code, path, operation, message, suggestion}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lint {
    /// The code, as the table of [`lint`] lists it.
    pub code: &'static str,
    /// The field to look at first.
    pub path: &'static str,
    /// The operation; `None` for what applies to all that are not configured by name.
    pub operation: Option<String>,
    /// What is the matter, with the arithmetic.
    pub message: String,
    /// What to do about it.
    pub suggestion: String,
}

/// Lists what a configuration cannot do, for the base and then for each operation that is configured by name; what holds for an operation word for word
/// as for the base is listed once.
///
/// | code | what is found |
/// |---|---|
/// | L001 | the attempts, each as long as it may be, and the waits between them do not fit the total time |
/// | L002 | the waits alone do not fit the total time, so some attempts never begin |
/// | L003 | the attempt timeout is no shorter than the total time |
/// | L004 | the circuit stays open for less than one attempt may take |
/// | L005 | the wait for a permit may take the whole total time |
/// | L006 | the wait for the rate limit may take the whole total time |
/// | L007 | a time window is shorter than two attempts |
/// | L008 | fewer calls than `minimum_calls` come in a time window, so no rate ever counts |
/// | L009 | without a budget, retries multiply the load of an outage |
/// | L010 | what time alone pays for, over all replicas, lets retries double the load |
/// | L011 | with scope `call`, many attempts fail before the circuit opens |
/// | L012 | replicas retry in step, because nothing spreads their waits |
/// | L013 | calls are ended before they are slow |
/// | L014 | half of the slow-call rule is missing, so it is off |
/// | L015 | a probe may take longer than it keeps its slot |
/// | L016 | the rate limit admits more at once than the concurrency limit takes |
/// | L017 | the rate limits of all replicas are below the stated rate |
/// | L018 | each replica has a rate limit of its own, so what is behind sees their sum |
/// | L019 | the budget never pays for a retry |
/// | L020 | the attempt's time is over before a hedge begins |
/// | L021 | without a budget, nothing bounds the hedges of a service that has become slow |
///
/// # Examples
/// ```
/// use tower_rampart_config::{LintInput, Preset, ResilienceConfig, lint};
///
/// let config = ResilienceConfig::over(Preset::Simple, r#"{"timeout": {"attempt": "20s", "total": "30s"}}"#)?;
/// let found = lint(&config, &LintInput::default());
/// assert_eq!(found[0].code, "L001");
/// assert_eq!(found[0].message, "3 attempts of 20s and waits of 4s take 64s, and the total time is 30s");
/// # Ok::<(), tower_rampart_config::ConfigError>(())
/// ```
pub fn lint(config: &ResilienceConfig, input: &LintInput) -> Vec<Lint> {
    let mut found = of_operation(&config.base(), input);
    let base = found.clone();
    for name in config.operation_names() {
        let own = of_operation(&config.operation(name), input).into_iter().filter(|it| !base.contains(it));
        found.extend(own.map(|it| Lint { operation: Some(name.to_owned()), ..it }));
    }
    found
}

fn of_operation(config: &OperationConfig, input: &LintInput) -> Vec<Lint> {
    let mut found: Vec<Lint> = time::RULES.iter().filter_map(|rule| rule(config)).collect();
    found.extend(load::RULES.iter().filter_map(|rule| rule(config, input)));
    found.sort_by_key(|it| it.code);
    found
}

fn found(code: &'static str, path: &'static str, message: String, suggestion: impl Into<String>) -> Lint {
    Lint { code, path, operation: None, message, suggestion: suggestion.into() }
}

/// The attempts that a call may have.
fn attempts(config: &OperationConfig) -> u32 {
    if config.retry.enabled { config.retry.max_attempts.max(1) } else { 1 }
}

/// A duration in seconds, so that sums can be followed; what is shorter than one in its own unit.
fn seconds(it: Duration) -> String {
    if it < Duration::from_secs(1) { duration::format(it) } else { format!("{}s", number(it.as_secs_f64())) }
}

/// A number with at most three digits behind the point.
fn number(it: f64) -> String {
    let text = format!("{it:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
