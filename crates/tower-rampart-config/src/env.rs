//! The configuration of the process environment: the only file that reads variables and files of the process. What the variables of older systems say is
//! read in `legacy.rs`, what an environment calls for in `recommend.rs`.

use std::{io, io::Read, path::Path};

use crate::{
    ConfigError, Limits, Preset, Presets, Recommendation, ResilienceConfig, Surroundings, Violation, ViolationCode,
    document::Entry,
    field,
    legacy::Legacy,
    parse,
    presets::unknown_preset,
    resolve::Stack,
    validate::{Judged, Request, judge},
    value::Value,
};

pub(crate) const PRESET: &str = "RESILIENCE_PRESET";
pub(crate) const CUSTOM: &str = "RESILIENCE_CUSTOM_CONFIG";
pub(crate) const FILE: &str = "RESILIENCE_CONFIG_FILE";
const DOTENV: &str = ".env";

/// Variables that set one number each, and the field that they set.
const NUMBERS: [(&str, &str); 4] = [
    ("AI_LIB_RPS", "rate_limit.requests_per_second"),
    ("AI_LIB_BREAKER_FAILURE_THRESHOLD", "circuit_breaker.failure_threshold"),
    ("AI_LIB_BREAKER_COOLDOWN_SECS", "circuit_breaker.recovery_timeout"),
    ("AI_LIB_MAX_INFLIGHT", "concurrency.max_inflight"),
];

/// Whether a variable is one that says what the configuration is, the legacy ones aside.
pub(crate) fn is_ours(name: &str) -> bool {
    [PRESET, CUSTOM, FILE].iter().chain(NUMBERS.iter().map(|(name, _)| name)).any(|it| name == *it)
}

/// A configuration that the environment made, and what is to be said about that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: ResilienceConfig,
    /// What is valid but seldom meant, or to be replaced; for the log.
    pub warnings: Vec<String>,
    /// What chose the preset, where no variable did.
    pub recommendation: Option<Recommendation>,
    /// The file that `RESILIENCE_CONFIG_FILE` names.
    pub file: Option<String>,
}

impl Surroundings<'static> {
    /// The variables of the process, those of a file `.env` in the working directory that the process does not set, and that directory.
    ///
    /// # Errors
    /// Names the line of a `.env` file that is none, or says why the file cannot be read.
    pub fn of_process() -> Result<Self, ConfigError> {
        let (mut vars, mut garbled) = (Vec::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => vars.push((name, value)),
                Err(_) => garbled.push(name),
            }
        }
        let mut surroundings = Self::new(vars, |file| Path::new(file).exists());
        for name in garbled {
            surroundings.note_garbled(name);
        }
        if !Path::new(DOTENV).is_file() {
            return Ok(surroundings);
        }
        let text = read_file(Path::new(DOTENV)).map_err(|error| unreadable(DOTENV, DOTENV, error))?;
        if text.len() > Limits::file().bytes {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it has more than 64 KiB");
            return Err(unreadable(DOTENV, DOTENV, error));
        }
        surroundings.with_dotenv(DOTENV, &text)
    }
}

impl ResilienceConfig {
    /// The configuration of the process environment.
    ///
    /// | variable | what it says |
    /// |---|---|
    /// | `RESILIENCE_PRESET` | the preset |
    /// | `AI_LIB_RPS`, `AI_LIB_MAX_INFLIGHT` | calls a second, calls in flight; they turn the stage on |
    /// | `AI_LIB_BREAKER_FAILURE_THRESHOLD`, `AI_LIB_BREAKER_COOLDOWN_SECS` | failures that open the circuit, seconds that it stays open |
    /// | `RESILIENCE_CUSTOM_CONFIG` | a document of at most 4096 bytes, above all others |
    /// | `RESILIENCE_CONFIG_FILE` | instead of it the path of a document of at most 64 KiB |
    ///
    /// A document without a preset, its own or the variable's, lies over `simple`. Without the first and the last two, the 17 legacy variables
    /// (`RETRY_MAX_ATTEMPTS` and so on) are such a document; without those, the preset is what [`recommend_auto`](crate::recommend_auto) says.
    /// A variable that the process does not set is read from a file `.env` in the working directory, if there is one.
    ///
    /// [`Loaded::from_env`] also tells the warnings.
    ///
    /// # Errors
    /// A bad value is an error that names its variable, a bad line of `.env` one that names the line; nothing falls back silently.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Loaded::from_env()?.config)
    }

    /// The configuration of given variables, as [`from_env`](Self::from_env) reads those of the process; others are ignored. `read_file` reads the file
    /// that `RESILIENCE_CONFIG_FILE` names; there is no working directory, and so no file that hints at development.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_config::ResilienceConfig;
    ///
    /// let vars = [("RESILIENCE_PRESET".to_owned(), "production".to_owned()), ("AI_LIB_RPS".to_owned(), "25".to_owned())];
    /// let config = ResilienceConfig::from_vars(vars, |path| std::fs::read_to_string(path))?;
    /// assert_eq!(config.base().rate_limit.quota.limit, 25.0);
    /// # Ok::<(), tower_rampart_config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// A bad value is an error that names its variable; nothing falls back silently.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
        read_file: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let surroundings = Surroundings::new(vars, |_| false);
        Ok(Loaded::from_surroundings(&Presets::builtin(), &surroundings, read_file)?.config)
    }
}

