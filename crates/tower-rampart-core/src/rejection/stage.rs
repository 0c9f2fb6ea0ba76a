//! The stages of the pipeline by name. What one of them says when it refuses is in `rejection`.

use std::fmt;

/// A stage of the pipeline, by its name in every JSON, metric and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// The circuit breaker.
    CircuitBreaker,
    /// The retry stage.
    Retry,
    /// The rate limiter.
    RateLimit,
    /// The concurrency limiter.
    Concurrency,
    /// Attempt and total timeouts.
    Timeout,
    /// The fallback.
    Fallback,
    /// The response cache.
    Cache,
    /// The hedging stage.
    Hedge,
    /// Client throttling.
    Throttle,
    /// Shedding by priority.
    Priority,
    /// The chaos stage, which injects faults.
    Chaos,
}

impl Stage {
    /// All stages, in the order of their discriminants.
    pub const ALL: [Self; 11] = [
        Self::CircuitBreaker,
        Self::Retry,
        Self::RateLimit,
        Self::Concurrency,
        Self::Timeout,
        Self::Fallback,
        Self::Cache,
        Self::Hedge,
        Self::Throttle,
        Self::Priority,
        Self::Chaos,
    ];

    /// The name used in JSON, metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitBreaker => "circuit_breaker",
            Self::Retry => "retry",
            Self::RateLimit => "rate_limit",
            Self::Concurrency => "concurrency",
            Self::Timeout => "timeout",
            Self::Fallback => "fallback",
            Self::Cache => "cache",
            Self::Hedge => "hedge",
            Self::Throttle => "throttle",
            Self::Priority => "priority",
            Self::Chaos => "chaos",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
