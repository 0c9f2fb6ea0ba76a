//! What the circuit did in the outage, read from its transitions. How they are caught is in `progress`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    phase::Phase,
    summary::{millis, wait},
};

/// A change of the circuit's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) at: Duration,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Transition {
    fn is(&self, from: &str, to: &str) -> bool {
        self.from == from && self.to == to
    }
}

/// The circuit from the beginning of the outage on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// How often it opened before the outage.
    pub(crate) opened_before: usize,
    /// How long after the beginning of the outage it opened first; `None` if it did not.
    pub(crate) opened: Option<Duration>,
    /// How many probes failed, which opened it again.
    pub(crate) failed_probes: usize,
    /// How long after the end of the outage it closed for good; `None` if it did not.
    pub(crate) closed: Option<Duration>,
}

impl Life {
    /// Reads the transitions, in the order of time, of a demonstration that took `total`.
    pub(crate) fn of(transitions: &[Transition], total: Duration) -> Self {
        let (begins, ends) = (Phase::Outage.begins(total), Phase::Recovery.begins(total));
        let (before, since): (Vec<_>, Vec<_>) = transitions.iter().partition(|it| it.at < begins);
        let opened = since.iter().find(|it| it.is("closed", "open"));
        let last = since.last().filter(|it| it.to == "closed" && it.at >= ends);
        Self {
            opened_before: before.iter().filter(|it| it.is("closed", "open")).count(),
            opened: opened.map(|it| it.at.saturating_sub(begins)),
            failed_probes: since.iter().filter(|it| it.is("half_open", "open")).count(),
            closed: last.map(|it| it.at.saturating_sub(ends)),
        }
    }

    /// What it did, in a sentence; `None` if it did not open.
    pub(crate) fn words(&self) -> Option<String> {
        let opened = wait(Some(self.opened?));
        let probes = match self.failed_probes {
            0 => String::new(),
            1 => ", tried the upstream once in vain".to_owned(),
            many => format!(", tried the upstream {many} times in vain"),
        };
        let closed = match self.closed {
            after @ Some(_) => format!(" and closed {} after its end", wait(after)),
            None => " and was not closed again in time".to_owned(),
        };
        let before = match self.opened_before {
            0 => String::new(),
            1 => "; it had opened once before".to_owned(),
            many => format!("; it had opened {many} times before"),
        };
        Some(format!("The circuit opened {opened} into the outage{probes}{closed}{before}."))
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "circuit_opened_before": self.opened_before,
            "circuit_opened_after_ms": self.opened.map(millis),
            "failed_probes": self.failed_probes,
            "circuit_closed_after_ms": self.closed.map(millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a demonstration of 15 s, whose outage is from 10 s to 12 s.
    fn life(transitions: &[(u64, &str, &str)]) -> Life {
        let transition = |(at, from, to): &(u64, &str, &str)| Transition {
            at: Duration::from_millis(*at),
            from: (*from).into(),
            to: (*to).into(),
        };
        Life::of(&transitions.iter().map(transition).collect::<Vec<_>>(), Duration::from_secs(15))
    }

    #[test]
    fn life_is_told_from_the_outage_on() {
        let life = life(&[
            (7000, "closed", "open"),
            (7500, "open", "half_open"),
            (7510, "half_open", "closed"),
            (10_500, "closed", "open"),
            (11_000, "open", "half_open"),
            (11_250, "half_open", "open"),
            (11_900, "open", "half_open"),
            (12_150, "half_open", "open"),
            (12_400, "open", "half_open"),
            (12_410, "half_open", "closed"),
        ]);
        assert_eq!(
            life.words().as_deref(),
            Some(
                "The circuit opened 500ms into the outage, tried the upstream 2 times in vain and closed 410ms after its end; \
                 it had opened once before."
            )
        );
        assert_eq!(
            life.json(),
            json!({"circuit_opened_before": 1, "circuit_opened_after_ms": 500, "failed_probes": 2, "circuit_closed_after_ms": 410})
        );
    }

    #[test]
    fn circuit_that_stays_open_is_not_called_closed() {
        let life = life(&[(10_500, "closed", "open"), (14_900, "open", "half_open")]);
        assert_eq!(
            life.words().as_deref(),
            Some("The circuit opened 500ms into the outage and was not closed again in time.")
        );
    }

    #[test]
    fn circuit_that_did_not_open_has_no_life_to_tell() {
        assert_eq!(life(&[]).words(), None);
        assert_eq!(life(&[(7000, "closed", "open"), (7500, "half_open", "closed")]).words(), None);
    }
}
