//! The work around calls: reading a document, and building the whole pipeline from a preset.

use std::hint::black_box;

use tower_rampart::{PresetBuilder, ResilienceConfig, ResilienceLayer};

use crate::{Failure, Subject};

/// A document with every section and two operations, as large as documents usually are.
pub const DOCUMENT: &str = r#"{
    "preset": "production", "retry_attempts": 4,
    "circuit_breaker": {"scope": "attempt", "failure_rate_threshold": 0.5, "recovery_timeout": "10s"},
    "rate_limit": {"requests_per_second": 200, "burst_size": 50},
    "concurrency": {"max_inflight": 64, "queue_size": 16, "queue_timeout": "250ms"},
    "timeout": {"attempt": "800ms", "total": "5s"},
    "operation_overrides": {"export": "critical", "search": {"retry_attempts": 2}}
}"#;

/// One piece of work and the time that it may take.
#[derive(Debug)]
#[non_exhaustive]
pub struct Work {
    /// The work.
    pub subject: Subject,
    /// Its budget in microseconds.
    pub budget_us: Option<f64>,
}

/// All of it.
///
/// # Errors
/// If the document is refused: then there is nothing to measure.
pub fn work() -> Result<Vec<Work>, Failure> {
    ResilienceConfig::from_json(DOCUMENT)?.operation("search");
    let _: ResilienceLayer = PresetBuilder::from_json(r#"{"preset": "production"}"#)?.build()?;
    let read = || ResilienceConfig::from_json(black_box(DOCUMENT)).map(|it| it.operation(black_box("search")).clone());
    let build = || -> Option<ResilienceLayer> { ResilienceLayer::from_preset(black_box("production")).ok() };
    Ok(vec![
        Work { subject: Subject::work("document: parse, validate, resolve", read), budget_us: Some(50.0) },
        Work { subject: Subject::work("preset to layer", build), budget_us: Some(20.0) },
    ])
}
