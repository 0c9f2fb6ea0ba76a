//! `rampart completions` and `rampart man`: both from the definitions of the command line itself, so that neither can be out of date.

use std::process::ExitCode;

use clap::{Args as Arguments, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::output;
use crate::failure::Failure;

pub(crate) const COMPLETIONS_NOTES: &str = "\
Examples:
  rampart completions bash > /etc/bash_completion.d/rampart
  rampart completions zsh > \"${fpath[1]}/_rampart\"
  rampart completions fish > ~/.config/fish/completions/rampart.fish";

pub(crate) const MAN_NOTES: &str = "\
Examples:
  rampart man | man -l -
  rampart man simulate > /usr/local/share/man/man1/rampart-simulate.1";

/// Whose completions.
#[derive(Debug, Arguments)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Which page.
#[derive(Debug, Arguments)]
pub(crate) struct ManOptions {
    /// The command; without it, the page of the program.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints what makes a shell complete the command line.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn completions(options: &CompletionsOptions, mut program: Command, json: bool) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut program, "rampart", &mut script);
    print(&script, json)
}

/// Prints a page of the manual, in roff.
///
/// # Errors
/// If there is no such command.
pub(crate) fn man(options: &ManOptions, mut program: Command, json: bool) -> Result<ExitCode, Failure> {
    program.build();
    let command = match &options.command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::new(format!("there is no command '{name}' (see --help)")))?
        }
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| Failure::new(format!("cannot write the page: {error}")))?;
    print(&page, json)
}

fn print(text: &[u8], json: bool) -> Result<ExitCode, Failure> {
    let text = String::from_utf8_lossy(text);
    if json {
        output::json(&text)?;
    } else {
        output::text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
