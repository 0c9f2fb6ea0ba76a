//! Which preset an environment calls for, by its name or by what surrounds the process. The words that count are in `recommend/words.rs`; what is read
//! of the process is in `surroundings.rs`.

mod words;

use serde::Serialize;

use crate::{Context, Preset, Presets, Surroundings};
use words::groups;

/// What detection says when it knows nothing, and the confidence of that.
const UNKNOWN: (&str, f64) = ("unknown", 0.5);
/// What each further signal for the same environment adds, and the most that all of them make of it.
const AGREEMENT: (f64, f64) = (0.05, 0.98);
/// What one signal above the first number for another environment leaves of the confidence.
const DOUBT: (f64, f64) = (0.70, 0.85);

/// Environments by their exact names, with the confidence that the name gives.
const NAMED: [(&str, Context, f64); 9] = [
    ("development", Context::Development, 0.95),
    ("dev", Context::Development, 0.90),
    ("testing", Context::Testing, 0.85),
    ("test", Context::Testing, 0.85),
    ("staging", Context::Staging, 0.90),
    ("stage", Context::Staging, 0.85),
    ("production", Context::Production, 0.95),
    ("prod", Context::Production, 0.90),
    ("live", Context::Production, 0.85),
];

/// Variables that hold nothing but an environment's name, in the order in which they are asked, with the confidence of their answer.
const NAMES: [(&str, f64); 8] = [
    ("ENVIRONMENT", 0.95),
    ("NODE_ENV", 0.85),
    ("FLASK_ENV", 0.85),
    ("APP_ENV", 0.85),
    ("ENV", 0.85),
    ("DEPLOYMENT_ENV", 0.85),
    ("DJANGO_SETTINGS_MODULE", 0.85),
    ("RAILS_ENV", 0.85),
];

/// Switches that hint at an environment, and the confidence of the hint.
const SWITCHES: [(&str, &str, Context, f64); 6] = [
    ("DEBUG", "true", Context::Development, 0.70),
    ("DEBUG", "1", Context::Development, 0.70),
    ("PRODUCTION", "true", Context::Production, 0.75),
    ("PROD", "true", Context::Production, 0.75),
    ("DEBUG", "false", Context::Production, 0.75),
    ("DEBUG", "0", Context::Production, 0.75),
];

/// Files of the working directory that hint at development.
const FILES: [&str; 3] = [".env", ".git", "docker-compose.dev.yml"];
const FILE_CONFIDENCE: f64 = 0.70;

/// Whether detection looks at a variable.
pub(crate) fn is_signal(name: &str) -> bool {
    name == "HOSTNAME" || NAMES.iter().any(|it| it.0 == name) || SWITCHES.iter().any(|it| it.0 == name)
}

/// A preset for an environment, and how sure that is.
///
/// As JSON: `{environment_detected, recommended_preset, confidence, reasoning, available_presets[], auto_detected}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recommendation {
    /// The name that was given, as it was given, or what was detected: `production (auto-detected)`.
    pub environment_detected: String,
    /// The name of the preset.
    pub recommended_preset: String,
    /// How sure this is, 0 to 1, rounded to four digits.
    pub confidence: f64,
    /// Why, in one sentence.
    pub reasoning: String,
    /// All presets that can be named.
    pub available_presets: Vec<String>,
    /// Whether the environment was detected, not named.
    pub auto_detected: bool,
}

/// Recommends a built-in preset for an environment's name; see [`Presets::recommend_named`].
///
/// # Examples
/// ```
/// use tower_rampart_config::recommend_named;
///
/// let found = recommend_named("us-prod-2");
/// assert_eq!((found.recommended_preset.as_str(), found.confidence), ("production", 0.75));
/// assert_eq!(recommend_named("delivery").recommended_preset, "simple");
/// ```
pub fn recommend_named(environment: &str) -> Recommendation {
    Presets::builtin().recommend_named(environment)
}

/// Recommends a built-in preset for what surrounds the process; see [`Presets::recommend_auto`].
///
/// # Examples
/// ```
/// use tower_rampart_config::{Surroundings, recommend_auto};
///
/// let vars = [("NODE_ENV".to_owned(), "production".to_owned())];
/// let found = recommend_auto(&Surroundings::new(vars, |_file| false));
/// assert_eq!(found.environment_detected, "production (auto-detected)");
/// assert_eq!(found.confidence, 0.85);
/// ```
pub fn recommend_auto(surroundings: &Surroundings<'_>) -> Recommendation {
    Presets::builtin().recommend_auto(surroundings)
}

impl Presets {
    /// Recommends a preset for an environment's name, whatever its case and the space around it.
    ///
    /// | name | preset | confidence |
    /// |---|---|---|
    /// | `development`, `dev`, `testing`, `test` | development | 0.95, 0.90, 0.85, 0.85 |
    /// | `production`, `prod`, `live`, `staging`, `stage` | production | 0.95, 0.90, 0.85, 0.90, 0.85 |
    /// | holds one of stag, stage, staging, uat, preprod, preproduction, pre-prod, integration | production | 0.70 |
    /// | holds one of dev, develop, development, local, localhost, test, tests, testing, sandbox, demo | development | 0.75 |
    /// | holds one of prod, production, live, release, stable, main, master | production | 0.75 |
    /// | anything else | simple | 0.40 |
    ///
    /// A name holds a word if the word is a whole run of letters in it, so `delivery`, `domain` and `device` hold none. The first row that fits decides.
    pub fn recommend_named(&self, environment: &str) -> Recommendation {
        let name = environment.trim().to_lowercase();
        let exact = NAMED.iter().find(|it| it.0 == name);
        let (preset, confidence, reasoning) = match (exact, groups(environment).first()) {
            (Some((name, context, confidence)), _) => {
                (preset_for(*context), *confidence, format!("'{name}' is a known name for {}", context.as_str()))
            }
            (None, Some((context, word))) => {
                let confidence = if *context == Context::Staging { 0.70 } else { 0.75 };
                (preset_for(*context), confidence, format!("the word '{word}' speaks for {}", context.as_str()))
            }
            (None, None) => (
                Preset::Simple,
                0.40,
                "no word of the name is known; the balanced preset is the safe choice".to_owned(),
            ),
        };
        self.recommendation(environment.to_owned(), preset, confidence, reasoning, false)
    }

