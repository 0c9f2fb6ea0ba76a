//! `rampart validate`: all that is wrong with a document, and what is only doubtful.

use std::{
    fs::File,
    io::{Read, stdin},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args as Arguments, ValueEnum};
use serde::Serialize;
use tower_rampart::clock;
use tower_rampart_config::{
    Capabilities, Capability, Limits, Lint, LintInput, ResilienceConfig, ValidationResult, lint, validate,
};

use super::output::{self, Paint};
use crate::{failure::Failure, serve::document};

/// The most that is read: enough to tell how much too long a document is, and no more.
const MAX_BYTES: u64 = 1024 * 1024;

/// The exit code for a document that is not valid.
const INVALID: u8 = 1;

pub(crate) const NOTES: &str = "\
A document has at most 4096 bytes here, as in the environment and the management API.
Exit code 1 if it is not valid. Findings of --lint (L001 and on) leave it valid.

Example:
  rampart validate resilience.json --operations qa,summarize --lint --replicas 4";

/// What is examined.
#[derive(Debug, Arguments)]
pub(crate) struct ValidateOptions {
    /// The document (JSON); `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The operations that exist; overrides for others are errors then.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    operations: Option<Vec<String>>,
    /// What the document is for: it may only ask for what that can do.
    #[arg(long, value_enum, default_value_t = Host::Http)]
    host: Host,
    /// Take it for a host that serves the section `chaos`, as `rampart serve --allow-chaos` does.
    #[arg(long)]
    allow_chaos: bool,
    /// Say as well what is valid and cannot work, with the arithmetic.
    #[arg(long)]
    lint: bool,
    /// Logical calls a second that all replicas get together, for --lint.
    #[arg(long, value_name = "N", requires = "lint")]
    calls_per_second: Option<f64>,
    /// Processes that run the configuration side by side, for --lint.
    #[arg(long, value_name = "N", requires = "lint", value_parser = clap::value_parser!(u32).range(1..))]
    replicas: Option<u32>,
}

/// Who runs a document.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Host {
    /// An HTTP service or client behind the layers.
    Http,
    /// A gRPC service or client behind the layers.
    Grpc,
    /// A plain function or a generic service.
    Function,
    /// `rampart serve`.
    Gateway,
}

impl Host {
    fn capabilities(self) -> Capabilities {
        match self {
            Self::Http => Capabilities::http(),
            Self::Grpc => Capabilities::grpc(),
            Self::Function => Capabilities::function(),
            Self::Gateway => document::capabilities(),
        }
    }
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    result: &'a ValidationResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    lint: Option<&'a [Lint]>,
}

/// Says what is wrong with a document.
///
/// # Errors
/// If the document cannot be read.
pub(crate) fn run(options: &ValidateOptions, json: bool) -> Result<ExitCode, Failure> {
    if options.calls_per_second.is_some_and(|it| !it.is_finite() || it <= 0.0) {
        return Err(Failure::new("--calls-per-second must be a number above 0"));
    }
    let text = read(&options.file)?;
    let operations: Option<Vec<&str>> = options.operations.as_ref().map(|it| it.iter().map(String::as_str).collect());
    let host = options.host.capabilities();
    let host = if options.allow_chaos { host.with(Capability::Chaos) } else { host };
    let result = validate(&text, Limits::text(), &host, operations.as_deref()).at(clock::wall());
    let input = LintInput { calls_per_second: options.calls_per_second, replicas: options.replicas };
    // A document that is not valid is no configuration, so there is nothing to look at.
    let config = if options.lint { ResilienceConfig::from_json(&text).ok() } else { None };
    let findings = options.lint.then(|| config.map(|it| lint(&it, &input)).unwrap_or_default());
    if json {
        output::json(&Report { result: &result, lint: findings.as_deref() })?;
    } else {
        output::text(&listed(&result, findings.as_deref().unwrap_or_default()))?;
    }
    Ok(if result.is_valid { ExitCode::SUCCESS } else { ExitCode::from(INVALID) })
}

fn listed(result: &ValidationResult, findings: &[Lint]) -> String {
    let paint = Paint::of_output();
    let security = &result.security_info;
    let size = format!("{} of at most {} bytes", security.size_bytes, security.max_size_bytes);
    let mut lines = vec![if result.is_valid {
        format!("{} ({size}, {} fields)", paint.good("valid"), security.field_count)
    } else {
        format!("{} ({size}): {} wrong", paint.bad("not valid"), result.violations.len())
    }];
    lines.extend(result.violations.iter().map(|it| format!("  {} {it}", paint.bad("error"))));
    lines.extend(result.warnings.iter().map(|it| format!("  {} {it}", paint.doubtful("warning"))));
    for finding in findings {
        let operation = finding.operation.as_ref().map(|it| format!(" of {it}")).unwrap_or_default();
        lines.push(format!(
            "  {} {}{operation}: {} ({})",
            paint.doubtful(finding.code),
            finding.path,
            finding.message,
            finding.suggestion
        ));
    }
    lines.join("\n") + "\n"
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let (name, read) = if path == Path::new("-") {
        ("standard input".to_owned(), stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes))
    } else {
        let file = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        (path.display().to_string(), file)
    };
    read.map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        // The end may have been cut off in the middle of a character; what is too long is refused anyway.
        Err(error) if error.as_bytes().len() as u64 == MAX_BYTES => {
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
        Err(_) => Err(Failure::new(format!("{name} is not UTF-8 text"))),
    }
}
