//! What a circuit breaker is worth that is kept for one key of many. The map is [`Keyed`](crate::keyed::Keyed).

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

    fn adopt(&self, config: &Config, now: Timestamp) -> Result<(), InvalidConfig> {
        self.reconfigure(config.clone(), now)
    }

    /// Whatever is not plainly closed or off is kept: an open circuit that nobody asks any more would otherwise be forgotten, and admit whoever comes next.
    fn worth(&self, now: Timestamp) -> Worth {
        let seen = self.snapshot(now);
        let config = self.config();
        let judges_window = config.failure_rate_threshold.is_some() || config.slow_call_rate_threshold.is_some();
        let failed_in_window = judges_window && (seen.failure_rate > 0.0 || seen.slow_rate > 0.0);
        match seen.state {
            State::Closed if seen.consecutive_failures == 0 && !failed_in_window => Worth::Nothing,
            State::Closed => Worth::Little,
            State::Disabled if !config.enabled => Worth::Nothing,
            _ => Worth::Everything,
        }
    }
}
