//! How a limiter's limit is moved by what becomes of attempts, and what stays of it through a reload. The machine is `adaptive`.

use std::time::Duration;

use super::{Algorithm, Config, Controller, Limiter, Sample, limit::Cold};
use crate::{
    Timestamp,
    sync::{Ordering, lock},
};

impl Limiter {
    /// Whether samples move the limit.
    #[inline]
    pub fn is_adaptive(&self) -> bool {
        self.adaptive.load(Ordering::Relaxed)
    }

    /// What moves the limit; `None` if nothing does.
    pub fn algorithm(&self) -> Option<Algorithm> {
        lock(&self.cold).config.adaptive.map(|it| it.algorithm)
    }

    /// The latency that the limit goes by, as last measured: that of the service when nobody waits for it. `None` where nothing moves the limit, where what moves it
    /// goes by no latency, and before the first measurement.
    pub fn base_latency(&self) -> Option<Duration> {
        lock(&self.cold).controller.as_ref().and_then(|it| it.base_latency())
    }

    /// Whether the limit is another than at its beginning.
    pub(super) fn has_learnt(&self) -> bool {
        self.is_adaptive() && self.max_inflight() != lock(&self.cold).config.beginning()
    }

    /// Takes an attempt in that has ended, by a call that still holds its permit. Moves the limit within its bounds `now`; who waits is served at once where it
    /// grows. `now` is when the call knows, which is after the sample's end where that is only the head of an answer.
    ///
    /// What it costs is the queue's mutex and some arithmetic; it allocates nothing. Where nothing moves the limit it does nothing.
    pub fn record(&self, sample: &Sample, now: Timestamp) {
        if !self.is_adaptive() {
            return;
        }
        let mut cold = lock(&self.cold);
        if !cold.config.enabled {
            return;
        }
        let before = self.max_inflight();
        let inflight = self.inflight();
        let limit = cold.controller.as_mut().map_or(before, |it| it.record(sample, inflight, now));
        self.max_inflight.store(limit, Ordering::Relaxed);
        if limit <= before || cold.queue.is_empty() {
            return;
        }
        // One by one, so that nobody is woken under the lock and no list of them is made.
        while let Some(granted) = self.hand_over(&mut cold) {
            drop(cold);
            granted.wake();
            cold = lock(&self.cold);
        }
    }
}

impl Config {
    /// The limit at its beginning.
    pub(super) fn beginning(&self) -> u32 {
        self.adaptive.map_or(self.max_inflight, |it| it.bound(self.max_inflight.into()) as u32)
    }

    /// What moves the limit, at its beginning.
    pub(super) fn controller(&self) -> Option<Box<Controller>> {
        self.adaptive.map(|it| Box::new(Controller::new(it, self.max_inflight)))
    }
}

impl Cold {
    /// Runs on another configuration. Gives the limit: what was learnt stays, unless another `max_inflight` says where to begin.
    pub(super) fn adopt(&mut self, config: Config) -> u32 {
        let begins = config.max_inflight != self.config.max_inflight;
        match (&mut self.controller, config.adaptive) {
            (Some(controller), Some(adaptive)) if !begins => controller.reconfigure(adaptive),
            (controller, _) => *controller = config.controller(),
        }
        self.config = config;
        self.controller.as_ref().map_or(config.max_inflight, |it| it.limit())
    }
}
