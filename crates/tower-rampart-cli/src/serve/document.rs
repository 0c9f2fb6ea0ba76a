//! Where the configuration of the gateway comes from: a preset, a file, standard input. What a document may say is `tower_rampart_config`'s business.

use std::{
    fs::File,
    io::{Read, stdin},
    path::Path,
};

use tower_rampart_config::{Capabilities, Capability, ConfigError, Preset, ResilienceConfig};

use crate::failure::Failure;

/// The longest file that is read, one byte more than a document may have, so that one that is too long is told from one that is not.
const MAX_BYTES: u64 = 64 * 1024 + 1;

/// What the gateway can do for a document.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::http()
        .with(Capability::Replay)
        .with(Capability::DeadlineHeaders)
        .with(Capability::AttemptHeader)
        .with(Capability::Routes)
        .with(Capability::FallbackTargets)
        .with(Capability::FallbackAnswer)
}

/// The configuration that the command line asks for.
///
/// # Errors
/// Says all that is wrong with it, each in one line.
pub(crate) fn load(preset: Option<&str>, file: Option<&Path>) -> Result<ResilienceConfig, Failure> {
    let (origin, config) = match (preset, file) {
        (_, Some(path)) => {
            let origin = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
            let text = read(path).map_err(|error| Failure::new(format!("cannot read {origin}: {error}")))?;
            (origin, ResilienceConfig::from_file_text(&text))
        }
        (Some(name), None) => ("--preset".to_owned(), ResilienceConfig::named(name)),
        (None, None) => ("the preset".to_owned(), Ok(ResilienceConfig::from_preset(Preset::Simple))),
    };
    let refused = |error: ConfigError| {
        Failure::lines(error.violations().iter().map(|violation| format!("{origin}: {violation}")).collect())
    };
    let config = config.map_err(refused)?;
    config.check(&capabilities()).map_err(refused)?;
    Ok(config)
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        stdin().lock().take(MAX_BYTES).read_to_string(&mut text)?;
    } else {
        File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    }
    Ok(text)
}
