//! Rows 42 to 46: benchmarks, what they are judged by, and what became of the last ones.

use std::time::Duration;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    BenchmarkAnswer, BenchmarkRequest, DEFAULT_ITERATIONS, HistoryAnswer, KEPT, ReportAnswer, ReportFormat, TIME_LIMIT,
    ThresholdsAnswer,
    request::{CONCURRENCY, ITERATIONS, MOST_OPERATIONS},
};
use crate::{
    api::Api,
    parameter::{Kind, Parameter},
    refusal::Refusal,
    route::{Asked, Body, JSON, Reply, Route},
};

/// A benchmark ends by itself; what is left is for its last iteration and the answer.
const PATIENCE: Duration = TIME_LIMIT.saturating_add(Duration::from_secs(10));

const ITERATIONS_OF_EACH: Parameter = Parameter::query(
    "iterations",
    Kind::Integer { min: *ITERATIONS.start() as u64, max: *ITERATIONS.end() as u64 },
    "How often each operation runs.",
)
.default(DEFAULT_ITERATIONS as u64);
const AT_ONCE: Parameter = Parameter::query(
    "concurrency",
    Kind::Integer { min: *CONCURRENCY.start() as u64, max: *CONCURRENCY.end() as u64 },
    "How many iterations run at once.",
)
.default(1);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/performance/benchmark",
            ("run_default_benchmark", "benchmark_execution"),
            "Runs the suite, for at most 30 seconds, and keeps the result; it changes nothing else.",
            suite,
        )
        .parameters(const { &[ITERATIONS_OF_EACH, AT_ONCE] })
        .patience(PATIENCE)
        .refusals(&[409]),
        Route::new(
            Method::POST,
            "/performance/benchmark",
            ("run_benchmark", "benchmark_execution"),
            "Runs operations of the suite, or calls through a copy of an operation's pipeline, for at most 30 seconds.",
            benchmark,
        )
        .body(Body { schema: request_schema, media_types: JSON, required: false })
        .patience(PATIENCE)
        .refusals(&[409, 422]),
        Route::new(
            Method::GET,
            "/performance/thresholds",
            ("performance_thresholds", "threshold_retrieval"),
            "From when on something is too slow.",
            thresholds,
        ),
        Route::new(
            Method::GET,
            "/performance/report",
            ("performance_report", "report_retrieval"),
            "The report of the last benchmark, as values or as a table.",
            report,
        )
        .parameters(
            const { &[Parameter::query("format", Kind::Word(ReportFormat::NAMES), "The form; json if not given.")] },
        ),
        Route::new(
            Method::GET,
            "/performance/history",
            ("performance_history", "history_retrieval"),
            "The last benchmarks, newest first, and whether things get slower.",
            history,
        )
        .parameters(
            const {
                &[Parameter::query("limit", Kind::Integer { min: 1, max: KEPT as u64 }, "The most that are listed.")
                    .default(10)]
            },
        ),
    ]
}

/// What a body may say; read by `BenchmarkRequest::from_json`, which names ranges.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "BenchmarkRequest", deny_unknown_fields)]
#[expect(dead_code, reason = "it is only described")]
struct Described {
    /// One operation: of the suite, or one that the configuration or the registry knows.
    operation_name: Option<String>,
    /// Several; the suite if neither is given.
    #[schemars(length(min = 1, max = MOST_OPERATIONS))]
    operations: Option<Vec<String>>,
    /// How often each runs.
    #[schemars(range(min = 1, max = 10_000), default = "iterations")]
    iterations: u32,
    /// How many run at once.
    #[schemars(range(min = 1, max = 64), default = "concurrency")]
    concurrency: u32,
}

const fn iterations() -> u32 {
    DEFAULT_ITERATIONS
}

const fn concurrency() -> u32 {
    1
}

fn request_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Described>()
}

fn number(asked: &Asked, name: &str) -> Option<u32> {
    asked.given.integer(name).and_then(|it| u32::try_from(it).ok())
}

fn suite(api: &Api, asked: &Asked) -> Result<Reply<BenchmarkAnswer>, Refusal> {
    let mut request = BenchmarkRequest::default();
    request.iterations = number(asked, "iterations").unwrap_or(request.iterations);
    request.concurrency = number(asked, "concurrency").unwrap_or(request.concurrency);
    Ok(api.benchmarks().run(&request)?.into())
}

fn benchmark(api: &Api, asked: &Asked) -> Result<Reply<BenchmarkAnswer>, Refusal> {
    let request =
        if asked.body.is_empty() { BenchmarkRequest::default() } else { BenchmarkRequest::from_json(&asked.json()?)? };
    Ok(api.benchmarks().run(&request)?.into())
}

fn thresholds(_api: &Api, _asked: &Asked) -> Reply<ThresholdsAnswer> {
    ThresholdsAnswer::new().into()
}

fn report(api: &Api, asked: &Asked) -> Reply<ReportAnswer> {
    let format = asked.given.text("format").and_then(ReportFormat::named).unwrap_or_default();
    api.benchmarks().report(format).into()
}

fn history(api: &Api, asked: &Asked) -> Reply<HistoryAnswer> {
    let limit = asked.given.integer("limit").and_then(|it| usize::try_from(it).ok());
    api.benchmarks().history(limit.unwrap_or(KEPT)).into()
}
