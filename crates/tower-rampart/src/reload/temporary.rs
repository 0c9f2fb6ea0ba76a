//! A whole document that is in force for a time, and then makes room again for the one that stays. Overrides of single operations are in `overrides`.

use std::time::{Duration, SystemTime};

use tower_rampart_config::ResilienceConfig;
use tower_rampart_core::Timestamp;

use super::{AuditAction, ChangeBy, Override, OverrideId, ReloadError, Reloaded, plan::Basis};
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

impl Resilience {
    /// Puts another document in force for `ttl`; then the one comes back that was to stay, unless somebody replaces it meanwhile: whatever
    /// [`reload`](Self::reload) or the watched file brings is newer, and stays at once. A second one for a time takes the place of the first.
    ///
    /// Overrides of operations lie above it as above any document. [`Reloaded::override_id`] is what [`revert`](Self::revert) takes it back by.
    ///
    /// # Errors
    /// As [`reload`](Self::reload), and, where an `etag` is given, [`ReloadError::EtagMismatch`] if the configuration has another.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tower_rampart::{Resilience, reload::ChangeBy};
    ///
    /// let resilience = Resilience::from_preset("production")?;
    /// let careful = resilience.load(r#"{"preset": "production", "retry": {"enabled": false}}"#)?;
    /// let alice = ChangeBy::new("alice", "10.0.0.7");
    /// let reloaded = resilience.reload_for(careful, Duration::from_secs(600), None, &alice)?;
    /// assert!(!resilience.config().base().retry.enabled);
    /// resilience.revert(reloaded.override_id.ok_or("it has a number")?, &alice)?;
    /// assert!(resilience.config().base().retry.enabled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reload_for(
        &self,
        config: ResilienceConfig,
        ttl: Duration,
        etag: Option<&str>,
        by: &ChangeBy,
    ) -> Result<Reloaded, ReloadError> {
        self.owner().change(|owner, state| {
            let id = OverrideId(state.next_id);
            state.next_id += 1;
            let until = clock::now().after(ttl);
            let temporary = Temporary { id, document: config, by: by.clone(), since: clock::wall(), until };
            let planned = owner
                .is_meant_for(etag)
                .and_then(|()| owner.plan(Basis { temporary: Some(temporary), ..state.basis.clone() }));
            let reloaded = owner.settle(state, planned, by, (AuditAction::Override, Some(id)))?;
            Ok(Reloaded { override_id: Some(id), ..reloaded })
        })
    }
}
