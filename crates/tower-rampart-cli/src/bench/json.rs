//! What was measured as one value. The table for people is in `table`.

use std::{num::NonZero, thread::available_parallelism, time::Duration};

use serde_json::{Value, json};

use super::{
    build,
    pipeline::{CALLS, Cost, ROUNDS},
    suite::{Measured, Suite},
};

/// Renders `{benchmark_suite, summary, pipeline}`; the names are those of the described system, durations are milliseconds unless they say otherwise.
pub(crate) fn render(suite: &Suite, cost: &Cost) -> Value {
    let subjects: Vec<Value> = cost
        .over_bare()
        .map(|(line, over)| {
            json!({"subject": line.subject, "ns_per_call": tenths(line.nanos), "over_bare_ns": tenths(over)})
        })
        .collect();
    json!({
        "benchmark_suite": {
            "name": "resilience",
            "iterations": suite.iterations,
            "results": suite.results.iter().map(result).collect::<Vec<_>>(),
            "total_duration_ms": millis(suite.total),
            "pass_rate": suite.pass_rate(),
            "failed_benchmarks": suite.failed(),
            "environment_info": {
                "version": env!("CARGO_PKG_VERSION"),
                "build": build(),
                "os": std::env::consts::OS,
                "architecture": std::env::consts::ARCH,
                "cpu_count": available_parallelism().map_or(1, NonZero::get),
            },
        },
        "summary": {
            "total_benchmarks": suite.results.len(),
            "pass_rate": suite.pass_rate(),
            "total_duration_ms": millis(suite.total),
            "failed_benchmarks": suite.failed(),
            "performance_target_met": suite.meets_target(),
        },
        "pipeline": {"rounds": ROUNDS, "calls_per_round": CALLS, "subjects": subjects},
    })
}

fn result(it: &Measured) -> Value {
    let measures = &it.measures;
    json!({
        "operation": it.operation.name(),
        "iterations": measures.iterations,
        "threshold_ms": millis(it.operation.threshold()),
        "passed": it.passes(),
        "duration_ms": millis(measures.total),
        "avg_duration_ms": millis(measures.average),
        "min_duration_ms": millis(measures.min),
        "max_duration_ms": millis(measures.max),
        "p95_duration_ms": millis(measures.p95),
        "std_dev_ms": millis(measures.std_dev),
        "ops_per_second": measures.per_second().map(tenths),
        "success_rate": measures.success_rate(),
        "errors": measures.errors,
    })
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
    use super::{
        super::{operation::Operation, pipeline::Line, suite::tests::suite},
        *,
    };

    #[test]
    fn value_has_what_was_measured() {
        let lines =
            vec![Line { subject: "bare service", nanos: 5.55 }, Line { subject: "`production`", nanos: 105.51 }];
        let value = render(&suite(&[Operation::PresetLoading, Operation::ValidationPerformance], 20), &Cost { lines });
        assert_eq!(value["summary"]["total_benchmarks"], 2);
        assert_eq!(value["summary"]["failed_benchmarks"], json!(["preset_loading"]));
        assert_eq!(value["summary"]["performance_target_met"], false);
        let first = &value["benchmark_suite"]["results"][0];
        assert_eq!((&first["avg_duration_ms"], &first["threshold_ms"]), (&json!(20.0), &json!(10.0)));
        assert_eq!((&first["ops_per_second"], &first["passed"]), (&json!(50.0), &json!(false)));
        let production = &value["pipeline"]["subjects"][1];
        assert_eq!(production, &json!({"subject": "`production`", "ns_per_call": 105.5, "over_bare_ns": 100.0}));
    }
}
