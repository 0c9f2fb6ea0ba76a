//! What every host's pipeline is made of, and how many there are.

use std::{fmt, sync::Arc, time::Duration};

use tower_rampart::{BuildError, PresetBuilder, retry::Cloned};

use super::{PerHost, hosts::Hosts};
use crate::{BuildReqwest, IntoReqwestClassifier, ReqwestLayer};

/// The operation of hosts that have no place.
const OTHER: &str = "other";

/// Builds a [`PerHost`]; made by [`PerHost::builder`].
#[derive(Clone)]
pub struct PerHostBuilder<J, K, A, R> {
    pipeline: PresetBuilder<J, K, A, R>,
    max_hosts: usize,
    idle_after: Duration,
}

impl<J, K, A, R> PerHostBuilder<J, K, A, R> {
    pub(super) const fn new(pipeline: PresetBuilder<J, K, A, R>) -> Self {
        Self { pipeline, max_hosts: 256, idle_after: Duration::from_secs(600) }
    }

    /// How many hosts have a place of their own; further ones share one. Default: 256.
    #[must_use]
    pub fn max_hosts(mut self, max_hosts: usize) -> Self {
        self.max_hosts = max_hosts;
        self
    }

    /// How long a host must not have been asked for before it gives up its place. Default: 10 minutes.
    ///
    /// Shorter, and hosts that take turns forget each other's failures before a circuit can open.
    #[must_use]
    pub fn idle_after(mut self, idle_after: Duration) -> Self {
        self.idle_after = idle_after;
        self
    }
}

impl<J, A, R> PerHostBuilder<J, Cloned, A, R>
where
    J: IntoReqwestClassifier + Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    /// Builds it, with the operation `other` and no host yet.
    ///
    /// # Errors
    /// As [`BuildReqwest::reqwest`]; and if fields were laid over a live configuration in code: it would keep a copy of them for every host it ever met.
    pub fn build(self) -> Result<PerHost<A, J::Classifier, R>, BuildError> {
        let (pipeline, registry) = self.pipeline.for_many()?;
        let make = move |name: &str| -> Result<ReqwestLayer<A, J::Classifier, R>, BuildError> {
            pipeline.clone().operation(name).reqwest()
        };
        let other = make(OTHER)?;
        let hosts = Hosts::new(Box::new(make), registry, other, self.max_hosts, self.idle_after);
        Ok(PerHost { hosts: Arc::new(hosts) })
    }
}

impl<J, K, A, R> fmt::Debug for PerHostBuilder<J, K, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerHostBuilder")
            .field("pipeline", &self.pipeline)
            .field("max_hosts", &self.max_hosts)
            .field("idle_after", &self.idle_after)
            .finish()
    }
}
