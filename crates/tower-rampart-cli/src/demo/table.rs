//! The comparison as a table for people. The numbers come from `summary`.

use super::{
    load::Seen,
    summary::{Row, Summary, wait},
};

/// Renders the table, one line a phase and one for all, at most 80 columns wide.
pub(crate) fn render(summary: &Summary) -> String {
    let rule = "-".repeat(79);
    let mut lines = vec![
        format!("{:<12}{:>23}{:>23}{:>7}", "", "without rampart", "with rampart", "stand-"),
        format!("{:<12}{HEADING}{HEADING}{:>7}{:>8}{:>6}", "phase", "by", "retries", "saved"),
        rule.clone(),
    ];
    lines.extend(summary.phases.iter().map(|(phase, row)| line(phase.name(), row)));
    lines.extend([rule, line("all", &summary.total), NOTES.to_owned()]);
    lines.join("\n")
}

const NOTES: &str = "\
ok %: answered well; bad: the others. p50, p99: what clients waited, for either.
stand-by: good answers with rampart that came from the stand-by.
saved: calls that the upstream was spared; below zero where retries cost some.
";

const HEADING: &str = "  ok %  bad   p50   p99";

fn line(name: &str, row: &Row) -> String {
    let saved = i128::from(row.calls_without) - i128::from(row.calls_with);
    let (without, with) = (side(&row.without), side(&row.with));
    format!("{name:<12}{without}{with}{:>7}{:>8}{saved:>6}", row.with.stood_in, row.retries)
}

fn side(seen: &Seen) -> String {
    let ok = seen.ok_percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}"));
    let (p50, p99) = (wait(seen.percentile(50)), wait(seen.percentile(99)));
    format!("{ok:>6}{:>5}{p50:>6}{p99:>6}", seen.errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::summary::tests::example;

    #[test]
    fn table_has_a_line_for_each_phase_and_fits_its_width() {
        let text = render(&example());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        assert_eq!(
            lines[4].split_whitespace().collect::<Vec<_>>().join(" "),
            "outage 10.0 9 2.00s 2.00s 90.0 1 <1ms <1ms 5 2 7"
        );
    }
}
