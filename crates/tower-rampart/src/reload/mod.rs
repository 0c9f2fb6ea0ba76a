//! Replaces the configuration of a [`Resilience`] while calls flow, and says who did it. The swap of one operation is the pipeline's own.
//!
//! A new document takes the road of the first one: it is validated as a whole, checked against what every pipeline built from it can serve,
//! compared with the present one, and then swapped in, one swap for each operation. Circuits, windows, tokens, permits and budgets stay; calls in
//! flight end under the timeouts and retries they began with. If anything is wrong, nothing changes, and the refusal is an event and an entry in the
//! audit. Changes are made one after another; none holds up a call.
//!
//! | what lies over what, lowest first | changed by |
//! |---|---|
//! | the document (and below it the environment and the preset) | [`reload`](Resilience::reload), [`reload_json`](Resilience::reload_json), the watched file |
//! | overrides given in code | [`PresetBuilder::overrides_json`](crate::PresetBuilder::overrides_json) of a pipeline that follows |
//! | instead of the document, for a time: another one | [`reload_on`](Resilience::reload_on), [`reload_patch`](Resilience::reload_patch), [`revert`](Resilience::revert), its time to live |
//! | overrides made at run time, in the order they were made | [`override_operation`](Resilience::override_operation), [`revert`](Resilience::revert), their time to live |
//!
//! A program that knows more than its types tell, which operations there is room for, which targets exist, is asked as a [`Host`] before each change, and
//! builds its new pipelines before calls meet it.
//!
//! The library spawns no task: the end of overrides and the watched file are served by [`maintain`](Resilience::maintain), which the program spawns.
//! Without it an override still ends in time for whoever reads or changes the configuration.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use tower_rampart::{Resilience, reload::ChangeBy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let resilience = Resilience::from_json(r#"{"preset": "production", "retry_attempts": 3}"#)?;
//! tokio::spawn(resilience.maintain());
//!
//! let alice = ChangeBy::new("alice", "10.0.0.7");
//! let document = r#"{"preset": "production", "retry_attempts": 4}"#;
//! let before = resilience.etag();
//! let reloaded = resilience.reload_json_if(&before, document, &alice)?;
//! assert_eq!(resilience.operation("export").handle().config().retry.max_attempts, 4);
//! assert!(resilience.reload_json_if(&before, document, &alice).is_err(), "somebody else was faster");
//!
//! // For ten minutes only.
//! resilience.override_operation("export", r#"{"retry_attempts": 1}"#, Some(Duration::from_secs(600)), &alice)?;
//! assert_eq!(resilience.operation("export").handle().config().retry.max_attempts, 1);
//! # drop(reloaded);
//! # Ok(())
//! # }
//! ```

mod audit;
mod change;
mod error;
mod file;
mod host;
mod maintain;
mod origin;
mod overrides;
mod owner;
mod plan;
mod presets;
mod temporary;
#[cfg(not(feature = "watch"))]
mod unwatched;
#[cfg(feature = "watch")]
mod watch;

pub use audit::{AuditAction, AuditEntry, ChangeBy};
pub use error::{DroppedOverride, ReloadError, Reloaded};
pub use host::{Host, Next, Ready};
pub(crate) use origin::Origin;
pub use overrides::{Override, OverrideId, UnknownOverrideId};
pub(crate) use owner::{Laying, Owner};
pub use temporary::Terms;
pub use tower_rampart_config::Change;
#[cfg(feature = "watch")]
pub use watch::WatchError;

#[cfg(doc)]
use crate::Resilience;
