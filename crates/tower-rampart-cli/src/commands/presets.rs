//! `rampart presets`: which there are, and what each comes to for an operation, field by field.

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args as Arguments, Subcommand};
use serde_json::{Value, json};
use tower_rampart_config::{Context, PresetDefinition, Presets, ResilienceConfig};

use super::output::{self, Paint};
use crate::failure::Failure;

/// An operation that no preset configures, so that it has the base.
const BASE: &str = "default";

pub(crate) const NOTES: &str = "\
Sources: default (the machine's own), preset:NAME, strategy:NAME.

Examples:
  rampart presets
  rampart presets show production --operation qa";

/// What is asked about presets.
#[derive(Debug, Arguments)]
pub(crate) struct PresetsOptions {
    #[command(subcommand)]
    question: Option<Question>,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// List the presets (what `rampart presets` does alone).
    List,
    /// Show every field that a preset comes to, and where its value came from.
    Show {
        /// The preset.
        name: String,
        /// The operation; without it, what applies to all that have no configuration of their own.
        #[arg(long, value_name = "OP")]
        operation: Option<String>,
    },
}

/// Lists the presets or shows one.
///
/// # Errors
/// If no preset has the name.
pub(crate) fn run(options: &PresetsOptions, json: bool) -> Result<ExitCode, Failure> {
    let presets = Presets::builtin();
    match &options.question {
        None | Some(Question::List) => list(&presets, json)?,
        Some(Question::Show { name, operation }) => show(&presets, name, operation.as_deref(), json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(presets: &Presets, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&presets.iter().map(described).collect::<Vec<_>>());
    }
    let rows: Vec<_> = presets
        .iter()
        .map(|preset| {
            vec![
                preset.name.clone(),
                preset.retry_attempts.to_string(),
                preset.circuit_breaker_threshold.to_string(),
                format!("{} s", preset.recovery_timeout.as_secs()),
                preset.default_strategy.to_string(),
                contexts(preset).join(" "),
            ]
        })
        .collect();
    let heading = ["preset", "attempts", "threshold", "recovery", "strategy", "environments"];
    output::text(&output::table(Paint::of_output(), &heading, &rows))
}

fn described(preset: &PresetDefinition) -> Value {
    let operations: BTreeMap<&str, String> =
        preset.operation_overrides.iter().map(|(name, strategy)| (name.as_str(), strategy.to_string())).collect();
    json!({
        "name": preset.name,
        "description": preset.description,
        "retry_attempts": preset.retry_attempts,
        "circuit_breaker_threshold": preset.circuit_breaker_threshold,
        "recovery_timeout": preset.recovery_timeout.as_secs(),
        "default_strategy": preset.default_strategy.to_string(),
        "operation_overrides": operations,
        "environment_contexts": contexts(preset),
    })
}

fn contexts(preset: &PresetDefinition) -> Vec<&'static str> {
    preset.environment_contexts.iter().map(|it| Context::as_str(*it)).collect()
}

fn show(presets: &Presets, name: &str, operation: Option<&str>, json: bool) -> Result<(), Failure> {
    let unknown = || Failure::lines(vec![presets.find(name).err().map_or_else(String::new, |it| it.to_string())]);
    let preset = presets.get(name).ok_or_else(unknown)?;
    let config = presets.named(name).map_err(|_| unknown())?;
    let (resolved, sources) = resolve(&config, operation);
    if json {
        let sources: BTreeMap<String, String> = sources.into_iter().collect();
        return output::json(&json!({
            "preset": described(preset),
            "operation": operation,
            "config": resolved,
            "provenance": sources,
        }));
    }
    let rows: Vec<_> = sources
        .into_iter()
        .map(|(path, source)| {
            let value = path.split('.').fold(&resolved, |inner, name| &inner[name]);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![path, value, source]
        })
        .collect();
    let paint = Paint::of_output();
    let of = operation.map(|it| format!(" for {it}")).unwrap_or_default();
    let title = format!("{}{of}: {}\n", paint.bold(name), preset.description);
    output::text(&(title + &output::table(paint, &["field", "value", "from"], &rows)))
}

/// The configuration of an operation, and where the value of each field came from.
fn resolve(config: &ResilienceConfig, operation: Option<&str>) -> (Value, Vec<(String, String)>) {
    let name = operation.unwrap_or(BASE);
    let sources = config.provenance(name).into_iter().map(|(path, source)| (path, source.to_string())).collect();
    (config.operation(name).to_json(), sources)
}
