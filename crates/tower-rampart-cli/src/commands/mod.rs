//! The commands that look at configurations and run nothing. What they say comes from `tower_rampart_config`; here it is asked for and printed.

mod generate;
mod migrate;
mod output;
mod presets;
mod recommend;
mod schema;
mod validate;

pub(crate) use generate::{CompletionsOptions, ManOptions, completions, man};
pub(crate) use migrate::{MigrateOptions, run as migrate};
pub(crate) use presets::{PresetsOptions, run as presets};
pub(crate) use recommend::{RecommendOptions, run as recommend};
pub(crate) use schema::run as schema;
pub(crate) use validate::{ValidateOptions, run as validate};

/// What `--help` says below the options, by command.
pub(crate) mod notes {
    pub(crate) use super::{
        generate::{COMPLETIONS_NOTES as COMPLETIONS, MAN_NOTES as MAN},
        migrate::NOTES as MIGRATE,
        presets::NOTES as PRESETS,
        recommend::NOTES as RECOMMEND,
        schema::NOTES as SCHEMA,
        validate::NOTES as VALIDATE,
    };
}
