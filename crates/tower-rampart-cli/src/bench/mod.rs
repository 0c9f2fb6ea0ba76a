//! `rampart bench`: what configuration costs, by the seven operations of the described system, and what a call through the pipeline costs. How it is shown is in
//! `table` and `json`; `suite` and `pipeline` print nothing.

mod json;
mod measure;
mod operation;
mod pipeline;
mod suite;
mod table;

use std::io::Write as _;

pub(crate) use self::operation::Operation;
use self::{pipeline::Cost, suite::Suite};
use crate::{args::BenchOptions, failure::Failure};

/// Measures, and shows what came of it.
///
/// # Errors
/// If the pipeline cannot be measured, because no runtime can be had.
pub(crate) fn run(options: &BenchOptions, as_json: bool) -> Result<(), Failure> {
    let operations = if options.operations.is_empty() { &Operation::ALL[..] } else { &options.operations };
    let suite = Suite::run(operations, options.iterations, tower_rampart::clock::now);
    let cost = Cost::measure(tower_rampart::clock::now).map_err(|error| Failure::new(error.to_string()))?;
    let text =
        if as_json { format!("{}\n", json::render(&suite, &cost)) } else { table::render(&suite, &cost, build()) };
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

/// How this program was built, which decides what the numbers are worth.
const fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}
