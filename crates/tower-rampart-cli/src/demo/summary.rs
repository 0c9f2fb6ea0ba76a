//! What came of the demonstration, as data. How it is shown to people is in `table`.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    circuit::{Life, Transition},
    load::{Seen, Tally},
    phase::Phase,
    server::Calls,
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
    /// How long the demonstration took.
    pub(crate) total: Duration,
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
    /// What the circuit did in the outage.
    pub(crate) life: Life,
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
        let life = Life::of(&shown.transitions, shown.total);
        Self { phases, total, transitions: shown.transitions, life }
    }

    /// What it all comes to, in words.
    pub(crate) fn verdict(&self) -> String {
        let percent = |seen: &Seen| seen.ok_percent().unwrap_or_default();
        let mut words = format!(
            "Without rampart {:.1} % of {} requests were answered; with it {:.1} % of {} ({} of them by the stand-by), after {} retries.",
            percent(&self.total.without),
            self.total.without.requests(),
            percent(&self.total.with),
            self.total.with.requests(),
            self.total.with.stood_in,
            self.total.retries,
        );
        if let Some((_, row)) = self.phases.iter().find(|(phase, _)| *phase == Phase::Outage) {
            let saved = format!(
                " In the outage clients waited {} (p50) instead of {}, and {} instead of {} calls hit the dead upstream.",
                wait(row.with.percentile(50)),
                wait(row.without.percentile(50)),
                row.calls_with,
                row.calls_without,
            );
            words.push_str(&saved);
        }
        if let Some(life) = self.life.words() {
            words.push(' ');
            words.push_str(&life);
        }
        words
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
            "outage": self.life.json(),
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
        with["standby_answers"] = self.with.stood_in.into();
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

pub(crate) fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{super::load::End, *};

    /// A comparison in which the outage was worse without, and half was answered by the stand-by.
    pub(crate) fn example() -> Summary {
        let mut outage = Row { calls_without: 10, calls_with: 3, retries: 2, ..Row::default() };
        for second in 0..10 {
            outage.without.record(if second < 1 { End::Answered } else { End::Failed }, Duration::from_secs(2));
            let end = if second < 5 { End::Answered } else { End::StoodIn };
            outage.with.record(if second < 1 { End::Failed } else { end }, Duration::from_micros(900));
        }
        Summary {
            phases: vec![(Phase::Healthy, Row::default()), (Phase::Outage, outage.clone())],
            total: outage,
            transitions: vec![Transition { at: Duration::from_secs(9), from: "closed".into(), to: "open".into() }],
            life: Life::default(),
        }
    }

    #[test]
    fn verdict_says_what_clients_got() {
        assert_eq!(
            example().verdict(),
            "Without rampart 10.0 % of 10 requests were answered; with it 90.0 % of 10 (5 of them by the stand-by), after 2 retries. \
             In the outage clients waited <1ms (p50) instead of 2.00s, and 3 instead of 10 calls hit the dead upstream."
        );
    }

    #[test]
    fn verdict_tells_the_life_of_the_circuit() {
        let life = Life { opened: Some(Duration::from_millis(500)), failed_probes: 1, ..Life::default() };
        let summary = Summary { life, ..example() };
        assert!(summary.verdict().contains("dead upstream. The circuit opened 500ms into the outage"));
        assert_eq!(summary.json(15, &json!({}), "{}")["outage"]["failed_probes"], 1);
    }

    #[test]
    fn json_has_every_phase_and_null_where_nothing_was_seen() {
        let value = example().json(15, &json!({}), r#"{"preset": "simple"}"#);
        assert_eq!(value["configuration"]["preset"], "simple");
        assert_eq!(value["phases"][0]["without"]["ok_percent"], Value::Null);
        assert_eq!(value["phases"][1]["without"]["p50_ms"], 2000);
        assert_eq!(value["total"]["with"]["retries"], 2);
        assert_eq!(value["total"]["with"]["standby_answers"], 5);
        assert_eq!(value["transitions"][0], json!({"at_ms": 9000, "from": "closed", "to": "open"}));
    }
}
