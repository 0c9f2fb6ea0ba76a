//! The hedge stage from outside.

use std::{fmt, sync::Arc, time::Duration};

use tower_rampart_core::{InvalidConfig, retry::BudgetConfig};

use super::{Config, Counts, Shared};
use crate::clock;

/// A handle to one hedge stage; clones are handles to the same.
pub struct Handle<C, K> {
    shared: Arc<Shared<C, K>>,
}

impl<C, K> Handle<C, K> {
    pub(crate) fn new(shared: Arc<Shared<C, K>>) -> Self {
        Self { shared }
    }

    /// The configuration that new calls run on.
    pub fn config(&self) -> Config {
        self.shared.hedging.config()
    }

    /// Replaces the configuration for new calls; the latencies of the last minute stay.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.shared.hedging.reconfigure(config, clock::now())
    }

    /// Replaces the configuration of the budget, which keeps what it holds.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure_budget(&self, config: BudgetConfig) -> Result<(), InvalidConfig> {
        self.shared.budget.reconfigure(config)
    }

    /// How long a call may take now before a copy of it begins; `None` while hedging is off or too little is known.
    pub fn delay(&self) -> Option<Duration> {
        self.shared.hedging.delay(clock::now())
    }

    /// How many copies were sent, and what came of them.
    pub fn counts(&self) -> Counts {
        self.shared.hedging.counts()
    }

    /// How many copies the budget would pay for now.
    pub fn budget_level(&self) -> f64 {
        self.shared.budget.level(clock::now())
    }
}

impl<C, K> Clone for Handle<C, K> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl<C, K> fmt::Debug for Handle<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("hedge::Handle").field("config", &self.config()).finish_non_exhaustive()
    }
}
