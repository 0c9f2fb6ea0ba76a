//! The metrics as text, in the Prometheus text format 0.0.4 or OpenMetrics 1.0.0; the same numbers as plain data are in `snapshot.rs`.
//!
//! Written by hand, because this crate takes no dependency for I/O formats and the formats are small: families, labels with three escapes, numbers.
//! Everything is read and printed when it is asked for; nothing is kept. Times are in seconds, printed from whole nanoseconds without
//! going through a float, and the bounds of the histogram are powers of two nanoseconds, because at those the counts are exact.

mod attempts;
mod caches;
mod keys;

use std::{
    collections::HashSet,
    fmt::{Display, Write},
    sync::Arc,
    time::Duration,
};

use super::{
    Operation, Registry,
    counters::{STAGES, Totals},
    parts::{ConcurrencySnapshot, RateSnapshot},
};
use crate::{
    Outcome, Stage, Timestamp,
    breaker::State,
    cache::CacheSnapshot,
    clock::nanos,
    concurrency::Algorithm,
    priority::Priority,
    rejection::{Name, TimeoutKind},
    shadow::Stages,
    throttle::ThrottleSnapshot,
};

/// The bounds of the latency histogram: powers of two nanoseconds, 0.52 ms to 68.7 s.
const BOUNDS: std::ops::RangeInclusive<u32> = 19..=36;
const BOUND_COUNT: usize = 18;

/// The dialect of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

/// What is printed about one operation.
struct Reading {
    operation: Name,
    totals: Totals,
    at_most: [u64; BOUND_COUNT],
    latencies: u64,
    rate: Option<RateSnapshot>,
    tokens: Option<RateSnapshot>,
    concurrency: Option<ConcurrencySnapshot>,
    budget: Option<f64>,
    cache: Option<CacheSnapshot>,
    hedge_delay: Option<Duration>,
    shadow: Stages,
    throttle: Option<ThrottleSnapshot>,
    keys: Vec<keys::Keys>,
    is_chaotic: bool,
}

/// What is printed about one circuit: an operation's, or a named breaker of its own.
struct Circuit {
    operation: Name,
    state: State,
    transitions: u64,
}

impl Reading {
    fn of(operation: &Operation, now: Timestamp) -> Self {
        let (totals, latencies) = operation.since_start();
        let parts = operation.parts();
        let mut bounds = BOUNDS;
        Self {
            operation: Name::clone(operation.name()),
            at_most: std::array::from_fn(|_| latencies.at_most(bounds.next().unwrap_or(*BOUNDS.end()))),
            latencies: latencies.count(),
            rate: parts.read_rate(now),
            tokens: parts.read_tokens(now),
            concurrency: parts.read_concurrency(),
            budget: parts.read_budget(now),
            hedge_delay: parts.read_hedge_delay(now),
            cache: operation.cache().is_shown().then_some(totals.cache),
            totals,
            shadow: parts.shadow,
            throttle: parts.read_throttle(now),
            keys: keys::Keys::of(&parts, now),
            is_chaotic: parts.is_chaotic(),
        }
    }
}

/// The circuits of the operations, and the named breakers that belong to none of them and share no name with one; stages
/// that are off have no circuit.
fn circuits(registry: &Registry, operations: &[Arc<Operation>], now: Timestamp) -> Vec<Circuit> {
    let mut circuits = Vec::new();
    let mut shown = HashSet::new();
    for operation in operations {
        shown.extend(operation.breaker().as_ref().map(Arc::as_ptr));
        if let Some((breaker, transitions)) = operation.circuit(now) {
            circuits.push(Circuit { operation: Name::clone(operation.name()), state: breaker.state, transitions });
        }
    }
    let names: HashSet<Name> = circuits.iter().map(|it| Name::clone(&it.operation)).collect();
    for breaker in registry.breakers().all() {
        let is_new = !shown.contains(&Arc::as_ptr(&breaker)) && !names.contains(breaker.name());
        if is_new && breaker.config().enabled {
            let (operation, breaker) = (Name::clone(breaker.name()), breaker.snapshot(now));
            circuits.push(Circuit { operation, state: breaker.state, transitions: breaker.state_changes });
        }
    }
    circuits
}

/// All metrics of a registry.
pub(super) fn encode(registry: &Registry, format: Format) -> String {
    let now = registry.now();
    let operations = registry.operations();
    let readings: Vec<_> = operations.iter().map(|it| Reading::of(it, now)).collect();
    let circuits = circuits(registry, &operations, now);
    let mut text = Encoder { text: String::with_capacity(1024 + 8192 * readings.len()), format };
    text.gauge("rampart_operations", "Operations in the registry.");
    text.sample("rampart_operations", &[], readings.len());
    text.calls(&readings);
    text.retries(&readings);
    text.hedges(&readings);
    text.chaos(&readings);
    text.durations(&readings);
    text.circuits(&circuits);
    text.limits(&readings);
    text.caches(&readings);
    text.keys(&readings);
    if format == Format::OpenMetrics {
        text.text.push_str("# EOF\n");
    }
    text.text
}

