//! What a change would make of the configuration: everything is checked here, so that nothing fails once the first operation is swapped.

use std::sync::Arc;

use tower_rampart_config::{Capability, Change, ResilienceConfig, diff, etag};

use super::{
    DroppedOverride, ReloadError,
    overrides::{Kept, Laid},
    owner::Owner,
    temporary::Temporary,
};
use crate::{clock, pipeline::Role};

/// All that a configuration is made from.
#[derive(Debug, Clone)]
pub(super) struct Basis {
    pub(super) document: ResilienceConfig,
    /// What is in force instead of `document`, for a time.
    pub(super) temporary: Option<Temporary>,
    /// Given in code; a document that they cannot lie over is refused.
    pub(super) code: Vec<Laid>,
    /// The operations of servers, each laid over after what was given in code.
    pub(super) servers: Vec<String>,
    /// Made at run time; those that cannot lie over a document are dropped.
    pub(super) overrides: Vec<Kept>,
}

impl Basis {
    /// The document that is in force.
    pub(super) fn in_force(&self) -> &ResilienceConfig {
        self.temporary.as_ref().map_or(&self.document, |it| &it.document)
    }

    /// With another document, which stays: one that was in force for a time ends.
    pub(super) fn with_document(&self, document: ResilienceConfig) -> Self {
        Self { document, temporary: None, ..self.clone() }
    }

    /// What is left once all overrides of operations have ended.
    pub(super) fn without_overrides(&self) -> Self {
        Self { overrides: Vec::new(), ..self.clone() }
    }

    /// What is left once everything has ended that is in force for a time.
    pub(super) fn lasting(&self) -> Self {
        Self { temporary: None, ..self.without_overrides() }
    }
}

/// A change that can be made.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) basis: Basis,
    pub(super) config: ResilienceConfig,
    pub(super) etag: Arc<str>,
    pub(super) changes: Vec<Change>,
    pub(super) dropped: Vec<DroppedOverride>,
}

impl Owner {
    /// Lays everything over everything else and checks it.
    pub(super) fn plan(&self, mut basis: Basis) -> Result<Plan, ReloadError> {
        let mut config = basis.in_force().clone();
        for Laid { operation, fields } in &basis.code {
            config = config.with_operation_overrides(operation, fields)?;
        }
        for operation in &basis.servers {
            config = Role::Server.over(config, operation)?;
        }
        self.check(&config)?;
        let mut dropped = Vec::new();
        basis.overrides = self.lay_all(&mut config, basis.overrides, &mut dropped);
        let changes = diff(&self.present().config, &config);
        let etag = etag(&config).into();
        Ok(Plan { basis, config, etag, changes, dropped })
    }

    /// Lays the overrides that fit, in their order, and gives back those.
    fn lay_all(
        &self,
        config: &mut ResilienceConfig,
        overrides: Vec<Kept>,
        dropped: &mut Vec<DroppedOverride>,
    ) -> Vec<Kept> {
        let over = |config: &ResilienceConfig, it: &Kept| {
            config.with_operation_overrides(&it.laid.operation, &it.laid.fields).map_err(ReloadError::from)
        };
        // Most of the time all fit, and one check is enough.
        let all = overrides.iter().try_fold(config.clone(), |config, it| over(&config, it));
        if let Ok(all) = all.and_then(|all| self.check(&all).map(|()| all)) {
            *config = all;
            return overrides;
        }
        let now = clock::now();
        let mut kept = Vec::new();
        for it in overrides {
            match over(config, &it).and_then(|with| self.check(&with).map(|()| with)) {
                Ok(with) => {
                    *config = with;
                    kept.push(it);
                }
                Err(error) => dropped.push(DroppedOverride { what: it.at(now), reason: error.to_string() }),
            }
        }
        kept
    }

    /// Checks that the host, and every pipeline that follows, can serve a configuration.
    pub(super) fn check(&self, config: &ResilienceConfig) -> Result<(), ReloadError> {
        config.check(&self.host)?;
        if let Some(attached) = self.attached() {
            attached.check(config)?;
        }
        for machines in self.followers() {
            let can = machines.capabilities();
            // What the host cannot serve was found above, for all operations at once.
            if Capability::ALL.iter().all(|it| can.has(*it) || !self.host.has(*it)) {
                continue;
            }
            let operation = machines.operation.name();
            config
                .check_operation(operation, &can)
                .map_err(|error| ReloadError::Unsupported { operation: operation.to_string(), error })?;
        }
        Ok(())
    }
}
