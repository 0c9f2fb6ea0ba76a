//! One operation from outside: its configuration, its circuit, its numbers.

use std::sync::Arc;

use tower_rampart_config::OperationConfig;
use tower_rampart_core::{InvalidConfig, Stage, registry::OperationSnapshot, signals::Signals};

use super::{KeyedState, Machines};
use crate::{breaker, clock};

/// A handle to one operation; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct OperationHandle {
    machines: Arc<Machines>,
}

impl OperationHandle {
    pub(crate) fn new(machines: Arc<Machines>) -> Self {
        Self { machines }
    }

    /// The name of the operation.
    pub fn name(&self) -> &str {
        self.machines.operation.name()
    }

    /// The configuration that new calls run on.
    pub fn config(&self) -> Arc<OperationConfig> {
        self.machines.config()
    }

    /// Replaces the configuration of all stages at once for new calls; calls in flight end under the old one. The circuit's
    /// state and window, tokens, permits and budget stay.
    ///
    /// An operation that follows a [`Resilience`](crate::Resilience) takes on that one's configuration again with the next change there; what is to stay
    /// belongs into its document or its overrides.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays as a whole.
    pub fn reconfigure(&self, config: OperationConfig) -> Result<(), InvalidConfig> {
        self.machines.reconfigure(config)
    }

    /// The sections `http` and `classify` as calls meet them.
    #[cfg(feature = "http")]
    pub fn http(&self) -> crate::http::Live {
        crate::http::Live::new(&self.machines)
    }

    /// The circuit. Where circuits are kept by key, that of all keys without a place: what is ordered of it (open, closed, off) holds for all keys, and a reset
    /// resets them all.
    pub fn breaker(&self) -> breaker::Handle {
        breaker::Handle::new(Arc::clone(&self.machines.breaker))
    }

    /// What a stage keeps for each key: the rate limit, the circuit breaker or the concurrency limit; `None` if its state was never kept by key. Looks at all
    /// keys: for operators, not for each call.
    pub fn keys(&self, stage: Stage) -> Option<KeyedState> {
        self.machines.keyed.look(stage, clock::now())
    }

    /// The counters, the latency and the state of every stage. Where a stage keeps its state by key, the state is that which all keys without a place share;
    /// see [`keys`](Self::keys) for the others.
    pub fn snapshot(&self) -> OperationSnapshot {
        self.machines.operation.snapshot(clock::now())
    }

    /// What callers steer by. Where a stage keeps its state by key, that of all keys without a place.
    pub fn signals(&self) -> Signals {
        self.machines.operation.signals(clock::now())
    }
}
