//! The machines of one operation that the registry looks at when it is asked; it never drives them.

use std::{sync::Arc, time::Duration};

use crate::{
    Stage, Timestamp,
    breaker::{self, Breaker},
    chaos::Chaos,
    concurrency::{Algorithm, Limiter},
    hedge::Hedging,
    keyed::KeyMap,
    priority::Shares,
    rate::RateLimiter,
    retry::Budget,
    shadow::Stages,
    throttle::{Throttle, ThrottleSnapshot},
};

/// The machines that the layers of one operation attached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) breaker: Option<Arc<Breaker>>,
    /// What the transitions of the breaker are counted on top of, wrapping: those of the breakers before it, less its own from before.
    transitions_base: u64,
    pub(crate) rate: Option<Arc<RateLimiter>>,
    /// The limiter of the tokens of a model API.
    pub(crate) tokens: Option<Arc<RateLimiter>>,
    pub(crate) concurrency: Option<Arc<Limiter>>,
    pub(crate) budget: Option<Arc<Budget>>,
    pub(crate) hedging: Option<Arc<Hedging>>,
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) chaos: Option<Arc<Chaos>>,
    /// The stages whose state is kept by key, by their discriminants: what is here of them is that of all keys without a place.
    keyed: [bool; Stage::ALL.len()],
    /// The keys of the stages that ever kept their state by key, at most one map for each.
    keys: Vec<KeyMap>,
    /// The stages that refuse nothing.
    pub(crate) shadow: Stages,
    /// What each class of calls may take, where they are told apart.
    pub(crate) priority: Option<Shares>,
}

/// What a rate limiter has left, of calls or of tokens of a model API.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RateSnapshot {
    /// Calls of cost 1 that would be admitted now, with the fraction that is already refilled; 0 to `burst`.
    pub remaining: f64,
    /// Calls admitted at once after a pause; [`u32::MAX`] without a limit on calls.
    pub burst: u32,
    /// What of `burst` is this process's own: its share of a fleet's, else all of it.
    pub own_burst: u32,
    /// How long until all of it is there again.
    pub reset_after: Duration,
    /// Calls that wait for their turn.
    pub queued: usize,
    /// Whether it is held with a fleet now, or to this process's share of the fleet's; `None` if it is in none.
    pub shared: Option<bool>,
}

/// What a concurrency limiter has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConcurrencySnapshot {
    /// Calls that hold a permit. May exceed `max_inflight` for a while after that was lowered.
    pub inflight: u32,
    /// The limit as it is now.
    pub max_inflight: u32,
    /// What moves it; `None` if nothing does.
    pub algorithm: Option<Algorithm>,
    /// The latency that the limit goes by, as last measured; `None` where it goes by none.
    pub base_latency: Option<Duration>,
    /// Calls that wait for a permit.
    pub queued: usize,
}

impl RateSnapshot {
    fn of(limiter: &RateLimiter, now: Timestamp) -> Self {
        Self {
            remaining: limiter.remaining(now),
            burst: limiter.config().most_at_once(),
            own_burst: limiter.own_burst(),
            reset_after: limiter.reset_after(now),
            queued: limiter.queued(),
            shared: limiter.in_fleet(),
        }
    }

    /// 0 if not one whole call is left, else the share of the process's own burst that is left: what a fleet has besides is not known here.
    pub(crate) fn health(&self) -> f64 {
        if self.remaining < 1.0 {
            return 0.0;
        }
        (self.remaining / f64::from(self.own_burst.max(1))).clamp(0.0, 1.0)
    }
}

impl ConcurrencySnapshot {
    /// The share of the permits that is free.
    pub(crate) fn health(&self) -> f64 {
        (1.0 - f64::from(self.inflight) / f64::from(self.max_inflight.max(1))).clamp(0.0, 1.0)
    }
}

impl Parts {
    /// The circuit breaker, if its stage is on.
    pub(crate) fn running_breaker(&self) -> Option<&Breaker> {
        self.breaker.as_deref().filter(|it| it.config().enabled)
    }

    /// The rate limiter, if its stage is on.
    pub(crate) fn running_rate(&self) -> Option<&RateLimiter> {
        self.rate.as_deref().filter(|it| it.is_enabled())
    }

