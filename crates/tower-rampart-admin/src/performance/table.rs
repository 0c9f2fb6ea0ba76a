//! What was measured as a table for people. As JSON it is in `report`.

use std::time::Duration;

use super::{
    report::build,
    suite::{Measured, Suite},
};

impl Suite {
    /// The table of all subjects, at most 80 columns wide where names are at most 26, with a verdict below it.
    pub fn table(&self) -> String {
        let rule = "-".repeat(80);
        let heading = format!(
            "{:<26}{:>8}{:>8}{:>8}{:>8}{:>10}{:>6}  ",
            "operation", "average", "min", "max", "p95", "a second", "limit"
        );
        let mut lines = vec![heading.trim_end().to_owned(), rule.clone()];
        lines.extend(self.results.iter().map(line));
        lines.push(rule);
        let passed = self.results.len() - self.failed().len();
        lines.push(format!(
            "{passed} of {} within their limits, {} iterations each, {} in all ({} build).",
            self.results.len(),
            self.plan.iterations,
            human(self.total),
            build()
        ));
        for measured in &self.results {
            let name = measured.subject.name();
            lines.extend(measured.measures.errors.iter().map(|error| format!("{name} did wrong: {error}")));
            let done = measured.measures.iterations;
            if done < self.plan.iterations {
                lines.push(format!("{name} was ended after {done} iterations."));
            }
        }
        if !self.not_run.is_empty() {
            lines.push(format!("There was no time for {}.", self.not_run.join(", ")));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

fn line(result: &Measured) -> String {
    let measures = &result.measures;
    let [average, min, max, p95] = [measures.average, measures.min, measures.max, measures.p95].map(human);
    let rate = measures.per_second().map_or_else(|| "-".to_owned(), |it| format!("{it:.0}"));
    let limit = format!("{}ms", result.subject.threshold().as_millis());
    let verdict = if result.passes() { "ok" } else { "FAIL" };
    format!("{:<26}{average:>8}{min:>8}{max:>8}{p95:>8}{rate:>10}{limit:>6} {verdict}", result.subject.name())
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
    use tower_rampart::Timestamp;

    use super::{
        super::{measure::Plan, operation::Operation, suite::tests::suite},
        *,
    };

    #[test]
    fn table_fits_its_width_and_says_who_fails() {
        let text = suite(&Operation::ALL, 11).table();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let words =
            |at: usize| text.lines().nth(at).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(2), "preset_loading 11.0ms 11.0ms 11.0ms 11.0ms 91 10ms FAIL");
        assert_eq!(words(3), "settings_initialization 11.0ms 11.0ms 11.0ms 11.0ms 91 100ms ok");
        assert!(text.contains("6 of 7 within their limits, 2 iterations each"), "{text}");
    }

    #[test]
    fn table_says_what_there_was_no_time_for() {
        let plan = Plan::new(5).until(Timestamp::ZERO);
        let text = Suite::run([Operation::PresetLoading.into()], &plan, &|| Timestamp::ZERO).table();
        assert!(text.contains("There was no time for preset_loading."), "{text}");
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
