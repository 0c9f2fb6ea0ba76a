//! What was measured as tables for people. The one value is in `json`.

use tower_rampart_admin::performance::Suite;

use super::pipeline::{CALLS, Cost, ROUNDS};

/// Renders both tables, at most 80 columns wide.
pub(crate) fn render(suite: &Suite, cost: &Cost) -> String {
    let rule = "-".repeat(80);
    let mut lines = vec![suite.table(), format!("{:<26}{:>12}{:>12}", "a call, ready at once", "ns", "over bare")];
    lines.push(rule.clone());
    lines.extend(cost.over_bare().map(|(line, over)| format!("{:<26}{:>12.1}{over:>12.1}", line.subject, line.nanos)));
    lines.push(rule);
    lines.push(format!("The medians of {ROUNDS} rounds of {CALLS} calls, in which the subjects take turns.\n"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use tower_rampart::Timestamp;
    use tower_rampart_admin::performance::{Operation, Plan};

    use super::{super::pipeline::Line, *};

    #[test]
    fn tables_fit_their_width_and_stand_one_below_the_other() {
        let lines = vec![Line { subject: "bare service", nanos: 5.5 }, Line { subject: "`production`", nanos: 105.5 }];
        let suite = Suite::run([Operation::PresetLoading.into()], &Plan::new(2), &|| Timestamp::ZERO);
        let text = render(&suite, &Cost { lines });
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("1 of 1 within their limits, 2 iterations each, 0ns in all"), "{text}");
        assert!(text.contains(" build).\n\na call, ready at once"), "{text}");
        assert!(text.contains("`production`                     105.5       100.0"), "{text}");
    }
}
