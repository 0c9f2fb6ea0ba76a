//! The clock of these tests: real time, because the server's is.

use std::{sync::OnceLock, time::Instant};

use tower_rampart_core::Timestamp;

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn now() -> Timestamp {
    static ANCHOR: OnceLock<Instant> = OnceLock::new();
    let anchor = *ANCHOR.get_or_init(Instant::now);
    Timestamp::from_millis(1000).after(Instant::now().duration_since(anchor))
}
