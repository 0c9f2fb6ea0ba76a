//! Where the first document came from, so that later ones are read the same way.

use std::{io, path::Path};

use tower_rampart_config::{ConfigError, Limits, Loaded, Presets, ResilienceConfig, Surroundings};

use super::file::{self, Named};

const DOCUMENT: &str = "RESILIENCE_CUSTOM_CONFIG";
const FILE: &str = "RESILIENCE_CONFIG_FILE";

/// Where the first document came from. Default: from code, over no environment.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The variables that lie below every document; `None` if it did not come from the environment.
    variables: Option<Vec<(String, String)>>,
    file: Option<Named>,
}

impl Origin {
    /// The process environment and its file `.env`. What is wrong with them, the configuration says.
    pub(crate) fn environment() -> Self {
        let ours = |name: &str| name.starts_with("RESILIENCE_") || name.starts_with("AI_LIB_");
        let all = Surroundings::of_process().ok();
        let all = all.iter().flat_map(Surroundings::vars).filter(|(name, _)| ours(name));
        Self::variables(all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn variables(mut variables: Vec<(String, String)>) -> Self {
        let file = variables.iter().find(|(name, _)| name == FILE).map(|(_, path)| {
            let text = file::read(Path::new(path)).map_err(|error| error.to_string());
            Named::seen(path.into(), text)
        });
        variables.retain(|(name, _)| name != FILE && name != DOCUMENT);
        Self { variables: Some(variables), file }
    }

    /// The file that the environment names.
    pub(super) fn take_file(&mut self) -> Option<Named> {
        self.file.take()
    }

    /// Reads a document of at most 4096 bytes.
    pub(super) fn document(&self, presets: &Presets, text: &str) -> Result<ResilienceConfig, ConfigError> {
        match &self.variables {
            None => presets.load(text, Limits::text()),
            Some(variables) => {
                let document = [(DOCUMENT.to_owned(), text.to_owned())];
                from_variables(presets, variables.iter().cloned().chain(document), |_| unread())
            }
        }
    }

    /// Reads the text of a file, at most 64 KiB.
    pub(super) fn file(&self, presets: &Presets, path: &Path, text: &str) -> Result<ResilienceConfig, ConfigError> {
        match &self.variables {
            None => presets.load(text, Limits::file()),
            Some(variables) => {
                let file = [(FILE.to_owned(), path.display().to_string())];
                from_variables(presets, variables.iter().cloned().chain(file), |_| Ok(text.to_owned()))
            }
        }
    }

    /// Reads a document that a patch was laid over, as large as a file may be.
    pub(super) fn patched(&self, presets: &Presets, text: &str) -> Result<ResilienceConfig, ConfigError> {
        self.file(presets, Path::new("the patched document"), text)
    }
}

fn from_variables(
    presets: &Presets,
    variables: impl Iterator<Item = (String, String)>,
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<ResilienceConfig, ConfigError> {
    let surroundings = Surroundings::new(variables, |_| false);
    Ok(Loaded::from_surroundings(presets, &surroundings, read_file)?.config)
}

/// No file is asked for where a document was given.
fn unread() -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &[(&str, &str)]) -> Origin {
        Origin::variables(all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn later_documents_lie_over_the_same_variables() {
        let origin = variables(&[("RESILIENCE_PRESET", "production"), ("AI_LIB_RPS", "25"), (DOCUMENT, "{}")]);
        for config in [
            origin.document(&Presets::builtin(), r#"{"retry_attempts": 2}"#).unwrap(),
            origin.file(&Presets::builtin(), Path::new("rampart.json"), r#"{"retry_attempts": 2}"#).unwrap(),
        ] {
            assert_eq!(config.preset_name(), "production");
            assert_eq!(config.base().retry.max_attempts, 2);
            assert!((config.base().rate_limit.quota.limit - 25.0).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn a_file_may_be_larger_than_a_document() {
        let text = format!("{{\"retry_attempts\": 2{}}}", " ".repeat(5000));
        for origin in [Origin::default(), variables(&[])] {
            assert!(origin.document(&Presets::builtin(), &text).is_err());
            assert!(origin.file(&Presets::builtin(), Path::new("rampart.json"), &text).is_ok());
        }
    }

    #[test]
    fn the_file_that_the_environment_names_is_remembered() {
        let mut origin = variables(&[(FILE, "/nowhere/rampart.json")]);
        assert_eq!(origin.take_file().unwrap().path, Path::new("/nowhere/rampart.json"));
    }
}
