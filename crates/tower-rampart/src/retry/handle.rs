//! The retry stage from outside.

use std::{fmt, sync::Arc};

use tower_rampart_core::InvalidConfig;

use super::{Config, Plan, Shared};
use crate::clock;

/// A handle to one retry stage; clones are handles to the same.
pub struct Handle<C, K> {
    shared: Arc<Shared<C, K>>,
}

impl<C, K> Handle<C, K> {
    pub(crate) fn new(shared: Arc<Shared<C, K>>) -> Self {
        Self { shared }
    }

    /// The configuration that new calls run on.
    pub fn config(&self) -> Config {
        self.shared.plan.with(|plan| plan.config)
    }

    /// Replaces the configuration for new calls; calls in flight end under the old one, and the budget keeps what it holds.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        config.check()?;
        self.shared.budget.reconfigure(config.budget)?;
        self.shared.plan.store(Plan::new(config));
        Ok(())
    }

    /// How many retries the budget would pay for now.
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
        f.debug_struct("retry::Handle").field("config", &self.config()).finish_non_exhaustive()
    }
}
