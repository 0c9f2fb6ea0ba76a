//! Where the lines of a replay go: to standard output as they come, or side by side into a comparison; and into the timelines of the page.

use std::io::{self, Write};

use serde::Serialize;
use tower_rampart_config::ConfigError;

use super::{
    compare::Comparison,
    nodes::{Second, SecondLine},
    record::{End, Observed, Refused},
    summary::Summary,
    timeline::Timeline,
};
use crate::failure::Failure;

#[derive(Serialize)]
struct Total<'a> {
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a str>,
}

#[derive(Serialize)]
struct Differing {
    differing_calls: u64,
    shown: usize,
}

/// Writes JSON Lines.
pub(crate) struct Output<W> {
    writer: W,
    /// The names of both configurations, and what differs between them.
    comparison: Option<(Comparison, [String; 2])>,
    /// One a configuration, if a page is asked for.
    timelines: Vec<Timeline>,
}

impl<W: Write> Output<W> {
    /// Every line of the one configuration.
    pub(crate) fn lines(writer: W) -> Self {
        Self { writer, comparison: None, timelines: Vec::new() }
    }

    /// What differs between two configurations.
    pub(crate) fn comparison(writer: W, names: [String; 2]) -> Self {
        Self { writer, comparison: Some((Comparison::default(), names)), timelines: Vec::new() }
    }

    /// Draws these as well.
    pub(crate) fn with_timelines(self, timelines: Vec<Timeline>) -> Self {
        Self { timelines, ..self }
    }

    pub(crate) fn timelines(&self) -> &[Timeline] {
        &self.timelines
    }

    /// Takes note of what somebody did to the pipeline.
    pub(crate) fn mark(&mut self, at_ms: u64, what: &'static str) {
        self.timelines.iter_mut().for_each(|it| it.mark(at_ms, what));
    }

    pub(crate) fn ended(&mut self, lane: usize, ended: End) -> Result<(), Failure> {
        if let Some(timeline) = self.timelines.get_mut(lane) {
            timeline.ended(&ended);
        }
        match &mut self.comparison {
            None => self.line(&ended),
            Some((comparison, _)) => {
                comparison.ended(lane, ended);
                Ok(())
            }
        }
    }

    /// Observations are of one configuration; a comparison has none.
    pub(crate) fn observed(&mut self, _lane: usize, observed: &Observed) -> Result<(), Failure> {
        if self.comparison.is_some() { Ok(()) } else { self.line(observed) }
    }

    /// A second of the fleet of one configuration.
    pub(crate) fn second(&mut self, lane: usize, second: &Second) -> Result<(), Failure> {
        let name = self.comparison.as_ref().map(|(_, names)| names[lane].clone());
        self.line(&SecondLine { second, config: name.as_deref() })
    }

    pub(crate) fn refused(&mut self, lane: usize, reload: u64, at_ms: u64, error: &ConfigError) -> Result<(), Failure> {
        let name = self.comparison.as_ref().map(|(_, names)| names[lane].clone());
        self.line(&Refused { config: name.as_deref(), ..Refused::new(reload, at_ms, error) })
    }

    /// The last lines.
    pub(crate) fn finish(&mut self, summaries: &[Summary]) -> Result<(), Failure> {
        match self.comparison.take() {
            None => {
                for summary in summaries {
                    self.line(&Total { summary, config: None })?;
                }
            }
            Some((comparison, names)) => {
                for difference in comparison.first() {
                    self.line(difference)?;
                }
                let (differing_calls, shown) = (comparison.count(), comparison.first().len());
                self.line(&Differing { differing_calls, shown })?;
                for (name, summary) in names.iter().zip(summaries) {
                    self.line(&Total { summary, config: Some(name) })?;
                }
            }
        }
        self.writer.flush().map_err(cannot_write)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.writer, line)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"))
            .map_err(cannot_write)
    }
}

/// A reader that has seen enough (`| head`) needs no message.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn cannot_write(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::lines(Vec::new());
    }
    Failure::new(format!("cannot write to standard output: {error}"))
}
