//! `rampart schema`: the document as JSON Schema, for editors.

use std::process::ExitCode;

use super::output;
use crate::failure::Failure;

pub(crate) const NOTES: &str = "\
What it cannot say (comparisons between fields, keys that stand twice, sizes), `rampart validate` does.

Example:
  rampart schema > resilience.schema.json";

/// Prints the schema.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    output::json(&tower_rampart_config::schema()).map(|()| ExitCode::SUCCESS)
}
