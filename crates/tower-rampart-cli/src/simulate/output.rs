//! Where the lines of a replay go: to standard output as they come, or side by side into a comparison; and into the timelines of the page.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;
use tower_rampart_config::ConfigError;

use super::{
    compare::Comparison,
    record::{Ended, Observed, Refused},
    summary::Summary,
};
use crate::failure::Failure;

/// Writes JSON Lines.
pub(crate) struct Output<W> {
    writer: W,
    /// The names of both configurations, and what differs between them.
    comparison: Option<(Comparison, [String; 2])>,
}

impl<W: Write> Output<W> {
    /// Every line of the one configuration.
    pub(crate) fn lines(writer: W) -> Self {
        Self { writer, comparison: None }
    }

    /// What differs between two configurations.
    pub(crate) fn comparison(writer: W, names: [String; 2]) -> Self {
        Self { writer, comparison: Some((Comparison::default(), names)) }
    }

    pub(crate) fn ended(&mut self, lane: usize, ended: Ended) -> Result<(), Failure> {
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

    pub(crate) fn refused(
        &mut self,
        lane: usize,
        reload: u64,
        at_ms: u64,
        error: &ConfigError,
    ) -> Result<(), Failure> {
        let name = self.comparison.as_ref().map(|(_, names)| names[lane].clone());
        self.line(&Refused { config: name.as_deref(), ..Refused::new(reload, at_ms, error) })
    }

    /// The last lines.
    pub(crate) fn finish(&mut self, summaries: &[Summary]) -> Result<(), Failure> {
        match self.comparison.take() {
            None => {
                for summary in summaries {
                    self.line(&json!({"summary": summary}))?;
                }
            }
            Some((comparison, names)) => {
                for difference in comparison.first() {
                    self.line(difference)?;
                }
                self.line(&json!({"differing_calls": comparison.count(), "shown": comparison.first().len()}))?;
                for (name, summary) in names.iter().zip(summaries) {
                    self.line(&json!({"summary": summary, "config": name}))?;
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
