//! What a call through the pipeline costs over the bare service. The operations on configurations are in `suite`.

use std::{fmt::Display, hint::black_box, io, time::Duration};

use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_rampart::{BuildError, Preset, PresetBuilder, Timestamp};

/// How often the subjects take turns. A machine is noisy from one second to the next, so that only neighbours can be compared.
pub(crate) const ROUNDS: usize = 41;
/// The calls of one round.
pub(crate) const CALLS: u64 = 5000;

/// `production` with the stages that it leaves out; the limits are never reached.
const EVERY_STAGE: &str = r#"{"preset": "production", "rate_limit": {"requests_per_second": 1000000, "burst_size": 1000000},
    "concurrency": {"max_inflight": 1000}, "fallback": {"enabled": true}}"#;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMeasured {
    #[error("cannot start a runtime to measure on: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot build the pipeline to measure: {0}")]
    Build(#[from] BuildError),
    #[error("a call of '{subject}' failed where none should: {error}")]
    Call { subject: &'static str, error: String },
}

/// What a call of one subject costs: the median of the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) subject: &'static str,
    pub(crate) nanos: f64,
}

/// What a call costs, the bare service first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cost {
    pub(crate) lines: Vec<Line>,
}

impl Cost {
    /// Measures on a runtime of this thread.
    ///
    /// # Errors
    /// If there is no runtime, or a call fails.
    ///
    /// # Panics
    /// On a thread that runs a runtime already.
    pub(crate) fn measure(now: impl Fn() -> Timestamp + Copy + 'static) -> Result<Self, NotMeasured> {
        let runtime = Builder::new_current_thread().enable_time().build().map_err(NotMeasured::Runtime)?;
        let production = PresetBuilder::new(Preset::Production).build()?;
        let every_stage = PresetBuilder::from_json(EVERY_STAGE)?.fallback_value(0_u64).build()?;
        let bare = || service_fn(|n: u64| async move { Ok::<u64, io::Error>(n) });
        let mut subjects = [
            Subject::new("bare service", bare(), now),
            Subject::new("`production`", production.layer(bare()), now),
            Subject::new("every stage on", every_stage.layer(bare()), now),
        ];
        for _ in 0..ROUNDS {
            for subject in &mut subjects {
                let took =
                    (subject.round)(&runtime).map_err(|error| NotMeasured::Call { subject: subject.name, error })?;
                subject.rounds.push(took);
            }
        }
        Ok(Self { lines: subjects.map(Subject::line).to_vec() })
    }

    /// What each costs more than the bare service, in nanoseconds.
    pub(crate) fn over_bare(&self) -> impl Iterator<Item = (Line, f64)> {
        let floor = self.lines.first().map_or(0.0, |it| it.nanos);
        self.lines.iter().map(move |it| (*it, it.nanos - floor))
    }
}

/// One round of calls on a runtime: what it took, or what a call failed with.
type Round = dyn FnMut(&Runtime) -> Result<Duration, String>;

/// One subject and its rounds so far.
struct Subject {
    name: &'static str,
    round: Box<Round>,
    rounds: Vec<Duration>,
}

impl Subject {
    fn new<S>(name: &'static str, mut service: S, now: impl Fn() -> Timestamp + 'static) -> Self
    where
        S: Service<u64, Error: Display> + 'static,
    {
        let mut round = async move || {
            let began = now();
            for n in 0..CALLS {
                let service = service.ready().await.map_err(|error| error.to_string())?;
                black_box(service.call(black_box(n)).await.map_err(|error| error.to_string())?);
            }
            Ok(now().since(began))
        };
        Self { name, round: Box::new(move |runtime| runtime.block_on(round())), rounds: Vec::with_capacity(ROUNDS) }
    }

    fn line(mut self) -> Line {
        self.rounds.sort_unstable();
        let median = self.rounds.get(self.rounds.len() / 2).copied().unwrap_or_default();
        Line { subject: self.name, nanos: median.as_secs_f64() * 1e9 / CALLS as f64 }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static AT: Cell<u64> = const { Cell::new(0) };
    }

    #[test]
    fn cost_is_the_median_of_the_rounds_over_the_bare_service() {
        // Each reading of this clock lies 20 us behind the one before, so that each round takes as much.
        let now = || Timestamp::from_nanos(AT.replace(AT.get() + 20_000));
        let cost = Cost::measure(now).expect("there is a runtime");
        let lines: Vec<(&str, f64)> = cost.over_bare().map(|(line, over)| (line.subject, over)).collect();
        assert_eq!(lines, [("bare service", 0.0), ("`production`", 0.0), ("every stage on", 0.0)]);
        assert!(cost.lines.iter().all(|it| (it.nanos - 4.0).abs() < 1e-6), "{cost:?}");
    }

    #[test]
    fn failed_call_ends_the_round() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let broken = service_fn(|_: u64| async { Err::<(), _>("out of order") });
        let mut subject = Subject::new("broken", broken, || Timestamp::ZERO);
        assert_eq!((subject.round)(&runtime), Err("out of order".to_owned()));
    }

    #[test]
    fn median_is_that_of_the_sorted_rounds() {
        let rounds = [9, 1, 5].map(Duration::from_millis).to_vec();
        let subject = Subject { name: "a", round: Box::new(|_| Ok(Duration::ZERO)), rounds };
        assert_eq!(subject.line(), Line { subject: "a", nanos: 1000.0 });
    }
}
