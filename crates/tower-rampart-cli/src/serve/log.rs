//! What the gateway tells its operator while it runs, on standard error. Numbers are on the admin address.

use std::io::IsTerminal as _;

use tower_rampart_core::event::{Event, EventKind};
use tracing_subscriber::EnvFilter;

/// Logs to standard error from now on: `info` and above, unless `RUST_LOG` says otherwise.
pub(crate) fn init(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // It would complain on standard error, and panic if that is what broke.
        .log_internal_errors(false);
    // Fails only if somebody logs already, and then the logs go there.
    let _ = if json { logs.json().try_init() } else { logs.try_init() };
}

/// Logs one event of the registry.
pub(crate) fn event(event: &Event) {
    match &event.kind {
        EventKind::Transition { .. } => tracing::warn!(operation = %event.operation, "{}", event.kind),
        // Each violation stands in a line of its own.
        EventKind::ReloadRefused { reason } => {
            for line in reason.lines() {
                tracing::warn!(operation = %event.operation, "reload refused: {line}");
            }
        }
        kind => tracing::info!(operation = %event.operation, "{kind}"),
    }
}
