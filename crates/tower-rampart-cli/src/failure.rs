//! Why the program ends without having done what it was asked to: bad usage or I/O, exit code 2. Answers to HTTP clients are in `serve::answer`.

use std::{fmt, io::Write as _, process::ExitCode};

use tower_rampart_config::ConfigError;

/// The exit code of bad usage and of failed I/O.
pub(crate) const USAGE_OR_IO: u8 = 2;

/// One line for people, or several where several things are wrong at once.
#[derive(Debug)]
pub(crate) struct Failure {
    lines: Vec<String>,
}

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()] }
    }

    pub(crate) fn lines(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// All that is wrong with a configuration, each in one line.
    pub(crate) fn of_config(error: &ConfigError) -> Self {
        let origin = error.origin().map(|it| format!("{it}: ")).unwrap_or_default();
        Self::lines(error.violations().iter().map(|it| format!("{origin}{it}")).collect())
    }

    /// Says on standard error what is wrong, each in one line.
    pub(crate) fn report(&self) -> ExitCode {
        // Nobody is left to tell if standard error is closed.
        let _ = write!(std::io::stderr(), "{self}");
        ExitCode::from(USAGE_OR_IO)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "rampart: {}", one_line(line))?;
        }
        Ok(())
    }
}

/// The words of a text with single spaces between them, so that it takes one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_wrong_takes_one_line() {
        let failure = Failure::lines(vec!["a\n  b".into(), "c".into()]);
        assert_eq!(failure.to_string(), "rampart: a b\nrampart: c\n");
    }
}