    /// The limiter of tokens, if it is on.
    pub(crate) fn running_tokens(&self) -> Option<&RateLimiter> {
        self.tokens.as_deref().filter(|it| it.is_enabled())
    }

    /// The concurrency limiter, if its stage is on.
    pub(crate) fn running_concurrency(&self) -> Option<&Limiter> {
        self.concurrency.as_deref().filter(|it| it.is_enabled())
    }

    /// Whether the concurrency limit is reached and no call may wait for a permit.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.running_concurrency().is_some_and(|limiter| {
            let config = limiter.config();
            let may_wait =
                config.queue_timeout != Some(Duration::ZERO) && limiter.queued() < config.queue_size as usize;
            limiter.peek().is_err() && !may_wait
        })
    }

    pub(super) fn set_keyed(&mut self, stage: Stage, is_keyed: bool) {
        self.keyed[stage as usize] = is_keyed;
    }

    pub(super) fn attach_keys(&mut self, keys: KeyMap) {
        self.keys.retain(|it| it.stage() != keys.stage());
        self.keys.push(keys);
        self.keys.sort_by_key(|it| it.stage() as usize);
    }

    /// The keys of the stages that keep their state by key now, in the order of [`Stage::ALL`].
    pub(crate) fn keys(&self) -> impl Iterator<Item = &KeyMap> {
        self.keys.iter().filter(|it| self.is_keyed(it.stage()))
    }

    /// The stages that keep their state by key, whether or not the registry knows the keys.
    pub(crate) fn by_key(&self) -> Vec<Stage> {
        Stage::ALL.into_iter().filter(|it| self.is_keyed(*it)).collect()
    }

    pub(super) fn is_keyed(&self, stage: Stage) -> bool {
        self.keyed[stage as usize]
    }

    /// Puts a breaker in the place of another. The transitions of the operation are counted on from where they were.
    pub(super) fn replace_breaker(&mut self, breaker: Arc<Breaker>) {
        if let Some(before) = &self.breaker {
            let total = self.transitions_base.wrapping_add(before.state_changes());
            self.transitions_base = total.wrapping_sub(breaker.state_changes());
        }
        self.breaker = Some(breaker);
    }

    /// The transitions of the operation's circuit, whichever breaker made them; never fewer than before.
    pub(super) fn transitions(&self, breaker: &breaker::Snapshot) -> u64 {
        self.transitions_base.wrapping_add(breaker.state_changes)
    }

    /// What the circuit breaker counted.
    pub(crate) fn read_breaker(&self, now: Timestamp) -> Option<breaker::Snapshot> {
        self.running_breaker().map(|it| it.snapshot(now))
    }

    /// What the rate limiter has left.
    pub(crate) fn read_rate(&self, now: Timestamp) -> Option<RateSnapshot> {
        self.running_rate().map(|it| RateSnapshot::of(it, now))
    }

    /// What the limiter of tokens has left.
    pub(crate) fn read_tokens(&self, now: Timestamp) -> Option<RateSnapshot> {
        self.running_tokens().map(|it| RateSnapshot::of(it, now))
    }

    /// What the concurrency limiter has in hand.
    pub(crate) fn read_concurrency(&self) -> Option<ConcurrencySnapshot> {
        self.running_concurrency().map(|it| ConcurrencySnapshot {
            inflight: it.inflight(),
            max_inflight: it.max_inflight(),
            algorithm: it.algorithm(),
            base_latency: it.base_latency(),
            queued: it.queued(),
        })
    }

    /// Whether faults and latency are injected on purpose now.
    pub(crate) fn is_chaotic(&self) -> bool {
        self.chaos.as_deref().is_some_and(|it| it.config().enabled)
    }

    /// How long an attempt may take now before a copy of it begins.
    pub(crate) fn read_hedge_delay(&self, now: Timestamp) -> Option<Duration> {
        self.hedging.as_deref().and_then(|it| it.delay(now))
    }

    /// What the throttle has seen.
    pub(crate) fn read_throttle(&self, now: Timestamp) -> Option<ThrottleSnapshot> {
        self.throttle.as_deref().filter(|it| it.is_enabled()).map(|it| it.read(now))
    }

    /// Retries that the budget would pay for now.
    pub(crate) fn read_budget(&self, now: Timestamp) -> Option<f64> {
        self.budget.as_deref().filter(|it| it.config().enabled).map(|it| it.level(now))
    }
}
