//! What was measured as one value. The table for people is in `table`.

use serde_json::{Value, json};
use tower_rampart_admin::performance::{Suite, SuiteReport, Summary};

use super::pipeline::{CALLS, Cost, ROUNDS};

/// Renders `{benchmark_suite, summary, pipeline}`; the names are those of the described system, durations are milliseconds unless they say otherwise.
pub(crate) fn render(suite: &Suite, cost: &Cost) -> Value {
    let subjects: Vec<Value> = cost
        .over_bare()
        .map(|(line, over)| {
            json!({"subject": line.subject, "ns_per_call": tenths(line.nanos), "over_bare_ns": tenths(over)})
        })
        .collect();
    json!({
        "benchmark_suite": SuiteReport::from(suite),
        "summary": Summary::from(suite),
        "pipeline": {"rounds": ROUNDS, "calls_per_round": CALLS, "subjects": subjects},
    })
}

/// No clock is finer than a tenth of a nanosecond.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use tower_rampart::Timestamp;
    use tower_rampart_admin::performance::{Operation, Plan};

    use super::{super::pipeline::Line, *};

    #[test]
    fn value_has_what_was_measured() {
        let lines =
            vec![Line { subject: "bare service", nanos: 5.55 }, Line { subject: "`production`", nanos: 105.51 }];
        let suite = Suite::run([Operation::PresetLoading.into()], &Plan::new(2), &|| Timestamp::ZERO);
        let value = render(&suite, &Cost { lines });
        assert_eq!((&value["summary"]["total_benchmarks"], &value["summary"]["pass_rate"]), (&json!(1), &json!(1.0)));
        assert_eq!(value["benchmark_suite"]["results"][0]["operation"], "preset_loading");
        let production = &value["pipeline"]["subjects"][1];
        assert_eq!(production, &json!({"subject": "`production`", "ns_per_call": 105.5, "over_bare_ns": 100.0}));
    }
}
