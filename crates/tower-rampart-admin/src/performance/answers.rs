//! What is told about performance without measuring anything: the thresholds, and the report of the last benchmark.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Benchmarks, Calls, Operation,
    report::SuiteReport,
    request::DEFAULT_ITERATIONS,
    run::{BenchmarkAnswer, TIME_LIMIT},
};

/// From when on something is too slow, in milliseconds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ThresholdsAnswer {
    /// What an iteration may take on average.
    pub thresholds: Thresholds,
    /// What is aimed at.
    pub targets: Targets,
    /// How it is measured.
    pub measurement_info: MeasurementInfo,
}

/// What an iteration may take on average.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Thresholds {
    /// Loading a configuration.
    pub config_loading_ms: u64,
    /// Loading a preset.
    pub preset_access_ms: u64,
    /// Validating a document.
    pub validation_ms: u64,
    /// Building all pipelines of a preset.
    pub service_initialization_ms: u64,
    /// One call through the pipeline of an operation.
    pub call_ms: u64,
    /// Each operation of the suite.
    pub operations: BTreeMap<&'static str, u64>,
}

/// What is aimed at.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Targets {
    /// The one that decides.
    pub primary_target: String,
    /// The others.
    pub secondary_targets: Vec<String>,
}

/// How it is measured.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct MeasurementInfo {
    /// How often each subject runs unless the request says.
    pub default_iterations: u32,
    /// Whether memory is measured: no, for that takes an allocator of its own.
    pub memory_tracking: bool,
    /// The unit that the clock reads in.
    pub timing_precision: &'static str,
    /// How long a benchmark takes at most.
    pub time_limit_ms: u64,
}

fn millis(operation: Operation) -> u64 {
    u64::try_from(operation.threshold().as_millis()).unwrap_or(u64::MAX)
}

impl ThresholdsAnswer {
    /// Those that the suite is judged by.
    pub fn new() -> Self {
        let [config, preset, validation, service] = [
            Operation::ResilienceConfigLoading,
            Operation::PresetLoading,
            Operation::ValidationPerformance,
            Operation::ServiceInitialization,
        ]
        .map(millis);
        let call = u64::try_from(Calls::THRESHOLD.as_millis()).unwrap_or(u64::MAX);
        Self {
            thresholds: Thresholds {
                config_loading_ms: config,
                preset_access_ms: preset,
                validation_ms: validation,
                service_initialization_ms: service,
                call_ms: call,
                operations: Operation::ALL.into_iter().map(|it| (it.name(), millis(it))).collect(),
            },
            targets: Targets {
                primary_target: format!("a configuration loads within {config} ms"),
                secondary_targets: vec![
                    format!("a preset loads within {preset} ms"),
                    format!("a document is validated within {validation} ms"),
                    format!("all pipelines of a preset are built within {service} ms"),
                ],
            },
            measurement_info: MeasurementInfo {
                default_iterations: DEFAULT_ITERATIONS,
                memory_tracking: false,
                timing_precision: "nanoseconds",
                time_limit_ms: u64::try_from(TIME_LIMIT.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }
}

impl Default for ThresholdsAnswer {
    fn default() -> Self {
        Self::new()
    }
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportFormat {
    /// As values.
    #[default]
    Json,
    /// As a table for people.
    Text,
}

impl ReportFormat {
    /// The names of all.
    pub const NAMES: &'static [&'static str] = &["json", "text"];

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// The report of the last benchmark.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum ReportAnswer {
    /// As values.
    Json(Box<JsonReport>),
    /// As a table.
    Text(TextReport),
}

/// The report as values.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct JsonReport {
    /// `json`.
    pub format: &'static str,
    /// Which benchmark; `null` if there was none, as all below.
    pub benchmark_id: Option<String>,
    /// Each subject.
    pub suite: Option<SuiteReport>,
    /// What to make of it.
    pub analysis: Analysis,
    /// When the report was made, RFC 3339.
    pub timestamp: String,
}

/// The report as a table.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TextReport {
    /// `text`.
    pub format: &'static str,
    /// The table.
    pub report: String,
    /// When the report was made, RFC 3339.
    pub timestamp: String,
}

/// What to make of a benchmark.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Analysis {
    /// The two numbers that most depends on.
    pub performance_summary: PerformanceSummary,
    /// What to do, most urgent first.
    pub recommendations: Vec<String>,
}

/// The two numbers that most depends on; `null` where they were not measured.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PerformanceSummary {
    /// What loading a configuration took on average.
    pub avg_config_loading_ms: Option<f64>,
    /// What loading a preset took on average.
    pub avg_preset_loading_ms: Option<f64>,
    /// Whether four of five passed.
    pub target_met: Option<bool>,
}

impl Benchmarks {
    /// The report of the last benchmark; it measures nothing by itself.
    pub fn report(&self, format: ReportFormat) -> ReportAnswer {
        let (last, timestamp) = (self.last(), self.clock().now().to_string());
        match format {
            ReportFormat::Json => ReportAnswer::Json(Box::new(JsonReport {
                format: "json",
                analysis: analysis(last.as_ref()),
                benchmark_id: last.as_ref().map(|it| it.benchmark_id.clone()),
                suite: last.map(|it| it.benchmark_suite),
                timestamp,
            })),
            ReportFormat::Text => {
                ReportAnswer::Text(TextReport { format: "text", report: text(last.as_ref()), timestamp })
            }
        }
    }
}

fn analysis(last: Option<&BenchmarkAnswer>) -> Analysis {
    let average = |operation: Operation| {
        let results = &last?.benchmark_suite.results;
        results.iter().find(|it| it.operation == operation.name()).map(|it| it.avg_duration_ms)
    };
    Analysis {
        performance_summary: PerformanceSummary {
            avg_config_loading_ms: average(Operation::ResilienceConfigLoading),
            avg_preset_loading_ms: average(Operation::PresetLoading),
            target_met: last.map(|it| it.summary.suite.performance_target_met),
        },
        recommendations: recommendations(last),
    }
}

fn recommendations(last: Option<&BenchmarkAnswer>) -> Vec<String> {
    let Some(last) = last else { return vec!["run a benchmark: none has run yet".to_owned()] };
    let mut found = Vec::new();
    for it in last.benchmark_suite.results.iter().filter(|it| !it.passed) {
        found.push(if it.success_rate < 1.0 {
            let share = (1.0 - it.success_rate) * 100.0;
            let why = it.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            format!("{}: {share:.1} % of the iterations did wrong{why}", it.operation)
        } else {
            let (took, may) = (it.avg_duration_ms, it.threshold_ms);
            format!("{}: {took:.3} ms on average, and {may} ms are the limit", it.operation)
        });
    }
    if !last.complete {
        found.push("ask for fewer iterations: there was no time for all of them".to_owned());
    }
    if last.benchmark_suite.environment_info.build == "debug" {
        found.push("measure a release build: this one is for debugging, and several times slower".to_owned());
    }
    if found.is_empty() {
        found.push("nothing to do: everything is within its limits".to_owned());
    }
    found
}

fn text(last: Option<&BenchmarkAnswer>) -> String {
    let advice = format!("- {}\n", recommendations(last).join("\n- "));
    match last {
        None => advice,
        Some(it) => format!("{} ({})\n\n{}\n{advice}", it.benchmark_id, it.timestamp, it.table),
    }
}
