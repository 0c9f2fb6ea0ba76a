//! What a host can serve: a document that enables more is refused with the stage and the missing capability named.

use std::fmt;

macro_rules! capabilities {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $missing:literal;)+) => {
        /// One thing that a host can or cannot serve.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Capability { $($(#[doc = $doc])+ $name,)+ }

        impl Capability {
            /// All capabilities.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word that messages name it by.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What a host without it lacks.
            pub const fn missing(self) -> &'static str {
                match self { $(Self::$name => $missing,)+ }
            }
        }
    };
}

capabilities! {
    /// Requests can be sent again: `retry`.
    CloneRequest = "clone_request", "requests that can be sent again";
    /// Requests and responses are HTTP: statuses and methods can be named.
    Http = "http", "HTTP requests and responses";
    /// Answers carry gRPC codes.
    Grpc = "grpc", "answers with gRPC codes";
    /// A fallback is given in code.
    Fallback = "fallback", "a fallback to answer with";
    /// `http.replay_max_bytes`.
    Replay = "replay", "replay of request bodies";
    /// `http.deadline_headers`.
    DeadlineHeaders = "deadline_headers", "deadlines read from request headers";
    /// `http.attempt_header`.
    AttemptHeader = "attempt_header", "a request header with the number of the attempt";
    /// `http.trusted_hops`.
    TrustedHops = "trusted_hops", "forwarding headers of trusted proxies";
    /// `monitoring`.
    Monitoring = "monitoring", "monitoring that can be configured";
    /// `gateway.routes`.
    Routes = "routes", "a gateway that maps requests to operations";
    /// `fallback.targets`.
    FallbackTargets = "fallback_targets", "a gateway that can call other targets";
    /// `fallback.status` and `fallback.body`.
    FallbackAnswer = "fallback_answer", "a gateway that can answer by itself";
    /// `outcome_at: "end_of_body"`.
    EndOfBody = "end_of_body", "outcomes decided at the end of the body";
    /// `classify.profile: "grpc"`.
    GrpcProfile = "grpc_profile", "the gRPC classifier";
    /// `classify.profile: "model_api"`.
    ModelApiProfile = "model_api_profile", "the classifier of model APIs";
    /// `per_key`, `max_keys` and `key_limits`.
    Keyed = "keyed", "state by key";
    /// `per_key: "client_ip"`.
    ClientIp = "client_ip", "requests that say which client they are of";
    /// `rate_limit.tokens_per_minute`.
    TokensPerMinute = "tokens_per_minute", "limits on tokens per minute";
    /// `rate_limit.learn_from_headers`.
    LearnFromHeaders = "learn_from_headers", "limits learnt from response headers";
    /// The stage `cache`.
    Cache = "cache", "a key of requests and answers that can be kept";
    /// The stage `hedge`.
    Hedge = "hedge", "the hedge stage";
    /// The stage `chaos`.
    Chaos = "chaos", "the chaos stage";
    /// The stage `throttle`.
    Throttle = "throttle", "the throttle stage";
    /// The stage `priority`.
    Priority = "priority", "the priority stage";
    /// The stage `shadow`.
    Shadow = "shadow", "the shadow stage";
    /// The stage `nested_retry`.
    NestedRetry = "nested_retry", "the nested_retry stage";
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The set of things that a host can serve.
///
/// # Examples
/// ```
/// use tower_rampart_config::{Capabilities, Capability};
///
/// let gateway = Capabilities::http().with(Capability::Routes);
/// assert!(gateway.has(Capability::Routes));
/// assert!(!Capabilities::function().has(Capability::Http));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Nothing but the stages that need no help: circuit breaker, rate limit, concurrency limit, timeouts.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Everything: for judging a document without a host.
    pub fn all() -> Self {
        Capability::ALL.iter().fold(Self::none(), |set, it| set.with(*it))
    }

    /// An HTTP service or client behind the layers of this suite. gRPC codes are among it: calls that are gRPC by their content type are read as such.
    pub const fn http() -> Self {
        Self::function()
            .with(Capability::Http)
            .with(Capability::Grpc)
            .with(Capability::Replay)
            .with(Capability::DeadlineHeaders)
            .with(Capability::AttemptHeader)
            .with(Capability::EndOfBody)
            .with(Capability::GrpcProfile)
            .with(Capability::ModelApiProfile)
            .with(Capability::TokensPerMinute)
            .with(Capability::LearnFromHeaders)
            .with(Capability::Keyed)
            .with(Capability::ClientIp)
            .with(Capability::TrustedHops)
            .with(Capability::Cache)
    }

    /// A gRPC service or client behind the layers of this suite: what HTTP ones serve, but for model APIs, whose errors are JSON, and the cache, which POST is
    /// not kept by.
    pub const fn grpc() -> Self {
        Self::http().without(Capability::ModelApiProfile).without(Capability::Cache)
    }

    /// A plain function or a generic service.
    pub const fn function() -> Self {
        Self::none()
            .with(Capability::CloneRequest)
            .with(Capability::Fallback)
            .with(Capability::Hedge)
            .with(Capability::Shadow)
            .with(Capability::Throttle)
            .with(Capability::Priority)
            .with(Capability::NestedRetry)
    }

    /// Adds a capability.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u32)
    }

    /// Takes a capability away.
    #[must_use]
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability as u32))
    }

    /// Whether the host has a capability.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }

    /// Those that the host has.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |it| self.has(*it))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Capability::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_is_a_bit_of_its_own() {
        assert!(Capability::ALL.len() <= 32);
        for capability in Capability::ALL {
            let only = Capabilities::none().with(*capability);
            assert_eq!(only.iter().collect::<Vec<_>>(), [*capability]);
            assert_eq!(only.without(*capability), Capabilities::none());
            assert!(Capabilities::all().has(*capability));
        }
    }
}
