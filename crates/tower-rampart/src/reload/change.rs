//! The methods that read and replace the document. Overrides of single operations are in `overrides`.

use std::sync::Arc;

use tower_rampart_config::{Change, ConfigError, ResilienceConfig};

use super::{
    AuditAction, AuditEntry, ChangeBy, ReloadError, Reloaded,
    owner::{Owner, State},
};
use crate::Resilience;

impl Resilience {
    /// The configuration that new calls run on, overrides included.
    pub fn config(&self) -> ResilienceConfig {
        self.owner().current().config.clone()
    }

    /// The document that is in force, without the overrides that lie over it: what a partial change of it starts from.
    pub fn document(&self) -> ResilienceConfig {
        self.owner().change(|_, state| state.basis.in_force().clone())
    }

    /// The tag of [`config`](Self::config): another one if and only if the configuration is another.
    pub fn etag(&self) -> Arc<str> {
        Arc::clone(&self.owner().current().etag)
    }

    /// Reads a document of at most 4096 bytes as the first one was read: over the same environment variables, if it came from the environment.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn load(&self, document: &str) -> Result<ResilienceConfig, ConfigError> {
        self.owner().origin.document(&self.presets(), document)
    }

    /// Replaces the document; overrides stay above it where they still fit. One that [`reload_on`](Self::reload_on) put there for a time ends.
    ///
    /// # Errors
    /// Names each stage that the host, or a pipeline of an operation, cannot serve, and the missing capability. Then nothing has changed.
    pub fn reload(&self, config: ResilienceConfig, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        self.owner().change(|owner, state| owner.reload(state, None, Ok(config), by))
    }

    /// Replaces the document, unless the configuration has another tag than `etag`: somebody else was faster then.
    ///
    /// # Errors
    /// As [`reload`](Self::reload), and [`ReloadError::EtagMismatch`] with the present tag.
    pub fn reload_if(&self, etag: &str, config: ResilienceConfig, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        self.owner().change(|owner, state| owner.reload(state, Some(etag), Ok(config), by))
    }

    /// Replaces the document by this one of at most 4096 bytes, read as by [`load`](Self::load).
    ///
    /// # Errors
    /// As [`reload`](Self::reload), and all that is wrong with the document.
    pub fn reload_json(&self, document: &str, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        let config = self.load(document);
        self.owner().change(|owner, state| owner.reload(state, None, config, by))
    }

    /// Replaces the document as [`reload_json`](Self::reload_json) does, unless the configuration has another tag than `etag`.
    ///
    /// # Errors
    /// As [`reload_json`](Self::reload_json), and [`ReloadError::EtagMismatch`] with the present tag.
    pub fn reload_json_if(&self, etag: &str, document: &str, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        let config = self.load(document);
        self.owner().change(|owner, state| owner.reload(state, Some(etag), config, by))
    }

    /// Says what a document would change for calls, and changes nothing.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn dry_run(&self, config: &ResilienceConfig) -> Result<Vec<Change>, ReloadError> {
        self.owner().change(|owner, state| Ok(owner.plan(state.basis.with_document(config.clone()))?.changes))
    }

    /// Who changed the configuration, when and how, or tried to: the last 1000 entries, oldest first; fewer
    /// where they hold more than 50 000 differences together.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.owner().change(|_, state| state.audit.all())
    }

    /// Enters a command of an operator in the [`audit`](Self::audit) that is no change of the configuration: a circuit was reset, counters were.
    /// `command` is the word for it, `subject` what it was done to.
    pub fn note(&self, command: &'static str, subject: &str, by: &ChangeBy) {
        self.owner().change(|_, state| {
            state.audit.push(by, (AuditAction::Command(command), None), &[], Some(subject.into()));
        });
    }

    /// Changes how many entries of the [`audit`](Self::audit) are kept (1000 unless told otherwise); the oldest go first.
    pub fn keep_audit(&self, max: usize) {
        self.owner().change(|_, state| state.audit.resize(max));
    }
}

impl Owner {
    pub(super) fn reload(
        &self,
        state: &mut State,
        etag: Option<&str>,
        config: Result<ResilienceConfig, ConfigError>,
        by: &ChangeBy,
    ) -> Result<Reloaded, ReloadError> {
        let planned = self
            .is_meant_for(etag)
            .and(config.map_err(ReloadError::from))
            .and_then(|document| self.plan(state.basis.with_document(document)));
        self.settle(state, planned, by, (AuditAction::Reload, None))
    }

    /// Whether a change that was made for the configuration of this tag finds it.
    pub(super) fn is_meant_for(&self, etag: Option<&str>) -> Result<(), ReloadError> {
        let present = Arc::clone(&self.present().etag);
        match etag {
            Some(expected) if *expected != *present => {
                Err(ReloadError::EtagMismatch { expected: expected.to_owned(), present })
            }
            _ => Ok(()),
        }
    }
}
