//! The pictures of the page, as SVG that stretches to any width; all text stands outside of it and keeps its size.

use std::fmt::Write as _;

use tower_rampart::breaker::State;

use crate::simulate::timeline::{Step, Timeline};

/// The height of a picture, in its own units.
const HEIGHT: f64 = 100.0;

/// One part of a bar: what it is called, its style, how high it is.
type Part = (&'static str, &'static str, fn(&Step) -> u64);

const ENDS: [Part; 4] = [
    ("answered well", "good", |step| step.ok),
    ("failed", "bad", |step| step.failed),
    ("rejected", "refused", |step| step.rejected),
    ("cancelled", "gone", |step| step.cancelled),
];
const ATTEMPTS: [Part; 2] = [
    ("first", "probe", |step| step.reached),
    ("retries", "refused", |step| step.attempts.saturating_sub(step.reached)),
];
const LATENCY: [Part; 2] = [
    ("mean", "probe", Step::latency_mean_ms),
    ("longest", "max", |step| step.latency_max_ms.saturating_sub(step.latency_mean_ms())),
];

/// All pictures of one configuration, over the time until `end_ms`.
pub(super) fn render(timeline: &Timeline, end_ms: u64) -> String {
    let step = duration(timeline.step_ms());
    let mut charts = states(timeline, end_ms);
    let calls = |value: u64| format!("{value} in {step}");
    charts.push_str(&bars(timeline, end_ms, "Calls, by when they ended", &ENDS, &calls));
    charts.push_str(&bars(timeline, end_ms, "Attempts of these calls", &ATTEMPTS, &calls));
    charts.push_str(&bars(timeline, end_ms, "Latency of what reached the service", &LATENCY, &duration));
    charts
}

fn states(timeline: &Timeline, end_ms: u64) -> String {
    let changes = timeline.changes();
    let mut shapes = String::new();
    let (mut since, mut state) = (0, timeline.state);
    let mut seen = vec![state];
    let ends = changes.first.iter().map(|it| (it.at_ms, Some(it.what))).chain([(end_ms, None)]);
    for (until, next) in ends {
        let _ = write!(
            shapes,
            "<rect class=\"{}\" x=\"{since}\" y=\"0\" width=\"{}\" height=\"{HEIGHT}\"><title>{state} from {} to {}</title></rect>",
            style(state),
            until.saturating_sub(since).max(1),
            duration(since),
            duration(until),
        );
        if !seen.contains(&state) {
            seen.push(state);
        }
        since = until;
        state = next.unwrap_or(state);
    }
    for mark in &timeline.marks.first {
        let (at, what) = (mark.at_ms, mark.what);
        let _ = write!(
            shapes,
            "<line class=\"mark\" x1=\"{at}\" x2=\"{at}\" y1=\"0\" y2=\"{HEIGHT}\"><title>{what} at {}</title></line>",
            duration(at)
        );
    }
    let legend: String = seen.iter().map(|it| key(style(*it), it.as_str())).collect();
    let mut most = format!("{} changes", changes.first.len() as u64 + changes.dropped);
    if changes.dropped > 0 {
        let _ = write!(most, ", {} not shown", changes.dropped);
    }
    if !timeline.marks.first.is_empty() {
        let _ = write!(most, ", {} marks", timeline.marks.first.len() as u64 + timeline.marks.dropped);
    }
    figure("Circuit", &legend, &most, "band", end_ms, &shapes)
}

const fn style(state: State) -> &'static str {
    match state {
        State::Closed | State::ForcedClosed => "good",
        State::Open | State::ForcedOpen => "bad",
        State::HalfOpen => "refused",
        State::Disabled | State::MetricsOnly => "gone",
    }
}

fn bars(timeline: &Timeline, end_ms: u64, title: &str, parts: &[Part], unit: &dyn Fn(u64) -> String) -> String {
    let height = |step: &Step| parts.iter().map(|(_, _, value)| value(step)).sum::<u64>();
    let highest = timeline.steps().iter().map(height).max().unwrap_or(0);
    let scale = HEIGHT / highest.max(1) as f64;
    let width = timeline.step_ms();
    let mut shapes = String::new();
    for (index, step) in timeline.steps().iter().enumerate().filter(|(_, step)| step.calls() > 0) {
        let x = index as u64 * width;
        shapes.push_str("<g>");
        let mut top = HEIGHT;
        let mut words = format!("{} to {}:", duration(x), duration(x + width));
        for (name, style, value) in parts {
            let value = value(step);
            let high = value as f64 * scale;
            top -= high;
            if value > 0 {
                let _ = write!(
                    shapes,
                    "<rect class=\"{style}\" x=\"{x}\" y=\"{top:.2}\" width=\"{width}\" height=\"{high:.2}\"/>"
                );
            }
            let _ = write!(words, " {name} {value}");
        }
        let _ = write!(
            shapes,
            "<rect class=\"all\" x=\"{x}\" y=\"0\" width=\"{width}\" height=\"{HEIGHT}\"><title>{words}</title></rect></g>"
        );
    }
    let legend: String = parts.iter().map(|(name, style, _)| key(style, name)).collect();
    figure(title, &legend, &format!("highest: {}", unit(highest)), "bars", end_ms, &shapes)
}

fn key(style: &str, name: &str) -> String {
    format!("<span><i class=\"{style}\"></i>{name}</span>")
}

fn figure(title: &str, legend: &str, most: &str, class: &str, end_ms: u64, shapes: &str) -> String {
    let axis = (0..=4).map(|quarter| duration(end_ms * quarter / 4)).collect::<Vec<_>>().join("</span><span>");
    format!(
        "<figure>\n<figcaption><h3>{title}</h3><span class=\"legend\">{legend}</span><span class=\"most\">{most}</span></figcaption>\n\
         <svg class=\"{class}\" viewBox=\"0 0 {end_ms} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{title}: {most}\">{shapes}</svg>\n\
         <div class=\"axis\"><span>{axis}</span></div>\n</figure>\n"
    )
}

/// Milliseconds as people say them.
pub(super) fn duration(ms: u64) -> String {
    let tenths = |ms: u64, unit: u64, name: &str| {
        let tenth = (ms * 10 + unit / 2) / unit;
        if tenth.is_multiple_of(10) {
            format!("{} {name}", tenth / 10)
        } else {
            format!("{}.{} {name}", tenth / 10, tenth % 10)
        }
    };
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => tenths(ms, 1000, "s"),
        60_000..3_600_000 => tenths(ms, 60_000, "min"),
        _ => tenths(ms, 3_600_000, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let said = [0, 999, 1000, 2540, 59_999, 150_000, 7_200_000].map(duration);
        assert_eq!(said, ["0 ms", "999 ms", "1 s", "2.5 s", "60 s", "2.5 min", "2 h"]);
    }
}
