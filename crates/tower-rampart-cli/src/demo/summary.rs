//! What came of the demonstration, as data. How it is shown to people is in `table`.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    flaky::Calls,
    load::{Seen, Tally},
    phase::Phase,
};

/// One side of the comparison while it runs.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) tally: Tally,
    pub(crate) calls: Arc<Calls>,
}

/// What the gateway did meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) retries: [u64; Phase::ALL.len()],
    pub(crate) transitions: Vec<Transition>,
}

/// A change of the circuit's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) at: Duration,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// One line of the comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) without: Seen,
    pub(crate) with: Seen,
    pub(crate) calls_without: u64,
    pub(crate) calls_with: u64,
    pub(crate) retries: u64,
}

/// The whole comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) phases: Vec<(Phase, Row)>,
    pub(crate) total: Row,
    pub(crate) transitions: Vec<Transition>,
}

impl Summary {
    pub(crate) fn new(without: &Side, with: &Side, shown: Shown) -> Self {
        let phases: Vec<(Phase, Row)> = Phase::ALL
            .into_iter()
            .map(|phase| {
                let row = Row {
                    without: without.tally.of(phase),
                    with: with.tally.of(phase),
                    calls_without: without.calls.of(phase),
                    calls_with: with.calls.of(phase),
                    retries: shown.retries[phase.index()],
                };
                (phase, row)
            })
            .collect();
        let mut total = Row::default();
        for (_, row) in &phases {
            total.without.add(&row.without);
            total.with.add(&row.with);
            total.calls_without += row.calls_without;
            total.calls_with += row.calls_with;
            total.retries += row.retries;
        }
        Self { phases, total, transitions: shown.transitions }
    }

    fn opens(&self) -> usize {
        self.transitions.iter().filter(|it| it.from == "closed" && it.to == "open").count()
    }

    /// What it all comes to, in words.
    pub(crate) fn verdict(&self) -> String {
        let percent = |seen: &Seen| seen.ok_percent().unwrap_or_default();
        let all = format!(
            "Without rampart {:.1} % of {} requests were answered; with it {:.1} % of {}, after {} retries.",
            percent(&self.total.without),
            self.total.without.requests(),
            percent(&self.total.with),
            self.total.with.requests(),
            self.total.retries,
        );
        let outage = self.phases.iter().find(|(phase, _)| *phase == Phase::Outage).map(|(_, row)| row);
        let (Some(row), opens @ 1..) = (outage, self.opens()) else { return all };
        let times = if opens == 1 { "once".to_owned() } else { format!("{opens} times") };
        format!(
            "{all} The circuit opened {times}: in the outage clients were told so after {} (p50) instead of {}, \
             and {} instead of {} calls hit the dead upstream.",
            wait(row.with.percentile(50)),
            wait(row.without.percentile(50)),
            row.calls_with,
            row.calls_without,
        )
    }

    /// The comparison as one value.
    pub(crate) fn json(&self, seconds: u64, addresses: &Value, document: &str) -> Value {
        let phases: Vec<Value> = self
            .phases
            .iter()
            .map(|(phase, row)| {
                let mut value = row.json();
                value["phase"] = phase.name().into();
                value
            })
            .collect();
        let transitions: Vec<Value> =
            self.transitions.iter().map(|it| json!({"at_ms": millis(it.at), "from": it.from, "to": it.to})).collect();
        json!({
            "seconds": seconds,
            "addresses": addresses,
            "configuration": serde_json::from_str::<Value>(document).unwrap_or_default(),
            "phases": phases,
            "total": self.total.json(),
            "transitions": transitions,
            "verdict": self.verdict(),
        })
    }
}

impl Row {
    fn json(&self) -> Value {
        let side = |seen: &Seen, calls: u64| {
            json!({
                "requests": seen.requests(),
                "ok": seen.ok,
                "errors": seen.errors,
                "ok_percent": seen.ok_percent(),
                "p50_ms": seen.percentile(50).map(millis),
                "p99_ms": seen.percentile(99).map(millis),
                "upstream_calls": calls,
            })
        };
        let mut with = side(&self.with, self.calls_with);
        with["retries"] = self.retries.into();
        json!({"without": side(&self.without, self.calls_without), "with": with})
    }
}

/// A wait for people: three digits and a unit.
pub(crate) fn wait(wait: Option<Duration>) -> String {
    match wait {
        None => "-".to_owned(),
        Some(wait) if wait < Duration::from_millis(1) => "<1ms".to_owned(),
        Some(wait) if wait < Duration::from_secs(1) => format!("{}ms", wait.as_millis()),
        Some(wait) => format!("{:.2}s", wait.as_secs_f64()),
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A comparison in which the outage was worse without.
    pub(crate) fn example() -> Summary {
        let mut outage = Row { calls_without: 10, calls_with: 3, retries: 2, ..Row::default() };
        for second in 0..10 {
            outage.without.record(second < 1, Duration::from_secs(2));
            outage.with.record(second < 5, Duration::from_micros(900));
        }
        let transition =
            |from: &str, to: &str| Transition { at: Duration::from_secs(9), from: from.into(), to: to.into() };
        Summary {
            phases: vec![(Phase::Healthy, Row::default()), (Phase::Outage, outage.clone())],
            total: outage,
            transitions: vec![transition("closed", "open"), transition("half_open", "open")],
        }
    }

    #[test]
    fn verdict_says_what_clients_got() {
        assert_eq!(
            example().verdict(),
            "Without rampart 10.0 % of 10 requests were answered; with it 50.0 % of 10, after 2 retries. The circuit opened once: in the \
             outage clients were told so after <1ms (p50) instead of 2.00s, and 3 instead of 10 calls hit the dead upstream."
        );
    }

    #[test]
    fn json_has_every_phase_and_null_where_nothing_was_seen() {
        let value = example().json(15, &json!({}), r#"{"preset": "simple"}"#);
        assert_eq!(value["configuration"]["preset"], "simple");
        assert_eq!(value["phases"][0]["without"]["ok_percent"], Value::Null);
        assert_eq!(value["phases"][1]["without"]["p50_ms"], 2000);
        assert_eq!(value["total"]["with"]["retries"], 2);
        assert_eq!(value["transitions"][0], json!({"at_ms": 9000, "from": "closed", "to": "open"}));
    }
}
