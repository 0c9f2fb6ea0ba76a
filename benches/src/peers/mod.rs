//! Other crates at the same work, each in its latest release: what a subject of theirs is told stands beside the one of ours in `compare`.
//!
//! Limits are as wide as ours, thresholds as high, and what refuses is forced or used up in the same way. Crates without a service (governor,
//! failsafe, recloser, backon) are called inside the bare service's closure, which is how their documentation shows them.

mod closures;
mod resilience;
mod seatbelt;
mod tower;

use tokio::runtime::Runtime;

pub(crate) use self::seatbelt::seatbelt_breaker;
use crate::{Failure, Subject};

/// What a peer is compared with, a row of ours by its name.
#[derive(Debug)]
pub struct Peer {
    /// The name of our subject that does the same work.
    pub beside: &'static str,
    /// The peer.
    pub subject: Subject,
}

impl Peer {
    fn new(beside: &'static str, subject: Subject) -> Self {
        Self { beside, subject }
    }
}

/// All of them.
///
/// # Errors
/// If a peer refuses its configuration.
pub fn peers(runtime: &Runtime) -> Result<Vec<Peer>, Failure> {
    // Some make timers or ask for the runtime while they are built.
    let _context = runtime.enter();
    let mut all = tower::peers();
    all.extend(resilience::peers(runtime)?);
    all.extend(seatbelt::peers(runtime));
    all.extend(closures::peers(runtime)?);
    Ok(all)
}

/// The names of our subjects, as `ours` has them.
mod row {
    pub(super) const CONSECUTIVE: &str = "circuit breaker, consecutive rule";
    pub(super) const WINDOW: &str = "circuit breaker, time window";
    pub(super) const OPEN: &str = "circuit breaker, open: refusal";
    pub(super) const RATE: &str = "rate limit, admit";
    pub(super) const RATE_REFUSED: &str = "rate limit, used up: refusal";
    pub(super) const RETRY: &str = "retry, first try succeeds";
    pub(super) const CONCURRENCY: &str = "concurrency limit";
    pub(super) const CONCURRENCY_REFUSED: &str = "concurrency limit, full: refusal";
    pub(super) const TIMEOUT: &str = "timeout, ready at once";
    pub(super) const FALLBACK: &str = "fallback, not needed";
    pub(super) const PIPELINE: &str = "whole `production` pipeline";
}
