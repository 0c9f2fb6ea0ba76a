//! `rampart recommend`: which preset an environment calls for.

use std::process::ExitCode;

use clap::Args as Arguments;
use tower_rampart_config::{Surroundings, recommend_auto, recommend_named};

use super::output::{self, Paint};
use crate::failure::Failure;

pub(crate) const NOTES: &str = "\
Without a name, the variables of the process (ENVIRONMENT, NODE_ENV, DEBUG, HOSTNAME and others), those of a file .env, and the \
files of the working directory decide. Only whole words count: `delivery` says nothing.

Examples:
  rampart recommend us-prod-2
  ENVIRONMENT=staging rampart recommend --json";

/// What is asked about an environment.
#[derive(Debug, Arguments)]
pub(crate) struct RecommendOptions {
    /// The environment's name; without it, what surrounds the process.
    #[arg(value_name = "ENVIRONMENT", allow_hyphen_values = true)]
    environment: Option<String>,
}

/// Recommends a preset.
///
/// # Errors
/// If a file `.env` is there and cannot be read.
pub(crate) fn run(options: &RecommendOptions, json: bool) -> Result<ExitCode, Failure> {
    let found = match &options.environment {
        Some(name) => recommend_named(name),
        None => recommend_auto(&Surroundings::of_process().map_err(|error| Failure::of_config(&error))?),
    };
    if json {
        output::json(&found)?;
    } else {
        let preset = Paint::of_output().bold(&found.recommended_preset);
        output::text(&format!(
            "{preset} for {}, confidence {}\n{}\nother presets: {}\n",
            found.environment_detected.trim(),
            found.confidence,
            found.reasoning,
            found
                .available_presets
                .iter()
                .filter(|it| **it != found.recommended_preset)
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
