//! The numbers of a fleet for scrapers, as text to be appended to the registry's own; how the text is served is the host's business.

use std::fmt::Write as _;

use crate::{Fleet, Mode};

impl Fleet {
    /// Appends its metrics in Prometheus' text format, or, with `open`, in OpenMetrics without the end.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_core::{Timestamp, registry::Registry};
    /// use tower_rampart_redis::{Config, Fleet};
    ///
    /// let registry = Registry::with_clock(|| Timestamp::from_millis(5));
    /// let fleet = Fleet::new(Config::new("redis://127.0.0.1:6379"), registry)?;
    /// let mut text = String::new();
    /// fleet.write_metrics(false, &mut text);
    /// assert!(text.contains("rampart_redis_shared 0\n"));
    /// # Ok::<(), tower_rampart_redis::Error>(())
    /// ```
    pub fn write_metrics(&self, open: bool, text: &mut String) {
        let status = self.status();
        let counts = &status.counts;
        let mut families = Families { text, open };
        families.family(
            "rampart_redis_shared",
            "gauge",
            "Whether limits are held with the fleet (1) or to this process's share (0).",
        );
        families.sample("rampart_redis_shared", "", u8::from(status.mode == Mode::Shared));
        families.family("rampart_redis_limits", "gauge", "Limits that are held with the fleet.");
        families.sample("rampart_redis_limits", "", status.limits);
        families.family("rampart_redis_answers_total", "counter", "Requests that Redis answered.");
        families.sample("rampart_redis_answers_total", "", counts.answered);
        families.family("rampart_redis_faults_total", "counter", "Requests and connections that failed, by reason.");
        for (reason, count) in &counts.faults {
            families.sample("rampart_redis_faults_total", &format!("{{reason=\"{reason}\"}}"), *count);
        }
        families.family(
            "rampart_redis_went_local_total",
            "counter",
            "How often this process came to live on its share.",
        );
        families.sample("rampart_redis_went_local_total", "", counts.went_local);
        families.family(
            "rampart_redis_tokens_total",
            "counter",
            "Tokens that were leased, paid for afterwards, and given back.",
        );
        for (kind, count) in [("leased", counts.granted), ("paid", counts.paid), ("returned", counts.returned)] {
            families.sample("rampart_redis_tokens_total", &format!("{{kind=\"{kind}\"}}"), count);
        }
        families.family(
            "rampart_redis_decided_locally_total",
            "counter",
            "Calls that asked Redis and were decided without it.",
        );
        families.sample("rampart_redis_decided_locally_total", "", counts.decided_locally);
        families.family("rampart_redis_answer_seconds", "gauge", "How long the last answer took.");
        families.sample("rampart_redis_answer_seconds", "", counts.last_took.as_secs_f64());
        families.family("rampart_redis_slowest_answer_seconds", "gauge", "How long the slowest answer took.");
        families.sample("rampart_redis_slowest_answer_seconds", "", counts.longest_took.as_secs_f64());
        let nodes = "Other processes that told how their circuit stands, and those of them whose circuit is open.";
        families.family("rampart_redis_circuit_nodes", "gauge", nodes);
        for (operation, hint) in self.hints() {
            let operation = escaped(&operation);
            for (state, count) in [("any", hint.others), ("open", hint.others_open)] {
                let labels = format!("{{operation=\"{operation}\",state=\"{state}\"}}");
                families.sample("rampart_redis_circuit_nodes", &labels, count);
            }
        }
    }
}

/// Writes families and their samples, one a line.
struct Families<'a> {
    text: &'a mut String,
    open: bool,
}

impl Families<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let name = if self.open { name.strip_suffix("_total").unwrap_or(name) } else { name };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        self.write(format_args!("{name}{labels} {value}\n"));
    }

    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("writing to a String never fails");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_line_are_escaped() {
        assert_eq!(escaped("a\\b\"c\nd"), r#"a\\b\"c\nd"#);
    }
}
