//! The machines of one operation: what all layers and handles of that operation share.

use std::sync::{Arc, Mutex, PoisonError};

use tower_rampart_config::{Capabilities, Capability, OperationConfig};
use tower_rampart_core::{
    InvalidConfig, Stage, Timestamp,
    breaker::Breaker,
    chaos::Chaos,
    concurrency::Limiter,
    control::ConfigCell,
    hedge::Hedging,
    rate::{self, Quota, RateLimiter},
    registry::Operation,
    retry::{Budget, Seeds},
    throttle::Throttle,
};

#[cfg(not(feature = "http"))]
use super::hostless::HttpSettings;
use super::{
    Caches,
    keys::{KeyedMachines, KeyedStages},
    settings::Settings,
    switches::Switches,
};
use crate::clock;
#[cfg(feature = "http")]
use crate::http::HttpSettings;

/// The machines of one operation and the configuration that they run on.
#[derive(Debug)]
pub(crate) struct Machines {
    pub(crate) operation: Arc<Operation>,
    pub(crate) settings: ConfigCell<Settings>,
    /// What HTTP hosts read beside the settings.
    pub(crate) http: ConfigCell<HttpSettings>,
    pub(crate) switches: Switches,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) rate: Arc<RateLimiter>,
    /// The limit on tokens of a model API; off without one.
    pub(crate) tokens: Arc<RateLimiter>,
    pub(crate) concurrency: Arc<Limiter>,
    /// What is kept of answers.
    pub(crate) caches: Caches,
    /// What there is for each key.
    pub(crate) keyed: KeyedMachines,
    pub(crate) budget: Arc<Budget>,
    pub(crate) hedging: Arc<Hedging>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) chaos: Arc<Chaos>,
    pub(crate) seeds: Seeds,
    /// Held while the configuration is replaced, so that two writers cannot interleave their stages.
    config: Mutex<Arc<OperationConfig>>,
    /// What every pipeline built on these machines can serve.
    capabilities: Mutex<Capabilities>,
}

impl Machines {
    pub(crate) fn new(
        operation: Arc<Operation>,
        config: OperationConfig,
        seed: Option<u64>,
    ) -> Result<Self, InvalidConfig> {
        check(&config)?;
        let name = operation.name();
        let breaker = Breaker::new(Arc::clone(name), config.circuit_breaker.clone())?;
        let rate = Arc::new(RateLimiter::new(Arc::clone(name), config.rate_limit)?);
        let tokens = tokens(&config, rate::Config::with_quota(Quota::UNLIMITED));
        let tokens = Arc::new(RateLimiter::new(Arc::clone(name), tokens)?);
        let throttle = Throttle::new(Arc::clone(name), config.throttle)?;
        let machines = Self {
            settings: ConfigCell::new(Settings::from(&config)),
            http: ConfigCell::new(HttpSettings::new(&config, &rate, &tokens)),
            switches: Switches::default(),
            breaker: Arc::new(match seed {
                Some(seed) => breaker.with_seed(seed),
                None => breaker,
            }),
            rate,
            tokens,
            concurrency: Arc::new(Limiter::new(Arc::clone(name), config.concurrency)?),
            budget: Arc::new(Budget::new(config.retry.budget)?),
            hedging: Arc::new(Hedging::new(config.hedge)?),
            throttle: Arc::new(match seed {
                Some(seed) => throttle.with_seed(seed),
                None => throttle,
            }),
            chaos: Arc::new(Chaos::new(config.chaos)?),
            seeds: seed.map_or_else(Seeds::from_entropy, Seeds::new),
            caches: Caches::new(config.cache, operation.cache()),
            keyed: KeyedMachines::new(seed),
            config: Mutex::new(Arc::new(config)),
            capabilities: Mutex::new(Capabilities::all()),
            operation,
        };
        machines.adopt_keys(&machines.config(), Timestamp::ZERO)?;
        machines.show_keyed(&machines.config());
        machines.operation.set_shadow(machines.config().shadow.shadowed());
        machines.operation.attach_breaker(Arc::clone(&machines.breaker));
        machines.operation.attach_rate_limiter(Arc::clone(&machines.rate));
        machines.operation.attach_token_limiter(Arc::clone(&machines.tokens));
        machines.operation.attach_concurrency_limiter(Arc::clone(&machines.concurrency));
        machines.operation.attach_throttle(Arc::clone(&machines.throttle));
        machines.operation.attach_budget(Arc::clone(&machines.budget));
        machines.operation.attach_hedging(Arc::clone(&machines.hedging));
        machines.operation.attach_chaos(Arc::clone(&machines.chaos));
        Ok(machines)
    }

