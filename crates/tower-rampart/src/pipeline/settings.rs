//! The part of an operation's configuration that every call takes a copy of; the machines hold the rest.

use tower_rampart_config::OperationConfig;
use tower_rampart_core::{breaker, fallback, rate, retry, timeout};

/// What a call needs to know beside the machines: taken once, when it begins, so that it never mixes old and new values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    pub(crate) retry: retry::Config,
    pub(crate) timeout: timeout::Config,
    pub(crate) fallback: fallback::Config,
    pub(crate) breaker_scope: breaker::Scope,
    pub(crate) breaker_enabled: bool,
    pub(crate) rate_scope: rate::Scope,
    pub(crate) rate_enabled: bool,
    pub(crate) rate_waits: bool,
    pub(crate) concurrency_enabled: bool,
}

impl From<&OperationConfig> for Settings {
    fn from(config: &OperationConfig) -> Self {
        Self {
            retry: config.retry,
            timeout: config.timeout,
            fallback: config.fallback,
            breaker_scope: config.circuit_breaker.scope,
            breaker_enabled: config.circuit_breaker.enabled,
            rate_scope: config.rate_limit.scope,
            rate_enabled: config.rate_limit.enabled,
            rate_waits: config.rate_limit.on_limit == rate::OnLimit::Wait,
            concurrency_enabled: config.concurrency.enabled,
        }
    }
}
