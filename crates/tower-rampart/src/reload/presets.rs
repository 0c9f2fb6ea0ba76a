//! The presets that documents can name: those built in and those registered while it runs.

use std::sync::Arc;

use tower_rampart_config::{ConfigError, PresetDefinition, Presets};

use super::{AuditAction, ChangeBy};
use crate::Resilience;

impl Resilience {
    /// The presets that documents can name from now on.
    pub fn presets(&self) -> Arc<Presets> {
        self.owner().presets.load()
    }

    /// Adds a preset, which documents can name from then on: those of [`load`](Self::load), of the watched file, of the environment's file. There can be
    /// [`Presets::MOST`]; they last as long as this does.
    ///
    /// # Errors
    /// Lists every field that is out of its range, a name that is taken, and operations whose numbers contradict each other.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart::{Preset, Resilience, reload::ChangeBy};
    /// use tower_rampart_config::PresetDefinition;
    ///
    /// let resilience = Resilience::from_preset("production")?;
    /// let batch = PresetDefinition { name: "batch".to_owned(), retry_attempts: 8, ..Preset::Production.definition() };
    /// resilience.register_preset(batch, &ChangeBy::code("start"))?;
    /// resilience.reload_json(r#"{"preset": "batch"}"#, &ChangeBy::code("start"))?;
    /// assert_eq!(resilience.config().base().retry.max_attempts, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register_preset(&self, preset: PresetDefinition, by: &ChangeBy) -> Result<(), ConfigError> {
        self.owner().change(|owner, state| {
            let mut presets = Presets::clone(&owner.presets.load());
            let name: Arc<str> = preset.name.as_str().into();
            presets.register(preset).inspect_err(|error| {
                state.note_refused(by, None, error);
            })?;
            owner.presets.store(presets);
            state.audit.push(by, (AuditAction::Preset, None), &[], Some(name));
            Ok(())
        })
    }
}
