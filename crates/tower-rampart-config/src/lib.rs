//! The configuration document of `tower-rampart`: parsing, validation, presets, strategies and the provenance of each field.
//!
//! A document is one JSON object over a preset. [`validate()`] says all that is wrong with it; [`ResilienceConfig`] is one that nothing is wrong with,
//! and resolves for each operation into the very structs of `tower-rampart-core` that the machines run on. Nothing here reads a clock or knows a runtime.
//!
//! | question | answer |
//! |---|---|
//! | what does the environment say? | [`ResilienceConfig::from_env`], [`Loaded`] with its warnings, [`migrate`] out of older variables |
//! | which preset fits here? | [`recommend_named`], [`recommend_auto`] |
//! | where to begin? | [`Template`], [`suggest`], [`validate_template`] |
//! | what may a document hold? | [`fields()`], [`schema()`] |
//! | what can a valid one not do? | [`lint()`] |
//! | what would a reload change? | [`diff()`], [`etag`] |
//!
//! ```
//! use tower_rampart_config::{Preset, ResilienceConfig};
//!
//! let config = ResilienceConfig::over(Preset::Production, r#"{"rate_limit": {"requests_per_second": 50}}"#)?;
//! let summarize = config.operation("summarize");
//! assert_eq!(summarize.retry.max_attempts, 5);
//! assert_eq!(summarize.rate_limit.burst_size, 50);
//! # Ok::<(), tower_rampart_config::ConfigError>(())
//! ```

mod capability;
mod check;
mod config;
mod diff;
mod document;
mod dotenv;
mod duration;
mod env;
mod error;
mod field;
mod forbidden;
mod gateway;
mod info;
mod keys;
mod kind;
mod legacy;
mod limits;
mod lint;
mod monitoring;
mod names;
mod operation;
mod parse;
mod patch;
mod preset;
mod presets;
mod print;
mod recommend;
mod resolve;
mod result;
mod schema;
mod source;
mod strategy;
mod surroundings;
mod template;
mod validate;
mod value;
mod violation;

pub use capability::{Capabilities, Capability};
pub use config::ResilienceConfig;
pub use diff::{Change, diff, etag};
pub use env::Loaded;
pub use error::ConfigError;
pub use forbidden::forbidden_patterns;
pub use gateway::{GatewayConfig, Route, RouteMatch};
pub use info::{FieldInfo, fields};
pub use keys::{KeySource, KeysConfig, StageKeys};
pub use legacy::{Migration, migrate, shell_quoted};
pub use limits::Limits;
pub use lint::{Lint, LintInput, lint};
pub use monitoring::{MonitoringConfig, MonitoringThresholds};
pub use operation::{
    ClassifyConfig, FallbackAnswer, HttpCacheConfig, HttpConfig, NestedRetryConfig, OperationConfig, OutcomeAt, Profile,
};
pub use preset::{Context, Preset, PresetDefinition, UnknownPreset};
pub use presets::Presets;
pub use recommend::{Recommendation, recommend_auto, recommend_named};
pub use result::{SecurityInfo, ValidationResult};
pub use schema::schema;
pub use source::Source;
pub use strategy::{Strategy, StrategyNumbers, UnknownStrategy};
pub use surroundings::Surroundings;
pub use template::{Suggestion, Template, UnknownTemplate, suggest, validate_template};
pub use validate::validate;
pub use violation::{Violation, ViolationCode};
