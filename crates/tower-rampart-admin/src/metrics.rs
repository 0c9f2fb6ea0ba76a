//! Rows 3 to 5: the numbers of operations and circuits, as JSON and as Prometheus or OpenMetrics text, and their reset. The text itself is written by
//! the core.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    accept,
    api::Api,
    circuits::{self, Circuit, by_name},
    exposition::MetricsFormat,
    moment::{Moment, Present, Seconds},
    operations::Metrics,
    parameter::{Kind, Parameter},
    refusal::{Refusal, shown},
    route::{Asked, Reply, Route},
};

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const ACCEPTS: Parameter =
    Parameter::header("Accept", "`application/openmetrics-text` or `text/plain` for text instead of JSON.");

/// The metrics as text, at this path.
pub(crate) fn scrape(path: &'static str) -> Route {
    Route::new(
        Method::GET,
        path,
        ("prometheus_metrics", "metrics_retrieval"),
        "All metrics as Prometheus text, or as OpenMetrics text if that is accepted.",
        prometheus,
    )
    .parameters(const { &[ACCEPTS] })
    .texts(&[OPENMETRICS, PROMETHEUS])
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/metrics",
            ("metrics", "metrics_retrieval"),
            "The numbers of all operations and circuits.",
            metrics,
        )
        .parameters(const { &[ACCEPTS] })
        .texts(&[OPENMETRICS, PROMETHEUS]),
        scrape("/metrics/prometheus"),
        Route::new(
            Method::GET,
            "/metrics/{operation_name}",
            ("operation_metrics", "operation_metrics_retrieval"),
            "The numbers of one operation. One called `prometheus` or `reset` is asked for as `%70rometheus` or `%72eset`.",
            one,
        )
        .parameters(const { &[Parameter::path("operation_name", "The operation.")] })
        .refusals(&[422]),
        Route::new(
            Method::POST,
            "/metrics/reset",
            ("reset_metrics", "metrics_reset"),
            "Lets the counters of one operation, or of all, count from zero; circuits, limits and Prometheus text go on as they are.",
            reset,
        )
        .parameters(
            const { &[Parameter::query("operation_name", Kind::Text { max: Parameter::LONGEST_NAME }, "The operation; all if none is named.")] },
        )
        .refusals(&[422]),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AllMetrics {
    operations: BTreeMap<String, Metrics>,
    circuit_breakers: BTreeMap<String, CircuitMetrics>,
    summary: Summary,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CircuitMetrics {
    state: &'static str,
    failure_threshold: u32,
    /// In seconds.
    recovery_timeout: Seconds,
    metrics: CircuitCounts,
}

/// What a circuit counted since it came to be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CircuitCounts {
    total_calls: u64,
    successful_calls: u64,
    failed_calls: u64,
    rejected_calls: u64,
    ignored_calls: u64,
    abandoned_calls: u64,
    slow_calls: u64,
    circuit_breaker_opens: u64,
    circuit_breaker_half_opens: u64,
    circuit_breaker_closes: u64,
    /// Over the calls of the window, 0 to 1.
    success_rate: f64,
    /// Over the calls of the window, 0 to 1.
    failure_rate: f64,
    slow_rate: f64,
    last_failure: Option<Moment>,
    last_success: Option<Moment>,
}