    /// Recommends a preset for what surrounds the process.
    ///
    /// | signal | confidence |
    /// |---|---|
    /// | `ENVIRONMENT` holds one of the nine exact names | 0.95 |
    /// | so does `NODE_ENV`, `FLASK_ENV`, `APP_ENV`, `ENV`, `DEPLOYMENT_ENV`, `DJANGO_SETTINGS_MODULE`, `RAILS_ENV` | 0.85 each |
    /// | `DEBUG` is `true` or `1`; the working directory holds `.env`, `.git`, `docker-compose.dev.yml` | development 0.70 each |
    /// | `PRODUCTION` or `PROD` is `true`; `DEBUG` is `false` or `0` | production 0.75 each |
    /// | `HOSTNAME` holds a word for development, staging, production | 0.60, 0.65, 0.70 |
    ///
    /// The most confident signal decides, the first of equals. Each further one for the same environment adds 0.05, up to 0.98; if any for another
    /// environment is above 0.70, 0.85 of it remain. Without a signal the environment is unknown and the preset `simple`, at 0.50.
    pub fn recommend_auto(&self, surroundings: &Surroundings<'_>) -> Recommendation {
        let signals = signals(surroundings);
        let best = signals.iter().reduce(|best, it| if it.confidence > best.confidence { it } else { best });
        let Some(best) = best else {
            let reasoning = "nothing tells what environment this is; the balanced preset is the safe choice";
            return self.recommendation(detected(UNKNOWN.0), Preset::Simple, UNKNOWN.1, reasoning.to_owned(), true);
        };
        let agreeing = signals.iter().filter(|it| it.context == best.context).count() - 1;
        let against: Vec<&Signal> = signals.iter().filter(|it| it.context != best.context).collect();
        let mut confidence = best.confidence;
        if agreeing > 0 {
            confidence = (confidence + AGREEMENT.0 * agreeing as f64).min(AGREEMENT.1);
        }
        if against.iter().any(|it| it.confidence > DOUBT.0) {
            confidence *= DOUBT.1;
        }
        let speaks = |it: &Signal| format!("{} speaks for {}", it.what, it.context.as_str());
        let more = match agreeing {
            0 => String::new(),
            1 => ", and so does one more signal".to_owned(),
            _ => format!(", and so do {agreeing} more signals"),
        };
        let but = against.first().map(|it| format!("; {}", speaks(it))).unwrap_or_default();
        let reasoning = format!("{}{more}{but}", speaks(best));
        self.recommendation(detected(best.context.as_str()), preset_for(best.context), confidence, reasoning, true)
    }

    fn recommendation(
        &self,
        environment_detected: String,
        preset: Preset,
        confidence: f64,
        reasoning: String,
        auto_detected: bool,
    ) -> Recommendation {
        Recommendation {
            environment_detected,
            recommended_preset: preset.as_str().to_owned(),
            confidence: rounded(confidence),
            reasoning,
            available_presets: self.names().map(ToOwned::to_owned).collect(),
            auto_detected,
        }
    }
}

/// A number with four digits behind the point.
pub(crate) fn rounded(confidence: f64) -> f64 {
    (confidence * 10_000.0).round() / 10_000.0
}

fn detected(environment: &str) -> String {
    format!("{environment} (auto-detected)")
}

fn preset_for(context: Context) -> Preset {
    match context {
        Context::Development | Context::Testing => Preset::Development,
        Context::Staging | Context::Production => Preset::Production,
    }
}

/// Something that speaks for an environment.
struct Signal {
    what: String,
    context: Context,
    confidence: f64,
}

/// All signals in the order in which they are collected.
fn signals(surroundings: &Surroundings<'_>) -> Vec<Signal> {
    let mut found = Vec::new();
    for (variable, confidence) in NAMES {
        let Some(value) = surroundings.var(variable) else { continue };
        let value = value.trim().to_lowercase();
        if let Some((name, context, _)) = NAMED.iter().find(|it| it.0 == value) {
            found.push(Signal { what: format!("{variable}={name}"), context: *context, confidence });
        }
    }
    let switches = |found: &mut Vec<Signal>, wanted: Context| {
        for (variable, value, context, confidence) in SWITCHES.into_iter().filter(|it| it.2 == wanted) {
            if surroundings.var(variable).is_some_and(|it| it.eq_ignore_ascii_case(value)) {
                found.push(Signal { what: format!("{variable}={value}"), context, confidence });
            }
        }
    };
    switches(&mut found, Context::Development);
    for file in FILES.into_iter().filter(|it| surroundings.exists(it)) {
        let what = format!("the file {file}");
        found.push(Signal { what, context: Context::Development, confidence: FILE_CONFIDENCE });
    }
    switches(&mut found, Context::Production);
    let hosts = groups(surroundings.var("HOSTNAME").unwrap_or_default());
    for (wanted, confidence) in [(Context::Development, 0.60), (Context::Staging, 0.65), (Context::Production, 0.70)] {
        if let Some((context, word)) = hosts.iter().find(|it| it.0 == wanted) {
            found.push(Signal { what: format!("'{word}' in HOSTNAME"), context: *context, confidence });
        }
    }
    found
}
