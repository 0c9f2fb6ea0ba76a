//! `rampart bench`: what configuration costs, by the seven operations of the described system, and what a call through the pipeline costs. How it is shown is in
//! `table` and `json`; the suite is that of the management API.

mod json;
mod pipeline;
mod table;

use std::io::Write as _;

use tower_rampart_admin::performance::{Operation, Plan, Suite};

use self::pipeline::Cost;
use crate::{args::BenchOptions, failure::Failure};

/// Measures, and shows what came of it.
///
/// # Errors
/// If the pipeline cannot be measured, because no runtime can be had.
pub(crate) fn run(options: &BenchOptions, as_json: bool) -> Result<(), Failure> {
    let operations = if options.operations.is_empty() { &Operation::ALL[..] } else { &options.operations };
    let subjects = operations.iter().map(|it| (*it).into());
    let suite = Suite::run(subjects, &Plan::new(options.iterations), &tower_rampart::clock::now);
    let cost = Cost::measure(tower_rampart::clock::now).map_err(|error| Failure::new(error.to_string()))?;
    let text = if as_json { format!("{}\n", json::render(&suite, &cost)) } else { table::render(&suite, &cost) };
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}