impl CircuitCounts {
    pub(crate) fn of(it: &Circuit, present: Present) -> Self {
        let it = &it.snapshot;
        Self {
            total_calls: it.total,
            successful_calls: it.successful,
            failed_calls: it.failed,
            rejected_calls: it.rejected,
            ignored_calls: it.ignored,
            abandoned_calls: it.abandoned,
            slow_calls: it.slow,
            circuit_breaker_opens: it.opens,
            circuit_breaker_half_opens: it.half_opens,
            circuit_breaker_closes: it.closes,
            success_rate: it.success_rate,
            failure_rate: it.failure_rate,
            slow_rate: it.slow_rate,
            last_failure: it.last_failure.map(|at| present.of(at)),
            last_success: it.last_success.map(|at| present.of(at)),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MetricsSummary")]
struct Summary {
    total_operations: usize,
    total_circuit_breakers: usize,
    /// Those that refuse no call.
    healthy_circuit_breakers: usize,
    timestamp: Moment,
}

fn metrics(api: &Api, asked: &Asked) -> Reply<AllMetrics> {
    match accepted(asked) {
        Form::Json => all(api).into(),
        Form::OpenMetrics => Reply::text(OPENMETRICS, api.metrics_text(MetricsFormat::OpenMetrics)),
        Form::Prometheus => Reply::text(PROMETHEUS, api.metrics_text(MetricsFormat::Prometheus)),
    }
}

fn prometheus(api: &Api, asked: &Asked) -> Reply<String> {
    match accepted(asked) {
        Form::OpenMetrics => Reply::text(OPENMETRICS, api.metrics_text(MetricsFormat::OpenMetrics)),
        Form::Json | Form::Prometheus => Reply::text(PROMETHEUS, api.metrics_text(MetricsFormat::Prometheus)),
    }
}

/// What the metrics are printed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    OpenMetrics,
    Prometheus,
}

/// The one that the client likes best; JSON, unless one is named.
fn accepted(asked: &Asked) -> Form {
    const FORMS: &[(&str, Form)] = &[
        ("application/json", Form::Json),
        ("application/openmetrics-text", Form::OpenMetrics),
        ("text/plain", Form::Prometheus),
    ];
    accept::preferred(&asked.headers, FORMS).unwrap_or(Form::Json)
}

fn all(api: &Api) -> AllMetrics {
    let present = Present::read();
    let operations = api.registry().snapshot().operations;
    let circuits = circuits::all(api.registry(), present.monotonic);
    let summary = Summary {
        total_operations: operations.len(),
        total_circuit_breakers: circuits.len(),
        healthy_circuit_breakers: circuits.iter().filter(|it| !it.is_open()).count(),
        timestamp: present.wall,
    };
    let circuit_breakers = by_name(circuits.iter().map(|it| {
        let metrics = CircuitMetrics {
            state: it.snapshot.state.as_str(),
            failure_threshold: it.snapshot.failure_threshold,
            recovery_timeout: Seconds(it.snapshot.recovery_timeout),
            metrics: CircuitCounts::of(it, present),
        };
        (it.name().to_owned(), metrics)
    }));
    let operations = by_name(operations.iter().map(|it| (it.operation.to_string(), Metrics::of(it, present))));
    AllMetrics { operations, circuit_breakers, summary }
}

#[derive(Debug, Serialize, JsonSchema)]
struct OneMetrics {
    operation: String,
    metrics: Metrics,
}

fn one(api: &Api, asked: &Asked) -> Result<Reply<OneMetrics>, Refusal> {
    let name = asked.given.path("operation_name");
    let present = Present::read();
    let operation = api.registry().get(name).ok_or_else(|| circuits::unknown_operation(api, name))?;
    let metrics = Metrics::of(&operation.snapshot(present.monotonic), present);
    Ok(OneMetrics { operation: name.to_owned(), metrics }.into())
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MetricsReset")]
struct Reset {
    message: String,
    /// The operation whose counters were reset; none if it was all.
    operation_name: Option<String>,
    timestamp: Moment,
}

fn reset(api: &Api, asked: &Asked) -> Result<Reply<Reset>, Refusal> {
    let name = asked.given.text("operation_name");
    if let Some(name) = name.filter(|it| api.registry().get(it).is_none()) {
        return Err(circuits::unknown_operation(api, name));
    }
    api.registry().reset_counters(name);
    let of = name.map_or_else(|| "all operations".to_owned(), |it| format!("'{}'", shown(it)));
    api.resilience().note("reset_metrics", &of, &asked.caller.change_by());
    let message = format!("The counters of {of} were reset");
    Ok(Reset { message, operation_name: name.map(str::to_owned), timestamp: Moment::now() }.into())
}
