//! Where documents come from once the gateway runs: the file that is watched and read again on SIGHUP. What is made of them is in `live`.

use std::path::{Path, PathBuf};

use tokio::signal::unix::Signal;
use tower_rampart::{
    Capabilities, Registry, Resilience, ResilienceConfig,
    reload::{ChangeBy, ReloadError},
};

use super::document;
use crate::failure::Failure;

/// Where the configuration comes from.
#[derive(Debug)]
pub(crate) struct Source {
    /// What traffic runs on. Later documents are read as the first one was.
    resilience: Resilience,
    /// The file that the command line names.
    file: Option<PathBuf>,
    /// What the first document came from, for people.
    origin: String,
    warnings: Vec<String>,
}

impl Source {
    /// Reads what the command line names, or else what the environment asks for.
    ///
    /// # Errors
    /// Says all that is wrong with it, each in one line.
    pub(crate) fn open(preset: Option<&str>, file: Option<&Path>, host: Capabilities) -> Result<Self, Failure> {
        match (file, preset) {
            (Some(path), _) if path == Path::new("-") => {
                Self::of(document::of_standard_input(host)?, None, "standard input".to_owned(), host)
            }
            (Some(path), _) => Self::of(document::of_file(path, host)?, Some(path), path.display().to_string(), host),
            (None, Some(name)) => Self::of(document::of_preset(name, host)?, None, format!("--preset {name}"), host),
            (None, None) => Self::environment(host),
        }
    }

    fn of(config: ResilienceConfig, file: Option<&Path>, origin: String, host: Capabilities) -> Result<Self, Failure> {
        let resilience =
            Resilience::for_host(config, &Registry::new(), host).map_err(|error| Failure::new(error.to_string()))?;
        Ok(Self { resilience, file: file.map(Path::to_owned), origin, warnings: Vec::new() })
    }

    fn environment(host: Capabilities) -> Result<Self, Failure> {
        let loaded = document::of_environment(host)?;
        let resilience = Resilience::from_env_for_host(&Registry::new(), host)
            .map_err(|error| Failure::lines(error.to_string().lines().map(str::to_owned).collect()))?;
        let warnings = loaded.warnings;
        let origin = match (&loaded.file, &loaded.recommendation) {
            (Some(file), _) => format!("RESILIENCE_CONFIG_FILE ({file})"),
            (None, Some(it)) => format!("preset {}, as for {}", it.recommended_preset, it.environment_detected),
            (None, None) => "the environment".to_owned(),
        };
        Ok(Self { resilience, file: None, origin, warnings })
    }

    /// What traffic is to run on.
    pub(crate) fn resilience(&self) -> &Resilience {
        &self.resilience
    }

    /// Says where the configuration comes from, then follows its file, if it is one, for ever. Somebody must maintain the configuration meanwhile, and
    /// must have begun to: what touches the file from the look on is noticed then.
    pub(crate) async fn follow(self, mut hangup: Signal) {
        tracing::info!("configuration from {}", self.origin);
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        // What the environment names is watched by whoever maintains.
        if let Some(path) = &self.file
            && let Err(error) = self.resilience.watch(path)
        {
            tracing::warn!("{error}; it is looked at every 30 seconds, and read on SIGHUP");
        }
        while hangup.recv().await.is_some() {
            self.read_again().await;
        }
    }

    /// Reads the file whether or not it was touched; observers hear what comes of it. A document may have many operations, so this is done beside the
    /// requests.
    async fn read_again(&self) {
        let resilience = self.resilience.clone();
        let reading = tokio::task::spawn_blocking(move || match resilience.file() {
            Some(path) => resilience.reload_file(&on_hangup(&path)).map(drop),
            None => Err(ReloadError::NoFile),
        });
        match reading.await {
            Ok(Err(ReloadError::NoFile)) => {
                tracing::info!("SIGHUP: there is no file to read again, the configuration is from {}", self.origin);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a reload did not end"),
        }
    }
}

fn on_hangup(path: &Path) -> ChangeBy {
    ChangeBy::new("SIGHUP", path.display().to_string())
}
