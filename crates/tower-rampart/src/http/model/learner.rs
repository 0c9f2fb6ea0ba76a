//! Lets the limits of an operation follow what answers say of the provider's own. What the headers say is read in `limits`.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tower_rampart_core::rate::RateLimiter;

use super::RateLimitHeaders;
use crate::clock;

/// The limits that learn.
#[derive(Clone, Debug)]
pub(in crate::http) struct Learner {
    requests: Arc<RateLimiter>,
    tokens: Arc<RateLimiter>,
}

impl Learner {
    pub(in crate::http) fn new(requests: &Arc<RateLimiter>, tokens: &Arc<RateLimiter>) -> Self {
        Self { requests: Arc::clone(requests), tokens: Arc::clone(tokens) }
    }

    /// Learns from the head of an answer. What it says of tokens pauses all calls where tokens are not limited here.
    pub(in crate::http) fn learn(&self, status: StatusCode, headers: &HeaderMap) {
        let mut limits = RateLimitHeaders::read(headers, clock::wall());
        if !status.is_client_error() && !status.is_server_error() {
            // A success with a hint when to come back asks nothing of others.
            limits.retry_after = None;
        }
        let now = clock::now();
        let (mut requests, tokens) = (limits.learnt_of_requests(now), limits.learnt_of_tokens(now));
        if self.tokens.is_enabled() {
            self.tokens.learn(tokens, now);
        } else {
            requests.paused_until = requests.paused_until.max(tokens.paused_until);
        }
        self.requests.learn(requests, now);
    }
}
