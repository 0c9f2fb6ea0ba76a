//! The terms on which a document is replaced: one that is in force for a time makes room again for the one that stays. Overrides of single operations are in `overrides`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tower_rampart_config::{ConfigError, ResilienceConfig};
use tower_rampart_core::Timestamp;

use super::{
    AuditAction, ChangeBy, Override, OverrideId, ReloadError, Reloaded,
    owner::{Owner, State},
    plan::Basis,
};
use crate::{Resilience, clock};

/// A document that is in force for a time.
#[derive(Debug, Clone)]
pub(super) struct Temporary {
    pub(super) id: OverrideId,
    pub(super) document: ResilienceConfig,
    pub(super) by: ChangeBy,
    since: SystemTime,
    pub(super) until: Timestamp,
}

impl Temporary {
    pub(super) fn at(&self, now: Timestamp) -> Override {
        Override {
            id: self.id,
            operation: None,
            fields: self.document.given().to_string(),
            by: self.by.clone(),
            since: self.since,
            expires_in: Some(self.until.since(now)),
        }
    }
}

/// On what terms a document is replaced: whatever the configuration is, and to stay, unless something else is said.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tower_rampart::{Resilience, reload::{ChangeBy, Terms}};
///
/// let resilience = Resilience::from_preset("production")?;
/// let alice = ChangeBy::new("alice", "10.0.0.7");
/// let terms = Terms::new().only_if(resilience.etag()).lasting(Duration::from_secs(600));
/// let reloaded = resilience.reload_patch(r#"{"retry": {"enabled": false}}"#, &terms, &alice)?;
/// assert!(!resilience.config().base().retry.enabled);
/// resilience.revert(reloaded.override_id.ok_or("it has a number")?, &alice)?;
/// assert!(resilience.config().base().retry.enabled);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    etag: Option<Arc<str>>,
    ttl: Option<Duration>,
}

impl Terms {
    /// Whatever the configuration is, and to stay.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if the configuration has this tag: somebody else was faster otherwise.
    #[must_use]
    pub fn only_if(self, etag: impl Into<Arc<str>>) -> Self {
        Self { etag: Some(etag.into()), ..self }
    }

    /// For a time; then the document comes back that was to stay, unless somebody replaces it meanwhile: what is reloaded to stay, by whomever, is newer,
    /// and does so at once. A second one for a time takes the place of the first.
    #[must_use]
    pub fn lasting(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }
}

impl Resilience {
    /// Replaces the document on these terms. Overrides of operations stay above it where they still fit; [`Reloaded::override_id`] is what
    /// [`revert`](Self::revert) takes one back by that is in force for a time.
    ///
    /// # Errors
    /// As [`reload`](Self::reload), and [`ReloadError::EtagMismatch`] with the present tag.
    pub fn reload_on(&self, config: ResilienceConfig, terms: &Terms, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        self.owner().change(|owner, state| owner.reload_on(state, Ok(config), terms, by))
    }

    /// Replaces the document on these terms by this one of at most 4096 bytes, read as by [`load`](Self::load).
    ///
    /// # Errors
    /// As [`reload_on`](Self::reload_on), and all that is wrong with the document.
    pub fn reload_json_on(&self, document: &str, terms: &Terms, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        let config = self.load(document);
        self.owner().change(|owner, state| owner.reload_on(state, config, terms, by))
    }

    /// Lays a JSON merge patch (RFC 7396) of at most 4096 bytes over the document that is in force, on these terms. No change comes between the reading
    /// of the one and the replacing by the other.
    ///
    /// # Errors
    /// As [`reload_on`](Self::reload_on), and all that is wrong with the patch or with what it makes of the document.
    pub fn reload_patch(&self, patch: &str, terms: &Terms, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        self.owner().change(|owner, state| {
            let config = owner.patched(state, patch);
            owner.reload_on(state, config, terms, by)
        })
    }

    /// Reads what a JSON merge patch makes of the document that is in force, and changes nothing.
    ///
    /// # Errors
    /// Lists every violation of the patch, or of what it makes of the document.
    pub fn load_patch(&self, patch: &str) -> Result<ResilienceConfig, ConfigError> {
        self.owner().change(|owner, state| owner.patched(state, patch))
    }
}

impl Owner {
    /// What a patch makes of the document: as large as a file may be, because it may have come from one.
    fn patched(&self, state: &State, patch: &str) -> Result<ResilienceConfig, ConfigError> {
        let text = state.basis.in_force().patched(patch)?;
        self.origin.patched(&self.presets.load(), &text)
    }

    fn reload_on(
        &self,
        state: &mut State,
        config: Result<ResilienceConfig, ConfigError>,
        terms: &Terms,
        by: &ChangeBy,
    ) -> Result<Reloaded, ReloadError> {
        let Some(ttl) = terms.ttl else { return self.reload(state, terms.etag.as_deref(), config, by) };
        let id = OverrideId(state.next_id);
        state.next_id += 1;
        let until = clock::now().after(ttl);
        let planned =
            self.is_meant_for(terms.etag.as_deref()).and(config.map_err(ReloadError::from)).and_then(|document| {
                let temporary = Temporary { id, document, by: by.clone(), since: clock::wall(), until };
                self.plan(Basis { temporary: Some(temporary), ..state.basis.clone() })
            });
        let reloaded = self.settle(state, planned, by, (AuditAction::Override, Some(id)))?;
        Ok(Reloaded { override_id: Some(id), ..reloaded })
    }
}
