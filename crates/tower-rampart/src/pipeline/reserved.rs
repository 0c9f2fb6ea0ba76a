//! The tokens of a model API that a call has reserved, until its answer says how many it has used. How they are taken is in `rate`.

use std::{fmt, mem, sync::Arc};

use tower_rampart_core::{Class, Verdict, rate::Receipt};

use super::Machines;
use crate::clock;

/// The most that one call owes, in minutes of the quota: a wrong number in an answer must not lock a service up.
const MINUTES_OWED: u32 = 60;

/// Tokens that were reserved for a call that was sent.
///
/// # Cancel safety
/// Dropped, what was reserved is spent, and what was used beyond it is owed.
pub(crate) struct Reserved {
    machines: Arc<Machines>,
    receipt: Receipt,
    used: Option<u32>,
}

impl Reserved {
    /// `None` if nothing was reserved.
    pub(super) fn new(machines: &Arc<Machines>, receipt: Receipt) -> Option<Self> {
        (receipt.cost() > 0).then(|| Self { machines: Arc::clone(machines), receipt, used: None })
    }

    /// Notes what was used so far; the last word counts.
    pub(crate) fn used(&mut self, tokens: u32) {
        self.used = Some(tokens);
    }

    /// The answer has ended and was judged so: what was reserved too much comes back if it succeeded, what was too little is owed.
    pub(crate) fn settle(mut self, verdict: &Verdict) {
        self.end(verdict.class == Class::Success);
    }

    fn end(&mut self, is_all: bool) {
        let receipt = mem::take(&mut self.receipt);
        let Some(used) = self.used.take() else { return };
        // An answer that ended too soon may have used more than it said.
        let used = if is_all { used } else { used.max(receipt.cost()) };
        let tokens = &self.machines.tokens;
        let most = tokens.config().most_at_once().saturating_mul(MINUTES_OWED);
        tokens.settle(receipt, used.min(most), clock::now());
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").field("tokens", &self.receipt.cost()).finish_non_exhaustive()
    }
}
