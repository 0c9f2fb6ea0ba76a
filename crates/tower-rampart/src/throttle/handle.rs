//! The throttle from outside.

use std::sync::Arc;

use tower_rampart_core::{InvalidConfig, throttle::Throttle};

use super::{Config, ThrottleSnapshot};
use crate::clock;

/// A handle to one throttle; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Handle {
    throttle: Arc<Throttle>,
}

impl Handle {
    pub(crate) fn new(throttle: Arc<Throttle>) -> Self {
        Self { throttle }
    }

    /// What the throttle has seen, and the share of calls that it does not make now.
    pub fn read(&self) -> ThrottleSnapshot {
        self.throttle.read(clock::now())
    }

    /// The configuration that the throttle runs on.
    pub fn config(&self) -> Config {
        self.throttle.config()
    }

    /// Replaces the configuration; what was counted stays.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.throttle.reconfigure(config, clock::now())
    }
}
