//! What a call does where stages are in shadow: it is counted as they would have treated it, and goes on. What that means for each stage is in
//! `tower_rampart_core::shadow`.

use std::mem;

use tower_rampart_core::{
    Rejection, Stage, Timestamp,
    rate::OnLimit,
    rejection::{RateLimited, TimeoutKind},
    shadow::WouldBe,
};

use super::call::Call;
use crate::clock;

impl<J, K, A, R> Call<J, K, A, R> {
    /// Whether a stage refuses nothing.
    pub(super) fn shadows(&self, stage: Stage) -> bool {
        self.settings.shadow.has(stage)
    }

    /// Whether a call that was refused so goes on all the same, because the stage is in shadow; counts it then.
    #[cold]
    pub(super) fn passes(&self, rejection: &Rejection, now: Timestamp) -> bool {
        let stage = rejection.stage();
        if !self.shadows(stage) {
            return false;
        }
        let would_be = match rejection {
            Rejection::RateLimited(limited) if self.would_wait(limited, now) => WouldBe::Queued,
            _ => WouldBe::Refused,
        };
        self.would(stage, would_be);
        true
    }

    /// Counts what a stage in shadow would have done.
    pub(super) fn would(&self, stage: Stage, would_be: WouldBe) {
        self.shared.machines.operation.shadowed(stage, would_be);
    }

    /// Whether a live limit would have let the call wait for its tokens.
    fn would_wait(&self, limited: &RateLimited, now: Timestamp) -> bool {
        let config = self.shared.machines.rate.config();
        let fits = |wait| {
            config.max_wait.is_none_or(|max| wait <= max) && self.deadline.is_none_or(|until| now.after(wait) < until)
        };
        config.on_limit == OnLimit::Wait && limited.retry_after.is_some_and(fits)
    }

    /// Whether a live limit would have let the call wait for a permit.
    #[cold]
    pub(super) fn pass_concurrency(&self) {
        let has_room = self.limiter().has_room();
        self.would(Stage::Concurrency, if has_room { WouldBe::Queued } else { WouldBe::Refused });
    }

    /// When a live timeout would end the attempt that begins; `None` too if it would have ended the call before.
    #[cold]
    pub(super) fn would_end(&self, now: Timestamp) -> Option<(Timestamp, TimeoutKind)> {
        let limits = self.shared.machines.settings.with(|live| live.would_be);
        let attempt = limits.attempt.map(|limit| (now.after(limit), TimeoutKind::Attempt));
        let total = limits.total.map(|limit| (self.began.after(limit), TimeoutKind::Total));
        attempt.into_iter().chain(total).min_by_key(|(at, _)| *at).filter(|(at, _)| *at > now)
    }

    /// An attempt has ended: counts it if a live timeout would have ended it before.
    #[cold]
    pub(super) fn judge_time(&mut self) {
        if mem::take(&mut self.attempt_until).is_some_and(|(at, _)| clock::now() > at) {
            self.would(Stage::Timeout, WouldBe::Refused);
        }
    }
}
