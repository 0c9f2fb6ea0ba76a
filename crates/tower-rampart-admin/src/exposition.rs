//! Metrics of a program around the API, appended to those of the registry, so that one scrape gets all. The registry's own text is written by the core.

use std::{fmt, sync::Arc};

use tower_rampart::Registry;

/// The end of an OpenMetrics text.
const END: &str = "# EOF\n";

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsFormat {
    /// Prometheus' text format 0.0.4: the family of a counter is named like its samples, `a_total`.
    Prometheus,
    /// OpenMetrics 1.0.0: the family of a counter is named without the `_total` of its samples. The end is written by the API.
    OpenMetrics,
}

type Append = dyn Fn(MetricsFormat, &mut String) + Send + Sync;

/// Who appends.
#[derive(Clone)]
pub(crate) struct MetricsSource(Arc<Append>);

impl MetricsSource {
    pub(crate) fn new(source: impl Fn(MetricsFormat, &mut String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }
}

impl fmt::Debug for MetricsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsSource")
    }
}

/// The metrics of the registry and of the program.
pub(crate) fn text(registry: &Registry, source: Option<&MetricsSource>, format: MetricsFormat) -> String {
    let mut text = match format {
        MetricsFormat::Prometheus => registry.prometheus_text(),
        MetricsFormat::OpenMetrics => registry.openmetrics_text(),
    };
    if let Some(MetricsSource(append)) = source {
        let is_ended = text.ends_with(END);
        if is_ended {
            text.truncate(text.len() - END.len());
        }
        append(format, &mut text);
        if is_ended {
            text.push_str(END);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_a_program_appends_stands_before_the_end() {
        let registry = Registry::new();
        let source = MetricsSource::new(|format, text| writeln!(text, "# {format:?}").unwrap());
        let of = |format| text(&registry, Some(&source), format);
        assert!(of(MetricsFormat::Prometheus).ends_with("\n# Prometheus\n"));
        assert!(of(MetricsFormat::OpenMetrics).ends_with("\n# OpenMetrics\n# EOF\n"));
        assert_eq!(of(MetricsFormat::OpenMetrics).matches("# EOF").count(), 1);
        assert!(text(&registry, None, MetricsFormat::OpenMetrics).ends_with("# EOF\n"));
    }
}
