//! The books: what the process under test says of itself, and whether that adds up, by itself and beside what the drivers and the upstream counted.

use std::{collections::BTreeMap, fs, io, net::SocketAddr, path::Path};

use super::{connect::ask, tally::Counts};

/// The samples of a metrics page, by name and labels as they stand there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books(BTreeMap<String, f64>);

impl Books {
    /// Reads them.
    ///
    /// # Errors
    /// If there is no page.
    pub(crate) async fn read(admin: SocketAddr) -> io::Result<Self> {
        let (status, text) = ask(admin, "GET", "/metrics", "").await?;
        if status != 200 {
            return Err(io::Error::other(format!("/metrics answers {status}")));
        }
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample =
            |line: &str| line.rsplit_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(Self(lines.filter_map(sample).collect()))
    }

    /// The sum of a family over the samples that have these labels.
    pub(crate) fn sum(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let is_family = |name: &str| name.split('{').next() == Some(family);
        let fits = |name: &str| is_family(name) && labels.iter().all(|label| name.contains(label.as_str()));
        self.0.iter().filter(|(name, _)| fits(name)).map(|(_, value)| value).sum()
    }

    /// The same of a counter.
    pub(crate) fn count(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(family, labels) as u64
    }

    /// What is in flight or waits, anywhere.
    pub(crate) fn in_flight(&self) -> f64 {
        let families = [
            "rampart_gateway_in_flight",
            "rampart_inflight",
            "rampart_concurrency_inflight",
            "rampart_concurrency_queued",
            "rampart_rate_queued",
            "rampart_gateway_upgraded_connections",
        ];
        families.iter().map(|family| self.sum(family, &[])).sum()
    }

    /// Whether any circuit is not closed.
    pub(crate) fn has_open_circuit(&self) -> bool {
        ["open", "half_open", "forced_open"]
            .iter()
            .any(|state| self.sum("rampart_circuit_state", &[("state", state)]) > 0.0)
    }

    /// Calls that an operation has ended: admitted and over, or refused.
    fn ended(&self, operation: &str) -> f64 {
        let operation = [("operation", operation)];
        self.sum("rampart_calls_total", &operation) + self.sum("rampart_rejections_total", &operation)
    }

    /// What does not add up once all is quiet.
    pub(crate) fn audit(&self, who: &Subject, driver: &Counts, behind: &Behind) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut hold = |name: &str, smaller: f64, greater: f64| {
            if smaller > greater {
                complaints.push(format!("{name}: {smaller} > {greater}"));
            }
        };
        hold("in flight", self.in_flight(), 0.0);
        let ended: f64 = who.fronts.iter().map(|operation| self.ended(operation)).sum();
        let attempts: f64 = who.backs.iter().map(|it| self.sum("rampart_attempts_total", &[("operation", it)])).sum();
        hold("answers to drivers <= calls ended", driver.answered() as f64, ended);
        hold("calls ended <= calls of drivers", ended, driver.calls as f64);
        hold("requests that came to the upstream <= attempts", behind.seen as f64, attempts);
        hold("answers of the upstream <= requests that came to it", driver.from_upstream as f64, behind.seen as f64);
        hold("calls that came more than once and must not", behind.repeated as f64, 0.0);
        if who.is_gateway {
            let mut all = 0.0;
            for class in 1..=5 {
                let label = format!("{class}xx");
                let gateway = self.sum("rampart_gateway_answers_total", &[("status", &label)]);
                let seen: u64 =
                    driver.answers.iter().filter(|(status, _)| **status / 100 == class).map(|it| it.1).sum();
                hold(&format!("{label} that drivers got <= that the gateway gave"), seen as f64, gateway);
                all += gateway;
            }
            hold("answers given <= calls ended", all, ended);
        }
        complaints
    }
}

/// Whose books they are.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) is_gateway: bool,
    /// The operations that clients' calls belong to.
    pub(crate) fronts: &'static [&'static str],
    /// The operations whose attempts go to the upstream.
    pub(crate) backs: &'static [&'static str],
}

/// What the upstream wrote down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Behind {
    pub(crate) seen: u64,
    /// Calls that came more than once though they may not.
    pub(crate) repeated: u64,
}

impl Behind {
    /// Reads it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let seen = fs::metadata(folder.join("seen"))?.len();
        let once = fs::read_to_string(folder.join("once"))?;
        let mut calls: Vec<&str> = once.lines().collect();
        calls.sort_unstable();
        let repeated = calls.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        Ok(Self { seen, repeated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(text: &str) -> Books {
        Books(
            text.lines()
                .filter_map(|line| line.rsplit_once(' '))
                .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
                .collect(),
        )
    }

    const GATEWAY: Subject = Subject { name: "gateway", is_gateway: true, fronts: &["default"], backs: &["default"] };

    fn driver() -> Counts {
        Counts { calls: 5, answers: [(200, 3), (503, 1)].into(), from_upstream: 3, ..Counts::default() }
    }

    const GOOD: &str = "rampart_calls_total{operation=\"default\",outcome=\"success\"} 3\n\
        rampart_rejections_total{operation=\"default\",stage=\"circuit_breaker\"} 2\n\
        rampart_attempts_total{operation=\"default\"} 4\n\
        rampart_gateway_answers_total{status=\"2xx\"} 3\n\
        rampart_gateway_answers_total{status=\"5xx\"} 2\n\
        rampart_inflight{operation=\"default\"} 0\n";

    #[test]
    fn books_that_balance_give_no_complaint() {
        assert_eq!(books(GOOD).audit(&GATEWAY, &driver(), &Behind { seen: 4, repeated: 0 }), Vec::<String>::new());
    }

    #[test]
    fn each_imbalance_is_named() {
        for (from, to, complaint) in [
            ("rampart_inflight{operation=\"default\"} 0", "rampart_inflight{operation=\"default\"} 1", "in flight"),
            ("outcome=\"success\"} 3", "outcome=\"success\"} 4", "calls ended <= calls of drivers"),
            ("outcome=\"success\"} 3", "outcome=\"success\"} 1", "answers to drivers <= calls ended"),
            (
                "attempts_total{operation=\"default\"} 4",
                "attempts_total{operation=\"default\"} 3",
                "requests that came",
            ),
            ("status=\"2xx\"} 3", "status=\"2xx\"} 2", "2xx that drivers got"),
            ("status=\"5xx\"} 2", "status=\"5xx\"} 3", "answers given"),
        ] {
            let complaints =
                books(&GOOD.replace(from, to)).audit(&GATEWAY, &driver(), &Behind { seen: 4, repeated: 0 });
            assert!(complaints.iter().any(|it| it.starts_with(complaint)), "{complaint}: {complaints:?}");
        }
        let complaints = books(GOOD).audit(&GATEWAY, &driver(), &Behind { seen: 2, repeated: 1 });
        assert_eq!(complaints.len(), 2, "{complaints:?}");
    }
}
