//! Why a limiter did not admit, as data without a name; [`RateLimited`] is what callers see.

use std::time::Duration;

use super::RateLimiter;
use crate::rejection::{Name, RateLimitReason, RateLimited};

/// The limiter does not admit this call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit {}", .reason.as_str())]
#[non_exhaustive]
pub struct Exceeded {
    /// When the call would be admitted if nothing else came; `None` if never.
    pub retry_after: Option<Duration>,
    /// Why.
    pub reason: RateLimitReason,
}

impl Exceeded {
    /// The call costs more than the limiter ever holds.
    pub(super) const NEVER: Self = Self { retry_after: None, reason: RateLimitReason::CostAboveBurst };

    /// The quota is used up for this long.
    pub const fn after(wait: Duration) -> Self {
        Self { retry_after: Some(wait), reason: RateLimitReason::Exceeded }
    }

    /// The call may not wait as long as it would have to.
    pub(super) const fn too_long(wait: Duration) -> Self {
        Self { retry_after: Some(wait), reason: RateLimitReason::WaitTooLong }
    }

    /// The refusal that callers of this limiter see.
    pub fn refusal(self, limiter: &RateLimiter) -> RateLimited {
        let config = limiter.config();
        RateLimited::new(Name::clone(limiter.name()), self.reason, self.retry_after, config.most_at_once())
            .counting(config.unit)
    }
}
