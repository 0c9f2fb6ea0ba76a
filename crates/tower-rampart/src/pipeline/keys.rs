//! The machines that an operation keeps for each key, and those of them that one call asks. By what a request's key is read is up to its judge.

use std::sync::{Arc, OnceLock};

use tower_rampart_config::OperationConfig;
use tower_rampart_core::{
    InvalidConfig, Stage, Timestamp,
    breaker::{Breaker, State},
    concurrency::Limiter,
    keyed::Keyed,
    rate::{Account, KeyedRateLimiter, RateLimiter},
    rejection::Name,
};

use super::call::Call;

/// What an operation keeps for each key; nothing before a configuration asks for it. The machines of all keys that find no place are those of the operation.
#[derive(Debug, Default)]
pub(crate) struct KeyedMachines {
    pub(crate) rate: OnceLock<KeyedRateLimiter>,
    pub(crate) breakers: OnceLock<Keyed<Breaker>>,
    pub(crate) limiters: OnceLock<Keyed<Limiter>>,
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
                None => drop(self.rate.set(KeyedRateLimiter::over(Arc::clone(rate), keyed)?)),
            }
        }
        if stages.circuit {
            let (config, most) = (&config.circuit_breaker, keys.circuit_breaker.max_keys);
            match self.breakers.get() {
                Some(there) => there.reconfigure(config, most, now)?,
                None => drop(self.breakers.set(Keyed::new(Name::clone(name), Arc::clone(breaker), config, most)?)),
            }
        }
        if stages.concurrency {
            let (config, most) = (&config.concurrency, keys.concurrency.max_keys);
            match self.limiters.get() {
                Some(there) => there.reconfigure(config, most, now)?,
                None => drop(self.limiters.set(Keyed::new(Name::clone(name), Arc::clone(limiter), config, most)?)),
            }
        }
        Ok(())
    }
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Takes the machines of the call's keys, which `read` hands over stage by stage. What an operator has ordered of the operation's circuit holds for all keys.
    #[inline(never)]
    pub(super) fn take_keys(&mut self, now: Timestamp, read: impl Fn(Stage, &mut dyn FnMut(Option<&str>))) {
        let (machines, stages) = (&self.shared.machines, self.settings.keyed);
        if stages.rate
            && let Some(limiter) = machines.keyed.rate.get()
        {
            read(Stage::RateLimit, &mut |key| self.keys.rate = Some(limiter.account(key)));
        }
        if stages.concurrency
            && let Some(limiters) = machines.keyed.limiters.get()
        {
            read(Stage::Concurrency, &mut |key| self.keys.concurrency = Some(limiters.get(key, now)));
        }
        let is_ordered = !matches!(machines.breaker.state(now), State::Closed | State::Open | State::HalfOpen);
        if stages.circuit
            && !is_ordered
            && let Some(breakers) = machines.keyed.breakers.get()
        {
            read(Stage::CircuitBreaker, &mut |key| self.keys.circuit = Some(breakers.get(key, now)));
        }
    }

    /// Forgets the keys of stages that do not go by them any more.
    pub(super) fn drop_keys(&mut self) {
        let stages = self.settings.keyed;
        if !stages.rate {
            self.keys.rate = None;
        }
        if !stages.circuit {
            self.keys.circuit = None;
        }
        if !stages.concurrency {
            self.keys.concurrency = None;
        }
    }

    /// The circuit that the call asks.
    pub(super) fn breaker(&self) -> &Arc<Breaker> {
        self.keys.circuit.as_ref().unwrap_or(&self.shared.machines.breaker)
    }

    /// The concurrency limiter that the call asks.
    pub(super) fn limiter(&self) -> &Arc<Limiter> {
        self.keys.concurrency.as_ref().unwrap_or(&self.shared.machines.concurrency)
    }

    /// The rate limiter that the call asks, unless its key is a word.
    pub(super) fn rate_limiter(&self) -> &Arc<RateLimiter> {
        let own = self.keys.rate.as_ref().and_then(Account::limiter);
        own.unwrap_or(&self.shared.machines.rate)
    }
}
