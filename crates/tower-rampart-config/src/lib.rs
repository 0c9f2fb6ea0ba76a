//! The configuration document of `tower-rampart`: parsing, validation, presets, strategies and the provenance of each field.

mod config;
mod names;
mod operation;
mod preset;
mod strategy;

pub use config::ResilienceConfig;
pub use operation::{ClassifyConfig, FallbackAnswer, HttpConfig, OperationConfig, OutcomeAt, Profile};
pub use preset::{Context, Preset, PresetDefinition, UnknownPreset};
pub use strategy::{Strategy, StrategyNumbers, UnknownStrategy};
