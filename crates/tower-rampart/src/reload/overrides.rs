//! Overrides of one operation that lie above the document: made at run time, for a time or until they are taken back.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use tower_rampart_config::Change;
use tower_rampart_core::Timestamp;

use super::{
    AuditAction, ChangeBy, ReloadError, Reloaded,
    owner::{Owner, State},
    plan::{Basis, Plan},
};
use crate::{Resilience, clock};

/// Which override; never used twice by one [`Resilience`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OverrideId(pub(super) u64);

impl fmt::Display for OverrideId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not the number of an override.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the number of an override")]
#[non_exhaustive]
pub struct UnknownOverrideId;

impl FromStr for OverrideId {
    type Err = UnknownOverrideId;

    fn from_str(text: &str) -> Result<Self, UnknownOverrideId> {
        text.parse().map(Self).map_err(|_| UnknownOverrideId)
    }
}

/// Fields laid over an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Laid {
    pub(super) operation: String,
    pub(super) fields: String,
}

impl Laid {
    pub(super) fn new(operation: &str, fields: &str) -> Self {
        Self { operation: operation.to_owned(), fields: fields.to_owned() }
    }
}

/// An override that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Override {
    /// Its number.
    pub id: OverrideId,
    /// The operation that it lies over; `None` for a whole document that is in force for a time.
    pub operation: Option<String>,
    /// The fields that it sets, as JSON.
    pub fields: String,
    /// Who made it, and where from.
    pub by: ChangeBy,
    /// When it was made.
    pub since: SystemTime,
    /// How long it still holds; `None` until it is taken back.
    pub expires_in: Option<Duration>,
}

/// An override as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) id: OverrideId,
    pub(super) laid: Laid,
    pub(super) by: ChangeBy,
    pub(super) since: SystemTime,
    pub(super) until: Option<Timestamp>,
}

impl Kept {
    pub(super) fn at(&self, now: Timestamp) -> Override {
        Override {
            id: self.id,
            operation: Some(self.laid.operation.clone()),
            fields: self.laid.fields.clone(),
            by: self.by.clone(),
            since: self.since,
            expires_in: self.until.map(|until| until.since(now)),
        }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// How long an override that cannot be taken away yet holds on.
const AGAIN: Duration = Duration::from_secs(60);

impl Owner {
    /// Takes away the overrides whose time is over.
    pub(super) fn expire(&self, state: &mut State, now: Timestamp) {
        while let Some((id, by)) = state.basis.due(now) {
            let planned = self.plan(state.basis.without(id));
            let ended = planned.and_then(|plan| self.commit(state, plan, &by, (AuditAction::Expire, Some(id))));
            // A pipeline was built without asking this owner, and cannot serve what lies below the override; or the host cannot, any more.
            if let Err(error) = ended {
                state.basis.postpone(id, now.after(AGAIN));
                self.note_expiry(state);
                state.refuse(&by, Some(id), &error);
            }
        }
    }
}

impl Basis {
    /// An override whose time is over, or the document, and who made it.
    fn due(&self, now: Timestamp) -> Option<(OverrideId, ChangeBy)> {
        let document = self.temporary.as_ref().filter(|it| now >= it.until).map(|it| (it.id, it.by.clone()));
        document.or_else(|| self.overrides.iter().find(|it| it.is_due(now)).map(|it| (it.id, it.by.clone())))
    }

    fn has(&self, id: OverrideId) -> bool {
        self.temporary.as_ref().is_some_and(|it| it.id == id) || self.overrides.iter().any(|it| it.id == id)
    }

    fn without(&self, id: OverrideId) -> Self {
        let mut basis = self.clone();
        basis.temporary = basis.temporary.filter(|it| it.id != id);
        basis.overrides.retain(|it| it.id != id);
        basis
    }

    fn postpone(&mut self, id: OverrideId, until: Timestamp) {
        if let Some(temporary) = self.temporary.as_mut().filter(|it| it.id == id) {
            temporary.until = until;
        }
        for it in self.overrides.iter_mut().filter(|it| it.id == id) {
            it.until = Some(until);
        }
    }
}

impl Resilience {
    /// How many overrides can be in force at once.
    pub const MAX_OVERRIDES: usize = 100;

    /// Lays fields over one operation, above the document and all earlier overrides, for `ttl` or until it is taken back. They are those that an
    /// operation's entry in a document takes, at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation of the fields, and of what they make of the operation; then nothing has changed.
    pub fn override_operation(
        &self,
        operation: &str,
        fields: &str,
        ttl: Option<Duration>,
        by: &ChangeBy,
    ) -> Result<OverrideId, ReloadError> {
        self.owner().change(|owner, state| {
            let id = OverrideId(state.next_id);
            let done = owner.lay(state.basis.clone(), id, Laid::new(operation, fields), ttl, by);
            state.next_id += 1;
            owner.settle(state, done, by, (AuditAction::Override, Some(id)))?;
            Ok(id)
        })
    }

    /// Says what an override would change, and changes nothing.
    ///
    /// # Errors
    /// As [`override_operation`](Self::override_operation).
    pub fn dry_run_override(&self, operation: &str, fields: &str) -> Result<Vec<Change>, ReloadError> {
        self.owner().change(|owner, state| {
            let id = OverrideId(state.next_id);
            let plan =
                owner.lay(state.basis.clone(), id, Laid::new(operation, fields), None, &ChangeBy::code("dry run"))?;
            Ok(plan.changes)
        })
    }

    /// Takes an override back before its time.
    ///
    /// # Errors
    /// If there is no such override, or no longer.
    pub fn revert(&self, id: OverrideId, by: &ChangeBy) -> Result<Reloaded, ReloadError> {
        self.owner().change(|owner, state| {
            let is_there = state.basis.has(id);
            let done =
                if is_there { owner.plan(state.basis.without(id)) } else { Err(ReloadError::UnknownOverride(id)) };
            owner.settle(state, done, by, (AuditAction::Revert, Some(id)))
        })
    }

    /// The overrides in force: a whole document first, then by age. Those given in code are not among them.
    pub fn overrides(&self) -> Vec<Override> {
        self.owner().change(|_, state| {
            let now = clock::now();
            let document = state.basis.temporary.as_ref().map(|it| it.at(now));
            document.into_iter().chain(state.basis.overrides.iter().map(|it| it.at(now))).collect()
        })
    }
}

impl Owner {
    fn lay(
        &self,
        mut basis: Basis,
        id: OverrideId,
        laid: Laid,
        ttl: Option<Duration>,
        by: &ChangeBy,
    ) -> Result<Plan, ReloadError> {
        let max = Resilience::MAX_OVERRIDES;
        if basis.overrides.len() >= max {
            return Err(ReloadError::TooManyOverrides { max });
        }
        // Laid over what runs, it is judged for itself: what is wrong with it is the caller's to know, and no reason to drop it silently.
        let present = self.present();
        let over = present.config.with_operation_overrides(&laid.operation, &laid.fields)?;
        self.check(&over)?;
        let until = ttl.map(|ttl| clock::now().after(ttl));
        basis.overrides.push(Kept { id, laid, by: by.clone(), since: clock::wall(), until });
        self.plan(basis)
    }
}
