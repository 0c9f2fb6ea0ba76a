//! What was measured as tables for people. The one value is in `json`.

use std::time::Duration;

use super::{
    pipeline::{CALLS, Cost, ROUNDS},
    suite::{Measured, Suite},
};

/// Renders both tables, at most 80 columns wide. `build` is how this program was built.
pub(crate) fn render(suite: &Suite, cost: &Cost, build: &str) -> String {
    let rule = "-".repeat(80);
    let heading = format!(
        "{:<26}{:>8}{:>8}{:>8}{:>8}{:>10}{:>6}  ",
        "operation", "average", "min", "max", "p95", "a second", "limit"
    );
    let mut lines = vec![heading.trim_end().to_owned(), rule.clone()];
    lines.extend(suite.results.iter().map(line));
    lines.push(rule.clone());
    let passed = suite.results.len() - suite.failed().len();
    lines.push(format!(
        "{passed} of {} within their limits, {} iterations each, {} in all ({build} build).",
        suite.results.len(),
        suite.iterations,
        human(suite.total)
    ));
    for measured in &suite.results {
        let name = measured.operation.name();
        lines.extend(measured.measures.errors.iter().map(|error| format!("{name} did wrong: {error}")));
    }
    lines.push(String::new());
    lines.push(format!("{:<26}{:>12}{:>12}", "a call, ready at once", "ns", "over bare"));
    lines.push(rule.clone());
    lines.extend(cost.over_bare().map(|(line, over)| format!("{:<26}{:>12.1}{over:>12.1}", line.subject, line.nanos)));
    lines.push(rule);
    lines.push(format!("The medians of {ROUNDS} rounds of {CALLS} calls, in which the subjects take turns.\n"));
    lines.join("\n")
}

fn line(result: &Measured) -> String {
    let measures = &result.measures;
    let [average, min, max, p95] = [measures.average, measures.min, measures.max, measures.p95].map(human);
    let rate = measures.per_second().map_or_else(|| "-".to_owned(), |it| format!("{it:.0}"));
    let limit = format!("{}ms", result.operation.threshold().as_millis());
    let verdict = if result.passes() { "ok" } else { "FAIL" };
    format!("{:<26}{average:>8}{min:>8}{max:>8}{p95:>8}{rate:>10}{limit:>6} {verdict}", result.operation.name())
}

/// Three digits or four and a unit.
fn human(duration: Duration) -> String {
    let nanos = duration.as_secs_f64() * 1e9;
    let (value, unit) = match nanos {
        it if it < 1e3 => return format!("{it:.0}ns"),
        it if it < 1e6 => (it / 1e3, "us"),
        it if it < 1e9 => (it / 1e6, "ms"),
        it => (it / 1e9, "s"),
    };
    if value < 99.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{operation::Operation, pipeline::Line, suite::tests::suite},
        *,
    };

    #[test]
    fn tables_fit_their_width_and_say_who_fails() {
        let lines = vec![Line { subject: "bare service", nanos: 5.5 }, Line { subject: "`production`", nanos: 105.5 }];
        let text = render(&suite(&Operation::ALL, 11), &Cost { lines }, "debug");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let words =
            |at: usize| text.lines().nth(at).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(2), "preset_loading 11.0ms 11.0ms 11.0ms 11.0ms 91 10ms FAIL");
        assert_eq!(words(3), "settings_initialization 11.0ms 11.0ms 11.0ms 11.0ms 91 100ms ok");
        assert!(text.contains("6 of 7 within their limits, 2 iterations each"), "{text}");
        assert!(text.contains("`production`                     105.5       100.0"), "{text}");
    }

    #[test]
    fn durations_have_a_unit_that_fits() {
        for (nanos, text) in
            [(0, "0ns"), (999, "999ns"), (1500, "1.5us"), (99_949, "99.9us"), (123_456, "123us"), (99_960, "100us")]
        {
            assert_eq!(human(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(human(Duration::from_millis(1234)), "1.2s");
        assert_eq!(human(Duration::from_micros(12_340)), "12.3ms");
    }
}
