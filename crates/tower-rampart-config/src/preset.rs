//! The presets: three built in, more registered at run time; what a preset's strategy means is in `strategy.rs`.

use std::{fmt, str::FromStr, time::Duration};

use crate::{Strategy, names};

/// A built-in preset.
///
/// | | simple | development | production |
/// |---|---|---|---|
/// | attempts / threshold / recovery | 3 / 5 / 60 s | 2 / 3 / 30 s | 5 / 10 / 120 s |
/// | strategy | balanced | aggressive | conservative |
/// | backoff base / min / max | 1 / 2 / 10 s | 0.5 / 1 / 5 s | 1.5 / 2 / 30 s |
/// | total / attempt timeout | 60 / 30 s | 40 / 10 s | 100 / 30 s |
///
/// # Examples
/// ```
/// use tower_rampart_config::Preset;
///
/// assert_eq!("production".parse(), Ok(Preset::Production));
/// let refused = "prod".parse::<Preset>().unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "Invalid preset 'prod'. Available: ['simple', 'development', 'production']. Did you mean 'production'?"
/// );
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Preset {
    /// Balanced, for most uses.
    #[default]
    Simple,
    /// Fails fast, for quick feedback.
    Development,
    /// Patient, for what users rely on.
    Production,
}

impl Preset {
    /// All built-in presets.
    pub const ALL: [Self; 3] = [Self::Simple, Self::Development, Self::Production];

    /// The name, lower case and exact.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Development => "development",
            Self::Production => "production",
        }
    }

    /// What the preset says.
    pub fn definition(self) -> PresetDefinition {
        use Strategy::{Aggressive, Balanced, Conservative, Critical};
        let (description, attempts, threshold, recovery, strategy) = match self {
            Self::Simple => ("Balanced settings for most uses", 3, 5, 60, Balanced),
            Self::Development => ("Fast failure for quick feedback while developing", 2, 3, 30, Aggressive),
            Self::Production => ("High reliability for production traffic", 5, 10, 120, Conservative),
        };
        let overrides: &[(&str, Strategy)] = match self {
            Self::Simple => &[],
            Self::Development => &[("sentiment", Aggressive), ("qa", Balanced)],
            Self::Production => &[
                ("qa", Critical),
                ("sentiment", Aggressive),
                ("summarize", Conservative),
                ("key_points", Balanced),
                ("questions", Balanced),
            ],
        };
        let contexts: &[Context] = match self {
            Self::Simple => &Context::ALL,
            Self::Development => &[Context::Development, Context::Testing],
            Self::Production => &[Context::Production, Context::Staging],
        };
        PresetDefinition {
            name: self.as_str().to_owned(),
            description: description.to_owned(),
            retry_attempts: attempts,
            circuit_breaker_threshold: threshold,
            recovery_timeout: Duration::from_secs(recovery),
            default_strategy: strategy,
            operation_overrides: overrides.iter().map(|(name, it)| ((*name).to_owned(), *it)).collect(),
            environment_contexts: contexts.to_vec(),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == name)
            .ok_or_else(|| UnknownPreset::new(name, Self::ALL.map(Self::as_str)))
    }
}

/// The error of a name that no preset has; names are lower case and exact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownPreset {
    /// The name that was given.
    pub name: String,
    /// The names that there are.
    pub available: Vec<String>,
    /// The nearest of them, if one is near.
    pub nearest: Option<String>,
}

impl UnknownPreset {
    pub(crate) fn new<'a>(name: &str, available: impl IntoIterator<Item = &'a str>) -> Self {
        let available: Vec<&str> = available.into_iter().collect();
        let nearest = names::nearest(name, available.iter().copied()).map(ToOwned::to_owned);
        Self { name: name.to_owned(), available: available.into_iter().map(ToOwned::to_owned).collect(), nearest }
    }

    /// The refusal without the suggestion.
    pub fn message(&self) -> String {
        let available: Vec<String> = self.available.iter().map(|it| format!("'{it}'")).collect();
        format!("Invalid preset '{}'. Available: [{}]", names::shown(&self.name), available.join(", "))
    }

    /// The suggestion alone.
    pub fn suggestion(&self) -> Option<String> {
        self.nearest.as_ref().map(|it| format!("Did you mean '{it}'?"))
    }
}

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match self.suggestion() {
            Some(suggestion) => write!(f, ". {suggestion}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownPreset {}

/// An environment that a preset is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// A developer's machine.
    Development,
    /// Automated tests.
    Testing,
    /// The rehearsal of production.
    Staging,
    /// What users rely on.
    Production,
}

impl Context {
    /// All environments.
    pub const ALL: [Self; 4] = [Self::Development, Self::Testing, Self::Staging, Self::Production];

    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Testing => "testing",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// What a preset says, built in or registered: all fields are required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetDefinition {
    /// The name: 1 to 50 of `a-z`, `0-9`, `_` and `-`, beginning with a letter.
    pub name: String,
    /// What it is for, 1 to 200 characters.
    pub description: String,
    /// The most attempts of one call, 1 to 10.
    pub retry_attempts: u32,
    /// Consecutive failures that open the circuit, 1 to 20.
    pub circuit_breaker_threshold: u32,
    /// How long the circuit stays open, 10 to 300 s.
    pub recovery_timeout: Duration,
    /// The strategy whose backoff it has.
    pub default_strategy: Strategy,
    /// The operations with a strategy of their own, at most 50.
    pub operation_overrides: Vec<(String, Strategy)>,
    /// The environments that it is meant for; at least one, none twice.
    pub environment_contexts: Vec<Context>,
}

/// What [`PresetDefinition::default_strategy`] adds to the numbers of the preset itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expansion {
    pub(crate) base: Duration,
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    pub(crate) total: Duration,
    pub(crate) attempt: Duration,
}

impl PresetDefinition {
    /// The backoff and the timeouts of the preset: 20 s of total time for each attempt, at most 120 s.
    pub(crate) fn expand(&self) -> Expansion {
        let s = Duration::from_secs;
        let (base, min, max, attempt) = match self.default_strategy {
            Strategy::Aggressive => (Duration::from_millis(500), s(1), s(5), s(10)),
            Strategy::Balanced => (s(1), s(2), s(10), s(30)),
            Strategy::Conservative | Strategy::Critical => (Duration::from_millis(1500), s(2), s(30), s(30)),
        };
        let total = s(20).saturating_mul(self.retry_attempts).min(s(120));
        Expansion { base, min, max, total, attempt }
    }
}