impl Loaded {
    /// The configuration of the process environment, see [`ResilienceConfig::from_env`], with its warnings.
    ///
    /// # Errors
    /// A bad value is an error that names its variable, a bad line of `.env` one that names the line; nothing falls back silently.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_surroundings(&Presets::builtin(), &Surroundings::of_process()?, read_file)
    }

    /// The configuration of given surroundings, by the presets that can be named. `read_file` reads the file that `RESILIENCE_CONFIG_FILE` names.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_config::{Loaded, Presets, Surroundings};
    ///
    /// let vars = [("NODE_ENV".to_owned(), "staging".to_owned())];
    /// let surroundings = Surroundings::new(vars, |_file| false);
    /// let loaded = Loaded::from_surroundings(&Presets::builtin(), &surroundings, |path| std::fs::read_to_string(path))?;
    /// assert_eq!(loaded.config.preset_name(), "production");
    /// assert_eq!(loaded.recommendation.unwrap().environment_detected, "staging (auto-detected)");
    /// # Ok::<(), tower_rampart_config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// A bad value is an error that names its variable; nothing falls back silently.
    pub fn from_surroundings(
        presets: &Presets,
        surroundings: &Surroundings<'_>,
        read_file: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let given = Given::of(surroundings);
        let request = given.request(presets, surroundings)?;
        if let Some(text) = given.custom {
            let loaded = Self::of(judge(text, &request)).map_err(|it| it.with_origin(CUSTOM))?;
            return Ok(loaded.ignoring(surroundings, CUSTOM));
        }
        if let Some(path) = given.file {
            let origin = format!("{FILE} ({path})");
            let text = read_file(Path::new(path)).map_err(|error| unreadable(FILE, &origin, error))?;
            let request = Request { limits: Limits::file(), ..request };
            let loaded = Self::of(judge(&text, &request)).map_err(|it| it.with_origin(origin))?;
            return Ok(Self { file: Some(path.to_owned()), ..loaded.ignoring(surroundings, FILE) });
        }
        if let Some(preset) = given.preset {
            return Ok(Self::of_preset(presets, preset, request.environment)?.ignoring(surroundings, PRESET));
        }
        let legacy = Legacy::read(surroundings)?;
        if !legacy.set.is_empty() {
            let mut loaded = Self::of(legacy.judge(&request))?;
            loaded.warnings.push(format!(
                "the configuration comes from legacy variables ({}); `rampart migrate` writes the {CUSTOM} that says the same",
                legacy.set.join(", ")
            ));
            return Ok(loaded);
        }
        let recommendation = presets.recommend_auto(surroundings);
        let loaded = Self::of_preset(presets, &recommendation.recommended_preset, request.environment)?;
        Ok(Self { recommendation: Some(recommendation), ..loaded })
    }

    fn of(judged: Judged) -> Result<Self, ConfigError> {
        let warnings = judged.warnings.clone();
        Ok(Self { config: judged.into_config()?, warnings, recommendation: None, file: None })
    }

    fn of_preset(presets: &Presets, name: &str, environment: Vec<(String, Entry)>) -> Result<Self, ConfigError> {
        let preset = presets.find(name).map_err(|it| ConfigError::new(vec![unknown_preset(PRESET, &it)]))?;
        let stack = Stack { environment, ..Stack::of(preset.clone()) };
        let violations = crate::check::check(&stack, None);
        if violations.is_empty() {
            let config = ResilienceConfig::of(stack);
            return Ok(Self { config, warnings: Vec::new(), recommendation: None, file: None });
        }
        Err(ConfigError::new(violations))
    }

    /// Says which legacy variables have no effect because another one decides.
    fn ignoring(mut self, surroundings: &Surroundings<'_>, decided: &str) -> Self {
        let legacy = Legacy::names(surroundings);
        if !legacy.is_empty() {
            self.warnings.push(format!("{decided} decides, so legacy variables have no effect: {}", legacy.join(", ")));
        }
        self
    }
}

