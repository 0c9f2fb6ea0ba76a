//! What the gateway itself counts: requests in flight with their bodies, upgraded connections, answers by their class, and reloads. All else comes from
//! the registry.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::StatusCode;
use tokio::sync::watch;
use tower_rampart_admin::MetricsFormat;

/// The counters of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    in_flight: AtomicU64,
    upgraded: watch::Sender<u64>,
    answers: [AtomicU64; 5],
    reloads_applied: AtomicU64,
    reloads_refused: AtomicU64,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Counters>);

/// An upgraded connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenUpgrade(Arc<Counters>);

impl Counters {
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn upgrade(self: &Arc<Self>) -> OpenUpgrade {
        self.upgraded.send_modify(|count| *count += 1);
        OpenUpgrade(Arc::clone(self))
    }

    pub(crate) fn upgraded(&self) -> u64 {
        *self.upgraded.borrow()
    }

    /// Waits until no connection is upgraded.
    pub(crate) async fn upgrades_ended(&self) {
        // The sender is here, so there is no error.
        let _ = self.upgraded.subscribe().wait_for(|count| *count == 0).await;
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.answers[class].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a configuration that traffic runs on from now on.
    pub(crate) fn reload_applied(&self) {
        self.reloads_applied.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that changed nothing because it was refused.
    pub(crate) fn reload_refused(&self) {
        self.reloads_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Appends the counters as text.
    pub(crate) fn write(&self, format: MetricsFormat, text: &mut String) {
        let mut families = Families { text, format };
        families.family("rampart_gateway_in_flight", "gauge", "Requests that are being answered, bodies included.");
        families.sample("rampart_gateway_in_flight", "", self.in_flight());
        let upgraded = "Connections that speak another protocol since their handshake, such as WebSocket.";
        families.family("rampart_gateway_upgraded_connections", "gauge", upgraded);
        families.sample("rampart_gateway_upgraded_connections", "", self.upgraded());
        let answers = "Answers to clients by the class of their status.";
        families.family("rampart_gateway_answers_total", "counter", answers);
        for (class, count) in (1..).zip(&self.answers) {
            let labels = format!("{{status=\"{class}xx\"}}");
            families.sample("rampart_gateway_answers_total", &labels, count.load(Ordering::Relaxed));
        }
        let reloads = "Changes of the configuration after the first, overrides and their ends among them, by what became of them.";
        families.family("rampart_reloads_total", "counter", reloads);
        for (result, count) in [("applied", &self.reloads_applied), ("refused", &self.reloads_refused)] {
            let labels = format!("{{result=\"{result}\"}}");
            families.sample("rampart_reloads_total", &labels, count.load(Ordering::Relaxed));
        }
    }
}

/// Writes families and their samples, one a line.
struct Families<'a> {
    text: &'a mut String,
    format: MetricsFormat,
}

impl Families<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let name = match self.format {
            MetricsFormat::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        self.write(format_args!("{name}{labels} {value}\n"));
    }

    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("writing to a String never fails");
    }
}

impl Drop for OpenUpgrade {
    fn drop(&mut self) {
        self.0.upgraded.send_modify(|count| *count -= 1);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(counters: &Counters) -> String {
        let mut text = String::new();
        counters.write(MetricsFormat::Prometheus, &mut text);
        text
    }

    #[test]
    fn families_of_counters_are_named_as_each_format_wants() {
        let mut open = String::new();
        Counters::default().write(MetricsFormat::OpenMetrics, &mut open);
        assert!(open.contains("# TYPE rampart_reloads counter\nrampart_reloads_total{"), "{open}");
        assert!(text(&Counters::default()).contains("# TYPE rampart_reloads_total counter\n"));
    }

    #[test]
    fn request_is_in_flight_until_dropped() {
        let counters = Arc::new(Counters::default());
        let first = counters.enter();
        let second = counters.enter();
        drop(first);
        assert!(text(&counters).contains("rampart_gateway_in_flight 1\n"));
        drop(second);
        assert_eq!(counters.in_flight(), 0);
    }

    #[tokio::test]
    async fn connection_is_upgraded_until_dropped() {
        let counters = Arc::new(Counters::default());
        let upgrade = counters.upgrade();
        assert!(text(&counters).contains("\nrampart_gateway_upgraded_connections 1\n"));
        drop(upgrade);
        assert_eq!(counters.upgraded(), 0);
        counters.upgrades_ended().await;
    }

    #[test]
    fn reloads_are_counted_by_their_result() {
        let counters = Counters::default();
        counters.reload_applied();
        counters.reload_refused();
        counters.reload_refused();
        let text = text(&counters);
        assert!(text.contains("rampart_reloads_total{result=\"applied\"} 1\n"), "{text}");
        assert!(text.contains("rampart_reloads_total{result=\"refused\"} 2\n"), "{text}");
    }

    #[test]
    fn answers_are_counted_by_class() {
        let counters = Counters::default();
        for code in [200, 204, 404, 503, 999] {
            counters.answered(StatusCode::from_u16(code).expect("a status"));
        }
        let text = text(&counters);
        assert!(text.contains("rampart_gateway_answers_total{status=\"2xx\"} 2\n"));
        assert!(text.contains("rampart_gateway_answers_total{status=\"4xx\"} 1\n"));
        assert!(text.contains("rampart_gateway_answers_total{status=\"5xx\"} 2\n"));
    }
}