struct Encoder {
    text: String,
    format: Format,
}

impl Encoder {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // OpenMetrics names the family of a counter without the `_total` of its samples.
        let family = match self.format {
            Format::OpenMetrics if kind == "counter" => name.trim_end_matches("_total"),
            Format::OpenMetrics | Format::Prometheus => name,
        };
        self.write(format_args!("# HELP {family} {help}\n# TYPE {family} {kind}\n"));
    }

    fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (it, (label, text)) in labels.iter().enumerate() {
            self.text.push_str(if it == 0 { "{" } else { "," });
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, text);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.text.write_fmt(arguments).expect("writing to a string does not fail");
    }

    fn calls(&mut self, readings: &[Reading]) {
        self.counter("rampart_calls_total", "Calls that ended, by outcome.");
        for it in readings {
            for outcome in Outcome::ALL {
                let labels = [("operation", &*it.operation), ("outcome", outcome.as_str())];
                self.sample("rampart_calls_total", &labels, it.totals.outcome(outcome));
            }
        }
        self.counter("rampart_rejections_total", "Calls that a stage refused.");
        for it in readings {
            for stage in Stage::ALL {
                let labels = [("operation", &*it.operation), ("stage", stage.as_str())];
                self.sample("rampart_rejections_total", &labels, it.totals.rejected[stage as usize]);
            }
        }
        self.counter("rampart_shed_total", "Calls that were shed, by their priority.");
        for it in readings {
            for priority in Priority::ALL.into_iter().filter(|priority| it.totals.shed[*priority as usize] > 0) {
                let labels = [("operation", &*it.operation), ("priority", priority.as_str())];
                self.sample("rampart_shed_total", &labels, it.totals.shed[priority as usize]);
            }
        }
        self.would_be(
            readings,
            "rampart_would_refuse_total",
            "Calls that a stage in shadow would have refused.",
            |it| &it.would_refuse,
        );
        self.would_be(
            readings,
            "rampart_would_queue_total",
            "Calls that a stage in shadow would have let wait.",
            |it| &it.would_queue,
        );
        self.gauge("rampart_inflight", "Calls in flight.");
        self.each(readings, "rampart_inflight", |it| Some(it.totals.inflight()));
        self.counter("rampart_timeouts_total", "Limits of time that ran out, by kind.");
        for it in readings {
            for kind in TimeoutKind::ALL {
                let labels = [("operation", &*it.operation), ("kind", kind.as_str())];
                self.sample("rampart_timeouts_total", &labels, it.totals.timeouts[kind as usize]);
            }
        }
        self.counter("rampart_fallbacks_total", "Calls that a fallback answered.");
        self.each(readings, "rampart_fallbacks_total", |it| Some(it.totals.fallbacks));
        self.counter("rampart_queued_calls_total", "Calls that waited in a queue.");
        self.each(readings, "rampart_queued_calls_total", |it| Some(it.totals.queued));
        self.counter("rampart_queue_seconds_total", "Time that calls waited in a queue.");
        self.each(readings, "rampart_queue_seconds_total", |it| Some(seconds(it.totals.queue_time)));
    }

    /// What stages in shadow would have done; a stage that never was in shadow has no series.
    fn would_be(&mut self, readings: &[Reading], name: &str, help: &str, of: impl Fn(&Totals) -> &[u64; STAGES]) {
        self.counter(name, help);
        for it in readings {
            for stage in Stage::ALL {
                let count = of(&it.totals)[stage as usize];
                if count > 0 || it.shadow.has(stage) {
                    self.sample(name, &[("operation", &*it.operation), ("stage", stage.as_str())], count);
                }
            }
        }
    }

    fn durations(&mut self, readings: &[Reading]) {
        let name = "rampart_call_duration_seconds";
        self.family(name, "histogram", "Latency of answered calls.");
        for it in readings {
            for (power, count) in BOUNDS.zip(it.at_most) {
                let labels = [("operation", &*it.operation), ("le", &*seconds(1 << power))];
                self.sample("rampart_call_duration_seconds_bucket", &labels, count);
            }
            let labels = [("operation", &*it.operation), ("le", "+Inf")];
            self.sample("rampart_call_duration_seconds_bucket", &labels, it.latencies);
            self.sample("rampart_call_duration_seconds_sum", &labels[..1], seconds(it.totals.latency_sum));
            self.sample("rampart_call_duration_seconds_count", &labels[..1], it.latencies);
        }
    }

    fn circuits(&mut self, circuits: &[Circuit]) {
        self.gauge("rampart_circuit_state", "1 for the state of the circuit, 0 for the others.");
        for it in circuits {
            for state in State::ALL {
                let labels = [("operation", &*it.operation), ("state", state.as_str())];
                self.sample("rampart_circuit_state", &labels, u8::from(it.state == state));
            }
        }
        self.counter("rampart_circuit_transitions_total", "Changes of the state of the circuit.");
        for it in circuits {
            let labels = [("operation", &*it.operation)];
            self.sample("rampart_circuit_transitions_total", &labels, it.transitions);
        }
    }

    fn limits(&mut self, readings: &[Reading]) {
        self.gauge("rampart_rate_remaining", "Calls that the rate limiter would admit now.");
        self.each(readings, "rampart_rate_remaining", |it| {
            it.rate.filter(|rate| rate.burst < u32::MAX).map(|rate| finite(rate.remaining))
        });
        self.gauge("rampart_rate_queued", "Calls that wait for their turn at the rate limiter.");
        self.each(readings, "rampart_rate_queued", |it| {
            it.rate.map(|rate| rate.queued + it.tokens.map_or(0, |tokens| tokens.queued))
        });
        self.gauge("rampart_tokens_remaining", "Tokens of a model API that the rate limiter would admit now.");
        self.each(readings, "rampart_tokens_remaining", |it| it.tokens.map(|tokens| finite(tokens.remaining)));
        self.gauge("rampart_concurrency_inflight", "Calls that hold a permit.");
        self.each(readings, "rampart_concurrency_inflight", |it| it.concurrency.map(|limit| limit.inflight));
        self.gauge("rampart_concurrency_max", "Permits that there are.");
        self.each(readings, "rampart_concurrency_max", |it| it.concurrency.map(|limit| limit.max_inflight));
        self.gauge(
            "rampart_concurrency_algorithm",
            "1 for what moves the limit, 0 for the others; none where nothing does.",
        );
        for it in readings {
            let Some(present) = it.concurrency.and_then(|limit| limit.algorithm) else { continue };
            for algorithm in Algorithm::ALL {
                let labels = [("operation", &*it.operation), ("algorithm", algorithm.as_str())];
                self.sample("rampart_concurrency_algorithm", &labels, u8::from(algorithm == present));
            }
        }
        self.gauge("rampart_concurrency_base_seconds", "Latency that a moving limit goes by, as last measured.");
        self.each(readings, "rampart_concurrency_base_seconds", |it| {
            it.concurrency.and_then(|limit| limit.base_latency).map(|base| seconds(nanos(base)))
        });
        self.gauge("rampart_concurrency_queued", "Calls that wait for a permit.");
        self.each(readings, "rampart_concurrency_queued", |it| it.concurrency.map(|limit| limit.queued));
        self.gauge("rampart_throttle_share", "Share of the calls that the throttle does not make.");
        self.each(readings, "rampart_throttle_share", |it| it.throttle.map(|throttle| finite(throttle.share)));
    }

    /// One sample for each operation that has the value.
    fn each<V: Display>(&mut self, readings: &[Reading], name: &str, value: impl Fn(&Reading) -> Option<V>) {
        for it in readings {
            if let Some(value) = value(it) {
                self.sample(name, &[("operation", &it.operation)], value);
            }
        }
    }
}

/// Appends a label value: a backslash, a quote and a line feed are the three characters that the format escapes.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

/// Nanoseconds as decimal seconds, exact.
fn seconds(nanos: u64) -> String {
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let text = format!("{whole}.{part:09}");
    // One digit stays behind the point: OpenMetrics wants bounds to be floats.
    let end = text.trim_end_matches('0').len().max(text.len() - 8);
    text[..end].to_owned()
}

/// A gauge is never NaN or infinite.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_decimals() {
        let of = [0, 1, 1 << 20, 1_000_000_000, 1_500_000_000, u64::MAX].map(seconds);
        assert_eq!(of, ["0.0", "0.000000001", "0.001048576", "1.0", "1.5", "18446744073.709551615"]);
    }

    #[test]
    fn hostile_labels_are_escaped() {
        let mut text = String::new();
        escape(&mut text, "a\"b\\c\nd\r{é}");
        assert_eq!(text, "a\\\"b\\\\c\\nd\r{é}");
    }

    #[test]
    fn every_bound_has_a_count() {
        assert_eq!(BOUNDS.count(), BOUND_COUNT);
    }
}
