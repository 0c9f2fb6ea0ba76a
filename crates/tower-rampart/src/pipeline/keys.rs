//! The machines that an operation keeps for each key, and those of them that one call asks. By what a request's key is read is up to its judge.

use std::sync::{Arc, Mutex, OnceLock};

use tower_rampart_config::{KeysConfig, OperationConfig};
use tower_rampart_core::{
    InvalidConfig, Stage, Timestamp,
    breaker::{Breaker, State},
    concurrency::Limiter,
    keyed::{KeyCounts, KeyMap, KeyUse, Keyed, MOST_SHOWN, Machine},
    rate::{Account, KeyedRateLimiter, RateLimiter},
    rejection::Name,
};

use super::{call::Call, judge::Telling};

/// What an operation keeps for each key; nothing before a configuration asks for it. The machines of all keys that find no place are those of the operation.
#[derive(Debug, Default)]
pub(crate) struct KeyedMachines {
    pub(crate) rate: OnceLock<Arc<KeyedRateLimiter>>,
    pub(crate) breakers: OnceLock<Arc<Keyed<Breaker>>>,
    pub(crate) limiters: OnceLock<Arc<Keyed<Limiter>>>,
    /// Boxes of calls that have ended, for those that come: the future of a call has no room for what few calls need, and none of them allocates for it.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: Mutex<Vec<Box<CallKeys>>>,
    /// Makes what is kept by key reproducible.
    seed: Option<u64>,
}

/// The most boxes that are kept.
const MOST_SPARE: usize = 64;

/// What one stage of an operation keeps for each key, as operators look at it.
///
/// Keys are as secret as what they are made of: they belong into no metric and no log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KeyedState {
    /// How many keys there are, and what became of the others.
    pub counts: KeyCounts,
    /// The keys that are used most, at most 100, most used first.
    pub most_used: Vec<KeyUse>,
    /// Keys whose circuit is not closed, at most 100, empty where the text is not kept; `None` stands for calls without a key.
    pub open: Vec<Option<String>>,
    /// Calls that wait in the queues of all keys.
    pub queued: usize,
}

impl KeyedMachines {
    /// Nothing yet; what is made later is reproducible where a seed is given.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The keys of all stages that ever kept any.
    pub(super) fn maps(&self) -> impl Iterator<Item = KeyMap> {
        let rate = self.rate.get().map(|it| KeyMap::RateLimit(Arc::clone(it)));
        let circuits = self.breakers.get().map(|it| KeyMap::CircuitBreaker(Arc::clone(it)));
        let limiters = self.limiters.get().map(|it| KeyMap::Concurrency(Arc::clone(it)));
        [rate, circuits, limiters].into_iter().flatten()
    }

    /// What a stage keeps for each key; `None` if it keeps nothing.
    pub(super) fn look(&self, stage: Stage, now: Timestamp) -> Option<KeyedState> {
        let seen = |counts, most_used, open, queued| KeyedState { counts, most_used, open, queued };
        match stage {
            Stage::RateLimit => {
                self.rate.get().map(|it| seen(it.counts(), it.most_used(MOST_SHOWN), Vec::new(), it.queued()))
            }
            Stage::CircuitBreaker => self.breakers.get().map(|it| {
                let is_open = |breaker: &Breaker| !matches!(breaker.state(now), State::Closed | State::Disabled);
                let open = it.select(is_open).into_iter().map(|(key, _)| key).collect();
                seen(it.counts(), it.most_used(MOST_SHOWN), open, 0)
            }),
            Stage::Concurrency => self
                .limiters
                .get()
                .map(|it| seen(it.counts(), it.most_used(MOST_SHOWN), Vec::new(), it.sum(Limiter::queued))),
            _ => None,
        }
    }
}

/// Which stages keep their state by key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyedStages {
    pub(crate) circuit: bool,
    pub(crate) rate: bool,
    pub(crate) concurrency: bool,
}

/// What a call asks in the place of its operation's machines.
#[derive(Debug, Default)]
pub(crate) struct CallKeys {
    pub(super) rate: Option<Account>,
    pub(super) circuit: Option<Arc<Breaker>>,
    pub(super) concurrency: Option<Arc<Limiter>>,
}

