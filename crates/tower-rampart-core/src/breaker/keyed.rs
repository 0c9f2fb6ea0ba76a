//! What a circuit breaker is worth that is kept for one key of many. The map is [`Keyed`](crate::keyed::Keyed).

use std::task::Waker;

use super::{Breaker, Config, State};
use crate::{
    InvalidConfig, Timestamp,
    keyed::{Machine, Worth},
    rejection::Name,
};

impl Machine for Breaker {
    type Config = Config;

    fn fresh(name: &Name, config: &Config) -> Result<Self, InvalidConfig> {
        Self::new(Name::clone(name), config.clone())
    }

    fn with_seed(self, seed: u64) -> Self {
        Self::with_seed(self, seed)
    }

    fn adopt(&self, config: &Config, now: Timestamp) -> Result<Vec<Waker>, InvalidConfig> {
        self.reconfigure_untold(config.clone(), now)?;
        Ok(Vec::new())
    }

    fn tell(&self) {
        Self::tell(self);
    }

    /// A circuit is kept while it is open, however long nobody asks it: whoever comes next would otherwise be admitted. Once its recovery time is over it
    /// admits anyway, and a run of failures or of abandoned calls that nobody goes on with says ever less; an order of an operator stays.
    fn worth(&self, now: Timestamp) -> Worth {
        let state = self.state(now);
        let core = self.settled();
        match state {
            State::Closed if core.machine.is_pristine(now) && core.cautious_until <= now => Worth::Nothing,
            State::Closed => Worth::Little,
            State::HalfOpen if core.machine.probes_out(now) == 0 => Worth::Little,
            State::Disabled if !core.machine.config().enabled => Worth::Nothing,
            _ => Worth::Everything,
        }
    }
}
