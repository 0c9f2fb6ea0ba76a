//! The resolved configuration of one operation: the very values that the machines run on.

use tower_rampart_core::{
    breaker, cache, chaos, concurrency, fallback, hedge, priority, rate, retry, shadow, throttle, timeout,
};

use crate::{KeysConfig, field::Field, print};

/// What answers are read as, and when they are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// By HTTP status, or by the error.
    #[default]
    Http,
    /// By gRPC status.
    Grpc,
    /// By the thirteen classes of model APIs.
    ModelApi,
}

/// When the outcome of a call is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutcomeAt {
    /// With the head of the response.
    #[default]
    Headers,
    /// When the body of the response has ended.
    EndOfBody,
}

/// How answers are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassifyConfig {
    /// What answers are read as. Default: HTTP.
    pub profile: Profile,
    /// Statuses that count as transient whatever their default, 100 to 599. Default: none.
    pub transient_status: Vec<u16>,
    /// Statuses that count as permanent whatever their default, 100 to 599. Default: none.
    pub permanent_status: Vec<u16>,
    /// When the outcome is known. Default: with the head of the response.
    pub outcome_at: OutcomeAt,
}

/// What is particular to HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpConfig {
    /// The most of a request body that is kept for another attempt, 0 to 1 000 000 bytes. Default: 65 536.
    pub replay_max_bytes: u32,
    /// Request headers that carry the time left for the call. Default: none.
    pub deadline_headers: Vec<String>,
    /// The request header that tells the service behind the number of the attempt. Default: none.
    pub attempt_header: Option<String>,
    /// The request header that states how important a call is, `priority.header` in the document. Default: none.
    pub priority_header: Option<String>,
    /// Proxies whose forwarding headers are believed where the client's address is a key, 0 to 1 000 000. Default: 0.
    pub trusted_hops: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            replay_max_bytes: 65_536,
            deadline_headers: Vec::new(),
            attempt_header: None,
            priority_header: None,
            trusted_hops: 0,
        }
    }
}

/// Whether retries are left to whoever sends a request and retries it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NestedRetryConfig {
    /// Whether the stage is on. Default: false.
    pub enabled: bool,
    /// The request header that says so, read and written, in lower case. Default: [`HEADER`](Self::HEADER).
    pub header: String,
}

impl NestedRetryConfig {
    /// The header unless the document names another.
    pub const HEADER: &str = "x-resilience-retried";
}

impl Default for NestedRetryConfig {
    fn default() -> Self {
        Self { enabled: false, header: Self::HEADER.to_owned() }
    }
}

/// What a cache has beside it for HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCacheConfig {
    /// The most bytes of the body of an answer that is kept, 0 to 10 000 000. Default: 262 144. Longer ones stream through.
    pub max_body_bytes: u32,
    /// Request headers that tell answers to one URL apart, in lower case. An answer whose `Vary` names others is not kept. Default: `accept`,
    /// `accept-encoding`, `accept-language`.
    pub key_headers: Vec<String>,
    /// Whether POST requests under the profile of model APIs are kept by what they ask for. Default: false.
    pub model_api: bool,
    /// The members of such a request that do not tell answers apart. Default: `user`, `stream`.
    pub ignore_fields: Vec<String>,
}

impl Default for HttpCacheConfig {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            max_body_bytes: 262_144,
            key_headers: list(&["accept", "accept-encoding", "accept-language"]),
            model_api: false,
            ignore_fields: list(&["user", "stream"]),
        }
    }
}

/// What a fallback that is data answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackAnswer {
    /// Base URLs that are tried in order. Default: none.
    pub targets: Vec<String>,
    /// The status of a fixed answer, 200 to 599. Default: none.
    pub status: Option<u16>,
    /// The body of a fixed answer, at most 200 characters. Default: none.
    pub body: Option<String>,
}

/// The resolved configuration of one operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OperationConfig {
    /// The circuit breaker.
    pub circuit_breaker: breaker::Config,
    /// The retries.
    pub retry: retry::Config,
    /// Whether they are left to whoever sends the request; off unless the document says so.
    pub nested_retry: NestedRetryConfig,
    /// The rate limit; off unless the document has one. Its quota is [`Quota::UNLIMITED`](rate::Quota::UNLIMITED) where the document limits
    /// no calls.
    pub rate_limit: rate::Config,
    /// What the rate limit has beside it for model APIs.
    pub model_limits: rate::ModelConfig,
    /// The concurrency limit; off unless the document has one.
    pub concurrency: concurrency::Config,
    /// The timeouts.
    pub timeout: timeout::Config,
    /// When a fallback answers.
    pub fallback: fallback::Config,
    /// What a fallback that is data answers.
    pub fallback_answer: FallbackAnswer,
    /// The cache; off unless the document has one.
    pub cache: cache::Config,
    /// What the cache has beside it for HTTP.
    pub http_cache: HttpCacheConfig,
    /// The hedging; off unless the document has it.
    pub hedge: hedge::Config,
    /// What is injected on purpose; off unless the document has it.
    pub chaos: chaos::Config,
    /// By what the state of the stages is kept.
    pub keys: KeysConfig,
    /// What is particular to HTTP.
    pub http: HttpConfig,
    /// How answers are judged.
    pub classify: ClassifyConfig,
    /// Shedding by importance; off unless the document has it.
    pub priority: priority::Config,
    /// Client throttling; off unless the document has it.
    pub throttle: throttle::Config,
    /// Which stages only evaluate what they would do; none unless the document says so.
    pub shadow: shadow::Config,
}

impl Default for OperationConfig {
    fn default() -> Self {
        let mut rate_limit = rate::Config::with_quota(rate::Quota::UNLIMITED);
        rate_limit.enabled = false;
        let mut concurrency = concurrency::Config::default();
        concurrency.enabled = false;
        let mut cache = cache::Config::default();
        cache.enabled = false;
        let mut hedge = hedge::Config::default();
        hedge.enabled = false;
        let mut priority = priority::Config::default();
        priority.enabled = false;
        let mut throttle = throttle::Config::default();
        throttle.enabled = false;
        let mut chaos = chaos::Config::default();
        chaos.enabled = false;
        Self {
            circuit_breaker: breaker::Config::default(),
            retry: retry::Config::default(),
            nested_retry: NestedRetryConfig::default(),
            rate_limit,
            model_limits: rate::ModelConfig::default(),
            concurrency,
            timeout: timeout::Config::default(),
            fallback: fallback::Config::default(),
            fallback_answer: FallbackAnswer::default(),
            cache,
            http_cache: HttpCacheConfig::default(),
            hedge,
            chaos,
            keys: KeysConfig::default(),
            http: HttpConfig::default(),
            classify: ClassifyConfig::default(),
            priority,
            throttle,
            shadow: shadow::Config::default(),
        }
    }
}

impl OperationConfig {
    /// All fields by section, as an operation's override would say them.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Object(print::sections(self, Field::is_for_operations))
    }
}