impl From<&OperationConfig> for KeyedStages {
    fn from(config: &OperationConfig) -> Self {
        let keys = &config.keys;
        Self {
            circuit: config.circuit_breaker.enabled && keys.circuit_breaker.source().is_some(),
            rate: config.rate_limit.enabled && keys.rate_limit.source().is_some(),
            concurrency: config.concurrency.enabled && keys.concurrency.source().is_some(),
        }
    }
}

impl KeyedStages {
    pub(crate) fn any(self) -> bool {
        self.circuit || self.rate || self.concurrency
    }
}

impl KeyedMachines {
    /// Keeps the box of a call that has ended.
    fn keep(&self, mut keys: Box<CallKeys>) {
        *keys = CallKeys::default();
        if let Ok(mut spare) = self.spare.try_lock()
            && spare.len() < MOST_SPARE
        {
            spare.push(keys);
        }
    }

    /// Makes what the configuration asks for, and lets what is there run on it. The operation's own machines run on it already.
    pub(crate) fn adopt(
        &self,
        name: &Name,
        shared: (&Arc<Breaker>, &Arc<RateLimiter>, &Arc<Limiter>),
        config: &OperationConfig,
        now: Timestamp,
    ) -> Result<(), InvalidConfig> {
        let (stages, keys) = (KeyedStages::from(config), &config.keys);
        let (breaker, rate, limiter) = shared;
        if stages.rate {
            let keyed = keys.rate(config.rate_limit.quota.period);
            match self.rate.get() {
                Some(there) => there.reconfigure(keyed, now)?,
                None => drop(self.rate.set(Arc::new(match self.seed {
                    Some(seed) => KeyedRateLimiter::over_with_seed(Arc::clone(rate), keyed, seed),
                    None => KeyedRateLimiter::over(Arc::clone(rate), keyed),
                }?))),
            }
        }
        if stages.circuit {
            let (config, most) = (&config.circuit_breaker, keys.circuit_breaker.max_keys);
            if let Some(there) = self.breakers.get() {
                there.reconfigure(config, most, now)?;
            } else {
                let circuits = Arc::new(self.fresh(name, breaker, config, most)?);
                let weak = Arc::downgrade(&circuits);
                breaker.on_reset(move |now| {
                    if let Some(circuits) = weak.upgrade() {
                        circuits.each(|it| it.reset(now));
                    }
                });
                drop(self.breakers.set(circuits));
            }
        }
        if stages.concurrency {
            let (config, most) = (&config.concurrency, keys.concurrency.max_keys);
            match self.limiters.get() {
                Some(there) => there.reconfigure(config, most, now)?,
                None => drop(self.limiters.set(Arc::new(self.fresh(name, limiter, config, most)?))),
            }
        }
        Ok(())
    }

    /// Says what keys are made of to the maps that there are, also to those of stages that are off now: calls that began before may still read keys for them.
    /// Before any call reads by `keys`.
    pub(crate) fn tell_sources(&self, keys: &KeysConfig) {
        if let (Some(map), Some(source)) = (self.rate.get(), keys.rate_limit.source()) {
            map.made_of(&source.to_string(), source.is_secret());
        }
        if let (Some(map), Some(source)) = (self.breakers.get(), keys.circuit_breaker.source()) {
            map.made_of(&source.to_string(), source.is_secret());
        }
        if let (Some(map), Some(source)) = (self.limiters.get(), keys.concurrency.source()) {
            map.made_of(&source.to_string(), source.is_secret());
        }
    }

    fn fresh<M: Machine>(
        &self,
        name: &Name,
        shared: &Arc<M>,
        config: &M::Config,
        most: u32,
    ) -> Result<Keyed<M>, InvalidConfig> {
        let keyed = Keyed::new(Name::clone(name), Arc::clone(shared), config, most)?;
        Ok(match self.seed {
            Some(seed) => keyed.with_seed(seed),
            None => keyed,
        })
    }
}