/// The three variables that decide what is read.
struct Given<'a> {
    preset: Option<&'a str>,
    custom: Option<&'a str>,
    file: Option<&'a str>,
}

impl<'a> Given<'a> {
    fn of(surroundings: &'a Surroundings<'_>) -> Self {
        Self { preset: surroundings.var(PRESET), custom: surroundings.var(CUSTOM), file: surroundings.var(FILE) }
    }

    /// What a document is judged by; all that is wrong with the variables themselves is said together.
    fn request<'b>(&self, presets: &'b Presets, surroundings: &Surroundings<'_>) -> Result<Request<'b>, ConfigError>
    where
        'a: 'b,
    {
        let mut violations: Vec<Violation> = surroundings
            .garbled()
            .iter()
            .map(|name| Violation::new(name, ViolationCode::Syntax, format!("{name} must be UTF-8 text")))
            .collect();
        let preset = self.preset.unwrap_or(Preset::Simple.as_str());
        if let Err(unknown) = presets.find(preset) {
            violations.push(unknown_preset(PRESET, &unknown));
        }
        let environment = numbers(surroundings, &mut violations);
        if self.custom.is_some() && self.file.is_some() {
            let message = format!("{CUSTOM} and {FILE} are both set");
            violations.push(Violation::new(CUSTOM, ViolationCode::Conflict, message).suggest("Unset one of them"));
        }
        if violations.is_empty() {
            Ok(Request { preset: Some(preset), environment, ..Request::new(presets) })
        } else {
            Err(ConfigError::new(violations))
        }
    }
}

fn unreadable(path: &str, origin: &str, error: io::Error) -> ConfigError {
    let violation = Violation::new(path, ViolationCode::Unreadable, format!("the file cannot be read: {error}"));
    ConfigError::new(vec![violation]).with_origin(origin).with_source(error)
}

fn numbers(surroundings: &Surroundings<'_>, violations: &mut Vec<Violation>) -> Vec<(String, Entry)> {
    let mut entries = Vec::new();
    for (variable, path) in NUMBERS {
        let (Some(text), Some(field)) = (surroundings.var(variable), field::find(path)) else { continue };
        let refused = |expected: &str, code| {
            let message = format!("{variable} must be {expected} (got \"{}\")", crate::names::shown(text));
            Violation::new(variable, code, message)
        };
        let Some(node) = parse::number(text) else {
            violations.push(refused("a number", ViolationCode::Type));
            continue;
        };
        match field.kind.read(&node, &[]) {
            Ok(value) => {
                let section = path.split('.').next().unwrap_or_default();
                let stage =
                    ["rate_limit.enabled", "concurrency.enabled"].into_iter().find(|it| it.starts_with(section));
                let on = stage.map(|it| Entry::new(it, Value::Bool(true)));
                entries.extend(on.into_iter().chain(Entry::of(field, value)).map(|it| (variable.to_owned(), it)));
            }
            Err(problems) => violations.extend(problems.iter().map(|it| refused(&it.expected, it.code))),
        }
    }
    entries
}

/// Reads at most one byte more than a document may have, so that a wrong path cannot fill the memory. What is no regular file is not opened: a
/// pipe may never end.
fn read_file(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let most = Limits::file().bytes as u64 + 1;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    // A character cut in two lies beyond the limit, which then refuses the rest as well.
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if error.as_bytes().len() as u64 == most => {
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
