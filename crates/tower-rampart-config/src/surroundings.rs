//! What surrounds a process: the variables that this crate knows and the files of its working directory. What they mean is in `env.rs`, `legacy.rs` and
//! `recommend.rs`.

use std::{collections::BTreeMap, fmt};

use crate::{ConfigError, dotenv, env, legacy, recommend};

/// The variables and files that a configuration or a recommendation is made from. Only variables that are known here are kept.
pub struct Surroundings<'a> {
    vars: BTreeMap<String, String>,
    /// Variables that say what the configuration is, and are set to something that is no text.
    garbled: Vec<String>,
    exists: Box<dyn Fn(&str) -> bool + 'a>,
}

impl<'a> Surroundings<'a> {
    /// The variables that are set, and whether the working directory holds a file or folder of a name.
    pub fn new(vars: impl IntoIterator<Item = (String, String)>, exists: impl Fn(&str) -> bool + 'a) -> Self {
        let vars = vars.into_iter().filter(|(name, _)| is_known(name)).collect();
        Self { vars, garbled: Vec::new(), exists: Box::new(exists) }
    }

    /// Adds the variables of a `.env` file that are not set already. `file` is what an error calls it.
    ///
    /// Lines are `NAME=value`, an `export` before it allowed, blank, or comments from `#` on. A value in single quotes stands as it is, one in double
    /// quotes knows `\n`, `\r`, `\t`, `\"`, `\\` and `\$`; both may span lines. Nothing is expanded.
    ///
    /// # Errors
    /// Names the file and the line of everything else, of a name that stands twice, and of a quote that is not closed.
    pub fn with_dotenv(mut self, file: &str, text: &str) -> Result<Self, ConfigError> {
        for (name, value) in dotenv::parse(file, text)?.into_iter().filter(|(name, _)| is_known(name)) {
            if !self.garbled.contains(&name) {
                self.vars.entry(name).or_insert(value);
            }
        }
        Ok(self)
    }

    /// Notes a variable that is set to something that is no text.
    pub(crate) fn note_garbled(&mut self, name: String) {
        if env::is_ours(&name) || legacy::is_legacy(&name) {
            self.garbled.push(name);
        }
    }

    /// The value of a variable that is known here and set.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// The variables that are known here and set, sorted by name.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the working directory holds a file or folder of this name.
    pub fn exists(&self, file: &str) -> bool {
        (self.exists)(file)
    }

    pub(crate) fn garbled(&self) -> &[String] {
        &self.garbled
    }
}

/// Names alone: a value may hold what is nobody's business.
impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.vars.keys().chain(&self.garbled).collect();
        f.debug_struct("Surroundings").field("names", &names).finish_non_exhaustive()
    }
}

fn is_known(name: &str) -> bool {
    env::is_ours(name) || legacy::is_legacy(name) || recommend::is_signal(name)
}
