//! Reads the first configuration of the gateway: a preset, a file, standard input, the environment. What a document may say is `tower_rampart_config`'s
//! business, how later ones are met is in `source`.

use std::{
    fs::File,
    io::{Read, stdin},
    path::Path,
};

use tower_rampart::http;
use tower_rampart_config::{Capabilities, Capability, ConfigError, Loaded, Preset, ResilienceConfig};

use crate::failure::Failure;

/// The longest file that is read, one byte more than a document may have, so that one that is too long is told from one that is not.
const MAX_BYTES: u64 = 64 * 1024 + 1;

/// What the gateway can do for a document: what all HTTP clients can, and what only a program of its own can.
pub(crate) fn capabilities() -> Capabilities {
    let own = [Capability::Routes, Capability::FallbackTargets, Capability::FallbackAnswer, Capability::Monitoring];
    own.into_iter().fold(http::capabilities(), Capabilities::with)
}

/// The same, with chaos where whoever starts the program allows it: who may only change its configuration cannot break it on purpose.
pub(crate) fn capabilities_with_chaos(is_allowed: bool) -> Capabilities {
    if is_allowed { capabilities().with(Capability::Chaos) } else { capabilities() }
}

/// The configuration of a preset.
///
/// # Errors
/// Names the presets there are.
pub(crate) fn of_preset(name: &str, host: Capabilities) -> Result<ResilienceConfig, Failure> {
    servable(ResilienceConfig::named(name), host).map_err(|error| refusal(&error, "--preset"))
}

/// The configuration of a file.
///
/// # Errors
/// Says all that is wrong with it, each in one line.
pub(crate) fn of_file(path: &Path, host: Capabilities) -> Result<ResilienceConfig, Failure> {
    of_reader(File::open(path), &path.display().to_string(), host)
}

/// The configuration of a document on standard input.
///
/// # Errors
/// Says all that is wrong with it, each in one line.
pub(crate) fn of_standard_input(host: Capabilities) -> Result<ResilienceConfig, Failure> {
    of_reader(Ok(stdin().lock()), "standard input", host)
}

/// The configuration of a file, of standard input (`-`) or of a preset, `simple` without any.
///
/// # Errors
/// Says all that is wrong with it, each in one line.
pub(crate) fn load(preset: Option<&str>, file: Option<&Path>, host: Capabilities) -> Result<ResilienceConfig, Failure> {
    match file {
        Some(path) if path == Path::new("-") => of_standard_input(host),
        Some(path) => of_file(path, host),
        None => of_preset(preset.unwrap_or(Preset::Simple.as_str()), host),
    }
}

/// The configuration that the process environment asks for.
///
/// # Errors
/// Says all that is wrong with it, each in one line that names the variable.
pub(crate) fn of_environment(host: Capabilities) -> Result<Loaded, Failure> {
    let loaded = Loaded::from_env().and_then(|loaded| loaded.config.check(&host).map(|()| loaded));
    loaded.map_err(|error| refusal(&error, "the environment"))
}

fn of_reader(
    reader: std::io::Result<impl Read>,
    origin: &str,
    host: Capabilities,
) -> Result<ResilienceConfig, Failure> {
    let mut text = String::new();
    let read = reader.and_then(|it| it.take(MAX_BYTES).read_to_string(&mut text));
    read.map_err(|error| Failure::new(format!("cannot read {origin}: {error}")))?;
    servable(ResilienceConfig::from_file_text(&text), host).map_err(|error| refusal(&error, origin))
}

fn servable(
    config: Result<ResilienceConfig, ConfigError>,
    host: Capabilities,
) -> Result<ResilienceConfig, ConfigError> {
    let config = config?;
    config.check(&host)?;
    Ok(config)
}

fn refusal(error: &ConfigError, origin: &str) -> Failure {
    let origin = error.origin().unwrap_or(origin);
    Failure::lines(error.violations().iter().map(|violation| format!("{origin}: {violation}")).collect())
}
