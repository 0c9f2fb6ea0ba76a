//! What was measured as JSON: durations in milliseconds and, in [`Overall`], in seconds, as the described system has them. For people it is in `table`.

use std::{num::NonZero, thread::available_parallelism, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    rank::percentile,
    suite::{Measured, Suite},
};

/// How this program was built, which decides what the numbers are worth: `debug` or `release`.
pub const fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// Where something was measured.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Environment {
    /// The version of this library.
    pub version: &'static str,
    /// `debug` or `release`.
    pub build: &'static str,
    /// The operating system.
    pub os: &'static str,
    /// The processor's architecture.
    pub architecture: &'static str,
    /// How many threads can run at once.
    pub cpu_count: usize,
}

impl Environment {
    /// This process.
    pub fn here() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: build(),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            cpu_count: available_parallelism().map_or(1, NonZero::get),
        }
    }
}

/// One subject and what it took.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SubjectReport {
    /// Its name.
    pub operation: String,
    /// How often it ran.
    pub iterations: u32,
    /// What one may take on average.
    pub threshold_ms: f64,
    /// Whether every one did what it should, within the threshold on average.
    pub passed: bool,
    /// What all took together.
    pub duration_ms: f64,
    /// What one took on average.
    pub avg_duration_ms: f64,
    /// The shortest.
    pub min_duration_ms: f64,
    /// The longest.
    pub max_duration_ms: f64,
    /// What 95 % did not exceed.
    pub p95_duration_ms: f64,
    /// The standard deviation of the sample.
    pub std_dev_ms: f64,
    /// How many fit into a second, one after the other; `null` if they took no time that the clock can tell.
    pub ops_per_second: Option<f64>,
    /// The share that did what it should, 0 to 1.
    pub success_rate: f64,
    /// What the first failed ones said, each once, at most 5.
    pub errors: Vec<String>,
}

impl From<&Measured> for SubjectReport {
    fn from(it: &Measured) -> Self {
        let measures = &it.measures;
        Self {
            operation: it.subject.name().to_owned(),
            iterations: measures.iterations,
            threshold_ms: millis(it.subject.threshold()),
            passed: it.passes(),
            duration_ms: millis(measures.total),
            avg_duration_ms: millis(measures.average),
            min_duration_ms: millis(measures.min),
            max_duration_ms: millis(measures.max),
            p95_duration_ms: millis(measures.p95),
            std_dev_ms: millis(measures.std_dev),
            ops_per_second: measures.per_second().map(tenths),
            success_rate: measures.success_rate(),
            errors: measures.errors.clone(),
        }
    }
}

/// Several subjects.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SuiteReport {
    /// `resilience`.
    pub name: &'static str,
    /// How often each was to run.
    pub iterations: u32,
    /// Each of them.
    pub results: Vec<SubjectReport>,
    /// How long it took.
    pub total_duration_ms: f64,
    /// The share that passed, 0 to 1.
    pub pass_rate: f64,
    /// Those that did not.
    pub failed_benchmarks: Vec<String>,
    /// Where it was measured.
    pub environment_info: Environment,
}

impl From<&Suite> for SuiteReport {
    fn from(suite: &Suite) -> Self {
        Self {
            name: "resilience",
            iterations: suite.plan.iterations,
            results: suite.results.iter().map(SubjectReport::from).collect(),
            total_duration_ms: millis(suite.total),
            pass_rate: suite.pass_rate(),
            failed_benchmarks: failed(suite),
            environment_info: Environment::here(),
        }
    }
}

/// The verdict.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Summary {
    /// How many were measured.
    pub total_benchmarks: usize,
    /// The share that passed, 0 to 1.
    pub pass_rate: f64,
    /// How long it took.
    pub total_duration_ms: f64,
    /// Those that did not pass.
    pub failed_benchmarks: Vec<String>,
    /// Whether four of five passed.
    pub performance_target_met: bool,
}

impl From<&Suite> for Summary {
    fn from(suite: &Suite) -> Self {
        Self {
            total_benchmarks: suite.results.len(),
            pass_rate: suite.pass_rate(),
            total_duration_ms: millis(suite.total),
            failed_benchmarks: failed(suite),
            performance_target_met: suite.meets_target(),
        }
    }
}

/// All iterations of all subjects together; durations in seconds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Overall {
    /// From the beginning to the end.
    pub total_time: f64,
    /// What one iteration took on average.
    pub average_response_time: f64,
    /// Iterations in each second of `total_time`.
    pub requests_per_second: f64,
    /// The share that did what it should, 0 to 1; 1 if there was none.
    pub success_rate: f64,
    /// What 95 % of them did not exceed.
    pub p95_response_time: f64,
}

impl From<&Suite> for Overall {
    fn from(suite: &Suite) -> Self {
        let measures = || suite.results.iter().map(|it| &it.measures);
        let count: u64 = measures().map(|it| u64::from(it.iterations)).sum();
        let succeeded: u64 = measures().map(|it| u64::from(it.succeeded)).sum();
        let took: Duration = measures().map(|it| it.total).sum();
        let elapsed: Duration = measures().map(|it| it.elapsed).sum();
        let mut each: Vec<Duration> = measures().flat_map(|it| it.took.iter().copied()).collect();
        each.sort_unstable();
        let per = |time: Duration, of: f64| if of > 0.0 { time.as_secs_f64() / of } else { 0.0 };
        Self {
            total_time: suite.total.as_secs_f64(),
            average_response_time: per(took, count as f64),
            requests_per_second: if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() },
            success_rate: if count == 0 { 1.0 } else { succeeded as f64 / count as f64 },
            p95_response_time: percentile(&each, 95).unwrap_or_default().as_secs_f64(),
        }
    }
}

fn failed(suite: &Suite) -> Vec<String> {
    suite.failed().into_iter().map(str::to_owned).collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// No clock is finer than a tenth of a nanosecond.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::{
        super::{operation::Operation, suite::tests::suite},
        *,
    };

    #[test]
    fn report_has_what_was_measured() {
        let suite = suite(&[Operation::PresetLoading, Operation::ValidationPerformance], 20);
        let summary = to_value(Summary::from(&suite)).expect("JSON");
        assert_eq!(summary["total_benchmarks"], 2);
        assert_eq!(summary["failed_benchmarks"], json!(["preset_loading"]));
        assert_eq!(summary["performance_target_met"], false);
        let report = to_value(SuiteReport::from(&suite)).expect("JSON");
        let first = &report["results"][0];
        assert_eq!((&first["avg_duration_ms"], &first["threshold_ms"]), (&json!(20.0), &json!(10.0)));
        assert_eq!((&first["ops_per_second"], &first["passed"]), (&json!(50.0), &json!(false)));
    }

    #[test]
    fn all_iterations_together_are_told_in_seconds() {
        let overall = Overall::from(&suite(&[Operation::PresetLoading, Operation::ValidationPerformance], 20));
        // Two of two, 20 ms each; the first of an operation begins 20 ms before the second ends its own.
        assert!((overall.average_response_time - 0.02).abs() < 1e-9 && (overall.p95_response_time - 0.02).abs() < 1e-9);
        assert!((overall.total_time - 0.18).abs() < 1e-9, "{overall:?}");
        assert!((overall.requests_per_second - 4.0 / 0.12).abs() < 1e-6, "{overall:?}");
        assert!((overall.success_rate - 1.0).abs() < 1e-9);
        let nothing = Overall::from(&suite(&[], 20));
        assert!(nothing.average_response_time.abs() < 1e-9 && nothing.requests_per_second.abs() < 1e-9, "{nothing:?}");
    }
}
