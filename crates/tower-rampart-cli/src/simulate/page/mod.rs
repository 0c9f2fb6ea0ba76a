//! The page of `--html`: self-contained, no script, nothing loaded from anywhere. The pictures are in `chart`.

mod chart;

use std::fmt::Write as _;

use super::{summary::Summary, timeline::Timeline};

/// One configuration on the page.
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) summary: &'a Summary,
    pub(crate) timeline: &'a Timeline,
}

/// Renders the page.
pub(crate) fn render(trace: &str, operation: &str, sections: &[Section<'_>]) -> String {
    let end_ms = sections.iter().map(|it| it.timeline.last_ms()).max().unwrap_or(0).max(1);
    let mut page = String::from(HEAD);
    let _ = write!(
        page,
        "<title>{trace} – rampart simulate</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{trace}</h1>\n\
         <p class=\"quiet\">Operation <b>{}</b>, {} of virtual time.</p>\n",
        escaped(operation),
        chart::duration(end_ms),
        trace = escaped(trace),
    );
    for section in sections {
        let _ = write!(page, "<section>\n<h2>{}</h2>\n{}", escaped(section.name), cards(section.summary));
        page.push_str(&chart::render(section.timeline, end_ms));
        page.push_str("</section>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn cards(summary: &Summary) -> String {
    let latency = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), chart::duration);
    let percent = |part: u64| if summary.calls == 0 { 0.0 } else { part as f64 * 100.0 / summary.calls as f64 };
    let cards = [
        ("calls", summary.calls.to_string()),
        ("answered well", format!("{} ({:.1} %)", summary.ok, percent(summary.ok))),
        ("rejected", format!("{} ({:.1} %)", summary.rejected, percent(summary.rejected))),
        ("attempts", format!("{} (×{})", summary.attempts, summary.amplification)),
        ("circuit opened", summary.opens.to_string()),
        ("good answers a second", summary.goodput_per_s.to_string()),
        ("p50", latency(summary.p50_ms)),
        ("p99", latency(summary.p99_ms)),
    ];
    let cards = cards.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>")).concat();
    format!("<dl>{cards}</dl>\n")
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_never_markup() {
        assert_eq!(escaped("a<script>\"'&"), "a&lt;script&gt;&quot;&#39;&amp;");
    }
}
