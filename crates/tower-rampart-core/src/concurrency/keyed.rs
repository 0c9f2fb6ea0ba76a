//! What a concurrency limiter is worth that is kept for one key of many. The map is [`Keyed`](crate::keyed::Keyed).

use std::task::Waker;

use super::{Config, Limiter};
use crate::{
    InvalidConfig, Timestamp,
    keyed::{Machine, Worth},
    rejection::Name,
};

impl Machine for Limiter {
    type Config = Config;

    fn fresh(name: &Name, config: &Config) -> Result<Self, InvalidConfig> {
        Self::new(Name::clone(name), *config)
    }

    fn adopt(&self, config: &Config, _now: Timestamp) -> Result<Vec<Waker>, InvalidConfig> {
        self.replace(*config)
    }

    fn worth(&self, _now: Timestamp) -> Worth {
        if self.inflight() > 0 || self.queued() > 0 {
            Worth::Everything
        } else if self.has_learnt() {
            Worth::Little
        } else {
            Worth::Nothing
        }
    }
}