    pub(crate) fn config(&self) -> Arc<OperationConfig> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What every pipeline built on these machines can serve.
    pub(crate) fn capabilities(&self) -> Capabilities {
        *self.capabilities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a pipeline which can serve only this is built on these machines.
    pub(crate) fn narrow(&self, capabilities: Capabilities) {
        let mut all = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = Capability::ALL.iter().filter(|it| !capabilities.has(**it));
        *all = lost.fold(*all, |all, it| all.without(*it));
    }

    /// Replaces the configuration of all stages, or of none.
    ///
    /// A stage that is on has its new values before calls are sent to it, and one that goes off keeps its old values until calls are not sent to
    /// it any more. Calls that were sent to it before find out by the [`Switches`]: none slips between a stage that is off already and another
    /// that is not on yet.
    pub(crate) fn reconfigure(&self, config: OperationConfig) -> Result<(), InvalidConfig> {
        if self.reconfigure_untold(config)? {
            self.breaker.tell();
        }
        Ok(())
    }

    /// Does the same, but the answer is whether the circuit's observers are still to be told: they may want locks that the caller holds.
    pub(crate) fn reconfigure_untold(&self, config: OperationConfig) -> Result<bool, InvalidConfig> {
        check(&config)?;
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        // Every part was checked above: none of these fails after another was applied.
        self.budget.reconfigure(config.retry.budget)?;
        self.hedging.reconfigure(config.hedge, now)?;
        self.chaos.reconfigure(config.chaos)?;
        let on = self.apply(&config, true, now)?;
        if KeyedStages::from(&config).any() {
            self.adopt_keys(&config, now)?;
        }
        self.show_keyed(&config);
        self.operation.set_shadow(config.shadow.shadowed());
        self.http.store(HttpSettings::new(&config, &self.rate, &self.tokens));
        self.settings.store(Settings::from(&config));
        self.switches.count(&current, &config);
        let off = self.apply(&config, false, now)?;
        self.keyed.let_go(&config, now)?;
        *current = Arc::new(config);
        Ok(on || off)
    }

    /// Makes what is kept by key, and lets it run on the configuration that the operation's own machines run on.
    fn adopt_keys(&self, config: &OperationConfig, now: Timestamp) -> Result<(), InvalidConfig> {
        let shared = (&self.breaker, &self.rate, &self.concurrency);
        self.keyed.adopt(self.operation.name(), shared, config, now)
    }

    /// Whoever reads the registry is to know which machines are not all that there is, and what has no machine of its own.
    fn show_keyed(&self, config: &OperationConfig) {
        let keyed = KeyedStages::from(config);
        self.operation.set_priority(config.priority.enabled.then_some(config.priority.shares));
        self.keyed.tell_sources(&config.keys);
        self.keyed.maps().for_each(|it| self.operation.attach_keys(it));
        self.operation.set_keyed(Stage::CircuitBreaker, keyed.circuit);
        self.operation.set_keyed(Stage::RateLimit, keyed.rate);
        self.operation.set_keyed(Stage::Concurrency, keyed.concurrency);
    }

    /// Gives the stages that are on, or those that are off, their new values; whether the circuit's observers are to be told.
    fn apply(&self, config: &OperationConfig, on: bool, now: Timestamp) -> Result<bool, InvalidConfig> {
        let mut untold = false;
        if config.circuit_breaker.enabled == on {
            untold = self.breaker.reconfigure_untold(config.circuit_breaker.clone(), now)?;
        }
        if config.rate_limit.enabled == on {
            // A limit that goes off keeps its quota, so that one which comes back gives no tokens back.
            self.rate.reconfigure(if on { config.rate_limit } else { off(self.rate.config()) }, now)?;
        }
        let tokens = tokens(config, self.tokens.config());
        if tokens.enabled == on {
            self.tokens.reconfigure(tokens, now)?;
        }
        if config.cache.enabled == on {
            self.caches.reconfigure(config.cache, now);
        }
        if config.concurrency.enabled == on {
            self.concurrency.reconfigure(config.concurrency)?;
        }
        if config.throttle.enabled == on {
            self.throttle.reconfigure(config.throttle, now)?;
        }
        Ok(untold)
    }
}

/// What the limit on tokens runs on; without one it is off, and keeps what it had.
fn tokens(config: &OperationConfig, present: rate::Config) -> rate::Config {
    config.model_limits.tokens(&config.rate_limit).filter(|it| it.enabled).unwrap_or_else(|| off(present))
}

fn off(mut config: rate::Config) -> rate::Config {
    config.enabled = false;
    config
}

/// Checks every part, so that nothing is applied where one is out of its range.
fn check(config: &OperationConfig) -> Result<(), InvalidConfig> {
    config.circuit_breaker.check()?;
    config.retry.check()?;
    config.rate_limit.check()?;
    config.model_limits.check()?;
    config.concurrency.check()?;
    config.cache.check()?;
    config.keys.check()?;
    config.hedge.check()?;
    config.throttle.check()?;
    config.priority.check()?;
    config.chaos.check()?;
    config.timeout.check()
}
