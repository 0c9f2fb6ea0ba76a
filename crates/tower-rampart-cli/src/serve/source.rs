//! Where documents come from once the gateway runs: the file that is watched and read again on SIGHUP. How they take effect is in `live`.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use futures_util::FutureExt as _;
use tokio::{signal::unix::Signal, sync::mpsc};
use tower_rampart::{
    Registry, Resilience, ResilienceConfig,
    reload::{ChangeBy, ReloadError},
};
use tower_rampart_core::event::EventKind;

use super::{
    document::{self, capabilities},
    live::Live,
};
use crate::failure::Failure;

/// Where the configuration comes from.
#[derive(Debug)]
pub(crate) struct Source {
    /// Reads and validates documents as the first one was read, and runs nothing: what traffic runs on changes only after the gateway, too, has found
    /// that it can serve a document.
    reader: Resilience,
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
    pub(crate) fn open(preset: Option<&str>, file: Option<&Path>) -> Result<Self, Failure> {
        match (file, preset) {
            (Some(path), _) if path == Path::new("-") => {
                Self::of(document::of_standard_input()?, None, "standard input".to_owned())
            }
            (Some(path), _) => Self::of(document::of_file(path)?, Some(path), path.display().to_string()),
            (None, Some(name)) => Self::of(document::of_preset(name)?, None, format!("--preset {name}")),
            (None, None) => Self::environment(),
        }
    }

    fn of(config: ResilienceConfig, file: Option<&Path>, origin: String) -> Result<Self, Failure> {
        let reader = Resilience::for_host(config, &Registry::new(), capabilities())
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Self { reader, file: file.map(Path::to_owned), origin, warnings: Vec::new() })
    }

    fn environment() -> Result<Self, Failure> {
        let loaded = document::of_environment()?;
        let reader = Resilience::from_env_for_host(&Registry::new(), capabilities())
            .map_err(|error| Failure::lines(error.to_string().lines().map(str::to_owned).collect()))?;
        let warnings = loaded.warnings;
        let origin = match (&loaded.file, &loaded.recommendation) {
            (Some(file), _) => format!("RESILIENCE_CONFIG_FILE ({file})"),
            (None, Some(it)) => format!("preset {}, as for {}", it.recommended_preset, it.environment_detected),
            (None, None) => "the environment".to_owned(),
        };
        Ok(Self { reader, file: None, origin, warnings })
    }

    /// The configuration to begin with.
    pub(crate) fn config(&self) -> ResilienceConfig {
        self.reader.document()
    }

    /// Says where the configuration comes from, then follows its file, if it is one, for ever. Every document that was read and could be served is what
    /// `live` runs on; the others are told to its observers.
    pub(crate) async fn follow(self, live: Arc<Live>, mut hangup: Signal) {
        tracing::info!("configuration from {}", self.origin);
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        self.reader.keep_audit(1);
        let (tell, mut told) = mpsc::unbounded_channel();
        self.reader.registry().on_event(move |event| {
            // Nobody listens any more when the program ends.
            let _ = tell.send(event.kind.clone());
        });
        // Begun before the file is looked at: what touches it from the look on is noticed.
        let mut maintained = pin!(self.reader.maintain());
        if maintained.as_mut().now_or_never().is_some() {
            return;
        }
        if let Some(path) = self.file.clone().or_else(|| self.reader.file())
            && let Err(error) = self.reader.watch(path)
        {
            tracing::warn!("{error}; it is read again on SIGHUP only");
        }
        loop {
            tokio::select! {
                () = &mut maintained => return,
                kind = told.recv() => match kind {
                    Some(EventKind::Reloaded { .. }) => self.apply(&live).await,
                    Some(EventKind::ReloadRefused { reason }) => live.refuse(self.with_origin(&reason)),
                    Some(_) => {}
                    None => return,
                },
                signal = hangup.recv() => match signal {
                    Some(()) => self.read_again(&live).await,
                    None => return,
                },
            }
        }
    }

    /// Makes what was read last what traffic runs on. A document may have many operations, so this is done beside the requests.
    async fn apply(&self, live: &Arc<Live>) {
        let (live, document, by) = (Arc::clone(live), self.reader.document(), self.changed_by());
        // Of a refusal, observers have been told.
        let applying = tokio::task::spawn_blocking(move || live.reload(document, &by).is_ok());
        if let Err(error) = applying.await {
            tracing::error!(%error, "a reload did not end");
        }
    }

    /// Reads the file whether or not it was touched; what comes of it is an event of the reader.
    async fn read_again(&self, live: &Arc<Live>) {
        let (live, reader, file) = (Arc::clone(live), self.reader.clone(), self.file.clone());
        let reading = tokio::task::spawn_blocking(move || match (reader.file(), file) {
            (Some(path), _) => reader.reload_file(&on_hangup(&path)).map(drop),
            // It could not be watched.
            (None, Some(path)) => match document::of_file(&path) {
                Ok(config) => reader.reload(config, &on_hangup(&path)).map(drop),
                Err(failure) => {
                    live.refuse(failure.to_string());
                    Ok(())
                }
            },
            (None, None) => Err(ReloadError::NoFile),
        });
        match reading.await {
            Ok(Err(ReloadError::NoFile)) => {
                tracing::info!("SIGHUP: there is no file to read again, the configuration is from {}", self.origin);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a reload did not end"),
        }
    }

    /// Who made the last change.
    fn changed_by(&self) -> ChangeBy {
        let last = self.reader.audit().pop();
        last.map_or_else(|| ChangeBy::new("file", self.origin.as_str()), |entry| entry.by)
    }

    /// Says which file is meant, unless the reason does already.
    fn with_origin(&self, reason: &str) -> String {
        let path = self.reader.file().unwrap_or_default().display().to_string();
        if reason.contains(&path) { reason.to_owned() } else { format!("{path} is refused:\n{reason}") }
    }
}

fn on_hangup(path: &Path) -> ChangeBy {
    ChangeBy::new("SIGHUP", path.display().to_string())
}
