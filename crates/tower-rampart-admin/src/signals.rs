//! Rows 47 and 48: what callers steer by, and whether a call would be admitted now. Neither takes anything.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart_core::{
    breaker::State,
    concurrency::Algorithm,
    signals::{PreflightRefusal, Signals},
};

use crate::{
    api::Api,
    circuits::{self, by_name},
    moment::{Moment, Present, Seconds, millis},
    parameter::Parameter,
    refusal::Refusal,
    route::{Asked, Reply, Route},
    stages::words,
};

const OPERATION: Parameter = Parameter::path("operation", "The operation.");

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/signals",
            ("list_signals", "signals_retrieval"),
            "What the callers of each operation steer by.",
            list,
        ),
        Route::new(
            Method::GET,
            "/signals/{operation}",
            ("get_signals", "signals_retrieval"),
            "What the callers of one operation steer by.",
            one,
        )
        .parameters(const { &[OPERATION] })
        .refusals(&[422]),
        Route::new(
            Method::GET,
            "/preflight/{operation}",
            ("preflight", "preflight_check"),
            "Whether a call would be admitted now, who would refuse it, and when to come back.",
            preflight,
        )
        .parameters(const { &[OPERATION] })
        .refusals(&[422]),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct OperationSignals {
    /// None without a circuit breaker, as for the parts below.
    circuit_state: Option<&'static str>,
    current_inflight: u64,
    max_inflight: Option<u32>,
    /// What moves max_inflight: aimd, vegas or gradient2; null if nothing does.
    concurrency_algorithm: Option<&'static str>,
    queue_depth: usize,
    rate_remaining: Option<f64>,
    /// Seconds until the rate limit is as full as it gets.
    rate_reset: Option<Seconds>,
    /// Whether the rate limit is held with a fleet now, or to this process's share of it; null without a fleet.
    rate_shared: Option<bool>,
    /// The stages whose state is kept by key: what is said of them here is that of all keys without a place, and says nothing of a key. See /keys.
    by_key: Vec<&'static str>,
    /// Retries that the budget would pay for now.
    retry_budget: Option<f64>,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    /// 0 to 1.
    success_rate: f64,
    is_healthy: bool,
    /// 0 to 1.
    health_score: f64,
    /// 0 to 1.
    pressure: f64,
    /// Whether latency and faults are injected on purpose now: what is told here is then not the service's alone.
    is_chaotic: bool,
}

impl From<Signals> for OperationSignals {
    fn from(it: Signals) -> Self {
        Self {
            circuit_state: it.circuit_state.map(State::as_str),
            current_inflight: it.current_inflight,
            max_inflight: it.max_inflight,
            concurrency_algorithm: it.concurrency_algorithm.map(Algorithm::as_str),
            queue_depth: it.queue_depth,
            rate_remaining: it.rate_remaining,
            rate_reset: it.rate_reset.map(Seconds),
            rate_shared: it.rate_shared,
            by_key: words(&it.by_key),
            retry_budget: it.retry_budget,
            p50_ms: millis(it.p50),
            p95_ms: millis(it.p95),
            p99_ms: millis(it.p99),
            success_rate: it.success_rate,
            is_healthy: it.is_healthy,
            health_score: it.health_score,
            pressure: it.pressure,
            is_chaotic: it.is_chaotic,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct AllSignals {
    signals: BTreeMap<String, OperationSignals>,
    timestamp: Moment,
}

fn list(api: &Api, _asked: &Asked) -> Reply<AllSignals> {
    let present = Present::read();
    let all = api.registry().operations();
    let signals = by_name(all.iter().map(|it| (it.name().to_string(), it.signals(present.monotonic).into())));
    AllSignals { signals, timestamp: present.wall }.into()
}

#[derive(Debug, Serialize, JsonSchema)]
struct OneSignals {
    operation: String,
    #[serde(flatten)]
    signals: OperationSignals,
    timestamp: Moment,
}

fn one(api: &Api, asked: &Asked) -> Result<Reply<OneSignals>, Refusal> {
    let (name, present) = (asked.given.path("operation"), Present::read());
    let operation = api.registry().get(name).ok_or_else(|| circuits::unknown_operation(api, name))?;
    let signals = operation.signals(present.monotonic).into();
    Ok(OneSignals { operation: name.to_owned(), signals, timestamp: present.wall }.into())
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PreflightCheck")]
struct Preflight {
    operation: String,
    /// Whether no stage would refuse a call now.
    passed: bool,
    /// All stages that would.
    refusals: Vec<Refused>,
    /// The stages whose state is kept by key: whether they would refuse a call depends on its key, and here stands what they would do with one without a place.
    by_key: Vec<&'static str>,
    /// Seconds after which it is worth trying again; null where unknown, and where nothing refuses.
    retry_after: Option<Seconds>,
    /// Retries that the budget would pay for now.
    retry_budget: Option<f64>,
    timestamp: Moment,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PreflightRefusal")]
struct Refused {
    stage: &'static str,
    /// Seconds; null where unknown.
    retry_after: Option<Seconds>,
    /// Whether the same call may be admitted later.
    retryable: bool,
}

impl From<&PreflightRefusal> for Refused {
    fn from(it: &PreflightRefusal) -> Self {
        Self { stage: it.stage.as_str(), retry_after: it.retry_after.map(Seconds), retryable: it.retryable }
    }
}

fn preflight(api: &Api, asked: &Asked) -> Result<Reply<Preflight>, Refusal> {
    let (name, present) = (asked.given.path("operation"), Present::read());
    let operation = api.registry().get(name).ok_or_else(|| circuits::unknown_operation(api, name))?;
    let found = operation.preflight(present.monotonic, 1, None);
    let waits: Option<Vec<_>> = found.refusals.iter().map(|it| it.retry_after).collect();
    let answer = Preflight {
        operation: name.to_owned(),
        passed: found.passed,
        refusals: found.refusals.iter().map(Refused::from).collect(),
        by_key: words(&found.by_key),
        retry_after: waits.and_then(|it| it.into_iter().max()).map(Seconds),
        retry_budget: found.retry_budget,
        timestamp: present.wall,
    };
    Ok(answer.into())
}
