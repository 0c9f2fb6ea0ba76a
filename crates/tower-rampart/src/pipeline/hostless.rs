//! What stands in for the settings of HTTP without the feature `http`: there are none.

use std::sync::Arc;

use tower_rampart_config::OperationConfig;
use tower_rampart_core::rate::RateLimiter;

/// Nothing; the twin of the one in `http`.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings;

impl HttpSettings {
    pub(crate) fn new(_config: &OperationConfig, _requests: &Arc<RateLimiter>, _tokens: &Arc<RateLimiter>) -> Self {
        Self
    }
}
