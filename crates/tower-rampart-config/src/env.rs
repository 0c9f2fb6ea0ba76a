//! The configuration of the process environment. Detection of the environment, and the names that older systems used, are not read here.

use std::{collections::BTreeMap, ffi::OsStr, io, io::Read, path::Path};

use crate::{
    ConfigError, Limits, Preset, Presets, ResilienceConfig, Violation, ViolationCode,
    document::Entry,
    field, parse,
    presets::unknown_preset,
    resolve::Stack,
    validate::{Request, judge},
    value::Value,
};

const PRESET: &str = "RESILIENCE_PRESET";
const CUSTOM: &str = "RESILIENCE_CUSTOM_CONFIG";
const FILE: &str = "RESILIENCE_CONFIG_FILE";

/// Variables that set one number each, and the field that they set.
const NUMBERS: [(&str, &str); 4] = [
    ("AI_LIB_RPS", "rate_limit.requests_per_second"),
    ("AI_LIB_BREAKER_FAILURE_THRESHOLD", "circuit_breaker.failure_threshold"),
    ("AI_LIB_BREAKER_COOLDOWN_SECS", "circuit_breaker.recovery_timeout"),
    ("AI_LIB_MAX_INFLIGHT", "concurrency.max_inflight"),
];

fn is_ours(name: &OsStr) -> bool {
    [PRESET, CUSTOM, FILE].iter().chain(NUMBERS.iter().map(|(name, _)| name)).any(|it| name == *it)
}

impl ResilienceConfig {
    /// The configuration of the process environment.
    ///
    /// | variable | what it says |
    /// |---|---|
    /// | `RESILIENCE_PRESET` | the preset; `simple` if it is not set, whatever environment this is (detection is not part of this version) |
    /// | `AI_LIB_RPS`, `AI_LIB_MAX_INFLIGHT` | calls a second, calls in flight; they turn the stage on |
    /// | `AI_LIB_BREAKER_FAILURE_THRESHOLD`, `AI_LIB_BREAKER_COOLDOWN_SECS` | failures that open the circuit, seconds that it stays open |
    /// | `RESILIENCE_CUSTOM_CONFIG` | a document of at most 4096 bytes, above all others |
    /// | `RESILIENCE_CONFIG_FILE` | instead of it the path of a document of at most 64 KiB |
    ///
    /// # Errors
    /// A bad value is an error that names its variable; nothing falls back silently.
    pub fn from_env() -> Result<Self, ConfigError> {
        let mut vars = Vec::new();
        let mut violations = Vec::new();
        for (name, value) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            let name = name.to_string_lossy().into_owned();
            if let Ok(value) = value.into_string() {
                vars.push((name, value));
            } else {
                let message = format!("{name} must be UTF-8 text");
                violations.push(Violation::new(name, ViolationCode::Syntax, message));
            }
        }
        if violations.is_empty() { Self::from_vars(vars, read_file) } else { Err(ConfigError::new(violations)) }
    }

    /// The configuration of given variables, as [`from_env`](Self::from_env) reads those of the process; others are ignored. `read_file` reads the file
    /// that `RESILIENCE_CONFIG_FILE` names.
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
        let vars: BTreeMap<String, String> = vars.into_iter().filter(|it| is_ours(OsStr::new(&it.0))).collect();
        let presets = Presets::builtin();
        let preset = vars.get(PRESET).map_or(Preset::Simple.as_str(), String::as_str);
        let mut violations = Vec::new();
        if let Err(unknown) = presets.find(preset) {
            violations.push(unknown_preset(PRESET, &unknown));
        }
        let environment = numbers(&vars, &mut violations);
        if vars.contains_key(CUSTOM) && vars.contains_key(FILE) {
            let message = format!("{CUSTOM} and {FILE} are both set");
            violations.push(Violation::new(CUSTOM, ViolationCode::Conflict, message).suggest("Unset one of them"));
        }
        if !violations.is_empty() {
            return Err(ConfigError::new(violations));
        }
        let request = Request { preset: Some(preset), environment, ..Request::new(&presets) };
        if let Some(text) = vars.get(CUSTOM) {
            return judge(text, &request).into_config().map_err(|it| it.with_origin(CUSTOM));
        }
        if let Some(path) = vars.get(FILE) {
            let origin = format!("{FILE} ({path})");
            let text = read_file(Path::new(path)).map_err(|error| {
                let message = format!("the file cannot be read: {error}");
                let violation = Violation::new(FILE, ViolationCode::Unreadable, message);
                ConfigError::new(vec![violation]).with_origin(origin.as_str()).with_source(error)
            })?;
            let request = Request { limits: Limits::file(), ..request };
            return judge(&text, &request).into_config().map_err(|it| it.with_origin(origin));
        }
        let preset = presets.find(preset).map_err(|it| ConfigError::new(vec![unknown_preset(PRESET, &it)]))?;
        let stack = Stack { environment: request.environment, ..Stack::of(preset.clone()) };
        let violations = crate::check::check(&stack, None);
        if violations.is_empty() { Ok(Self::of(stack)) } else { Err(ConfigError::new(violations)) }
    }
}

fn numbers(vars: &BTreeMap<String, String>, violations: &mut Vec<Violation>) -> Vec<(String, Entry)> {
    let mut entries = Vec::new();
    for (variable, path) in NUMBERS {
        let (Some(text), Some(field)) = (vars.get(variable), field::find(path)) else { continue };
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

/// Reads at most one byte more than a document may have, so that a wrong path cannot fill the memory.
fn read_file(path: &Path) -> io::Result<String> {
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