impl KeyedMachines {
    /// Lets those go who wait for their keys' turn before a stage that is off now. The operation's own machines are off already. Circuits have nobody waiting,
    /// and keep what they know.
    pub(crate) fn let_go(&self, config: &OperationConfig, now: Timestamp) -> Result<(), InvalidConfig> {
        if let (false, Some(limiter)) = (config.rate_limit.enabled, self.rate.get()) {
            limiter.reconfigure(limiter.config(), now)?;
        }
        if let (false, Some(limiters)) = (config.concurrency.enabled, self.limiters.get()) {
            limiters.reconfigure(&config.concurrency, config.keys.concurrency.max_keys, now)?;
        }
        Ok(())
    }
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Takes the machines of the call's keys, which `read` hands over stage by stage. What an operator has ordered of the operation's circuit holds for all keys.
    #[inline(never)]
    pub(super) fn take_keys(&mut self, now: Timestamp, read: impl Fn(Stage, &mut dyn FnMut(Option<&str>, Telling))) {
        let (machines, stages) = (&self.shared.machines, self.settings.keyed);
        // One that is spare, unless another thread is at them.
        let spare = machines.keyed.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        let mut keys = spare.unwrap_or_default();
        if stages.rate
            && let Some(limiter) = machines.keyed.rate.get()
        {
            read(Stage::RateLimit, &mut |key, telling| {
                keys.rate = Some(match telling {
                    Telling::Text => limiter.account(key),
                    Telling::Nothing => limiter.account_untold(key),
                });
            });
        }
        if stages.concurrency
            && let Some(limiters) = machines.keyed.limiters.get()
        {
            read(Stage::Concurrency, &mut |key, telling| keys.concurrency = Some(machine(limiters, key, telling, now)));
        }
        let is_ordered = !matches!(machines.breaker.state(now), State::Closed | State::Open | State::HalfOpen);
        if stages.circuit
            && !is_ordered
            && let Some(breakers) = machines.keyed.breakers.get()
        {
            read(Stage::CircuitBreaker, &mut |key, telling| keys.circuit = Some(machine(breakers, key, telling, now)));
        }
        self.keys = Some(keys);
    }

    /// Forgets the keys of stages that do not go by them any more.
    pub(super) fn drop_keys(&mut self) {
        let stages = self.settings.keyed;
        let Some(keys) = &mut self.keys else { return };
        if !stages.rate {
            keys.rate = None;
        }
        if !stages.circuit {
            keys.circuit = None;
        }
        if !stages.concurrency {
            keys.concurrency = None;
        }
    }

    /// The call has ended and holds nothing any more.
    pub(super) fn return_keys(&mut self) {
        if let Some(keys) = self.keys.take() {
            self.shared.machines.keyed.keep(keys);
        }
    }

    /// The circuit of the call's key, if it has one.
    pub(super) fn own_circuit(&self) -> Option<&Arc<Breaker>> {
        self.keys.as_ref()?.circuit.as_ref()
    }

    /// The concurrency limiter of the call's key, if it has one.
    pub(super) fn own_limiter(&self) -> Option<&Arc<Limiter>> {
        self.keys.as_ref()?.concurrency.as_ref()
    }

    /// The account of the call's key, if calls are limited by key.
    pub(super) fn account(&self) -> Option<&Account> {
        self.keys.as_ref()?.rate.as_ref()
    }

    /// The circuit that the call asks.
    pub(super) fn breaker(&self) -> &Arc<Breaker> {
        self.own_circuit().unwrap_or(&self.shared.machines.breaker)
    }

    /// The concurrency limiter that the call asks.
    pub(super) fn limiter(&self) -> &Arc<Limiter> {
        self.own_limiter().unwrap_or(&self.shared.machines.concurrency)
    }

    /// The rate limiter that the call asks, unless its key is a word.
    pub(super) fn rate_limiter(&self) -> &Arc<RateLimiter> {
        self.account().and_then(Account::limiter).unwrap_or(&self.shared.machines.rate)
    }
}

fn machine<M: Machine>(map: &Keyed<M>, key: Option<&str>, telling: Telling, now: Timestamp) -> Arc<M> {
    match telling {
        Telling::Text => map.get(key, now),
        Telling::Nothing => map.get_untold(key, now),
    }
}
