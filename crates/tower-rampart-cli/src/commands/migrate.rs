//! `rampart migrate`: what to put in the place of the variables that older systems were configured by.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args as Arguments;
use serde_json::Value;
use tower_rampart_config::{Migration, Surroundings, migrate};

use super::output::{self, Paint};
use crate::failure::Failure;

pub(crate) const NOTES: &str = "\
The variables are RETRY_*, CIRCUIT_BREAKER_* and *_RESILIENCE_STRATEGY, of the process and of a file .env. Nothing is changed but \
the file of --write, and that only if there is nothing in it.

Example:
  RETRY_MAX_ATTEMPTS=4 rampart migrate --write resilience.json";

/// What becomes of the document.
#[derive(Debug, Arguments)]
pub(crate) struct MigrateOptions {
    /// Write the document to this file, which must not be there or be empty.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Says what to put in the place of the legacy variables.
///
/// # Errors
/// If one of them has a value that is none, or the file cannot be written.
pub(crate) fn run(options: &MigrateOptions, json: bool) -> Result<ExitCode, Failure> {
    let migration = Surroundings::of_process()
        .and_then(|surroundings| migrate(&surroundings))
        .map_err(|error| Failure::of_config(&error))?;
    let written = match (&options.write, &migration.document) {
        (Some(path), Some(document)) => {
            write(path, document)?;
            Some(path.as_path())
        }
        _ => None,
    };
    if json {
        output::json(&migration)?;
    } else {
        output::text(&told(&migration, written)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, document: &Value) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new(format!("cannot write {}: {error}", path.display()));
    if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Err(refused(&"it is there already, and not empty"));
    }
    let text = output::pretty(document)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| refused(&error))
}

fn told(migration: &Migration, written: Option<&Path>) -> Result<String, Failure> {
    let paint = Paint::of_output();
    let mut lines = vec![migration.recommendation.clone()];
    lines.extend(migration.warnings.iter().map(|it| format!("{} {it}", paint.doubtful("warning"))));
    if let Some(document) = &migration.document {
        let scores = migration.preset_similarity_scores.iter();
        let rows: Vec<_> = scores.map(|(name, score)| vec![name.clone(), format!("{:.0} %", score * 100.0)]).collect();
        lines.extend([String::new(), output::table(paint, &["preset", "similarity"], &rows)]);
        let file = written.map(|path| format!(", written to {}", path.display())).unwrap_or_default();
        lines.extend([paint.bold(&format!("The document{file}:")), output::pretty(document)?]);
        lines.push(paint.bold("To put it in force, in a shell:"));
        lines.extend(migration.shell_lines.iter().cloned());
        lines.extend([String::new(), paint.bold("To go back:")]);
        lines.extend(migration.rollback_lines.iter().cloned());
    }
    Ok(lines.join("\n") + "\n")
}
